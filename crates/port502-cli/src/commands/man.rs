//! `port502 man`: manual pages, one for the whole and one for each command.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::failure::Failure;

/// Write the manual pages
///
/// Without a directory the main page goes to standard output: port502 man | man -l -
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The directory to write port502.1, port502-read.1 and the others to.
    directory: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let mut tree = Cli::command();
    tree.build();
    let Some(directory) = args.directory else {
        return Ok(io::stdout().write_all(&page(tree)?)?);
    };
    let cannot = |path: &Path, error: io::Error| {
        Failure::other(format!(
            "cannot write {}: {error}; name a directory that you may write to",
            path.display()
        ))
    };
    std::fs::create_dir_all(&directory).map_err(|error| cannot(&directory, error))?;
    let commands: Vec<_> = tree.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    for command in std::iter::once(tree).chain(commands) {
        let path = directory.join(format!("{}.1", command.get_display_name().unwrap_or("port502")));
        std::fs::write(&path, page(command)?).map_err(|error| cannot(&path, error))?;
        writeln!(io::stdout(), "{}", path.display())?;
    }
    Ok(())
}

fn page(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
