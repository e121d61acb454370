//! How long it takes to compile a large site, and how much memory: `cargo run --release -p port502-site --example big_site`.
//!
//! 10,000 devices of 50 tags each, on 1,000 buses and as many sockets of their own, with alarms, limits for writing, and a
//! guard in front of each bus. An argument is another number of devices.

use std::fmt::Write as _;
use std::time::Instant;

use port502_site::compile::compile;
use port502_site::site::{Profiles, Site, SourceFile, render};

/// Tags of each device.
const TAGS: usize = 50;

fn text(devices: usize) -> String {
    let mut text = String::from(
        "[site]\nname = \"Large\"\n\n[poll]\nzone = \"control\"\n\n[zone.control]\nnetworks = [\"10.0.0.0/24\"]\n\
        roles = [\"operator\"]\n\n[role.operator]\nmay = [\"write\"]\n\n[scan]\nfast = { every = \"1s\" }\n\
        normal = { every = \"10s\", deadband = \"0.2%\" }\nslow = { every = \"5m\" }\n",
    );
    for device in 0..devices {
        let (bus, unit) = (device / 20, device % 20 / 2 + 1);
        // Every other device has a socket of its own. Writing to a string does not fail.
        let _ = if device % 2 == 0 {
            if device % 20 == 0 {
                let _ = write!(
                    text,
                    "\n[link.bus{bus}]\nconnect = \"rtu+tcp://bus{bus}:4001\"\n\n[guard.bus{bus}]\n\
                    listen = [\"tcp://0.0.0.0:{}\"]\nto = \"bus{bus}\"\nallow = [{{ from = \"control\", do = \"derived\" }}]\n",
                    10_000 + bus
                );
            }
            write!(text, "\n[device.d{device}]\nlink = \"bus{bus}\"\nunit = {unit}\n")
        } else {
            write!(text, "\n[device.d{device}]\nconnect = \"tcp://device{device}\"\n")
        };
        for tag in 0..TAGS {
            let address = tag * 2 + tag / 10 * 7;
            let _ = write!(
                text,
                "\n[device.d{device}.tag.t{tag}]\nat = \"holding:{address}\"\ntype = \"f32:cdab\"\nunit = \"m3/h\"\nrange = [0, {}]\n",
                100 + tag
            );
            if tag % 5 == 0 {
                text.push_str("scan = \"fast\"\nalarm.high = { above = 90, deadband = 1, priority = 2 }\n");
            }
            if tag % 10 == 9 {
                text.push_str("write = { roles = [\"operator\"], min = 20, max = 50 }\n");
            }
        }
    }
    text
}

/// The most memory that the process ever had, in MiB, where the system says so.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

/// Seconds since the process began, or seconds that it had a processor, where the system says so: on a busy machine the
/// latter is what it takes.
fn processor(begun: Instant) -> f64 {
    let schedule = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = schedule.split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok());
    nanos.map_or_else(
        || begun.elapsed().as_secs_f64(),
        |nanos| std::time::Duration::from_nanos(nanos).as_secs_f64(),
    )
}

fn main() {
    let devices = std::env::args().nth(1).and_then(|devices| devices.parse().ok()).unwrap_or(10_000);
    let text = text(devices);
    let files = [SourceFile { name: "large.toml", text: &text }];
    let begun = Instant::now();
    let before = processor(begun);
    let site = match Site::parse(&files, &Profiles::none()) {
        Ok(site) => site,
        Err(errors) => return eprint!("{}", render::text(&files, &errors, 9)),
    };
    let parsed = processor(begun) - before;
    let compiled = compile(&site);
    let total = processor(begun) - before;
    let elapsed = begun.elapsed().as_secs_f64();
    println!(
        "{} devices, {} tags, {} MiB of text: parsed in {:.2} s, compiled in {:.2} s, {:.2} s together; \
        {elapsed:.2} s by the clock",
        site.devices().len(),
        site.tags().len(),
        text.len() >> 20,
        parsed,
        total - parsed,
        total,
    );
    println!(
        "{} requests, {} rules, {} flows expected",
        compiled.poll.requests().len(),
        compiled.policy.conduits.iter().map(|conduit| conduit.rules.len()).sum::<usize>(),
        compiled.baseline.flows.len(),
    );
    if let Some(peak) = peak_mib() {
        println!("peak memory {peak} MiB, the text included");
    }
}
