//! The profiles that are built in: each a file in `profiles/`, and a row here.
//!
//! ```
//! let profiles = port502_site::profiles::built_in();
//! let meter = profiles.find("eastron/sdm120").expect("it is built in");
//! assert_eq!(meter.about().map(|about| about.maker.as_str()), Some("Eastron"));
//! ```

use std::sync::OnceLock;

use crate::site::{Profile, Profiles};

/// Declares the files, each with its name.
macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../profiles/", $name, ".toml")))),*]
    };
}

/// Each with its text, by name.
pub const FILES: &[(&str, &str)] = files! {
    "abb/b21"
    "abb/b23"
    "carlo-gavazzi/em24"
    "carlo-gavazzi/em24-e1"
    "carlo-gavazzi/em340"
    "eastron/sdm120"
    "eastron/sdm230"
    "eastron/sdm630"
    "generic/io"
    "generic/meter"
    "generic/tank"
    "generic/vfd"
    "huawei/sun2000"
    "openplc/default"
    "schneider/iem3000"
    "siemens/pac2200"
    "sunspec/1"
    "sunspec/101"
    "sunspec/102"
    "sunspec/103"
    "sunspec/111"
    "sunspec/112"
    "sunspec/113"
    "sunspec/160"
    "sunspec/201"
    "sunspec/202"
    "sunspec/203"
    "sunspec/204"
    "sunspec/211"
    "sunspec/212"
    "sunspec/213"
    "sunspec/214"
    "sunspec/701"
    "sunspec/702"
    "sunspec/703"
    "sunspec/704"
    "sunspec/705"
    "sunspec/706"
    "sunspec/707"
    "sunspec/708"
    "sunspec/709"
    "sunspec/710"
    "sunspec/711"
    "sunspec/712"
    "sunspec/713"
    "sunspec/714"
    "sunspec/802"
    "victron/gx"
    "victron/gx-battery"
    "victron/gx-meter"
    "wago/879-3000"
};

/// All of them.
pub fn built_in() -> &'static Profiles {
    static ALL: OnceLock<Profiles> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut profiles = Profiles::none();
        // A test parses each; one that cannot be parsed is not there.
        for profile in FILES.iter().filter_map(|(name, text)| Profile::parse(name, text).ok()) {
            profiles.insert(profile);
        }
        profiles
    })
}
