//! `serve --site`, every device of a site as a simulator; `serve --replay`, devices that answer as others did.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use port502_net::server::{Authorized, Options, Reply, Server, Stop};
use port502_net::{Link, Target};
use port502_plant::replay::{self, Recording, Replay};
use port502_plant::running::{Place, Running, gather};
use port502_plant::service::{LaneService, Shared};
use port502_plant::simulation::Seen;
use port502_plant::{Map, Simulation};
use port502_site::Rights;
use port502_site::site::{Lane, Site};
use tokio::task::JoinSet;
use tokio::time::interval;

use super::super::simulate;
use super::tape::Tape;
use super::{Args, Log, authorized, cannot_listen, introduce_lines, options, reload_when_asked, run_one};
use crate::failure::Failure;
use crate::output::counted;
use crate::signal;
use crate::site_file;

/// Writes are shown so soon after they came.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

/// Serves every device of a site file until Ctrl-C.
pub(super) fn run_site(args: &Args, path: &Path) -> Result<(), Failure> {
    let site = site_file::read(path)?;
    let schedule = args.schedule.as_deref().map(simulate::read_schedule).transpose()?.unwrap_or_default();
    let map = Map::of(&site);
    let process = simulate::process_of(&map, args.seed);
    let is_known = process.is_some();
    let simulation = Simulation::new(&map, process, &schedule, args.seed)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let places = places(args, &site, &simulation)?;
    let targets: Vec<Target> = places.iter().map(|place| place.target.clone()).collect();
    let rights = super::rights(args.rights.as_deref(), &targets)?;
    super::super::runtime()?.block_on(async {
        let log = Arc::new(Log::start(args.quiet));
        let requests = Arc::new(AtomicU64::new(0));
        let mut options = options(args, &log, &requests);
        let tape = Tape::new(args, &mut options);
        let mut running = Running::bind(simulation, &places, &options, args.speed.unwrap_or(1.0))
            .map_err(|(target, error)| cannot_listen_site(&target, &error))?;
        if let Some(recorder) = tape.begin(&log)? {
            running = running.recorded_by(recorder);
        }
        introduce(args, &map, path, is_known, &running, &tape)?;
        let shown = tokio::spawn(show_writes(running.simulation(), Arc::clone(&log)));
        let stops = running.stops();
        tokio::spawn(async move {
            signal::stop_asked().await;
            stops.iter().for_each(Stop::stop);
        });
        let ended = match rights.zip(args.rights.clone()) {
            None => running.run().await,
            Some((rights, file)) => run_for_those_who_may(running, rights, file, &log).await,
        };
        shown.abort();
        finish(args, &log, &requests, &tape);
        ended.map_err(|error| Failure::other(format!("the server ended: {error}")))
    })
}

/// Serves those who may; rights and certificates are read again on SIGHUP.
async fn run_for_those_who_may(
    running: Running,
    rights: Rights,
    file: PathBuf,
    log: &Arc<Log>,
) -> io::Result<()> {
    let fronts: Arc<Mutex<Vec<Authorized<LaneService>>>> = Arc::default();
    let all = Arc::clone(&fronts);
    reload_when_asked(running.reloads(), file, log, move |rights| {
        let fronts = all.lock().unwrap_or_else(PoisonError::into_inner);
        fronts.iter().for_each(|front| front.replace(rights.clone()));
    });
    let serve = |service| {
        let front = authorized(service, rights.clone(), log);
        fronts.lock().unwrap_or_else(PoisonError::into_inner).push(front.clone());
        front
    };
    running.run_behind(serve).await
}

/// Where the lanes are served: each where the site has it, or all of them at one place.
fn places(args: &Args, site: &Site, simulation: &Simulation) -> Result<Vec<Place>, Failure> {
    match args.listen.as_slice() {
        [] => (0..)
            .zip(site.lanes())
            .map(|(lane, of)| Ok(Place { target: own_place(args, of)?, lanes: vec![lane] }))
            .collect(),
        [target] => gather(simulation, target).map_err(|error| Failure::usage(error.to_string())),
        [_, more, ..] => Err(Failure::usage(format!(
            "{more}: with --site, all units are served at one --listen, or each where the site has it; remove one"
        ))),
    }
}

