//! `port502 plan`: what a site file compiles to, before any of it runs.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use port502_session::duration;
use port502_site::Site;
use port502_site::compile::attention::attention;
use port502_site::compile::diff::{self, Change};
use port502_site::compile::{Compiled, compile, show};

use crate::failure::Failure;
use crate::output::counted;
use crate::site_file;

mod json;

/// Show what a site file compiles to
///
/// The requests of the poller with their estimated cost, what may be written by whom, the rules of the guard, what
/// detection expects, and what a simulator serves. A site is one file, or a folder whose *.toml files are one site
/// together. Everything that is wrong with it is told at once.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The site file, or a folder of them; two with --diff, the old one first.
    #[arg(required = true, num_args = 1..=2, value_name = "SITE")]
    sites: Vec<PathBuf>,
    /// Show what would change from the first site to the second.
    #[arg(long)]
    diff: bool,
    /// Show only this part; more than once for several.
    #[arg(long, value_enum, value_name = "PART", conflicts_with = "diff")]
    only: Vec<Part>,
    /// One JSON object a line for each thing.
    #[arg(long)]
    json: bool,
}

/// A part of what is shown.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// The requests of the poller.
    Poll,
    /// What may be written, by whom.
    Write,
    /// The rules of the guard.
    Guard,
    /// What detection expects.
    Expected,
    /// What a simulator serves.
    Simulator,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match (args.sites.as_slice(), args.diff) {
        ([old, new], true) => {
            // Both are checked before anything is said.
            let (old, new) = (site_file::read(old)?, site_file::read(new)?);
            let changes = diff::diff((&old, &compile(&old)), (&new, &compile(&new)));
            if args.json { json::changes(&mut out, &changes)? } else { show_changes(&mut out, &changes)? }
        }
        ([site], false) => {
            let site = site_file::read(site)?;
            let compiled = compile(&site);
            let wanted = |part: Part| args.only.is_empty() || args.only.contains(&part);
            if args.json {
                json::plan(&mut out, &site, &compiled, &wanted)?;
            } else {
                show_plan(&mut out, &site, &compiled, &wanted)?;
            }
        }
        (_, true) => {
            return Err(Failure::usage("plan: --diff compares two sites; name the old and the new one"));
        }
        (_, false) => return Err(Failure::usage("plan: two sites are compared with --diff")),
    }
    out.flush()?;
    Ok(())
}

fn show_plan(
    out: &mut dyn Write,
    site: &Site,
    compiled: &Compiled,
    wanted: &dyn Fn(Part) -> bool,
) -> io::Result<()> {
    let alarms: usize = site.tags().iter().map(|tag| tag.alarms().len()).sum::<usize>()
        + site.computed().iter().map(|computed| computed.alarms.len()).sum::<usize>();
    let count = |count: usize, what: &str| counted(u64::try_from(count).unwrap_or(u64::MAX), what);
    writeln!(
        out,
        "{}: {} on {}, {}, {} computed, {}",
        site.name(),
        count(site.devices().len(), "device"),
        count(site.lanes().len(), "lane"),
        count(site.tags().len(), "tag"),
        site.computed().len(),
        count(alarms, "alarm"),
    )?;
    if wanted(Part::Poll) {
        show_poll(out, site, compiled)?;
    }
    if wanted(Part::Write) {
        show_writes(out, site)?;
    }
    if wanted(Part::Guard) {
        show_guard(out, site, compiled)?;
    }
    if wanted(Part::Expected) {
        show_expected(out, compiled)?;
    }
    if wanted(Part::Simulator) {
        show_simulator(out, site, compiled)?;
    }
    for attention in attention(site, compiled) {
        writeln!(out, "\nattention: {}", attention.text(site))?;
    }
    Ok(())
}

fn show_poll(out: &mut dyn Write, site: &Site, compiled: &Compiled) -> io::Result<()> {
    writeln!(out, "\nPoll plan")?;
    for plan in compiled.poll.lanes() {
        let lane = site.lane(plan.lane);
        writeln!(out, "  {}  {}, busy {:.1} %", lane.name, lane.target, plan.load * 100.0)?;
        let mut round = None;
        for request in compiled.poll.requests_of(plan) {
            if round != Some(request.scan) {
                round = Some(request.scan);
                if let Some(round) = plan.rounds.iter().find(|round| round.scan == request.scan) {
                    writeln!(
                        out,
                        "    {} every {}: {} for {}, {}",
                        site.scan(round.scan).name,
                        duration::display(round.every),
                        counted(round.requests.into(), "request"),
                        counted(round.tags.into(), "tag"),
                        millis(round.cycle),
                    )?;
                }
            }
            let tags: Vec<&str> =
                compiled.poll.tags_of(request).iter().map(|tag| &*site.tag(*tag).name).collect();
            writeln!(
                out,
                "      {:<12} unit {:<3} {:<18} {:>9}  {}",
                site.device(request.device).name,
                site.device(request.device).unit.0,
                show::request(request),
                millis(request.cost),
                tags.join(", "),
            )?;
        }
    }
    Ok(())
}

