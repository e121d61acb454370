//! The tests, fast ones first: a mistake in a core crate is told in seconds, before any peer is installed.
//!
//! Runs `cargo nextest run` where cargo-nextest is installed and `cargo test` where it is not. What the runners
//! print goes through as it is; their counts are added up into one last line.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::deps::{self, Graph, Member};
use crate::peers;
use crate::step::{cargo, shown, step, succeeds};

/// What `cargo xtask test` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The core crates alone, and no peers.
    fast: bool,
    /// Only tests whose name contains one of these.
    filters: Vec<String>,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut only_filters = false;
        for argument in arguments {
            match argument.as_str() {
                "--" if !only_filters => only_filters = true,
                "--fast" if !only_filters => options.fast = true,
                flag if flag.starts_with('-') && !only_filters => {
                    bail!(
                        "`test` knows --fast and filters, not `{flag}`; a filter that begins with - goes behind --"
                    )
                }
                filter => options.filters.push(filter.to_owned()),
            }
        }
        Ok(options)
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let groups = Groups::of(&Graph::of_workspace(&[])?);
    let runner = Runner::find();
    let mut counts = Counts::default();

    let mut group = |name: &str, crates: &[Member], envs: &[(&str, &OsStr)]| {
        if crates.is_empty() {
            return Ok(());
        }
        step(name, || {
            let mut command = runner.command(crates, &options.filters);
            run_counted(command.envs(envs.iter().copied()), &mut counts)?;
            // nextest leaves the examples in the documentation to cargo.
            let libraries: Vec<Member> = crates.iter().filter(|member| member.has_library).cloned().collect();
            if runner == Runner::Nextest && !libraries.is_empty() {
                run_counted(&mut doc_tests(&libraries, &options.filters), &mut counts)?;
            }
            Ok(())
        })
    };

    let outcome = group("tests of the core crates", &groups.core, &[]).and_then(|()| {
        if options.fast {
            return Ok(());
        }
        let mut directory = None;
        step("peers", || {
            directory = Some(peers::ready()?);
            Ok(())
        })?;
        let directory = directory.unwrap_or_default();
        let envs = [("PORT502_PEERS", directory.as_os_str()), ("PORT502_REQUIRE_PEERS", "1".as_ref())];
        group("tests of the network crate", &groups.net, &envs)?;
        group("tests of everything above", &groups.above, &envs)
    });

    println!("total: {} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    outcome?;
    if counts.passed == 0 {
        bail!("no test ran{}", if options.filters.is_empty() { "" } else { ": no name contains the filter" });
    }
    Ok(())
}

/// The crates of the workspace in the order in which they are tested.
struct Groups {
    core: Vec<Member>,
    net: Vec<Member>,
    above: Vec<Member>,
}

impl Groups {
    fn of(graph: &Graph) -> Self {
        let mut groups = Self { core: Vec::new(), net: Vec::new(), above: Vec::new() };
        for member in graph.members() {
            // The chores' own tests are as fast as the core's, and one of them is the dependency rules.
            if member.name == "xtask" || deps::is_pure(&member.name) {
                groups.core.push(member);
            } else if member.name == "port502-net" {
                groups.net.push(member);
            } else {
                groups.above.push(member);
            }
        }
        groups
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runner {
    Nextest,
    Cargo,
}

impl Runner {
    fn find() -> Self {
        if succeeds(cargo().args(["nextest", "--version"])) {
            Self::Nextest
        } else {
            println!("cargo-nextest is not installed: running the tests with plain `cargo test`");
            Self::Cargo
        }
    }

    fn command(self, crates: &[Member], filters: &[String]) -> Command {
        let mut command = cargo();
        match self {
            Self::Nextest => command.args(["nextest", "run", "--no-tests=pass"]),
            Self::Cargo => command.args(["test", "--no-fail-fast"]),
        };
        packages(&mut command, crates);
        if !filters.is_empty() {
            command.arg("--").args(filters);
        }
        command
    }
}

fn doc_tests(crates: &[Member], filters: &[String]) -> Command {
    let mut command = cargo();
    command.args(["test", "--quiet", "--doc"]);
    packages(&mut command, crates);
    if !filters.is_empty() {
        command.arg("--").args(filters);
    }
    command
}

fn packages(command: &mut Command, crates: &[Member]) {
    for member in crates {
        command.args(["--package", &member.name]);
    }
}

/// What the runners counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
    }

