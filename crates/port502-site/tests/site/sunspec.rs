//! SunSpec devices: the walk, and what is made of it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use port502_site::profiles;
use port502_site::site::{Profile, Profiles, Site, SourceFile, render};
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
    let placed = sunspec::place(inverter, Model { model: 103, at: 40_069, length: 50 }, None, "");
    assert_eq!(placed.len(), inverter.tags().len());
    let power = placed.iter().find(|placed| placed.name == "power").unwrap();
    assert_eq!(
        (power.point.to_string().as_str(), power.exponent.as_deref()),
        ("holding:40083:i16", Some("w_sf"))
    );
    // A model that is shorter than it should be.
    let short = sunspec::place(inverter, Model { model: 103, at: 40_069, length: 14 }, None, "x_");
    assert_eq!(short.last().map(|placed| placed.name.as_str()), Some("x_w_sf"));
    assert_eq!(
        short.iter().find(|placed| placed.name == "x_power").unwrap().exponent.as_deref(),
        Some("x_w_sf")
    );
    // None, one and four modules.
    let mppt = sunspec::profile_of(profiles, 160).unwrap();
    for (length, modules) in [(8, 0), (28, 1), (47, 1), (48, 2), (88, 4)] {
        let placed = sunspec::place(mppt, Model { model: 160, at: 40_121, length }, None, "");
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
    let end = sunspec::place(inverter, Model { model: 103, at: 65_500, length: 50 }, None, "");
    assert!(end.iter().all(|placed| placed.point.address() >= 65_502));
}

#[test]
fn what_is_found_makes_a_site() {
    let profiles = profiles::built_in();
    let chain = [(1, 65), (103, 50), (160, 68), (203, 105), (203, 105), (64_001, 10)];
    let (models, error) = sunspec::walk(device(40_000, &chain));
    assert_eq!(error, None);
    let (tags, unknown) = sunspec::device_tags(profiles, &models, |_| None, "pv");
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
        let within = at.group.as_ref().and_then(|group| group.within.as_ref());
        let (curves, times) = within.map_or((2, 0), |within| (1, within.times));
        let (points, length, group) = published_points(&json["group"], curves, times);
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
        for (curves, times) in [(0, 1), (1, 1), (1, 2), (2, 3), (3, times + 1), (2, times), (3, 0)] {
            laid_out_as_published(profile, &json["group"], curves, times);
        }
        let has = |offset: u16| profile.tags().iter().any(|tag| tag.point.address() - at.at == offset);
        for point in &points {
            let left_out = ["ID", "L", "Evt2", "EvtVnd1", "EvtVnd2", "AlmRst", "SetOp", "SetInvState"];
            let once = group.is_none_or(|(at, length)| point.offset < at + length);
            if point.mandatory && once && !left_out.contains(&point.name.as_str()) {
                assert!(has(point.offset), "{name}: {} is mandatory", point.name);
            }
        }
    }
    assert!(checked > 900, "{checked}");
}

/// A model with so many curves of so many points is where its definition says, whatever the profile has.
fn laid_out_as_published(profile: &Profile, json: &serde_json::Value, curves: u16, times: u16) {
    let at = profile.about().unwrap().sunspec.as_ref().unwrap();
    let within = at.group.as_ref().and_then(|group| group.within.as_ref());
    let own =
        published_points(json, if within.is_some() { 1 } else { 2 }, within.map_or(0, |within| within.times))
            .0;
    let (points, ..) = published_points(json, curves, times);
    let length: u16 = points.iter().map(|point| u16::try_from(point.size).unwrap()).sum();
    let found = Model { model: at.model, at: 1_000, length: length - 2 };
    let placed = sunspec::place(profile, found, Some(times), "");
    let name = profile.name();
    let mut seen = BTreeSet::new();
    for placed in &placed {
        let offset = placed.point.address() - 1_000;
        let is = points.iter().find(|point| point.offset == offset).map(|point| &point.name);
        let should = own.iter().find(|point| point.offset == placed.tag.point.address() - at.at);
        assert_eq!(is, should.map(|point| &point.name), "{name}, {curves} of {times}: {}", placed.name);
        assert!(seen.insert(offset) && seen.len() <= points.len(), "{name}: {}", placed.name);
    }
    let names: BTreeSet<&str> = placed.iter().map(|placed| placed.name.as_str()).collect();
    assert_eq!(names.len(), placed.len(), "{name}: each has a name of its own");
    if within.is_some() {
        assert_eq!(placed.len(), points.len() - 2, "{name}, {curves} of {times}: nothing is left out");
    }
}

