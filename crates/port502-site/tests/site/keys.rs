//! `docs/site-file.md` describes every key, and no others.
//!
//! The tables between `<!-- keys HEADER -->` and `<!-- end -->` are those of `port502_site::site::keys`. With
//! `PORT502_DOCS=write` in the environment they are written anew.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::PathBuf;

use port502_site::site::keys::{ALL, Otherwise, Section};
use port502_site::site::{Profiles, Site, SourceFile};

fn table(section: &Section) -> String {
    let mut table = format!("{}\n\n| key | takes | without it | |\n|---|---|---|---|\n", section.meaning);
    for key in section.keys {
        let otherwise = match key.default {
            Otherwise::Required(_) => "has to be there".to_owned(),
            Otherwise::Default(value) => value.to_owned(),
            Otherwise::Nothing => String::new(),
        };
        writeln!(table, "| `{}` | {} | {otherwise} | {} |", key.name, key.takes, key.meaning).unwrap();
    }
    table
}

#[test]
fn the_reference_of_keys_is_the_parser_s() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/site-file.md"));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut want = String::new();
    let mut rest = text.as_str();
    let mut seen = Vec::new();
    while let Some((front, behind)) = rest.split_once("<!-- keys ") {
        let (header, behind) = behind.split_once(" -->\n").unwrap();
        let (_, behind) = behind.split_once("<!-- end -->").unwrap();
        let section = ALL
            .iter()
            .find(|section| section.header == header || (section.header.is_empty() && header == "(top)"));
        let section = section.unwrap_or_else(|| panic!("there is no section {header}"));
        seen.push(section.header);
        write!(want, "{front}<!-- keys {header} -->\n{}<!-- end -->", table(section)).unwrap();
        rest = behind;
    }
    want.push_str(rest);
    let all: Vec<&str> = ALL.iter().map(|section| section.header).collect();
    assert_eq!(seen, all, "each section once, in the order of `keys::ALL`");
    if std::env::var("PORT502_DOCS").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &want).unwrap();
    } else {
        assert!(text == want, "docs/site-file.md: PORT502_DOCS=write renews the tables of keys");
    }
}

#[test]
fn no_key_is_there_twice_and_each_says_something() {
    for section in ALL {
        let mut names: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), section.keys.len(), "{}", section.called);
        for key in section.keys {
            assert!(key.meaning.ends_with(['.', ':']), "{} of {}", key.name, section.called);
            assert!(
                !key.takes.is_empty() && !key.meaning.contains('|'),
                "{} of {}",
                key.name,
                section.called
            );
        }
    }
}

/// A site in which a key has a value that no key takes, and where that value begins.
fn with_a_date(section: &Section, key: &str) -> (String, usize) {
    const DATE: &str = "1979-05-27";
    let other =
        |line: &str| if line.starts_with(&format!("{key} ")) { String::new() } else { format!("{line}\n") };
    let given = format!("{key} = {DATE}");
    let site = "[site]\nname = \"s\"\n[role.r]\n";
    let device = format!("{site}[device.d]\nconnect = \"d\"\n");
    let tag = format!("{device}[device.d.tag.t]\n");
    let text = match section.header {
        "" => format!("{given}\n"),
        "[site]" => format!("[site]\n{}{given}\n", other("name = \"s\"")),
        "[poll]" | "[history]" => format!("{site}{}\n{given}\n", section.header),
        "[zone.NAME]" | "[scan.NAME]" | "[role.NAME]" => {
            format!("{site}{}\n{given}\n", section.header.replace("NAME", "x"))
        }
        "[link.NAME]" => format!("{site}[link.x]\n{}{given}\n", other("connect = \"d\"")),
        "demote = { ... }" => format!("{site}[link.x]\nconnect = \"d\"\ndemote = {{ {given} }}\n"),
        "[device.NAME]" if key == "link" => format!("{site}[device.x]\n{given}\n"),
        "[device.NAME]" => format!("{site}[device.x]\n{}{given}\n", other("connect = \"d\"")),
        "[device.NAME.tag.NAME]" => format!("{tag}{}{given}\n", other("at = \"h:0\"")),
        "alarm.NAME = { ... }" => {
            let condition = match key {
                "above" | "below" | "is" | "rises" | "falls" | "deviates" => "",
                "from" => "deviates = 1, ",
                _ => "rises = 1, ",
            };
            format!("{tag}at = \"h:0\"\nalarm.a = {{ {condition}{given} }}\n")
        }
        "write = { ... }" => format!("{tag}at = \"h:0\"\nwrite = {{ {given} }}\n"),
        "after = { ... }" => format!(
            "{tag}at = \"h:0\"\nwrite = {{ roles = \"r\", min = 0, max = 1, after = {{ {given} }} }}\n"
        ),
        "[tag.NAME]" => format!("{site}[tag.x]\n{}{given}\n", other("expr = \"1\"")),
        "[guard.NAME]" => format!(
            "{device}[guard.g]\n{}{}{given}\n",
            other("listen = \"tcp://0.0.0.0:502\""),
            other("to = \"d\"")
        ),
        "allow = [{ ... }], deny = [{ ... }]" => {
            format!(
                "{device}[guard.g]\nlisten = \"tcp://0.0.0.0:502\"\nto = \"d\"\nallow = [{{ {given} }}]\n"
            )
        }
        "[outlet.NAME]" => {
            let kinds = ["nats", "mqtt", "postgres", "opcua", "prometheus"];
            let kind = if kinds.contains(&key) { "" } else { "nats = \"nats://hq\"\n" };
            format!("{site}[outlet.x]\n{kind}{given}\n")
        }
        other => panic!("{other} has no site of its own here"),
    };
    let at = text.find(DATE).unwrap();
    (text, at)
}

#[test]
fn every_key_of_the_table_is_read() {
    for section in ALL {
        for key in section.keys {
            let (text, at) = with_a_date(section, key.name);
            let files = [SourceFile { name: "site.toml", text: &text }];
            let told = Site::parse(&files, &Profiles::none())
                .is_err_and(|errors| errors.errors.iter().any(|error| error.place.span.start as usize == at));
            assert!(told, "{} of {} takes a date, or is never looked at:\n{text}", key.name, section.called);
        }
    }
}
