//! The profiles that are built in.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use port502_site::profiles::{self, FILES};
use port502_site::site::about::{Probe, Verified};
use port502_site::site::{Profile, Profiles, Site, SourceFile, render};
use port502_site::{Cells, Datum};

fn parse(name: &str, text: &str) -> Profile {
    Profile::parse(name, text).unwrap_or_else(|errors| {
        let files = [SourceFile { name, text }];
        panic!("{}", render::text(&files, &errors, 20));
    })
}

fn site_with(device: &str) -> Result<Site, String> {
    let text = format!("[site]\nname = \"s\"\n[device.d]\nconnect = \"tcp://192.0.2.1\"\n{device}");
    let files = [SourceFile { name: "site.toml", text: &text }];
    Site::parse(&files, profiles::built_in()).map_err(|errors| render::text(&files, &errors, 20))
}

#[test]
fn every_file_is_built_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let mut on_disk = BTreeSet::new();
    for maker in std::fs::read_dir(&root).unwrap() {
        let maker = maker.unwrap().path();
        for file in std::fs::read_dir(&maker).unwrap() {
            let file = file.unwrap().path();
            let name = file.strip_prefix(&root).unwrap().with_extension("");
            on_disk.insert(name.to_str().unwrap().to_owned());
        }
    }
    let listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    assert!(listed.is_sorted(), "{listed:?}");
    assert_eq!(on_disk, listed.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(profiles::built_in().names().count(), FILES.len());
}

#[test]
fn every_profile_says_where_it_is_from() {
    for (name, text) in FILES {
        let profile = parse(name, text);
        let about = profile.about().unwrap_or_else(|| panic!("{name} has no [about]"));
        assert!(!about.sources.is_empty(), "{name}");
        assert_eq!(about.verified, Verified::Document, "{name}: say on which device, in docs/profiles.md");
        assert!(about.document.is_some() || name.starts_with("generic/"), "{name}");
        assert!(!profile.tags().is_empty(), "{name}");
        let writable = profile.tags().iter().find(|tag| tag.write().is_some());
        assert_eq!(writable.map(|tag| &tag.name), None, "{name}: who may write is said by the device");
    }
}

#[test]
fn every_vector_agrees() {
    let mut count = 0;
    for (name, text) in FILES {
        let profile = parse(name, text);
        let vectors = &profile.about().unwrap().vectors;
        assert!(vectors.len() >= 2, "{name}");
        for vector in vectors {
            let tag = profile.tags().iter().find(|tag| *tag.name == vector.tag).unwrap();
            assert_eq!(tag.more().exponent.is_some(), vector.exponent.is_some(), "{name} {}", vector.tag);
            let reading = tag.reading(&vector.cells, vector.exponent).unwrap();
            assert!(vector.agrees(&reading), "{name} {}: {reading:?}, not {:?}", vector.tag, vector.reading);
            count += 1;
        }
    }
    assert!(count >= 180, "{count}");
}

