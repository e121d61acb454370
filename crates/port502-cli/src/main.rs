//! The port502 command: arguments in, exit code out.
//!
//! [`args`] is the argument tree, from which help, completions and manual pages come. Each command is a file
//! under [`commands`] with its `Args` and a `run` that ends well or in a [`Failure`]: an exit code and one line.

mod args;
mod commands;
mod device;
mod failure;
mod histogram;
mod live;
mod log;
mod metrics;
mod output;
mod reading;
mod rounds;
mod signal;
mod site_file;
mod summary;
mod work;

use std::process::ExitCode;

use clap::Parser as _;

use failure::Failure;

fn main() -> ExitCode {
    let outcome = match args::Cli::try_parse() {
        Ok(cli) => cli.command.run(),
        Err(error) if !error.use_stderr() => {
            // Help and version were asked for; a reader that went away is no reason to complain.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            return failure::Exit::Usage.into();
        }
        Err(error) => Err(Failure::usage(args::one_line(&error))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
