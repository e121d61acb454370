//! What is imported, and what people are told: each input has its site beside it (`NAME.site.toml`) and what could not
//! be carried over (`NAME.notes.txt`); what cannot be read at all has the error (`broken/NAME.txt`).
//!
//! `PORT502_GOLDEN=write cargo test -p port502-import --test import` writes them anew; review the difference like code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod laws;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use port502_import::{Format, ImportError, Options, export, import};
use port502_inspect::Policy;
use port502_site::compile::compile;
use port502_site::site::{Profiles, Site, SourceFile, render};

fn folder(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/import")).join(name)
}

/// The inputs of a folder: what is neither a site nor notes.
fn inputs(name: &str) -> Vec<PathBuf> {
    let mut inputs: Vec<PathBuf> =
        fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.retain(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        !name.ends_with(".txt") && !name.ends_with(".site.toml")
    });
    inputs.sort();
    inputs
}

fn options(input: &Path) -> Options {
    let mut options = Options::default();
    match input.file_stem().unwrap().to_str().unwrap() {
        "heat-pump" => {
            options.connect = Some("tcp://10.20.1.11".parse().unwrap());
            options.unit = Some(1);
            options.device = Some("heat pump".to_owned());
            options.site = Some("House".to_owned());
        }
        "vendor-model" => options.at = Some(40_122),
        "curves-counted" => {
            let counts = [("NPt", 2), ("NCrvSet", 2), ("NPhase", 3)];
            options.counts = counts.map(|(name, times)| (name.to_owned(), times)).to_vec();
        }
        _ => {}
    }
    options
}

fn golden(path: &Path, got: &str, wrong: &mut Vec<String>) {
    if std::env::var("PORT502_GOLDEN").is_ok_and(|value| value == "write") {
        fs::write(path, got).unwrap();
    }
    let want = fs::read_to_string(path).unwrap_or_default();
    if want != got {
        wrong.push(format!("---- {}: want\n{want}---- got\n{got}", path.display()));
    }
}

fn site(text: &str) -> Site {
    let files = [SourceFile { name: "site.toml", text }];
    Site::parse(&files, &Profiles::none())
        .unwrap_or_else(|errors| panic!("{text}\n{}", render::text(&files, &errors, 20)))
}