fn millis(duration: std::time::Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

fn show_writes(out: &mut dyn Write, site: &Site) -> io::Result<()> {
    writeln!(out, "\nWhat may be written")?;
    let mut none = true;
    for (id, tag) in site.tag_ids() {
        if let Some(write) = tag.write() {
            none = false;
            let at = tag.point.to_string();
            writeln!(out, "  {:<24} {at:<18} {}", site.path(id), show::write(site, tag, write))?;
        }
    }
    if none { writeln!(out, "  nothing") } else { Ok(()) }
}

fn show_guard(out: &mut dyn Write, site: &Site, compiled: &Compiled) -> io::Result<()> {
    writeln!(out, "\nGuard")?;
    if compiled.policy.conduits.is_empty() {
        return writeln!(out, "  none");
    }
    for (conduit, of) in compiled.policy.conduits.iter().zip(site.conduits()) {
        writeln!(out, "  {}  {}", conduit.name, show::conduit(site, of))?;
        for (at, rule) in conduit.rules.iter().enumerate() {
            let shown = show::rule(&compiled.policy.zones, rule);
            writeln!(out, "    {}. {shown} ({})", at + 1, rule.name)?;
        }
        writeln!(out, "    {}", show::everything_else(conduit.mode))?;
    }
    Ok(())
}

fn show_expected(out: &mut dyn Write, compiled: &Compiled) -> io::Result<()> {
    writeln!(out, "\nExpected")?;
    let mut at = None;
    for flow in &compiled.baseline.flows {
        if at != Some((&flow.server, flow.unit)) {
            at = Some((&flow.server, flow.unit));
            writeln!(out, "  {} unit {}", flow.server, flow.unit.0)?;
        }
        let period = match flow.period {
            Some(period) => {
                format!("{} every {}", counted(flow.requests.into(), "request"), duration::display(period))
            }
            None => "on demand".to_owned(),
        };
        let function = format!("{} {}", diff::operation(flow), flow.function.name());
        let (asker, at) = (diff::asker(&flow.client), show::ranges(&flow.ranges));
        let line = format!("    {asker:<18} {function:<26} {period:<22} {at}");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn show_simulator(out: &mut dyn Write, site: &Site, compiled: &Compiled) -> io::Result<()> {
    writeln!(out, "\nSimulator")?;
    for device in &compiled.simulator.devices {
        let of = site.device(device.device);
        let blocks: Vec<String> = device
            .blocks
            .iter()
            .map(|block| show::block(block.table, block.start, block.cells.len()))
            .collect();
        writeln!(out, "  {:<12} unit {:<3} {}", of.name, device.unit.0, blocks.join(", "))?;
        if !device.writable.is_empty() {
            writeln!(out, "    of which may be written: {}", show::ranges(&device.writable))?;
        }
    }
    Ok(())
}

fn show_changes(out: &mut dyn Write, changes: &[Change]) -> io::Result<()> {
    if changes.is_empty() {
        return writeln!(out, "nothing would change");
    }
    for change in changes {
        match (&change.old, &change.new) {
            (None, Some(new)) => writeln!(out, "+ {:<9} {}: {new}", change.part, change.name)?,
            (Some(old), None) => writeln!(out, "- {:<9} {}: {old}", change.part, change.name)?,
            (old, new) => {
                writeln!(out, "~ {:<9} {}", change.part, change.name)?;
                for (sign, value) in [('-', old), ('+', new)] {
                    writeln!(out, "    {sign} {}", value.as_deref().unwrap_or_default())?;
                }
            }
        }
    }
    let count = |test: fn(&Change) -> bool| changes.iter().filter(|change| test(change)).count();
    writeln!(
        out,
        "\n{} added, {} removed, {} changed",
        count(|change| change.old.is_none()),
        count(|change| change.new.is_none()),
        count(|change| change.old.is_some() && change.new.is_some()),
    )?;
    let restarted = diff::restarted(changes);
    if !restarted.is_empty() {
        writeln!(out, "connected anew: {}", restarted.join(", "))?;
    }
    Ok(())
}
