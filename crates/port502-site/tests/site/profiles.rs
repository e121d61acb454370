//! Profiles: what a device takes from one, and what it says itself.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use port502_site::site::{Profile, Profiles, Site, SourceFile, render};

const METER: &str = r#"
max_registers = 60
order = "cdab"
holes = ["input:50-59"]

[tag.power]
at = "input:12"
type = "f32"
unit = "W"
range = [0, 5000]
alarm.high = { above = 4000, priority = 2 }

[tag.limit]
at = "holding:3"
range = [0, 100]
write = { roles = ["operator"], max_step = 10 }
"#;

fn profiles() -> Profiles {
    let mut profiles = Profiles::none();
    assert!(profiles.insert(Profile::parse("meter", METER).unwrap_or_else(|e| panic!("{e}"))).is_none());
    profiles
}

fn parse(text: &str) -> Result<Site, String> {
    let text = format!(
        "[site]\nname = \"s\"\n[role.operator]\n[role.engineer]\n[scan.fast]\nevery = \"1s\"\n{text}"
    );
    let files = [SourceFile { name: "site.toml", text: &text }];
    Site::parse(&files, &profiles()).map_err(|errors| render::text(&files, &errors, 9))
}

#[test]
fn what_the_device_does_not_say_is_the_profile_s() {
    let site = parse(
        r#"
[device.a]
connect = "a"
profile = "meter"

[device.b]
connect = "b"
profile = "meter"
max_registers = 20
order = "abcd"

[device.b.tag.power]
scan = "fast"
alarm.low = { below = 10 }

[device.b.tag.limit]
write = { roles = ["engineer"], max = 50 }

[device.b.tag.more]
at = "input:70"
"#,
    )
    .unwrap();
    let tag = |path: &str| site.tag(site.find(path).unwrap());
    let device = |name: &str| site.device(site.device_named(name).unwrap());
    assert_eq!((device("a").limits.read_registers, device("b").limits.read_registers), (60, 20));
    assert_eq!((device("a").tag_count(), device("b").tag_count()), (2, 3));
    assert_eq!(tag("a.power").point.to_string(), "input:12:f32:cdab");
    assert_eq!(tag("b.power").point.to_string(), "input:12:f32");
    assert_eq!(site.scan(tag("b.power").scan).name, "fast");
    assert_eq!(tag("b.power").unit.as_deref(), Some("W"));
    let alarms: Vec<&str> = tag("b.power").alarms().iter().map(|alarm| alarm.name.as_str()).collect();
    assert_eq!(alarms, ["low", "high"]);
    let write = tag("b.limit").write().unwrap();
    assert_eq!((write.max_step, site.role(write.roles[0]).name.as_str()), (Some(10.0), "engineer"));
    assert_eq!(device("a").holes.len(), 1);
}

#[test]
fn what_does_not_go_together_is_told_where_people_wrote_it() {
    let errors =
        parse("\n[device.a]\nconnect = \"a\"\nprofile = \"meter\"\nholes = [\"input:12\"]\n").unwrap_err();
    assert_eq!(
        errors,
        "site.toml:10:11: the tag lies in the hole input:12; move one of them
  10 | profile = \"meter\"
     |           ^^^^^^^
"
    );
    let errors = parse("\n[device.a]\nconnect = \"a\"\nprofile = \"metre\"\n").unwrap_err();
    assert!(errors.contains("\"metre\" is not a profile; did you mean meter?"), "{errors}");
}

#[test]
fn a_broken_profile_is_told_in_its_own_text() {
    let errors = Profile::parse("p", "max_registres = 3\n[tag.x]\nat = \"holdign:1\"\n").unwrap_err();
    let files = [SourceFile { name: "p.toml", text: "max_registres = 3\n[tag.x]\nat = \"holdign:1\"\n" }];
    assert_eq!(
        render::text(&files, &errors, 9),
        "p.toml:1:1: a device has no key \"max_registres\"; did you mean max_registers?
  1 | max_registres = 3
    | ^^^^^^^^^^^^^
p.toml:3:7: \"holdign\" is not a table; did you mean holding?
  3 | at = \"holdign:1\"
    |       ^^^^^^^
"
    );
}