#[test]
fn every_profile_makes_a_site() {
    for (name, text) in FILES {
        let site = site_with(&format!("profile = \"{name}\"\n")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(site.tags().len(), parse(name, text).tags().len(), "{name}");
    }
}

#[test]
fn probes_recognise_their_device() {
    let profiles = profiles::built_in();
    let matches = |name: &str, index: usize, datum: Datum| {
        let about = profiles.find(name).unwrap().about().unwrap();
        about.probes.get(index).unwrap().matches(&datum)
    };
    for (name, index, datum, want) in [
        ("carlo-gavazzi/em24-e1", 0, Datum::Unsigned(1648), true),
        ("carlo-gavazzi/em24-e1", 0, Datum::Unsigned(1653), true),
        ("carlo-gavazzi/em24-e1", 0, Datum::Unsigned(1654), false),
        ("abb/b23", 0, Datum::Text("B23 ".to_owned()), true),
        ("abb/b23", 0, Datum::Text("B21 ".to_owned()), false),
        ("huawei/sun2000", 0, Datum::Text("SUN2000-8KTL-M1".to_owned()), true),
        ("huawei/sun2000", 0, Datum::Text("my SUN2000".to_owned()), false),
        ("eastron/sdm120", 0, Datum::F32(230.2), true),
        ("eastron/sdm120", 0, Datum::F32(80.0), true),
        ("eastron/sdm120", 0, Datum::F32(79.9), false),
        ("eastron/sdm120", 0, Datum::F32(f32::NAN), false),
    ] {
        assert_eq!(matches(name, index, datum.clone()), want, "{name} {datum:?}");
    }
    // What is said in the file has to be what is there.
    for (name, _) in FILES {
        for probe in &profiles.find(name).unwrap().about().unwrap().probes {
            if let Probe::Model(model) = probe {
                assert_eq!(*name, format!("sunspec/{model}"));
            }
            assert!(probe.point().is_none_or(|point| point.count() == 1), "{name}");
        }
    }
}

#[test]
fn a_device_can_say_otherwise() {
    let site = site_with("profile = \"eastron/sdm120\"\nmax_registers = 20\n[device.d.tag.power]\nunit = \"kW\"\nscale = 0.001\n")
        .unwrap_or_else(|error| panic!("{error}"));
    let power = site.tag(site.find("d.power").unwrap());
    assert_eq!((power.point.to_string().as_str(), power.unit.as_deref()), ("input:12:f32", Some("kW")));
    assert_eq!(site.devices()[0].limits.read_registers, 20);
    let site = site_with("profile = \"huawei/sun2000\"\n").unwrap();
    assert!(site.devices()[0].quirks.one_client);
    assert_eq!(site.lanes()[0].timing.connect_delay.as_secs(), 1);
    assert_eq!(site.devices()[0].timeout.as_secs(), 15);
}

#[test]
fn shift_moves_the_tags_of_a_profile() {
    let at = |shift: i32, own: &str| {
        let site = site_with(&format!("profile = \"sunspec/103\"\nshift = {shift}\n{own}")).unwrap();
        let place = |path: &str| site.tag(site.find(path).unwrap()).point.to_string();
        (place("d.power"), place("d.events"))
    };
    assert_eq!(at(-1, ""), ("holding:40083:i16".to_owned(), "holding:40109:u32".to_owned()));
    assert_eq!(at(25_424, "").1, "holding:65534:u32");
    let own = "[device.d.tag.power]\nat = \"holding:7\"\ntype = \"i16\"\n";
    assert_eq!(at(5, own).0, "holding:7:i16", "what the device says itself stays where it is");

    let error = site_with("profile = \"sunspec/1\"\nshift = -40005\n").unwrap_err();
    assert_eq!(
        error,
        "site.toml:6:9: shift moves manufacturer of the profile, which is at holding:40004:str32, out of its table; \
         choose a smaller one\n  6 | shift = -40005\n    |         ^^^^^^\n"
    );
    let error = site_with("shift = 1\n").unwrap_err();
    assert_eq!(
        error,
        "site.toml:5:1: shift moves the tags of a profile, and there is none; add profile = \"...\", or leave shift out\n  \
         5 | shift = 1\n    | ^^^^^\n"
    );
}

#[track_caller]
fn refuse(about: &str, want: &[&str]) {
    let text = format!(
        "[about]\ntitle = \"t\"\nmaker = \"m\"\n{about}\n[tag.a]\nat = \"holding:1\"\n[tag.b]\nat = \"coil:1\"\n"
    );
    let errors = Profile::parse("p", &text).unwrap_err();
    let files = [SourceFile { name: "p.toml", text: &text }];
    let shown: Vec<String> = render::shown(&files, &errors)
        .iter()
        .map(|shown| format!("{}:{}: {}", shown.line, shown.column, shown.message))
        .collect();
    assert_eq!(shown, want);
}

#[test]
fn a_broken_profile_says_what_is_wrong() {
    refuse("tilte = \"x\"", &["4:1: [about] has no key \"tilte\"; did you mean title?"]);
    refuse("verified = \"yes\"", &["4:12: \"yes\" is not how far it is checked; write document or device"]);
    refuse(
        "probes = [{ at = \"11\", is = [1] }]",
        &["4:19: \"11\" names no table; write holding:11, or 40012 as manuals count"],
    );
    refuse("probes = [{ at = \"holding:11\" }]", &["4:11: a probe needs is; write is = [1648]"]);
    refuse("probes = [{ object = 1 }]", &["4:11: a probe needs contains; write contains = \"iEM3\""]);
    refuse(
        "vectors = [{ tag = \"a\", hex = \"12\", value = 1 }]",
        &["4:31: \"12\" is not hexadecimal; write four digits for each register"],
    );
    refuse(
        "vectors = [{ tag = \"a\", hex = \"00010002\", value = 1 }]",
        &["1:2: the vector of a has 2 registers; the tag has 1"],
    );
    refuse(
        "vectors = [{ tag = \"aa\", hex = \"0001\", value = 1 }]",
        &["1:2: \"aa\" is not a tag; add [device.NAME.tag.NAME]"],
    );
    refuse("sunspec = { model = 103, at = 40070 }", &["4:11: sunspec needs length; write length = 50"]);
    let errors = Profile::parse("p", "[about]\ntitle = \"t\"\n").unwrap_err();
    assert_eq!(errors.errors.len(), 1, "{errors:?}");
}

#[test]
fn absent_values() {
    let text = "[tag]\na = { at = \"holding:0\", type = \"i16\", nan = [0x8000] }\n\
        b = { at = \"holding:1\", type = \"u64\", nan = [-1] }\nc = { at = \"holding:5\", type = \"f32\" }\n\
        d = { at = \"holding:7\", exponent = \"a\", scale = 2, offset = 1 }\n";
    let profile = parse("p", text);
    let read = |index: usize, registers: &[u16], exponent| {
        let tag = profile.tags().get(index).unwrap();
        format!("{:?}", tag.reading(&Cells::Registers(registers.to_vec()), exponent).unwrap())
    };
    assert_eq!(read(0, &[0x8000], None), "Absent");
    assert_eq!(read(0, &[0x7FFF], None), "Number(32767.0)");
    assert_eq!(read(1, &[0xFFFF; 4], None), "Absent");
    assert_eq!(read(2, &[0x7FC0, 0], None), "Absent");
    assert_eq!(read(3, &[5], Some(-1)), "Number(2.0)");
    assert_eq!(read(3, &[5], Some(2)), "Number(1001.0)");
    assert_eq!(read(3, &[5], None), "Absent", "without its scale a number means nothing");
    assert_eq!(read(3, &[5], Some(-32768)), "Absent");
    let none = Profiles::none();
    assert!(none.find("p").is_none());
}
