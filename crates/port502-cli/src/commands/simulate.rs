//! What `demo` and `serve` need of simulations: site files, schedules, lists, read from disk.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use port502_plant::drill;
use port502_plant::plants::{PLANTS, Plant};
use port502_plant::running::SPEED_MAX;
use port502_plant::{Map, Process, Schedule};
use port502_site::Site;
use port502_site::site::{Profiles, SourceFile, render};

use crate::failure::{Exit, Failure};

/// So much of a schedule or a list is read.
const LIST_MAX: u64 = 1 << 20;

/// Errors of a file that are shown; the rest is counted.
const ERRORS_MAX: usize = 20;

/// `10x`, `0.5x`, `10`.
pub(super) fn speed(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('x').unwrap_or(text).parse::<f64>().ok();
    number
        .filter(|speed| *speed > 0.0 && *speed <= f64::from(SPEED_MAX))
        .ok_or_else(|| format!("want how many times as fast, as 10x or 0.5x, up to {SPEED_MAX}x"))
}

/// The site of a plant that comes with us.
pub(super) fn built_in(plant: &Plant) -> Result<Site, Failure> {
    parse(plant.name, plant.site)
}

fn parse(name: &str, text: &str) -> Result<Site, Failure> {
    let files = [SourceFile { name, text }];
    Site::parse(&files, &Profiles::none()).map_err(|errors| {
        let text = render::text(&files, &errors, ERRORS_MAX);
        Failure::list(Exit::Usage, text.lines().map(str::to_owned))
    })
}

/// The process behind a site: that of the plant which knows most of its tags by their names, where it knows half of them.
/// Other tags, and the tags of other sites, live on their own.
pub(super) fn process_of(map: &Map, seed: u64) -> Option<Process> {
    let names: Vec<String> = map
        .devices
        .iter()
        .flat_map(|device| device.tags.iter().map(move |tag| format!("{}.{}", device.name, tag.name)))
        .collect();
    PLANTS
        .iter()
        .map(|plant| plant.process(seed))
        .map(|process| (names.iter().filter(|name| process.find(name).is_some()).count(), process))
        .filter(|(known, _)| *known > 0 && 2 * known >= names.len())
        .max_by_key(|(known, _)| *known)
        .map(|(_, process)| process)
}

/// Reads a schedule of faults.
pub(super) fn read_schedule(path: &Path) -> Result<Schedule, Failure> {
    let text = read_text(path, "schedule", LIST_MAX)?;
    Schedule::parse(&text).map_err(|errors| {
        let file = path.display();
        let mut lines: Vec<String> =
            errors.iter().take(ERRORS_MAX).map(|error| format!("{file}:{error}")).collect();
        if errors.len() > ERRORS_MAX {
            lines.push(format!("{file}: ... and {} more", errors.len() - ERRORS_MAX));
        }
        Failure::list(Exit::Usage, lines)
    })
}

/// Reads what an attacker writes.
pub(super) fn read_drill_list(path: &Path) -> Result<Vec<drill::Write>, Failure> {
    let text = read_text(path, "list", LIST_MAX)?;
    drill::writes(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn read_text(path: &Path, what: &str, max: u64) -> Result<String, Failure> {
    let file = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|opened| opened.take(max + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::other(format!("cannot read the {what} {file}: {error}")))?;
    if bytes.len() as u64 > max {
        return Err(Failure::usage(format!("{file}: more than {max} bytes, which no {what} needs")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count()
                + 1;
        Failure::usage(format!("{file}:{line}: a byte that is not UTF-8; save it as UTF-8"))
    })
}
