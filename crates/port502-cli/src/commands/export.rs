//! `port502 export`: a site in the words of another tool.

use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use port502_import::export::{self, Exported, Options};
use port502_site::compile::compile;

use crate::commands::eprintln_quietly;
use crate::failure::Failure;
use crate::site_file;

/// What is made stands in its head, so that a file of somebody's own is not replaced.
const MADE: &str = "Made by `port502 export";

/// So much of a file is looked at to see whether it was made here.
const HEAD_MAX: u64 = 1_024;

/// Write a site for another tool: rules for a packet filter or for detection, or all tags as a register map
///
/// It goes to stdout, or to --output; what the other tool cannot hold is told on stderr, and stands at the head of the rules.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The site file, or a folder of them.
    #[arg(value_name = "SITE")]
    site: PathBuf,
    /// What for.
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: To,
    /// Write it here; a file that is there already is replaced only if it was made by this command.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// An address of the machine that the guard runs on; once for each.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    guard_address: Vec<IpAddr>,
    /// The address of a host that the site has by name; once for each.
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = host)]
    host: Vec<(String, IpAddr)>,
    /// What the table or module is called, behind `port502_`; otherwise after the site (nftables, zeek).
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// There is no guard: watch what clients say to the devices themselves (suricata, zeek).
    #[arg(long)]
    without_guard: bool,
    /// Drop what a conduit with mode = "enforce" would refuse, instead of telling it (suricata).
    #[arg(long)]
    drop: bool,
}

/// What a site can be written as.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum To {
    /// A register map, which `port502 import` reads.
    Csv,
    /// A table for nftables.
    Nftables,
    /// Rules for Suricata.
    Suricata,
    /// A script for Zeek.
    Zeek,
}

/// An address that one machine can have.
fn address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.trim().parse().map_err(|_| format!("{text} is not an address"))?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("{address} is no address that a machine has"));
    }
    Ok(address)
}

fn host(text: &str) -> Result<(String, IpAddr), String> {
    let (name, address) = text.split_once('=').ok_or("want NAME=ADDRESS, as plc-7=10.20.1.21")?;
    Ok((name.trim().to_owned(), self::address(address)?))
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    for (option, is_given, takers) in [
        ("--guard-address", !args.guard_address.is_empty(), &[To::Nftables, To::Suricata, To::Zeek][..]),
        ("--host", !args.host.is_empty(), &[To::Nftables, To::Suricata, To::Zeek]),
        ("--name", args.name.is_some(), &[To::Nftables, To::Zeek]),
        ("--without-guard", args.without_guard, &[To::Nftables, To::Suricata, To::Zeek]),
        ("--drop", args.drop, &[To::Suricata]),
    ] {
        if is_given && !takers.contains(&args.to) {
            return Err(Failure::usage(format!("{option} means nothing for this format; leave it out")));
        }
    }
    if args.without_guard && !args.guard_address.is_empty() {
        let message = "--without-guard and --guard-address contradict each other; leave one out";
        return Err(Failure::usage(message));
    }
    if let Some(output) = args.output.as_deref().filter(|output| output.exists() && !is_ours(output)) {
        let message = format!(
            "{} is there already, and was not made by this command; choose another --output, or move it away",
            output.display()
        );
        return Err(Failure::usage(message));
    }
    let site = site_file::read(&args.site)?;
    let shown = args.site.display();
    let (text, lost) = if args.to == To::Csv {
        (export::csv(&site), export::left_out(&site))
    } else {
        let policy = compile(&site).policy;
        let options = Options {
            guard: args.guard_address,
            hosts: args.host,
            name: args.name,
            without_guard: args.without_guard,
            drop: args.drop,
        };
        let made = match args.to {
            To::Nftables => export::nftables(&site, &policy, &options),
            To::Suricata => export::suricata(&site, &policy, &options),
            To::Zeek | To::Csv => export::zeek(&site, &policy, &options),
        };
        let Exported { text, left_out } =
            made.map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
        (text, left_out)
    };
    match &args.output {
        None => io::stdout().lock().write_all(text.as_bytes())?,
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Failure::other(format!("cannot write {}: {error}", path.display())))?,
    }
    if args.to == To::Csv {
        if !lost.is_empty() {
            eprintln_quietly(&format!("{shown}: not in it: {}", lost.join(", ")));
        }
        return Ok(());
    }
    for line in &lost {
        eprintln_quietly(&format!("{shown}: not in it: {line}"));
    }
    Ok(())
}

/// Whether a file was made by this command.
fn is_ours(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(HEAD_MAX).read_to_end(&mut head));
    read.is_ok() && String::from_utf8_lossy(&head).contains(MADE)
}
