//! SunSpec devices: the walk, and what is made of it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use port502_site::profiles;
use port502_site::site::{Profiles, Site, SourceFile, render};
use port502_site::sunspec::{self, MARKER, MODELS_MAX, Model, WalkError};

/// A device with these models, each with its number, its length and its registers, at a base.
fn device(base: u16, models: &[(u16, u16)]) -> impl Fn(u16) -> Option<[u16; 2]> {
    let mut registers = MARKER.to_vec();
    for (model, length) in models {
        registers.extend([*model, *length]);
        registers.extend(std::iter::repeat_n(0, usize::from(*length)));
    }
    registers.extend([0xFFFF, 0]);
    move |at| {
        let offset = usize::from(at.checked_sub(base)?);
        Some([*registers.get(offset)?, *registers.get(offset + 1)?])
    }
}

#[test]
fn the_marker_is_looked_for_in_three_places() {
    for base in sunspec::BASES {
        let (models, error) = sunspec::walk(device(base, &[(1, 66), (103, 50)]));
        let at = |model, offset, length| Model { model, at: base + offset, length };
        assert_eq!((models, error), (vec![at(1, 2, 66), at(103, 70, 50)], None), "{base}");
    }
    assert_eq!(sunspec::walk(|_| None), (vec![], Some(WalkError::NoMarker)));
    assert_eq!(sunspec::walk(|_| Some([1, 2])), (vec![], Some(WalkError::NoMarker)));
}

#[test]
fn a_broken_chain_keeps_what_came_before() {
    let first = Model { model: 1, at: 40_002, length: 65 };
    let cut = |at: u16| if at > 40_060 { None } else { device(40_000, &[(1, 65), (103, 50)])(at) };
    assert_eq!(sunspec::walk(cut), (vec![first], Some(WalkError::Unread { at: 40_069 })));
    let long = sunspec::walk(device(40_000, &[(1, 65), (103, 65_000)]));
    assert_eq!(long, (vec![first], Some(WalkError::TooLong { model: 103, at: 40_069, length: 65_000 })));
    let zero = sunspec::walk(device(40_000, &[(1, 65), (0, 0)]));
    assert_eq!(zero, (vec![first], None));
    let most = vec![(900, 0); MODELS_MAX];
    let (models, error) = sunspec::walk(device(0, &most));
    assert_eq!((models.len(), error), (MODELS_MAX, None));
    let more = vec![(900, 0); MODELS_MAX + 1];
    let (models, error) = sunspec::walk(device(0, &more));
    assert_eq!((models.len(), error), (MODELS_MAX, Some(WalkError::TooMany)));
    assert_eq!(error.unwrap().to_string(), "there are more than 128 models",);
}

#[test]
fn models_are_placed_where_they_are() {
    let profiles = profiles::built_in();
    let inverter = sunspec::profile_of(profiles, 103).unwrap();
    let placed = sunspec::place(inverter, Model { model: 103, at: 40_069, length: 50 }, "");
    assert_eq!(placed.len(), inverter.tags().len());
    let power = placed.iter().find(|placed| placed.name == "power").unwrap();
    assert_eq!(
        (power.point.to_string().as_str(), power.exponent.as_deref()),
        ("holding:40083:i16", Some("w_sf"))
    );
    // A model that is shorter than it should be.
    let short = sunspec::place(inverter, Model { model: 103, at: 40_069, length: 14 }, "x_");
    assert_eq!(short.last().map(|placed| placed.name.as_str()), Some("x_w_sf"));
    assert_eq!(
        short.iter().find(|placed| placed.name == "x_power").unwrap().exponent.as_deref(),
        Some("x_w_sf")
    );
    // None, one and four modules.
    let mppt = sunspec::profile_of(profiles, 160).unwrap();
    for (length, modules) in [(8, 0), (28, 1), (47, 1), (48, 2), (88, 4)] {
        let placed = sunspec::place(mppt, Model { model: 160, at: 40_121, length }, "");
        let powers: Vec<String> = placed
            .iter()
            .filter(|placed| placed.name.ends_with("_dc_power"))
            .map(|placed| format!("{} {}", placed.name, placed.point))
            .collect();
        let want: Vec<String> =
            (0..modules).map(|k| format!("module{}_dc_power holding:{}", k + 1, 40_142 + 20 * k)).collect();
        assert_eq!(powers, want, "{length}");
    }
    // At the very end of the table.
    let end = sunspec::place(inverter, Model { model: 103, at: 65_500, length: 50 }, "");
    assert!(end.iter().all(|placed| placed.point.address() >= 65_502));
}