    /// The counts of a runner's summary line; `None` for any other line.
    fn of_line(line: &str) -> Option<Self> {
        let line = without_colours(line);
        // cargo test:  test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s
        // nextest:     Summary [   0.012s] 5 tests run: 4 passed (1 slow), 1 failed, 2 skipped
        // For a test that failed, nextest repeats the former, indented: it is no summary of the run.
        let counts = match line.strip_prefix("test result: ") {
            Some(counts) => counts,
            None if line.trim_start().starts_with("Summary [") => line.split_once(" run: ")?.1,
            None => return None,
        };
        let words: Vec<&str> =
            counts.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let mut found = Self::default();
        for pair in words.windows(2) {
            let &[number, what] = pair else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => found.passed += number,
                "failed" | "timed" => found.failed += number,
                "skipped" | "ignored" => found.skipped += number,
                _ => {}
            }
        }
        Some(found)
    }
}

/// The line without the terminal's colour sequences: escape, `[`, and on to a letter.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

/// Runs a test command, lets all that it prints through, and adds its summary lines to the counts.
fn run_counted(command: &mut Command, counts: &mut Counts) -> Result<()> {
    let shown = shown(command);
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let stderr = child.stderr.take();
    let errors = std::thread::spawn(move || stderr.map_or(Counts::default(), |e| copy(e, std::io::stderr())));
    counts.add(child.stdout.take().map_or(Counts::default(), |o| copy(o, std::io::stdout())));
    counts.add(errors.join().unwrap_or_default());
    let status = child.wait().with_context(|| format!("`{shown}` was lost"))?;
    if !status.success() {
        bail!("`{shown}`: {status}");
    }
    Ok(())
}

fn copy(from: impl Read, mut to: impl Write) -> Counts {
    let mut counts = Counts::default();
    for line in BufReader::new(from).split(b'\n') {
        let Ok(line) = line else { break };
        // A closed terminal is no reason to stop the tests.
        let _ = to.write_all(&line).and_then(|()| to.write_all(b"\n")).and_then(|()| to.flush());
        if let Some(more) = Counts::of_line(&String::from_utf8_lossy(&line)) {
            counts.add(more);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: Option<(u64, u64, u64)>) {
        let want = want.map(|(passed, failed, skipped)| Counts { passed, failed, skipped });
        assert_eq!(Counts::of_line(line), want, "{line}");
    }

    #[test]
    fn summary_lines_are_counted() {
        check("", None);
        check("     Running unittests src/lib.rs", None);
        check("running 3 tests", None);
        check("test tests::four_passed ... ok", None);
        check(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s",
            Some((3, 0, 1)),
        );
        check(
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
            Some((2, 1, 0)),
        );
        check("    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 33 filtered out", None);
        check("     Summary [   0.012s] 5 tests run: 5 passed, 0 skipped", Some((5, 0, 0)));
        check(
            "     Summary [  61.2s] 6 tests run: 3 passed (1 slow), 2 failed, 1 timed out, 7 skipped",
            Some((3, 3, 7)),
        );
        check("     Summary [   0.000s] 0 tests run: 0 passed, 9 skipped", Some((0, 0, 9)));
        check(
            "\u{1b}[32;1m     Summary\u{1b}[0m [   0.012s] \u{1b}[1m5\u{1b}[0m tests run: \u{1b}[1m5\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, 0 skipped",
            Some((5, 0, 0)),
        );
    }

    #[test]
    fn options_are_flags_and_filters() {
        let parse =
            |line: &str| Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let options =
            |fast, filters: &[&str]| Options { fast, filters: filters.iter().map(|&f| f.into()).collect() };
        assert_eq!(parse("").unwrap(), options(false, &[]));
        assert_eq!(parse("--fast").unwrap(), options(true, &[]));
        assert_eq!(parse("mbap").unwrap(), options(false, &["mbap"]));
        assert_eq!(parse("--fast -- mbap --rtu").unwrap(), options(true, &["mbap", "--rtu"]));
        assert!(parse("--quick").unwrap_err().to_string().contains("--quick"));
    }
}
