//! Fuzzing on the stable toolchain: libFuzzer's hooks are switched on by flags of the compiler.
//!
//! `fuzz/` is a workspace of its own; each of its binaries is a target. What a run starts from is `fuzz/corpus/TARGET`,
//! which is in version control and replayed by ordinary tests. New inputs are gathered under `fuzz/target` and merged
//! back at the end: only those that reach something new. What fails lies in `fuzz/artifacts/TARGET`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::step::{cargo, command, must, output, root, step, succeeds};

const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// No input may take longer: a loop that does not end is a finding.
const SECONDS_PER_INPUT: u32 = 10;
/// Nor hold more: what grows with the peer's wishes is a finding.
const MEBIBYTES: u32 = 1024;

/// What `cargo xtask fuzz` was asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    minutes: f64,
    target: Option<String>,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { minutes: 1.0, target: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--minutes" => {
                    let value = arguments.next().context("--minutes needs a number")?;
                    options.minutes = match value.parse::<f64>() {
                        Ok(minutes) if minutes.is_finite() && minutes > 0.0 => minutes,
                        _ => bail!("--minutes takes a number above 0, not `{value}`"),
                    };
                }
                flag if flag.starts_with('-') => bail!("`fuzz` knows --minutes and a target, not `{flag}`"),
                target if options.target.is_none() => options.target = Some(target.to_owned()),
                second => bail!("`fuzz` takes one target or none for each; `{second}` is one too many"),
            }
        }
        Ok(options)
    }

    /// Whole seconds, at least one: to libFuzzer 0 means for ever.
    fn seconds(&self) -> String {
        format!("{:.0}", (self.minutes * 60.0).max(1.0))
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let fuzz = root().join("fuzz");
    let manifest = fuzz.join("Cargo.toml");
    if !manifest.is_file() {
        bail!("{} is not there: there is nothing to fuzz", manifest.display());
    }
    let (all, target_directory) = targets(&manifest)?;
    let chosen: Vec<&String> = match &options.target {
        None => all.iter().collect(),
        Some(wanted) => match all.iter().find(|target| *target == wanted) {
            Some(target) => vec![target],
            None => bail!("no fuzz target is called `{wanted}`; there are {}", all.join(", ")),
        },
    };
    let triple = host()?;
    step("build the fuzz targets", || {
        // libFuzzer itself is C++.
        if !succeeds(command("c++").arg("--version")) {
            bail!("a C++ compiler is missing; install it (on Debian: apt-get install g++)");
        }
        let mut build = cargo();
        build.env("RUSTFLAGS", RUSTFLAGS).args([
            "build",
            "--release",
            "--target",
            &triple,
            "--manifest-path",
        ]);
        must(build.arg(&manifest))
    })?;
    let programs = target_directory.join(&triple).join("release");
    for target in chosen {
        step(&format!("fuzz {target}"), || {
            run_one(&fuzz, &target_directory, &programs.join(target), target, options)
        })?;
    }
    Ok(())
}

fn run_one(fuzz: &Path, scratch: &Path, program: &Path, target: &str, options: &Options) -> Result<()> {
    let corpus = fuzz.join("corpus").join(target);
    let gathered = scratch.join("corpus").join(target);
    let artifacts = fuzz.join("artifacts").join(target);
    for directory in [&corpus, &gathered, &artifacts] {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let mut fuzzing = command(program);
    fuzzing
        .arg(format!("-max_total_time={}", options.seconds()))
        .arg(format!("-timeout={SECONDS_PER_INPUT}"))
        .arg(format!("-rss_limit_mb={MEBIBYTES}"))
        // The / at the end makes it a folder to libFuzzer, and not the beginning of a name.
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-print_final_stats=1", "-verbosity=1"])
        .args([&gathered, &corpus]);
    must(&mut fuzzing).with_context(|| format!("the input that failed is in {}", artifacts.display()))?;
    must(command(program).args(["-merge=1", "-verbosity=0"]).args([&corpus, &gathered]))
}

/// The binaries of the fuzz workspace, and where it builds them.
fn targets(manifest: &Path) -> Result<(Vec<String>, PathBuf)> {
    let mut metadata = cargo();
    metadata.args(["metadata", "--format-version", "1", "--no-deps", "--manifest-path"]).arg(manifest);
    let json: Value =
        serde_json::from_str(&output(&mut metadata)?).context("cargo metadata printed no JSON")?;
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let names: Vec<String> = list(&json, "packages")
        .iter()
        .flat_map(|package| list(package, "targets"))
        .filter(|target| list(target, "kind").iter().any(|kind| kind == "bin"))
        .filter_map(|target| target.get("name").and_then(Value::as_str).map(str::to_owned))
        .collect();
    if names.is_empty() {
        bail!("{} names no binary", manifest.display());
    }
    let directory = json.get("target_directory").and_then(Value::as_str).context("no target directory")?;
    Ok((names, directory.into()))
}

/// The triple of this machine: with a named target, the flags do not reach build scripts and macros.
fn host() -> Result<String> {
    let version = output(command(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_minutes_and_one_target() {
        let parse =
            |line: &str| Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(parse("").unwrap(), Options { minutes: 1.0, target: None });
        assert_eq!(parse("--minutes 10 pdu").unwrap(), Options { minutes: 10.0, target: Some("pdu".into()) });
        assert_eq!(parse("--minutes 0.001").unwrap().seconds(), "1");
        assert_eq!(parse("--minutes 2.5").unwrap().seconds(), "150");
        for wrong in ["--minutes", "--minutes 0", "--minutes -1", "--minutes ten", "--fast", "pdu mbap"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
