//! `port502 completions`: what a shell needs to complete our commands.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;

/// Print a completion script for a shell
///
/// For bash: port502 completions bash > ~/.local/share/bash-completion/completions/port502
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The shell to complete in.
    shell: Shell,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    // The generator panics when a write fails, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "port502", &mut script);
    Ok(io::stdout().write_all(&script)?)
}
