//! The demo, and simulated plants as `serve --site` serves them.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::support::{command, port502};

/// Lines on standard output and the summary of a demo that ended well.
#[track_caller]
fn demo(args: &[&str]) -> (String, String) {
    let ran = port502(&[&["demo", "--plain"], args].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    (ran.out, ran.err)
}

#[test]
fn every_plant_is_served_and_polled() {
    for (plant, tag) in [
        ("water", "tank: level "),
        ("heating", "substation: "),
        ("power", "feeder1: current "),
        ("assembly", "robot: cycle "),
        ("building", "office: temperature "),
        ("pipeline", "leak: missing "),
    ] {
        let (out, err) = demo(&[plant, "--for", "600ms", "--every", "200ms"]);
        assert!(out.contains(tag), "{plant}: {out}");
        assert!(out.contains("is served at tcp://127.0.0.1:"), "{out}");
        assert!(out.contains("write 127.0.0.1:"), "what to try: {out}");
        assert!(err.contains(" requests, 0 errors, latency min "), "{err}");
        assert!(err.contains("0 alarms"), "{plant}: {err}\n{out}");
    }
}

#[test]
fn a_drill_is_seen() {
    let (out, err) = demo(&["--for", "3s", "--every", "300ms", "--drill", "frostygoop", "--guard", "off"]);
    for line in [
        "drill  frostygoop begins, from 127.66.6.6",
        "client 127.66.6.6 has never been seen before",
        "write  127.66.6.6 tank.outlet_sp (holding:11) with function 6 -> done, now 0",
        "write  127.66.6.6 booster.pressure_sp (holding:20) with function 16 -> done, now 8",
        "drill  frostygoop is over: 10 requests on ",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
    assert!(err.contains("5 writes of 2 clients"), "{err}");
}

/// Each drill, and by which reasons a guard refuses what it does.
const REFUSED: [(&str, &[&str]); 8] = [
    ("rogue-write", &["client"]),
    ("frostygoop", &["client"]),
    ("register-walk", &["client"]),
    ("function-enumeration", &["client"]),
    ("unit-sweep", &["client"]),
    ("flood", &["client"]),
    ("replay", &["client"]),
    ("slow-drip", &["half-frame"]),
];

#[test]
fn every_drill_is_refused_and_polling_goes_on() {
    let drills: Vec<_> = REFUSED
        .iter()
        .map(|(drill, reasons)| {
            std::thread::spawn(move || {
                let time = if *drill == "slow-drip" { "11s" } else { "4s" };
                (drill, reasons, demo(&["--for", time, "--every", "300ms", "--drill", drill]))
            })
        })
        .collect();
    for ran in drills {
        let (drill, reasons, (out, err)) = ran.join().unwrap();
        assert!(err.contains(" requests, 0 errors, latency min "), "{drill}: polling is disturbed: {err}");
        for reason in *reasons {
            assert!(err.contains(&format!(" {reason}")), "{drill}: {err}");
        }
        assert!(err.contains("the guard saw ") && !err.contains(": 0 refused"), "{drill}: {err}");
        assert!(out.contains("guard: refused ") && out.contains(" 127.66.6.6"), "{drill}: {out}");
        assert!(!out.contains("-> done, now") || *drill == "replay", "{drill} has changed something: {out}");
    }
}

#[test]
fn in_alert_every_drill_goes_through_and_is_recorded() {
    let drills: Vec<_> = REFUSED
        .iter()
        .filter(|(drill, _)| *drill != "slow-drip")
        .map(|(drill, _)| {
            std::thread::spawn(move || {
                let args = ["--for", "4s", "--every", "300ms", "--guard", "alert", "--drill", drill];
                (drill, demo(&args))
            })
        })
        .collect();
    for ran in drills {
        let (drill, (out, err)) = ran.join().unwrap();
        assert!(err.contains(": 0 refused, ") || *drill == "function-enumeration", "{drill}: {err}");
        assert!(out.contains("guard: alerted 127.66.6.6"), "{drill}: {out}");
        assert!(out.contains(&format!("drill  {drill} is over: ")), "{drill}: {out}");
        if ["rogue-write", "frostygoop"].contains(drill) {
            assert!(out.contains("tank.outlet_sp (holding:11) with function 6 -> done, now 0"), "{out}");
        }
    }
}

#[test]
fn a_list_of_ones_own() {
    let list = temporary("list.json", r#"[{ "unit": 4, "function": 6, "address": 40, "values": [8] }]"#);
    let path = list.to_str().unwrap();
    let args = ["--for", "2s", "--every", "200ms", "--drill", "rogue-write", "--drill-list", path];
    let (out, _) = demo(&[&args[..], &["--guard", "alert"]].concat());
    assert!(out.contains("booster.boost (holding:40) with function 6 -> done, now 1"), "{out}");
    std::fs::write(&list, "[{}]").unwrap();
    let ran = port502(&["demo", "--drill", "rogue-write", "--drill-list", path]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("missing field `unit`") && ran.err.lines().count() == 1, "{ran:?}");
    std::fs::remove_file(list).unwrap();
}

#[test]
fn what_is_no_plant_and_no_drill() {
    let ran = port502(&["demo", "watr"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("no such plant; did you mean water? there are water, heating,"), "{}", ran.err);
    let ran = port502(&["demo", "--drill", "floods"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("no such drill; did you mean flood?"), "{}", ran.err);
    // There is no way to name another target.
    let ran = port502(&["demo", "--drill", "flood", "tcp://10.20.1.11:502"]);
    assert_eq!(ran.code, 2);
    for speed in ["0x", "-1x", "fast", "1e9x", "NaNx"] {
        assert_eq!(port502(&["demo", "--speed", speed]).code, 2, "{speed}");
    }
}

fn temporary(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

fn site(name: &str) -> String {
    format!("{}/../../sites/{name}.toml", env!("CARGO_MANIFEST_DIR"))
}

/// A served site; it ends with this value.
struct Served {
    child: Child,
    target: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve_site(name: &str, more: &[&str]) -> Served {
    let mut child = command(&["serve", "--listen", "tcp://127.0.0.1:0", "--site", &site(name)])
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let target = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    Served { child, target }
}

#[test]
fn every_site_is_served() {
    for name in ["waterworks", "heating", "power", "assembly", "building", "pipeline"] {
        let served = serve_site(name, &[]);
        for unit in ["1", "2"] {
            let ran = port502(&["identify", &served.target, "--unit", unit]);
            assert_eq!(ran.code, 0, "{name} {unit}: {ran:?}");
        }
        assert_eq!(port502(&["identify", &served.target, "--unit", "99"]).code, 5, "{name}");
    }
}

#[test]
fn physics_answers_a_write() {
    let served = serve_site("waterworks", &["--speed", "500x"]);
    let value = |point: &str, unit: &str| -> f64 {
        let ran = port502(&["read", &served.target, point, "--unit", unit, "--csv"]);
        let line = ran.out.lines().nth(1).unwrap_or_else(|| panic!("{ran:?}")).to_owned();
        line.split(',').nth(8).unwrap().parse().unwrap()
    };
    assert!((3.5..5.0).contains(&value("h:0:f32", "3")), "the tank's level");
    port502(&["write", &served.target, "h:11=0", "--unit", "3"]);
    // Until the float trips the pump, which takes half an hour of the plant.
    let began = std::time::Instant::now();
    while port502(&["read", &served.target, "d:1", "--unit", "1", "--csv"])
        .out
        .lines()
        .nth(1)
        .is_some_and(|l| l.contains("false"))
    {
        assert!(began.elapsed().as_secs() < 60, "level {}", value("h:0:f32", "3"));
    }
    assert!(value("h:0:f32", "3") > 5.6);
}

#[test]
fn a_schedule_is_kept_or_refused() {
    let good = temporary("good.txt", "0s 1h filter exception=6\n");
    let served = serve_site("waterworks", &["--schedule", good.to_str().unwrap()]);
    let ran = port502(&["read", &served.target, "i:0", "--unit", "2"]);
    assert_eq!(ran.code, 5);
    assert!(ran.err.contains("exception 06 server device busy"), "{}", ran.err);
    drop(served);
    std::fs::write(&good, "0s 1h filter melt\n0s 1h\n").unwrap();
    let path = good.to_str().unwrap();
    let ran = port502(&["serve", "--site", &site("waterworks"), "--schedule", path]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains(":1: `melt` is no fault; use timeout,") && ran.err.contains(":2: "),
        "{}",
        ran.err
    );
    std::fs::write(&good, "0s 1h filtr timeout\n").unwrap();
    let ran = port502(&["serve", "--site", &site("waterworks"), "--schedule", path]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("filtr, which there is not; did you mean filter?"), "{}", ran.err);
    std::fs::remove_file(good).unwrap();
}

#[test]
fn where_a_site_is_served() {
    // The site's own addresses are not this machine's.
    let ran = port502(&["serve", "--site", &site("power")]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("serve all units at one port, with --listen tcp://127.0.0.1:1502"),
        "{}",
        ran.err
    );
    let two =
        ["serve", "--site", &site("power"), "--listen", "tcp://127.0.0.1:0", "--listen", "tcp://127.0.0.1:0"];
    assert_eq!(port502(&two).code, 2);
    let ran = port502(&["serve", "--replay", &site("power")]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("power.toml: "), "{}", ran.err);
    assert_eq!(port502(&["serve", "--speed", "2x"]).code, 2, "--speed is of a site");
}
