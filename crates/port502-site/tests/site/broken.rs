//! Site files that are wrong, each with the exact text that people get: `broken/NAME.toml` and `broken/NAME.txt`.
//!
//! `PORT502_GOLDEN=write cargo test -p port502-site --test site` writes the texts anew; review the difference like code.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use port502_site::site::{Profiles, Site, SourceFile, render};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/site/broken"))
}

fn errors(text: &str) -> String {
    let files = [SourceFile { name: "site.toml", text }];
    match Site::parse(&files, &Profiles::none()) {
        Ok(_) => "no error\n".to_owned(),
        Err(errors) => render::text(&files, &errors, 99),
    }
}

#[test]
fn every_broken_site_says_what_is_wrong_where_and_what_to_try() {
    let write = std::env::var("PORT502_GOLDEN").is_ok_and(|value| value == "write");
    let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            names.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert!(names.len() >= 40, "{} broken sites", names.len());
    for name in names {
        let text = fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
        let got = errors(&text);
        let golden = folder().join(format!("{name}.txt"));
        if write {
            fs::write(&golden, &got).unwrap();
        }
        let want = fs::read_to_string(&golden).unwrap_or_default();
        if got != want || !got.starts_with("site.toml:") {
            wrong.push(format!("---- {name}: want\n{want}---- got\n{got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_of_a_folder_are_one_site() {
    let files = [
        SourceFile { name: "site.toml", text: "[site]\nname = \"s\"\n[link.a]\nconnect = \"10.0.0.1\"\n" },
        SourceFile { name: "pumps.toml", text: "[device.p]\nlink = \"a\"\n[device.p.tag.x]\nat = \"h:0\"\n" },
    ];
    let site = Site::parse(&files, &Profiles::none()).unwrap();
    assert!(site.find("p.x").is_some());
    let [a, b] = files;
    let again = SourceFile { name: "more.toml", text: "[site]\nname = \"t\"\n[device.p]\nlink = \"a\"\n" };
    let files = [a, b, again];
    let errors = Site::parse(&files, &Profiles::none()).unwrap_err();
    let text = "more.toml:1:2: \"site\" stands there twice; remove one (the other is at site.toml:1:2)
  1 | [site]
    |  ^^^^
more.toml:3:9: \"p\" stands there twice; remove one (the other is at pumps.toml:1:9)
  3 | [device.p]
    |         ^
";
    assert_eq!(render::text(&files, &errors, 99), text);
}

#[test]
fn very_many_errors_are_counted() {
    let text: String = (0..1_500).map(|at| format!("[device.d{at}]\nunti = 1\n")).collect();
    let files = [SourceFile { name: "site.toml", text: &text }];
    let errors = Site::parse(&files, &Profiles::none()).unwrap_err();
    // Each device has a key too many and no link, and there is no [site].
    assert_eq!(
        (errors.errors.len(), errors.omitted, errors.to_string().as_str()),
        (1_000, 2_001, "3001 errors")
    );
    assert!(render::text(&files, &errors, 2).ends_with("... and 2999 more\n"));
}

proptest::proptest! {
    /// Whatever stands in it, a site file makes a site or errors whose places lie in it.
    #[test]
    fn no_text_panics(text in "[a-z\\[\\]{}=\"'.#,\\n 0-9:-]{0,200}") {
        let files = [SourceFile { name: "site.toml", text: &text }];
        if let Err(errors) = Site::parse(&files, &Profiles::none()) {
            for error in &errors.errors {
                let (start, end) = (error.place.span.start as usize, error.place.span.end as usize);
                proptest::prop_assert!(text.get(start..end).is_some(), "{:?}", error);
            }
            let _ = render::text(&files, &errors, 99);
        }
    }

    /// The same of a site that was good before a piece of it was lost, doubled or changed.
    #[test]
    fn no_damage_panics(at in 0..9_000_usize, len in 0..80_usize, with in "[a-z\\[\\]{}=\"'.#,\\n0-9-]{0,8}") {
        let mut text = super::example::WATERWORKS.to_owned();
        let start = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let end = (0..=(start + len).min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        text.replace_range(start..end.max(start), &with);
        let files = [SourceFile { name: "site.toml", text: &text }];
        if let Err(errors) = Site::parse(&files, &Profiles::none()) {
            for error in &errors.errors {
                let (start, end) = (error.place.span.start as usize, error.place.span.end as usize);
                proptest::prop_assert!(text.get(start..end).is_some(), "{:?}", error);
            }
            let _ = render::text(&files, &errors, 99);
        }
    }
}