#[test]
fn curves_are_as_many_and_have_as_many_points_as_the_device_says() {
    let profiles = profiles::built_in();
    let trips = sunspec::profile_of(profiles, 707).unwrap();
    // Two sets of two points: 9 registers, and twice 1 + 3 * (1 + 2 * 3).
    let found = Model { model: 707, at: 40_200, length: 7 + 2 * 22 };
    assert_eq!(sunspec::count_at(trips, found), Some(40_205));
    let place = |found, times| -> Vec<String> {
        let placed = sunspec::place(trips, found, times, "");
        placed.iter().map(|placed| format!("{} {}", placed.name, placed.point)).collect()
    };
    let tags = place(found, Some(2));
    for tag in [
        "curve1_must_trip_point2_time holding:40215:u32",
        "curve1_may_trip_active_points holding:40217",
        "curve1_cessation_point2_voltage holding:40228",
        "curve2_access holding:40231",
        "curve2_cessation_point2_time holding:40251:u32",
    ] {
        assert!(tags.iter().any(|other| other == tag), "{tag}: {tags:#?}");
    }
    assert_eq!(tags.len(), 7 + 2 * (1 + 3 * (1 + 2 * 2)));
    // More points than there is room for, and a register that says nothing.
    assert_eq!(place(found, Some(60_000)).len(), 7);
    assert_eq!(place(found, Some(0xFFFF)), place(found, None));
    assert_eq!(place(Model { length: 7, ..found }, Some(2)).len(), 7, "without any curve");

    // What a device with these says becomes a site.
    let chain = [(1, 66), (705, 57), (711, 22), (707, 51)];
    let (models, _) = sunspec::walk(device(40_000, &chain));
    let holds = |at: u16| Some(if at == 40_075 { 4 } else { 2 });
    let (tags, unknown) = sunspec::device_tags(profiles, &models, holds, "pv");
    assert!(unknown.is_empty());
    let text = format!("[site]\nname = \"s\"\n[device.pv]\nconnect = \"tcp://192.0.2.1\"\n{tags}");
    let files = [SourceFile { name: "site.toml", text: &text }];
    let site = Site::parse(&files, &Profiles::none())
        .unwrap_or_else(|errors| panic!("{}", render::text(&files, &errors, 9)));
    for path in [
        "pv.curve2_point4_reactive_power",
        "pv.droop_control1_ratio_over",
        "pv.trip_low_voltage_curve2_must_trip_point2_time",
    ] {
        assert!(site.find(path).is_some(), "{path}\n{tags}");
    }
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
            // Curves are in parts of what a setting says.
            "Pct" | "%WHRtg" | "VNomPct" | "WMaxPct" | "VarPct" | "DeptRef" => "%",
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

/// Every point with its place, the length of all that is not repeated, and what is: groups `curves` times, and those within
/// them `times`.
fn published_points(
    group: &serde_json::Value,
    curves: u16,
    times: u16,
) -> (Vec<Point>, u16, Option<(u16, u16)>) {
    let (mut points, mut offset, mut repeated) = (Vec::new(), 0_u16, None);
    take(&group["points"], &mut points, &mut offset);
    let mut fixed = offset;
    for group in group["groups"].as_array().into_iter().flatten() {
        let start = offset;
        // 0 is as many as fit, and a name is a point that says how many; without it there is one.
        let many = group["count"].is_string() || group["count"] == 0;
        for _ in 0..if many { curves } else { 1 } {
            take_group(group, times, &mut points, &mut offset);
        }
        match many {
            true => repeated = Some((start, (offset - start) / curves.max(1))),
            false => fixed = offset,
        }
    }
    (points, fixed, repeated)
}

/// A group, and those within it.
fn take_group(group: &serde_json::Value, times: u16, points: &mut Vec<Point>, offset: &mut u16) {
    take(&group["points"], points, offset);
    for inner in group["groups"].as_array().into_iter().flatten() {
        for _ in 0..if inner["count"].is_string() { times } else { 1 } {
            take_group(inner, times, points, offset);
        }
    }
}

fn take(list: &serde_json::Value, points: &mut Vec<Point>, offset: &mut u16) {
    for point in list.as_array().unwrap() {
        let text = |key: &str| point[key].as_str().map(str::to_owned);
        let size = point["size"].as_u64().unwrap();
        let symbols = point["symbols"].as_array().map_or(0, |symbols| {
            symbols.iter().filter(|symbol| !symbol["name"].as_str().unwrap().starts_with("RESERVED")).count()
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
