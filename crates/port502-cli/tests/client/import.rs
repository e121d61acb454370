use std::path::PathBuf;
use std::process::Stdio;

use super::support::{command, port502, serve};

/// A path of its own for each test; nothing is there.
fn fresh(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

const MAP: &str = "name;register;type;factor\nflow;40101;INT16;0,1\n";

#[test]
fn a_map_becomes_a_site_that_plan_takes() {
    let (map, site) = (fresh("map.csv"), fresh("site.toml"));
    std::fs::write(&map, MAP).unwrap();
    let (map, site) = (map.to_str().unwrap(), site.to_str().unwrap());
    let args = ["import", map, "--connect", "tcp://10.20.1.11", "--unit", "3", "--output", site];
    let ran = port502(&args);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert_eq!(ran.err, format!("{map}: 1 device, 1 tag, 0 notes (csv)\n"));
    let text = std::fs::read_to_string(site).unwrap();
    assert!(text.contains("at = \"holding:100:i16\"\nscale = 0.1\n"), "{text}");
    let plan = port502(&["plan", site, "--only", "poll"]);
    assert_eq!(plan.code, 0, "{}", plan.err);
    // What is there already stays there.
    port502(&args).fails(2, &format!("{site} is there already; choose another --output, or move it away"));
    assert_eq!(std::fs::read_to_string(site).unwrap(), text);
    // And the other way.
    let csv = port502(&["export", site, "--to", "csv"]);
    assert_eq!((csv.code, csv.err.as_str()), (0, ""));
    assert!(csv.out.contains("device,tcp://10.20.1.11:502,3,flow,holding,100,40101,i16,"), "{}", csv.out);
    for path in [map, site] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn standard_input_is_a_file() {
    let mut child = command(&["import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), MAP.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{err}");
    let want = "stdin:2: it is not said where the device is, and tcp://192.0.2.1:502 stands in its place; say --connect TARGET
stdin:2: it is not said which unit the device is, and 1 is taken; say --unit
stdin: 1 device, 1 tag, 2 notes (csv)
";
    assert_eq!(err, want);
    assert!(String::from_utf8(output.stdout).unwrap().contains("[device.device.tag.flow]"));
}

#[test]
fn what_cannot_be_imported_says_why() {
    let file = fresh("broken");
    let path = file.to_str().unwrap();
    let missing = port502(&["import", path]);
    assert_eq!(missing.code, 1);
    assert!(missing.err.starts_with(&format!("port502: cannot read {path}: ")), "{}", missing.err);
    std::fs::write(&file, "hello\n").unwrap();
    port502(&["import", path]).fails(
        2,
        &format!("{path}: it cannot be seen what it is; say --from with one of csv, sunspec, telegraf, home-assistant, modbus-exporter, pymodbus"),
    );
    std::fs::write(&file, "[[inputs.modbus]]\nslave_id = = 3\n").unwrap();
    port502(&["import", path]).fails(2, &format!("{path}:2:12: not TOML: extra `=`, expected nothing"));
    port502(&["import", path, "--from", "telegarf"])
        .fails(2, "invalid value 'telegarf' for '--from <FORMAT>': not a format; did you mean telegraf?");
    port502(&["import", "tcp://127.0.0.1:1", "--from", "csv"])
        .fails(2, "tcp://127.0.0.1:1: a device can only be read --from sunspec, and not csv");
    std::fs::write(&file, "name,address,type\na,70000,int16\n").unwrap();
    let ran = port502(&["import", path]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(
        ran.err.contains(&format!("{path}:2: a is left out: \"70000\" is not within a table of 65536\n")),
        "{}",
        ran.err
    );
    assert!(ran.err.ends_with(&format!("port502: {path}: no value could be taken from it\n")), "{}", ran.err);
    std::fs::remove_file(&file).unwrap();
}

/// The marker, a common model of 65 registers, an inverter, a model of the maker's own, the end.
fn inverter() -> &'static str {
    "holding,40000,,,2,\"21365,28243\",\nholding,40002,,,67,0,\nholding,40069,,,52,0,\nholding,40121,,,12,0,\nholding,40133,,,2,\"65535,0\",\n"
}

#[test]
fn a_sunspec_device_says_what_it_is() {
    let rows = inverter()
        .replace("holding,40002,,,67,0,\n", "holding,40002,,,2,\"1,65\",\nholding,40004,,,65,0,\n")
        .replace("holding,40069,,,52,0,\n", "holding,40069,,,2,\"103,50\",\nholding,40071,,,50,0,\n")
        .replace("holding,40121,,,12,0,\n", "holding,40121,,,2,\"64001,10\",\nholding,40123,,,10,0,\n");
    let device = serve(&rows);
    let ran = port502(&["import", &device.target, "--device", "pv", "--site", "Roof"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let place = format!("{} unit 1", device.target);
    assert_eq!(
        ran.err,
        format!(
            "{place}: model 64001 at holding:40121, 10 registers, is not built in and left out\n{place}: 3 models, 44 tags\n"
        )
    );
    assert!(
        ran.out.contains(
            "[device.pv.tag.power]\nat = \"holding:40083:i16\"\nunit = \"W\"\nexponent = \"w_sf\"\n"
        ),
        "{}",
        ran.out
    );
    // A device that is none.
    let other = serve("holding,0,,,10,0,\n");
    port502(&["import", &other.target]).fails(
        1,
        &format!(
            "{} unit 1: there is no SunSpec marker at 40000, 0 or 50000; is it the right unit?",
            other.target
        ),
    );
}

#[test]
fn curves_are_as_many_as_the_device_says() {
    // Model 705 with two curves of two points, and 711, which needs no such number.
    let rows = "holding,40000,,,4,\"21365,28243,705,41\",\nholding,40004,,,3,0,\nholding,40007,,,2,\"2,2\",\n\
        holding,40009,,,36,0,\nholding,40045,,,2,\"711,22\",\nholding,40047,,,22,0,\nholding,40069,,,2,\"65535,0\",\n";
    let device = serve(rows);
    let ran = port502(&["import", &device.target, "--device", "pv"]);
    assert_eq!(ran.err, format!("{} unit 1: 2 models, 54 tags\n", device.target));
    for tag in [
        "[device.pv.tag.curve1_point2_reactive_power]\nat = \"holding:40030:i16\"\n",
        "[device.pv.tag.curve2_active_points]\nat = \"holding:40031\"\n",
        "[device.pv.tag.curve2_point2_voltage]\nat = \"holding:40043\"\n",
        "[device.pv.tag.droop_control1_deadband_over]\nat = \"holding:40059:u32\"\n",
    ] {
        assert!(ran.out.contains(tag), "{tag}\n{}", ran.out);
    }
    assert!(!ran.out.contains("point3"), "{}", ran.out);
    // From a definition, people say how many.
    let wrong = port502(&["import", "model.json", "--count", "NPt"]);
    assert!(wrong.code == 2 && wrong.err.contains("want a point and a number, as NPt=4"), "{wrong:?}");
}

#[test]
fn profiles_are_listed_and_shown() {
    let list = port502(&["profiles"]);
    assert_eq!((list.code, list.err.as_str()), (0, ""));
    assert!(list.out.lines().count() > 40 && list.out.contains("\neastron/sdm120 "), "{}", list.out);
    let json = port502(&["profiles", "list", "--json"]);
    let rows: Vec<serde_json::Value> =
        json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len() + 1, list.out.lines().count());
    let row = rows.iter().find(|row| row["name"] == "eastron/sdm120").unwrap();
    assert_eq!((&row["maker"], &row["tags"]), (&serde_json::json!("Eastron"), &serde_json::json!(13)));
    let show = port502(&["profiles", "show", "sunspec/103", "--json"]);
    let whole: serde_json::Value = serde_json::from_str(&show.out).unwrap();
    let power = whole["points"].as_array().unwrap().iter().find(|point| point["tag"] == "power").unwrap();
    assert_eq!(
        (&power["point"], &power["exponent"]),
        (&serde_json::json!("holding:40084:i16"), &serde_json::json!("w_sf"))
    );
    assert!(
        port502(&["profiles", "show", "abb/b23", "--toml"]).out.starts_with("[about]\ntitle = \"B23 and B24")
    );
    port502(&["profiles", "show", "eastron/sdm63"])
        .fails(2, "there is no profile eastron/sdm63; did you mean eastron/sdm630?");
    port502(&["profiles", "show", "x"]).fails(2, "there is no profile x; `port502 profiles` lists them");
}
