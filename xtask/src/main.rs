//! The chores of this repository, as `cargo xtask CHORE`.
//!
//! - [`mod@test`]: the tests, fast ones first, with the real Modbus programs they talk with ([`peers`])
//! - [`ci`]: everything a change must pass, as `.ci/run` calls it
//! - [`deps`]: which crate may depend on which, and under what licence ([`licence`])
//! - [`fuzz`]: the fuzz targets, each for some minutes

mod ci;
mod deps;
mod fuzz;
mod licence;
mod peers;
mod step;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask CHORE

  test [--fast] [[--] FILTER...]     install or start what the tests need, then run them, fast ones first;
                                     --fast: the core crates alone, without peers
  ci                                 fmt, clippy, docs, dependency rules, then all of `test`
  deps                               the dependency rules alone
  peers                              install and build the peers of the tests, and say where they are
  fuzz [--minutes N] [TARGET]        build fuzz/ and run one target or each, for N minutes (default 1)
";

fn main() -> ExitCode {
    match chore(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn chore(arguments: &[String]) -> Result<()> {
    let (chore, rest) = match arguments.split_first() {
        Some((chore, rest)) => (chore.as_str(), rest),
        None => ("help", arguments),
    };
    match chore {
        "test" => test::run(&test::Options::parse(rest)?),
        "ci" => none(chore, rest).and_then(|()| ci::run()),
        "deps" => none(chore, rest).and_then(|()| deps::run()),
        "peers" => none(chore, rest).and_then(|()| {
            println!("{}", peers::ready()?.display());
            Ok(())
        }),
        "fuzz" => fuzz::run(&fuzz::Options::parse(rest)?),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        unknown => bail!("no chore is called `{unknown}`; there are test, ci, deps, peers and fuzz"),
    }
}

fn none(chore: &str, rest: &[String]) -> Result<()> {
    match rest.first() {
        None => Ok(()),
        Some(argument) => bail!("`{chore}` takes no argument, got `{argument}`"),
    }
}