/// Where the site has a lane. What a `tls://` link says of certificates is the client's: a server has its own.
fn own_place(args: &Args, lane: &Lane) -> Result<Target, Failure> {
    if lane.target.link() != Link::Tls {
        return Ok(lane.target.clone());
    }
    let (name, host, port) = (&lane.name, lane.target.host(), lane.target.port());
    let Some(options) = &args.tls else {
        return Err(Failure::usage(format!(
            "{name} is reached over TLS ({}): say with which certificate it is served, with --tls cert=FILE.pem; \
             `port502 cert server` makes one",
            lane.target
        )));
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let place = format!("tls://{host}:{port}?{}", options.trim_start_matches('?'));
    place.parse().map_err(|error| Failure::usage(format!("--tls {options}: {error}")))
}

fn cannot_listen_site(target: &Target, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => Failure::other(format!(
            "cannot listen on {target}: {error}; that is no address of this machine: serve all units at one port, with \
             --listen tcp://127.0.0.1:1502"
        )),
        _ => cannot_listen(target, error),
    }
}

fn introduce(
    args: &Args,
    map: &Map,
    path: &Path,
    is_known: bool,
    running: &Running,
    tape: &Tape,
) -> Result<(), Failure> {
    let targets: Vec<Target> = running.targets().map(|(target, _)| target.clone()).collect();
    let mut lines = Vec::new();
    if !args.quiet {
        let tags: usize = map.devices.iter().map(|device| device.tags.len()).sum();
        let count = |count: usize, what| counted(u64::try_from(count).unwrap_or(u64::MAX), what);
        let how = if is_known { "with their process" } else { "each tag on its own" };
        lines.push(format!(
            "serving {} with {} of {}, {how}",
            count(map.devices.len(), "device"),
            count(tags, "tag"),
            path.display()
        ));
        if targets.len() > 1 && !args.listen.is_empty() {
            lines
                .push("units that are there twice are at the next address: a unit id is one byte".to_owned());
        }
        lines.extend(tape.lines());
    }
    introduce_lines(&targets, &lines)
}

async fn show_writes(simulation: Shared, log: Arc<Log>) {
    let mut ticks = interval(SHOWN_EVERY);
    loop {
        ticks.tick().await;
        let (seen, missed) = simulation.lock().take_seen();
        for one in seen.iter().filter(|seen| seen.is_write()) {
            log.line(format_args!("{}", write(one)));
        }
        if missed > 0 {
            log.line(format_args!("{} came too fast to be looked at", counted(missed, "request")));
        }
    }
}

/// `write 127.0.0.1:50122 unit 3 tank FC6 06000b0000 -> done`.
fn write(seen: &Seen) -> String {
    let peer = seen.peer.map_or_else(|| "client".to_owned(), |peer| peer.to_string());
    let device = seen.device.as_deref().unwrap_or("nobody");
    let outcome = match seen.reply {
        Reply::Response { .. } => "done".to_owned(),
        Reply::Exception(code) => format!("exception {code}"),
        Reply::Silence => "no answer".to_owned(),
    };
    let hex: String = seen.pdu.iter().map(|byte| format!("{byte:02x}")).collect();
    let function = seen.pdu.first().copied().unwrap_or_default();
    format!("write {peer} unit {} {device} FC{function} {hex} -> {outcome}", seen.unit)
}

