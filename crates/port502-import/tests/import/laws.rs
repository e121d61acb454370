//! Whatever stands in a file: no importer panics, and what comes out is a good site.

use port502_import::{Format, Options, export, import};
use port502_site::site::{Profiles, Site, SourceFile};
use proptest::prelude::*;

fn check(format: Format, text: &str) {
    if let Ok(imported) = import(format, text, &Options::default()) {
        let files = [SourceFile { name: "site.toml", text: &imported.site }];
        let site = Site::parse(&files, &Profiles::none())
            .unwrap_or_else(|errors| panic!("{text}\n{}\n{errors}", imported.site));
        assert_eq!(site.tags().len(), imported.tags);
    }
}

/// Words that the formats are made of, and some that they are not.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "address", "name", "type", "table", "holding", "40001", "0x10", "int16", "FLOAT32", "modbus",
            "sensors", "slave", "modules", "metrics", "300022", "uint64", "string", "count", "-1", "70000",
            "0,1", "1e400", "rw", "true", "null", "\"", "'", "4x0001", "100.3", "write", "scale", "0",
            "bit3", "cdab", "min", "max", "é", "°C", "\u{FEFF}", "#",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9 ._-]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_panics(text: String) {
        for (_, format) in Format::ALL {
            check(format, &text);
        }
        let _ = Format::guess(&text);
    }

    #[test]
    fn no_table_panics(rows in prop::collection::vec(prop::collection::vec(word(), 0..9), 0..9), separator in prop::sample::select(vec![",", ";", "\t"])) {
        let header = ["name", "table", "address", "type", "scale", "min", "max", "access", "count"].join(separator);
        let rows: Vec<String> = rows.iter().map(|row| row.join(separator)).collect();
        check(Format::Csv, &format!("{header}\n{}\n", rows.join("\n")));
    }

    #[test]
    fn no_entries_panic(values in prop::collection::vec((word(), word(), word(), word()), 1..6)) {
        let mut yaml = String::from("modbus:\n  - name: h\n    type: tcp\n    host: 10.0.0.1\n    sensors:\n");
        let mut exporter = String::from("modules:\n  - name: m\n    metrics:\n");
        for (name, address, kind, other) in &values {
            let quote = |word: &String| format!("{word:?}");
            let [name, address, kind, other] = [name, address, kind, other].map(quote);
            yaml.push_str(&format!("      - {{ name: {name}, address: {address}, data_type: {kind}, {other}: {name}, scale: {other} }}\n"));
            exporter.push_str(&format!("      - {{ name: {name}, address: {address}, dataType: {kind}, endianness: {other} }}\n"));
        }
        check(Format::HomeAssistant, &yaml);
        check(Format::ModbusExporter, &exporter);
    }

    #[test]
    fn a_map_comes_back(tags in prop::collection::vec((0_u16..60_000, prop::sample::select(vec!["u16", "i32:cdab", "f64", "str8", "bit7", "bcd16"]), -5_i32..5, any::<bool>()), 1..30)) {
        let mut text = String::from("[site]\nname = \"s\"\n[device.d]\nconnect = \"10.0.0.1\"\nunit = 7\n");
        for (at, (address, kind, scale, described)) in tags.iter().enumerate() {
            text.push_str(&format!("[device.d.tag.t{at}]\nat = \"input:{address}\"\ntype = \"{kind}\"\n"));
            if !kind.starts_with("str") && !kind.starts_with("bit") && *scale != 0 {
                text.push_str(&format!("scale = {}\nunit = \"a, \\\"b\\\"\"\n", 10_f64.powi(*scale)));
            }
            if *described {
                text.push_str("description = \"x; y\"\n");
            }
        }
        let parse = |text: &str| {
            let files = [SourceFile { name: "site.toml", text }];
            Site::parse(&files, &Profiles::none()).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
        };
        let csv = export::csv(&parse(&text));
        let again = import(Format::Csv, &csv, &Options::default()).unwrap();
        prop_assert_eq!(export::csv(&parse(&again.site)), csv);
    }
}
