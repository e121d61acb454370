//! `port502 export`: a site in the words of another tool.

use std::io::{self, Write as _};
use std::path::PathBuf;

use port502_import::export;

use crate::commands::eprintln_quietly;
use crate::failure::Failure;
use crate::site_file;

/// Write a site for another tool: all tags as a register map
///
/// It goes to stdout; what the other format cannot say is counted on stderr.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The site file, or a folder of them.
    #[arg(value_name = "SITE")]
    site: PathBuf,
    /// What for.
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: To,
}

/// What a site can be written as.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum To {
    /// A register map, which `port502 import` reads.
    Csv,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let site = site_file::read(&args.site)?;
    match args.to {
        To::Csv => io::stdout().lock().write_all(export::csv(&site).as_bytes())?,
    }
    let lost = export::left_out(&site);
    if !lost.is_empty() {
        eprintln_quietly(&format!("{}: not in it: {}", args.site.display(), lost.join(", ")));
    }
    Ok(())
}