/// Serves what a capture has, until Ctrl-C.
pub(super) fn run_replay(args: &Args, path: &Path) -> Result<(), Failure> {
    let file = path.display();
    let mut ports = vec![502];
    ports.extend(&args.replay_port);
    let recordings = File::open(path)
        .map_err(|error| Failure::other(format!("cannot read the capture {file}: {error}")))
        .and_then(|opened| {
            replay::read(io::BufReader::new(opened), &ports)
                .map_err(|error| Failure::other(format!("{file}: {error}")))
        })?;
    if recordings.is_empty() {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        return Err(Failure::other(format!(
            "{file}: no request with its answer on port {}; name another with --replay-port",
            ports.join(", ")
        )));
    }
    super::super::runtime()?.block_on(replay_all(args, path, recordings.into_iter().collect()))
}

async fn replay_all(
    args: &Args,
    path: &Path,
    recordings: Vec<(SocketAddr, Recording)>,
) -> Result<(), Failure> {
    let log = Arc::new(Log::start(args.quiet));
    let requests = Arc::new(AtomicU64::new(0));
    let mut options = options(args, &log, &requests);
    let tape = Tape::new(args, &mut options);
    let (mut servers, mut recordings_of, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for (at, (server, recording)) in (0..).zip(recordings) {
        let target = replay_target(args, at)?;
        let bound = bind(&target, &options)?;
        let units: Vec<String> = recording.units().map(|unit| unit.to_string()).collect();
        let count = counted(recording.transactions, "answer");
        let left_out = match recording.left_out {
            0 => String::new(),
            count => format!(", and {count} more than fit"),
        };
        lines.push(format!(
            "{} answers as {server} did in {}: {count} of unit {}{left_out}",
            bound.target(),
            path.display(),
            units.join(", ")
        ));
        servers.push(bound);
        recordings_of.push(recording);
    }
    let servers = tape.record(servers, &log)?;
    lines.extend(tape.lines());
    let targets: Vec<Target> = servers.iter().map(|(server, _)| server.target().clone()).collect();
    introduce_lines(&targets, if args.quiet { &[] } else { &lines })?;
    let stops: Vec<Stop> = servers.iter().map(|(server, _)| server.stop_handle()).collect();
    tokio::spawn(async move {
        signal::stop_asked().await;
        stops.iter().for_each(Stop::stop);
    });
    let mut serving = JoinSet::new();
    for (bound, recording) in servers.into_iter().zip(recordings_of) {
        run_one(&mut serving, bound, Replay::new(recording));
    }
    while let Some(ended) = serving.join_next().await {
        if let Ok(Err(error)) = ended {
            return Err(Failure::other(format!("the server ended: {error}")));
        }
    }
    finish(args, &log, &requests, &tape);
    Ok(())
}

/// Where the recording with this number is served: at the place that is named for it, or next to the last one named.
fn replay_target(args: &Args, at: usize) -> Result<Target, Failure> {
    if let Some(target) = args.listen.get(at) {
        return Ok(target.clone());
    }
    let last = args.listen.last().cloned().unwrap_or_else(|| Target::tcp("127.0.0.1", 1502));
    let beyond = u32::try_from(at + 1 - args.listen.len().max(1)).unwrap_or(u32::MAX);
    let next = match last.host().parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_loopback() => {
            u32::from(address).checked_add(beyond).map(Ipv4Addr::from).filter(Ipv4Addr::is_loopback)
        }
        _ => None,
    };
    match next {
        Some(address) => Ok(last.clone().at(SocketAddr::new(address.into(), last.port()))),
        None if beyond == 0 => Ok(last),
        None => Err(Failure::usage(
            "the capture has more servers than there are --listen; name a place for each of them",
        )),
    }
}

fn bind(target: &Target, options: &Options) -> Result<Server, Failure> {
    Server::bind(target, options.clone()).map_err(|error| cannot_listen(target, &error))
}

fn finish(args: &Args, log: &Log, requests: &AtomicU64, tape: &Tape) {
    let served = (!args.quiet).then(|| format!("served {}", counted(requests.load(Relaxed), "request")));
    // What else was wrong is the caller's to say.
    let _ = log.end(served.as_slice(), Ok(()));
    tape.finish(args);
}