#[test]
fn what_is_found_makes_a_site() {
    let profiles = profiles::built_in();
    let chain = [(1, 65), (103, 50), (160, 68), (203, 105), (203, 105), (64_001, 10)];
    let (models, error) = sunspec::walk(device(40_000, &chain));
    assert_eq!(error, None);
    let (tags, unknown) = sunspec::device_tags(profiles, &models, "pv");
    assert_eq!(unknown, [Model { model: 64_001, at: 40_000 + 2 + 67 + 52 + 70 + 107 + 107, length: 10 }]);
    let text = format!("[site]\nname = \"s\"\n[device.pv]\nconnect = \"tcp://192.0.2.1\"\n{tags}");
    let files = [SourceFile { name: "site.toml", text: &text }];
    let site = Site::parse(&files, &Profiles::none())
        .unwrap_or_else(|errors| panic!("{}", render::text(&files, &errors, 9)));
    for (path, point) in [
        ("pv.manufacturer", "holding:40004:str32"),
        ("pv.power", "holding:40083:i16"),
        ("pv.mppt_module3_dc_voltage", "holding:40181"),
        ("pv.meter_power", "holding:40209:i16"),
        ("pv.meter2_power", "holding:40316:i16"),
    ] {
        let tag = site.find(path).unwrap_or_else(|| panic!("{path}\n{tags}"));
        assert_eq!(site.tag(tag).point.to_string(), point, "{path}");
    }
    let exponent = site.tag(site.find("pv.meter2_power").unwrap()).more().exponent.unwrap();
    assert_eq!(site.path(exponent), "pv.meter2_w_sf");
}

/// The models as SunSpec publishes them, from the PyPI package pysunspec2, which `cargo xtask test` installs.
#[test]
fn the_profiles_are_those_of_pysunspec2() {
    let Some(folder) = published() else { return };
    let mut checked = 0;
    for (name, _) in profiles::FILES.iter().filter(|(name, _)| name.starts_with("sunspec/")) {
        let profile = profiles::built_in().find(name).unwrap();
        let at = profile.about().unwrap().sunspec.as_ref().unwrap();
        let path = folder.join(format!("model_{}.json", at.model));
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let (points, length, group) = published_points(&json["group"]);
        assert_eq!(at.length + 2, length, "{name}: how long it is");
        assert_eq!(at.group.as_ref().map(|group| (group.at, group.length)), group, "{name}: what it repeats");
        for tag in profile.tags() {
            let offset = tag.point.address() - at.at;
            let point = points
                .iter()
                .find(|point| point.offset == offset)
                .unwrap_or_else(|| panic!("{name}: nothing begins where {} is", tag.name));
            point.check(name, profile.tags(), tag);
            checked += 1;
        }
        let has = |offset: u16| profile.tags().iter().any(|tag| tag.point.address() - at.at == offset);
        for point in &points {
            let left_out = ["ID", "L", "Evt2", "EvtVnd1", "EvtVnd2", "AlmRst", "SetOp", "SetInvState"];
            if point.mandatory && !left_out.contains(&point.name.as_str()) {
                assert!(has(point.offset), "{name}: {} is mandatory", point.name);
            }
        }
    }
    assert!(checked > 700, "{checked}");
}

struct Point {
    name: String,
    offset: u16,
    size: u64,
    kind: String,
    unit: Option<String>,
    scale: Option<String>,
    mandatory: bool,
    symbols: usize,
}