#[test]
fn every_importer_makes_the_site_beside_its_input() {
    let mut wrong = Vec::new();
    for (name, format) in Format::ALL {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name}");
        for input in inputs {
            let text = fs::read_to_string(&input).unwrap();
            assert_eq!(Format::guess(&text), Some(format), "{}", input.display());
            let imported = import(format, &text, &options(&input))
                .unwrap_or_else(|error| panic!("{}: {error}", input.display()));
            golden(&input.with_extension("site.toml"), &imported.site, &mut wrong);
            let notes: String = imported.notes.iter().map(|note| format!("{note}\n")).collect();
            golden(&input.with_extension("notes.txt"), &notes, &mut wrong);
            // What comes out is not only read, but compiles to requests that read all of it.
            let site = site(&imported.site);
            assert_eq!((site.devices().len(), site.tags().len()), (imported.devices, imported.tags));
            let compiled = compile(&site);
            assert!(!compiled.poll.lanes().is_empty(), "{}", input.display());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_broken_input_says_what_is_wrong() {
    let mut wrong = Vec::new();
    let inputs = inputs("broken");
    for (name, _) in Format::ALL {
        let count = inputs
            .iter()
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name))
            .count();
        assert!(count >= 2, "{name} has {count} broken inputs");
    }
    for input in inputs {
        let file = input.file_name().unwrap().to_str().unwrap().to_owned();
        let format = Format::ALL.iter().find(|(name, _)| file.starts_with(name)).unwrap().1;
        let text = fs::read_to_string(&input).unwrap();
        let got = match import(format, &text, &Options::default()) {
            Ok(imported) => panic!("{file}: {}", imported.site),
            Err(ImportError::Nothing(notes)) => {
                let notes: String = notes.iter().map(|note| format!("{note}\n")).collect();
                format!("{}\n{notes}", ImportError::Nothing(Vec::new()))
            }
            Err(error) => format!("{error}\n"),
        };
        golden(&input.with_extension("txt"), &got, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What other tools get of the sites that are shipped.
#[test]
fn every_export_is_the_text_that_was_reviewed() {
    type Export = fn(&Site, &Policy, &export::Options) -> Result<export::Exported, export::ExportError>;
    let tools: [(&str, Export); 3] =
        [("nft", export::nftables), ("rules", export::suricata), ("zeek", export::zeek)];
    let options = export::Options { guard: vec![[10, 20, 1, 5].into()], ..export::Options::default() };
    let mut wrong = Vec::new();
    for name in ["waterworks", "heating"] {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sites").join(name).with_extension("toml");
        let site = site(&fs::read_to_string(path).unwrap());
        let policy = compile(&site).policy;
        for (ending, export) in tools {
            let exported = export(&site, &policy, &options).unwrap();
            golden(&folder("export").join(name).with_extension(ending), &exported.text, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_map_comes_back_as_it_was() {
    for input in Format::ALL.iter().flat_map(|(name, _)| inputs(name)) {
        let text = fs::read_to_string(&input).unwrap();
        let format = Format::guess(&text).unwrap();
        let first = export::csv(&site(&import(format, &text, &options(&input)).unwrap().site));
        assert_eq!(Format::guess(&first), Some(Format::Csv));
        let again = import(Format::Csv, &first, &Options::default()).unwrap();
        assert_eq!(export::csv(&site(&again.site)), first, "{}", input.display());
        let lost: Vec<String> =
            again.notes.iter().map(ToString::to_string).filter(|note| !note.contains("reference")).collect();
        // Bits of registers may be written in a map, and not in a site.
        assert!(lost.is_empty(), "{}: {lost:?}", input.display());
    }
}

#[test]
fn what_is_none_of_them_is_not_guessed() {
    for text in [
        "",
        "hello",
        "{}",
        "[section]\nkey = 1\n",
        "a,b,c\n1,2,3\n",
        "- just\n- a\n- list\n",
        "name,type\na,b\n",
    ] {
        assert_eq!(Format::guess(text), None, "{text:?}");
    }
}

/// Every model that SunSpec publishes, from the PyPI package pysunspec2, which `cargo xtask test` installs.
#[test]
fn every_published_sunspec_model_is_imported() {
    let Some(peers) = std::env::var_os("PORT502_PEERS") else {
        let required = std::env::var_os("PORT502_REQUIRE_PEERS").is_some_and(|required| required == "1");
        assert!(!required, "PORT502_REQUIRE_PEERS=1, but PORT502_PEERS does not say where they are");
        eprintln!("skipped: PORT502_PEERS is not set; `cargo xtask test` installs the peers and runs this");
        return;
    };
    let library = Path::new(&peers).join("venv/lib");
    let pythons = fs::read_dir(&library).unwrap_or_else(|error| panic!("{}: {error}", library.display()));
    let folders = pythons.map(|python| python.unwrap().path().join("site-packages/sunspec2/models/json"));
    let folder = folders
        .into_iter()
        .find(|path| path.is_dir())
        .unwrap_or_else(|| panic!("{} has no models", library.display()));
    let options = Options { at: Some(40_070), ..Options::default() };
    let (mut models, mut counted) = (0, 0);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("model_") || !name.ends_with(".json") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(Format::guess(&text), Some(Format::SunSpec), "{name}");
        let imported =
            import(Format::SunSpec, &text, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(site(&imported.site).tags().len(), imported.tags, "{name}");
        let refused: Vec<String> = imported
            .notes
            .iter()
            .filter(|note| matches!(note.lost, port502_import::Lost::Refused { .. }))
            .map(ToString::to_string)
            .collect();
        assert!(refused.is_empty(), "{name}: {refused:?}");
        models += 1;

        // With all that repeats three times, everything is where the definition has it, and nothing is left out.
        let model: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut counts = BTreeSet::new();
        let (mut points, mut offset) = (BTreeSet::new(), 40_070_u16);
        unroll(&model["group"], &mut counts, &mut points, &mut offset);
        let counts: Vec<(String, u16)> = counts.into_iter().map(|name| (name, 3)).collect();
        if counts.is_empty() {
            continue;
        }
        let options = Options { counts, ..options.clone() };
        let imported = import(Format::SunSpec, &text, &options).unwrap();
        let got =
            site(&imported.site).tags().iter().map(|tag| tag.point.address()).collect::<BTreeSet<u16>>();
        assert_eq!(got, points, "{name}");
        counted += 1;
    }
    assert!(models > 100 && counted > 8, "{models}, {counted}");
}

/// Where the points of a model are that have a type here, when each group that a point counts is there three times.
fn unroll(
    group: &serde_json::Value,
    counts: &mut BTreeSet<String>,
    points: &mut BTreeSet<u16>,
    offset: &mut u16,
) {
    for point in group["points"].as_array().unwrap() {
        let kind = point["type"].as_str().unwrap();
        let has_none = *offset < 40_072 || point["size"].as_u64().unwrap() > 125;
        if !has_none && !matches!(kind, "pad" | "ipaddr" | "ipv6addr" | "eui48" | "bitfield64" | "raw16") {
            points.insert(*offset);
        }
        *offset += u16::try_from(point["size"].as_u64().unwrap()).unwrap();
    }
    for inner in group["groups"].as_array().into_iter().flatten() {
        let times = match inner["count"].as_str() {
            Some(name) => {
                counts.insert(name.to_owned());
                3
            }
            None => 1,
        };
        for _ in 0..times {
            unroll(inner, counts, points, offset);
        }
    }
}
