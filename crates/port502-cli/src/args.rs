//! The argument tree: help, completions and manual pages all come from here.

use clap::{Parser, Subcommand};

use crate::commands::{
    bench, cert, check, completions, decode, demo, export, gateway, guard, identify, import, journal, man,
    plan, poll, profiles, read, serve, write,
};
use crate::failure::Failure;

/// The whole system around TCP port 502: Modbus client and server, and what protects it.
#[derive(Parser, Debug)]
#[command(name = "port502", version, propagate_version = true, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 anything else, 2 wrong arguments, 3 no connection or the link broke, \
    4 timed out, 5 the device answered with an exception, 6 the device broke the protocol, \
    10 check found something to act on."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One row per command; each has its file under `commands`.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Demo(demo::Args),
    Read(read::Args),
    Write(write::Args),
    Poll(poll::Args),
    Identify(identify::Args),
    Check(check::Args),
    Decode(decode::Args),
    Serve(Box<serve::Args>),
    Cert(cert::Args),
    Gateway(Box<gateway::Args>),
    Guard(Box<guard::Args>),
    Journal(journal::Args),
    Plan(plan::Args),
    Profiles(profiles::Args),
    Import(import::Args),
    Export(export::Args),
    Bench(bench::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Command::Demo(args) => demo::run(args),
            Command::Read(args) => read::run(args),
            Command::Write(args) => write::run(args),
            Command::Poll(args) => poll::run(args),
            Command::Identify(args) => identify::run(args),
            Command::Check(args) => check::run(args),
            Command::Decode(args) => decode::run(args),
            Command::Serve(args) => serve::run(*args),
            Command::Cert(args) => cert::run(args),
            Command::Gateway(args) => gateway::run(&args),
            Command::Guard(args) => guard::run(&args),
            Command::Journal(args) => journal::run(&args),
            Command::Plan(args) => plan::run(args),
            Command::Profiles(args) => profiles::run(args),
            Command::Import(args) => import::run(args),
            Command::Export(args) => export::run(args),
            Command::Bench(args) => bench::run(args),
            Command::Completions(args) => completions::run(args),
            Command::Man(args) => man::run(args),
        }
    }
}

/// clap explains in paragraphs; scripts and logs want one line: what, where, what to try.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut line = String::new();
    let mut hint = false;
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        if part.starts_with("Usage:") || part.starts_with("For more information") {
            break;
        }
        // How to give a value that looks like an option is rarely what is wanted.
        if part.starts_with("tip: to pass '-") {
            continue;
        }
        hint |= part.starts_with("tip: ");
        let part = part.trim_start_matches("error: ").trim_start_matches("tip: ");
        if !line.is_empty() {
            line.push_str(if line.ends_with(':') { " " } else { "; " });
        }
        line.push_str(part);
    }
    // The messages of our own parsers say what to try.
    if !hint && error.kind() != clap::error::ErrorKind::ValueValidation {
        line.push_str("; see --help");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }
}