impl Point {
    fn check(&self, profile: &str, tags: &[port502_site::site::Tag], tag: &port502_site::site::Tag) {
        let place = format!("{profile} {}, {}", tag.name, self.name);
        assert_eq!(u64::from(tag.point.value_width()), self.size, "{place}: how wide");
        let value_type = tag.point.value_type().to_string();
        let want = match self.kind.as_str() {
            "int16" | "sunssf" => "i16",
            "uint16" | "enum16" | "bitfield16" | "count" => "u16",
            "int32" => "i32",
            "uint32" | "acc32" | "bitfield32" => "u32",
            "uint64" | "acc64" => "u64",
            "float32" => "f32",
            "string" => &format!("str{}", 2 * self.size),
            other => panic!("{place}: {other}"),
        };
        assert_eq!(value_type, want, "{place}: its type");
        let unit = self.unit.as_deref().map(|unit| match unit {
            "C" => "°C",
            "Pct" | "%WHRtg" => "%",
            "Var" => "var",
            "Varh" => "varh",
            "WH" => "Wh",
            "Secs" => "s",
            "%Max/Sec" => "%/s",
            other => other,
        });
        assert_eq!(tag.unit.as_deref(), unit.filter(|unit| *unit != "PF"), "{place}: its unit");
        let exponent = tag.more().exponent.map(|id| tags[id.index()].name.replace('_', ""));
        let scale = self.scale.as_ref().map(|scale| scale.replace('_', "").to_lowercase());
        assert_eq!(exponent, scale, "{place}: its scale factor");
        let absent: &[i128] = match self.kind.as_str() {
            "int16" | "sunssf" => &[0x8000],
            "uint16" | "enum16" | "bitfield16" | "count" => &[0xFFFF],
            "int32" => &[0x8000_0000],
            "uint32" | "bitfield32" => &[0xFFFF_FFFF],
            "uint64" => &[-1],
            _ => &[],
        };
        assert_eq!(tag.more().nan, absent, "{place}: what means that there is nothing");
        if self.kind == "enum16" {
            assert_eq!(tag.more().labels.len(), self.symbols, "{place}: what its numbers mean");
        }
    }
}

/// Every point with its place, the length of all that is not repeated, and what is.
fn published_points(group: &serde_json::Value) -> (Vec<Point>, u16, Option<(u16, u16)>) {
    let (mut points, mut offset, mut fixed, mut repeated) = (Vec::new(), 0_u16, 0_u16, None);
    let mut take = |list: &serde_json::Value, offset: &mut u16| {
        for point in list.as_array().unwrap() {
            let text = |key: &str| point[key].as_str().map(str::to_owned);
            let size = point["size"].as_u64().unwrap();
            let symbols = point["symbols"].as_array().map_or(0, |symbols| {
                symbols
                    .iter()
                    .filter(|symbol| !symbol["name"].as_str().unwrap().starts_with("RESERVED"))
                    .count()
            });
            points.push(Point {
                name: text("name").unwrap(),
                offset: *offset,
                size,
                kind: text("type").unwrap(),
                unit: text("units"),
                scale: text("sf"),
                mandatory: point["mandatory"] == "M",
                symbols,
            });
            *offset += u16::try_from(size).unwrap();
        }
    };
    take(&group["points"], &mut offset);
    fixed = fixed.max(offset);
    for group in group["groups"].as_array().into_iter().flatten() {
        let start = offset;
        take(&group["points"], &mut offset);
        // 0 is as many as fit, and a name is a point that says how many; without it there is one.
        let many = group["count"].is_string() || group["count"] == 0;
        if many {
            repeated = Some((start, offset - start));
            take(&group["points"], &mut offset);
        } else {
            fixed = offset;
        }
    }
    (points, fixed, repeated)
}

fn published() -> Option<std::path::PathBuf> {
    let Some(peers) = std::env::var_os("PORT502_PEERS") else {
        let required = std::env::var_os("PORT502_REQUIRE_PEERS").is_some_and(|required| required == "1");
        assert!(!required, "PORT502_REQUIRE_PEERS=1, but PORT502_PEERS does not say where they are");
        eprintln!("skipped: PORT502_PEERS is not set; `cargo xtask test` installs the peers and runs this");
        return None;
    };
    let library = std::path::Path::new(&peers).join("venv/lib");
    let found = std::fs::read_dir(&library).unwrap_or_else(|error| panic!("{}: {error}", library.display()));
    let models = found.map(|python| python.unwrap().path().join("site-packages/sunspec2/models/json"));
    let folder = models.into_iter().find(|path| path.is_dir());
    Some(folder.unwrap_or_else(|| panic!("{} has no sunspec2/models/json", library.display())))
}
