//! `port502 export`, and what the tools that it writes for make of that: nftables in networks of its own, Suricata over a
//! capture made here.
//!
//! Networks need root and `nft`, which `cargo xtask test` installs. Suricata is not installed by it: Debian has it in backports
//! or in a release to come, and it brings thirty packages along. Where it is on the path, or named by PORT502_SURICATA, the
//! test runs; otherwise it says that it is skipped.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod errors;
mod nftables;
#[path = "../check/support.rs"]
#[allow(dead_code, reason = "it is shared with the tests of check, which use more of it")]
mod support;
mod suricata;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of its own for a test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("export").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs `port502 export` on a site with this text.
fn export(folder: &Path, site: &str, arguments: &[&str]) -> support::Checked {
    let path = folder.join("site.toml");
    std::fs::write(&path, site).unwrap();
    support::run(
        Command::new(support::PORT502).current_dir(folder).args(["export", "site.toml"]).args(arguments),
    )
}

/// The same, which has to do.
#[track_caller]
fn exported(folder: &Path, site: &str, arguments: &[&str]) -> String {
    let ran = export(folder, site, arguments);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let text = match arguments.iter().position(|argument| *argument == "-o") {
        Some(at) => {
            assert_eq!(ran.out, "");
            std::fs::read_to_string(folder.join(arguments[at + 1])).unwrap()
        }
        None => ran.out,
    };
    // What is told beside it stands at its head, too.
    for line in ran.err.lines() {
        let line = line.strip_prefix("site.toml: not in it: ").unwrap_or_else(|| panic!("{line}"));
        assert!(text.contains(&format!("- {line}\n")), "{line}\n{text}");
    }
    text
}
