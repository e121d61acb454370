//! Profiles: what devices of one kind have in common, written as the body of a device.
//!
//! ```toml
//! max_registers = 60
//! order = "cdab"
//!
//! [tag.power]
//! at = "input:12"
//! type = "f32"
//! unit = "W"
//! ```
//!
//! A device that names a profile is read over it: each key that the device, or one of its tags, does not say itself is
//! the profile's. So a tag can be given another scan class, or limits for writing, without being written again.

use std::collections::BTreeMap;

use super::about::About;
use super::fault::SiteErrors;
use super::{Device, Site, Tag};
use crate::document::Document;

/// A profile whose text has been checked.
#[derive(Debug)]
pub struct Profile {
    name: String,
    document: Document<'static>,
    about: Option<About>,
    /// With one device, which has nothing but the profile.
    site: Site,
}

/// The profiles that devices can name.
#[derive(Debug, Default)]
pub struct Profiles {
    by_name: BTreeMap<String, Profile>,
}

impl Profile {
    /// Reads a profile: the body of a device, without what is of one device only, as `connect` and `unit`.
    ///
    /// # Errors
    /// All that is wrong with it; the text is file 0.
    pub fn parse(name: &str, text: &str) -> Result<Self, SiteErrors> {
        let (document, about, site) = super::parse::check_profile(text)?;
        Ok(Profile { name: name.to_owned(), document: document.into_owned(), about, site })
    }

    /// What it says of itself.
    #[must_use]
    pub const fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// A device that has nothing but this profile: what it takes in one request, and what is strange about it.
    #[must_use]
    pub fn device(&self) -> Option<&Device> {
        self.site.devices().first()
    }

    /// Its tags, in the order of the file.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        self.site.tags()
    }

    /// What the link of such a device has to wait for.
    #[must_use]
    pub fn timing(&self) -> Option<&super::Timing> {
        self.site.lanes().first().map(|lane| &lane.timing)
    }

    /// What devices call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn document(&self) -> &Document<'static> {
        &self.document
    }
}

impl Profiles {
    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Profiles::default()
    }

    /// Adds one; the one that had its name before is returned.
    pub fn insert(&mut self, profile: Profile) -> Option<Profile> {
        self.by_name.insert(profile.name.clone(), profile)
    }

    /// The one with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Profile> {
        self.by_name.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}
