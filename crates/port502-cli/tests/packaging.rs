//! What is shipped beside the program: the unit for systemd is one, and leaves a service as few rights as docs/service.md says.
//! Where `systemd-analyze` is not installed, this says that it is skipped. That the unit works is a test of the guard's.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

/// `systemd-analyze` with these arguments: how it ends and what it says. `None` where it is not installed, or older than
/// `--offline`.
fn analyze(arguments: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("systemd-analyze").args(arguments).env("NO_COLOR", "1").output();
    let Ok(output) = output else {
        println!("skipped: systemd-analyze is not installed");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if said.contains("unrecognized option") {
        println!("skipped: systemd-analyze is older than 250");
        return None;
    }
    Some((output.status.success(), said.into_owned()))
}

#[test]
fn the_unit_is_good_and_has_few_rights() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let unit = std::fs::read_to_string(root.join("packaging/port502-guard.service")).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packaging");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("port502-guard.service");
    // It asks whether the program is there.
    std::fs::write(&path, unit.replace("/usr/bin/port502", env!("CARGO_BIN_EXE_port502"))).unwrap();
    let path = path.to_str().unwrap();
    let Some((good, said)) = analyze(&["verify", "--man=no", path]) else { return };
    assert!(good && !said.contains("port502-guard.service:"), "{said}");
    // Its tenth is the exposure, 0 to 10; fewer is better.
    let Some((good, said)) = analyze(&["security", "--offline=yes", "--threshold=15", "--no-pager", path])
    else {
        return;
    };
    assert!(good, "{said}");
    let told = said.lines().find(|line| line.contains("Overall exposure level")).unwrap();
    let score =
        told.split_whitespace().find(|word| word.contains('.') && word.parse::<f32>().is_ok()).unwrap();
    let documented = std::fs::read_to_string(root.join("docs/service.md")).unwrap();
    println!("exposure {score}");
    assert!(documented.contains("exposure level") && score.parse::<f32>().unwrap() <= 1.5, "{told}");
}
