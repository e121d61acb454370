//! `port502 serve`: a device to read from and write to, and to see what a client makes of its faults.

mod simulated;
mod tape;

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use port502_net::Target;
use port502_net::fault::{Faults, Faulty};
use port502_net::memory::{Change, MemoryDevice, Values};
use port502_net::server::{
    Authorized, Context, Denied, Event, LineEvent, Observer, Options, Outcome, Prepared, Reload, Reply,
    Server, Service, Stop, Units, Unmapped,
};
use port502_net::tls::hex;
use port502_plant::record::RecordedServer;
use port502_session::Link;
use port502_session::target::Carrier;
use port502_site::register_map::{Access, RegisterMap};
use port502_site::{Cells, Rights, point};
use port502_wire::mbap::Frame;
use port502_wire::{PDU_MAX, Request, SubFunction, Table, UnitId};
use tokio::runtime::{Builder, Handle};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use self::tape::Tape;
use crate::failure::{Exit, Failure};
use crate::log::Log;
use crate::output::counted;
use crate::signal;

/// Serve a Modbus device from memory
///
/// Without --map it has all 65,536 addresses of each table, zeros. Without --unit it answers under every unit
/// id, as a device does that is reached directly; with --unit each unit has its own memory, and other ids get
/// exception 0B. Clients and their writes are shown, one line each.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Where to listen; more than once for several places. Port 0 lets the system choose. [default:
    /// tcp://127.0.0.1:502, or port 1502 where that cannot be had]
    #[arg(long, value_name = "URL")]
    listen: Vec<Target>,
    /// The device's addresses and first values, as CSV: table,address and optionally
    /// type,order,count,value,name,unit,access.
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    map: Option<PathBuf>,
    /// full: all addresses, zeros. bench: holding register a holds a XOR 0xA5C3.
    #[arg(long, value_enum, default_value_t = Preset::Full)]
    preset: Preset,
    /// Serve every device of a site file as a simulator: each on its link's port, or all at one --listen.
    #[arg(long, value_name = "SITE", conflicts_with_all = ["map", "preset", "unit", "fault", "replay"])]
    site: Option<PathBuf>,
    /// How tls:// links of the site are served: what stands behind the ? of a tls:// target to listen on.
    #[arg(long, value_name = "OPTIONS", requires = "site", conflicts_with = "listen")]
    tls: Option<String>,
    /// How much faster than ours a simulated plant's time passes. [default: 1x]
    #[arg(long, value_name = "X", requires = "site", value_parser = super::simulate::speed)]
    speed: Option<f64>,
    /// Faults of simulated devices by the plant's clock, one line each: from, for, where, what.
    #[arg(long, value_name = "FILE", requires = "site")]
    schedule: Option<PathBuf>,
    /// Answer as the devices in a capture did (pcap, pcapng); several servers at addresses that follow each other.
    #[arg(long, value_name = "PCAP", conflicts_with_all = ["map", "preset", "unit", "fault", "rights"])]
    replay: Option<PathBuf>,
    /// A TCP port on which the devices of the capture were served, besides 502.
    #[arg(long, value_name = "PORT", requires = "replay")]
    replay_port: Vec<u16>,
    /// Write what clients ask and what they get to this capture (pcap), which --replay reads; it must not be there yet.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Serve this unit id only; more than once for several ids.
    #[arg(long, value_name = "N", value_parser = super::unit_id)]
    unit: Vec<UnitId>,
    /// Misbehave: delay=200ms,drop=1%,exception=6@holding:10,wrong-tid=0.1%,dribble
    #[arg(long, value_name = "FAULTS")]
    fault: Option<Faults>,
    /// The seed of the faults that are left to chance; the same seed and requests bring the same faults.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Connections at once; one more closes the one that has been idle for longest.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = connections)]
    connections: usize,
    /// Connections at once from one address; one more is refused. [default: as many as in all]
    #[arg(long, value_name = "N", value_parser = connections)]
    per_peer: Option<usize>,
    /// Close connections that have been silent for so long.
    #[arg(long, value_name = "DURATION", default_value = "300s", value_parser = idle)]
    idle: Duration,
    /// Networks that clients may come from, as 10.20.0.0/24; more than once for several. [default: all]
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    allow: Vec<ipnet::IpNet>,
    /// What clients with each role may do, as CSV: role,access and optionally unit,function,table,address. Needed
    /// to listen on tls://.
    #[arg(long, value_name = "FILE")]
    rights: Option<PathBuf>,
    /// Show nothing but where it listens.
    #[arg(long, short)]
    quiet: bool,
}

/// What a device without a map holds.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Preset {
    /// All addresses, zeros.
    Full,
    /// All addresses, in the holding registers the pattern that load generators check.
    Bench,
}

pub(super) fn connections(text: &str) -> Result<usize, String> {
    super::times(text).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

pub(super) fn idle(text: &str) -> Result<Duration, String> {
    match super::duration(text)? {
        Duration::ZERO => {
            Err("every client would be closed at once; write 300s, or 365d for those that keep silent".into())
        }
        idle => Ok(idle),
    }
}

/// A network in CIDR notation, or one address.
pub(super) fn network(text: &str) -> Result<ipnet::IpNet, String> {
    let address = || text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from);
    text.parse()
        .or_else(|_| address())
        .map_err(|_| "want an address or a network, as 10.20.0.0/24".to_owned())
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    match (&args.site, &args.replay) {
        (Some(site), _) => return simulated::run_site(&args, site),
        (None, Some(capture)) => return simulated::run_replay(&args, capture),
        (None, None) => {}
    }
    let mut units = args.unit.iter().enumerate();
    if let Some((_, unit)) = units.find(|(at, unit)| args.unit.iter().take(*at).any(|other| other == *unit)) {
        return Err(Failure::usage(format!("--unit {unit} stands there twice; remove one")));
    }
    for (faults, target) in
        args.fault.iter().flat_map(|faults| args.listen.iter().map(move |at| (faults, at)))
    {
        faults.possible_on(target.link()).map_err(|error| Failure::usage(format!("{target}: {error}")))?;
    }
    let map = args.map.as_deref().map(read_map).transpose()?;
    let rights = rights(args.rights.as_deref(), &args.listen)?;
    let cannot = |error: io::Error| Failure::other(format!("cannot start: {error}"));
    // A runtime with timers looks at the clock for each request. Timeouts are kept by another, in a thread that
    // sleeps; only faults and lines, which tell frames apart by silence, need timers here.
    let keeper = Builder::new_current_thread().enable_time().build().map_err(cannot)?;
    let timekeeper = keeper.handle().clone();
    std::thread::spawn(move || keeper.block_on(std::future::pending::<()>()));
    let connections_only =
        |target: &Target| target.line().is_none() && target.link().carrier() != Carrier::Udp;
    let needs_timers = args.fault.is_some() || !args.listen.iter().all(connections_only);
    let runtime = match needs_timers {
        true => Builder::new_current_thread().enable_all().build(),
        false => Builder::new_current_thread().enable_io().build(),
    };
    runtime.map_err(cannot)?.block_on(serve(args, map, rights, timekeeper))
}

/// So much of a map is read. All 65,536 addresses of each table, with names, are less.
const MAP_MAX: u64 = 1 << 24;

/// Errors of a map that are shown; the rest is counted.
const ERRORS_MAX: usize = 20;

fn read_map(path: &Path) -> Result<RegisterMap, Failure> {
    RegisterMap::parse(&read_text(path, "map")?).map_err(|errors| all_wrong(path, &errors))
}

/// The rights of clients, which have to be written where their certificates have roles.
pub(super) fn rights(path: Option<&Path>, listen: &[Target]) -> Result<Option<Rights>, Failure> {
    let rights = path.map(read_rights).transpose()?;
    if rights.is_none()
        && let Some(target) = listen.iter().find(|target| target.link() == Link::Tls)
    {
        return Err(Failure::usage(format!(
            "{target}: say what clients with each role may do, with --rights FILE; the CSV `role,access` with a row \
             `*,rw` lets everybody who has a role do everything"
        )));
    }
    Ok(rights)
}

fn read_rights(path: &Path) -> Result<Rights, Failure> {
    Rights::parse(&read_text(path, "rights")?).map_err(|errors| all_wrong(path, &errors))
}

fn read_text(path: &Path, what: &str) -> Result<String, Failure> {
    let file = path.display();
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|map| map.take(MAP_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::other(format!("cannot read the {what} {file}: {error}")))?;
    if bytes.len() as u64 > MAP_MAX {
        let message = format!("{file}: more than 16 MiB, which no {what} needs; name a CSV file");
        return Err(Failure::usage(message));
    }
    String::from_utf8(bytes).map_err(|error| {
        // What is in front of the wrong byte is text: nothing of it is lost here.
        let before = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(error.as_bytes().get(..before).unwrap_or_default());
        let (line, column) =
            (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap_or_default());
        let column = column.trim_start_matches('\u{FEFF}').chars().count() + 1;
        Failure::usage(format!(
            "{file}:{line}:{column}: a byte that is not UTF-8; save the {what} as CSV UTF-8"
        ))
    })
}

/// One line for each thing that is wrong with a file.
fn all_wrong<E: std::fmt::Display>(path: &Path, errors: &[E]) -> Failure {
    let file = path.display();
    let mut lines: Vec<_> = errors.iter().take(ERRORS_MAX).map(|error| format!("{file}:{error}")).collect();
    if errors.len() > ERRORS_MAX {
        lines.push(format!("{file}: ... and {} more", errors.len() - ERRORS_MAX));
    }
    Failure::list(Exit::Usage, lines)
}

/// The device of one unit.
fn device(preset: Preset, map: Option<&RegisterMap>) -> MemoryDevice {
    match (map, preset) {
        (Some(map), _) => device_of(map),
        (None, Preset::Full) => MemoryDevice::full(),
        (None, Preset::Bench) => {
            let pattern: Vec<u16> = (0..=u16::MAX).map(|address| address ^ 0xA5C3).collect();
            MemoryDevice::full_builder().registers(Table::HoldingRegisters, 0, &pattern).build()
        }
    }
}

/// A device with the addresses and first values of a map.
pub(super) fn device_of(map: &RegisterMap) -> MemoryDevice {
    let blocks = map.blocks();
    let filled = blocks.iter().fold(MemoryDevice::builder(), |device, block| match &block.cells {
        Cells::Bits(bits) => device.bits(block.table, block.start, bits),
        Cells::Registers(registers) => device.registers(block.table, block.start, registers),
    });
    let read_only = map.entries().iter().filter(|entry| entry.access == Access::ReadOnly);
    read_only
        .fold(filled, |device, entry| {
            device.read_only(entry.point.table(), entry.point.address(), entry.point.last())
        })
        .build()
}

async fn serve(
    args: Args,
    map: Option<RegisterMap>,
    rights: Option<Rights>,
    timekeeper: Handle,
) -> Result<(), Failure> {
    let log = Arc::new(Log::start(args.quiet));
    let requests = Arc::new(AtomicU64::new(0));
    let mut options = options(&args, &log, &requests);
    options.timekeeper = Some(timekeeper);
    let tape = Tape::new(&args, &mut options);
    let servers = tape.record(bind_all(&args.listen, &options)?, &log)?;
    introduce(&args, map.as_ref(), &servers, &tape)?;
    let units = if args.unit.is_empty() {
        vec![(None, device(args.preset, map.as_ref()))]
    } else {
        args.unit.iter().map(|unit| (Some(*unit), device(args.preset, map.as_ref()))).collect()
    };
    if !args.quiet {
        for (_, device) in &units {
            tokio::spawn(show_changes(device.changes(), Arc::clone(&log)));
        }
    }
    match units.as_slice() {
        [(None, device)] => run_with_rights(&args, servers, device.clone(), rights, &log).await?,
        _ => {
            let all = units.iter().fold(Units::new(Unmapped::default()), |all, (unit, device)| {
                all.with(unit.unwrap_or_default(), device.clone())
            });
            run_with_rights(&args, servers, all, rights, &log).await?;
        }
    }
    let served = (!args.quiet).then(|| format!("served {}", counted(requests.load(Relaxed), "request")));
    log.end(served.as_slice(), Ok(()))?;
    tape.finish(&args);
    Ok(())
}

/// A server, and what writes down what it says.
type Bound = (Server, Option<RecordedServer>);

/// Serves those who may, or everybody where nobody says who may.
async fn run_with_rights<S: Service + Clone>(
    args: &Args,
    servers: Vec<Bound>,
    service: S,
    rights: Option<Rights>,
    log: &Arc<Log>,
) -> Result<(), Failure> {
    let faults = args.fault.clone().map(|faults| (faults, args.seed));
    let reloads: Vec<Reload> = servers.iter().filter_map(|(server, _)| server.reload_handle()).collect();
    let shown = Shown { service, log: Arc::clone(log) };
    let Some((rights, path)) = rights.zip(args.rights.clone()) else {
        return run_all(servers, shown, faults).await;
    };
    let service = authorized(shown, rights, log);
    let again = service.clone();
    reload_when_asked(reloads, path, log, move |rights| again.replace(rights));
    run_all(servers, service, faults).await
}

/// Loads rights and certificates anew whenever SIGHUP says so.
fn reload_when_asked(
    reloads: Vec<Reload>,
    path: PathBuf,
    log: &Arc<Log>,
    replace: impl Fn(Rights) + Send + 'static,
) {
    let told = Arc::clone(log);
    tokio::spawn(signal::on_reload(move || match reload(&reloads, &path) {
        Ok(rights) => {
            replace(rights);
            told.line(format_args!("reloaded the certificates and {}", path.display()));
        }
        Err(failure) => {
            for line in std::iter::once(&failure.message).chain(&failure.more) {
                told.error(format_args!("not reloaded: {line}"));
            }
        }
    }));
}

/// Loads certificates anew, and reads rights. All of it is read before any of it holds: what is wrong changes nothing.
fn reload(reloads: &[Reload], rights: &Path) -> Result<Rights, Failure> {
    let rights = read_rights(rights)?;
    let prepared = reloads.iter().map(Reload::prepare).collect::<Result<Vec<_>, _>>();
    let prepared = prepared.map_err(|error| Failure::other(error.to_string()))?;
    prepared.into_iter().for_each(Prepared::install);
    Ok(rights)
}

/// A service for those who may; who may not is shown.
pub(super) fn authorized<S: Service>(service: S, rights: Rights, log: &Arc<Log>) -> Authorized<S> {
    let log = Arc::clone(log);
    Authorized::new(service, rights).observed_by(Arc::new(move |denied| show_denied(denied, &log)))
}

fn show_denied(denied: &Denied<'_>, log: &Log) {
    let peer = name(denied.client.peer);
    let who = denied.client.identity.map_or_else(|| " without a role".to_owned(), |it| format!(" ({it})"));
    let (unit, deed, function) = (denied.client.unit, &denied.deed, denied.function);
    log.line(format_args!("client {peer}{who} may not {deed} of unit {unit} (FC{function})"));
}

/// Says where it listens, and then what it serves.
fn introduce(args: &Args, map: Option<&RegisterMap>, servers: &[Bound], tape: &Tape) -> Result<(), Failure> {
    let targets: Vec<Target> = servers.iter().map(|(server, _)| server.target().clone()).collect();
    let mut lines = vec![serves(args, map)];
    lines.extend(tape.lines());
    introduce_lines(&targets, if args.quiet { &[] } else { &lines })
}

fn introduce_lines(targets: &[Target], lines: &[String]) -> Result<(), Failure> {
    let mut text = String::new();
    for target in targets {
        // The first line on stdout is where to connect to: scripts wait for it.
        text.push_str(&format!("listening on {target}\n"));
    }
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    // At once: a script that has read its line may close the pipe, which does not end a server.
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// `serving every unit id: all addresses, zeros`.
fn serves(args: &Args, map: Option<&RegisterMap>) -> String {
    let units: Vec<String> = args.unit.iter().map(UnitId::to_string).collect();
    let who = match units.as_slice() {
        [] => "every unit id".to_owned(),
        [one] => format!("unit {one}"),
        [all @ .., last] => format!("units {} and {last}, each on its own", all.join(", ")),
    };
    let what = match (map, &args.map, args.preset) {
        (Some(map), Some(path), _) => {
            format!("{} of {}", counted(map.entries().len() as u64, "point"), path.display())
        }
        (.., Preset::Full) => "all addresses, zeros".to_owned(),
        (.., Preset::Bench) => "all addresses, the pattern in the holding registers".to_owned(),
    };
    let faults = if args.fault.is_some() { ", with faults" } else { "" };
    format!("serving {who}: {what}{faults}")
}

fn options(args: &Args, log: &Arc<Log>, requests: &Arc<AtomicU64>) -> Options {
    let (log, requests) = (Arc::clone(log), Arc::clone(requests));
    let mut options = Options::default();
    options.connections = args.connections;
    options.per_peer = args.per_peer.unwrap_or(options.per_peer);
    options.limits.idle = args.idle;
    options.allowed.clone_from(&args.allow);
    options.observer = Some(observer(log, requests));
    options
}

/// Shows clients that come and go, a line each, and counts what they asked.
pub(super) fn observer(log: Arc<Log>, requests: Arc<AtomicU64>) -> Observer {
    observer_of(String::new, log, requests)
}

/// The same of one of several places: each line begins with `place`.
pub(super) fn observer_of(
    place: impl Fn() -> String + Send + Sync + 'static,
    log: Arc<Log>,
    requests: Arc<AtomicU64>,
) -> Observer {
    Arc::new(move |event: &Event| {
        let place = place();
        match event {
            Event::Opened { peer, identity: None } => {
                log.line(format_args!("{place}client {peer} connected"));
            }
            Event::Opened { peer, identity: Some(identity) } => {
                let fingerprint = hex(&identity.fingerprint);
                log.line(format_args!("{place}client {peer} connected: {identity}, sha256 {fingerprint}"));
            }
            Event::Notice(notice) => log.line(format_args!("{place}warning: {notice}")),
            Event::Refused { peer, why } => log.line(format_args!("{place}client {peer} refused: {why}")),
            Event::Closed { peer, why, requests: count } => {
                requests.fetch_add(*count, Relaxed);
                log.line(format_args!("{place}client {peer} {why}, {}", counted(*count, "request")));
            }
            Event::PortBack => log.line(format_args!("{place}the serial port is back")),
            Event::Ended { error, requests: count } => {
                requests.fetch_add(*count, Relaxed);
                if let Some(error) = error {
                    let count = counted(*count, "request");
                    log.line(format_args!(
                        "{place}the serial port is lost ({error}), {count}; it is tried again"
                    ));
                }
            }
        }
    })
}

/// Serves at every place with one and the same service, until Ctrl-C.
async fn run_all<S: Service + Clone>(
    servers: Vec<Bound>,
    service: S,
    faults: Option<(Faults, u64)>,
) -> Result<(), Failure> {
    let stops: Vec<Stop> = servers.iter().map(|(server, _)| server.stop_handle()).collect();
    let mut running = JoinSet::new();
    for bound in servers {
        let service = service.clone();
        match faults.clone() {
            None => run_one(&mut running, bound, service),
            Some((faults, seed)) => run_one(&mut running, bound, Faulty::new(service, faults, seed)),
        };
    }
    tokio::spawn(async move {
        signal::stop_asked().await;
        stops.iter().for_each(Stop::stop);
    });
    while let Some(ended) = running.join_next().await {
        if let Ok(Err(error)) = ended {
            return Err(Failure::other(format!("the server ended: {error}")));
        }
    }
    Ok(())
}

fn run_one<S: Service>(running: &mut JoinSet<io::Result<()>>, (server, recorded): Bound, service: S) {
    match recorded {
        None => running.spawn(server.run(service)),
        Some(recorded) => running.spawn(server.run(recorded.service(service))),
    };
}

/// Where Modbus is at home, and where everybody may listen.
const HOME: &str = "tcp://127.0.0.1:502";
const PERMITTED: &str = "tcp://127.0.0.1:1502";

/// Why nothing listens there, and what to try.
pub(super) fn cannot_listen(target: &Target, error: &io::Error) -> Failure {
    // What happened to a serial port comes with what to try.
    let hint = match error.kind() {
        _ if target.serial().is_some() => "",
        io::ErrorKind::AddrInUse => "; another program listens there: choose another port, or 0",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: try 1502",
        io::ErrorKind::AddrNotAvailable => "; that is no address of this machine: try 0.0.0.0 or 127.0.0.1",
        // The certificates; what to try is said already.
        io::ErrorKind::InvalidInput if target.link() == Link::Tls => {
            return Failure::usage(error.to_string());
        }
        _ => "",
    };
    Failure::other(format!("cannot listen on {target}: {error}{hint}"))
}

/// Listens at `target`, or says what to try.
fn bind(target: &Target, options: &Options) -> Result<Server, Failure> {
    Server::bind(target, options.clone()).map_err(|error| cannot_listen(target, &error))
}

fn bind_all(listen: &[Target], options: &Options) -> Result<Vec<Server>, Failure> {
    let bind = |target: &Target| bind(target, options);
    if !listen.is_empty() {
        return listen.iter().map(bind).collect();
    }
    let target = |text: &str| text.parse::<Target>().map_err(|error| Failure::other(error.to_string()));
    let home = match Server::bind(&target(HOME)?, options.clone()) {
        Ok(server) => return Ok(vec![server]),
        Err(error) => format!("{HOME}: {error}"),
    };
    let server = bind(&target(PERMITTED)?).map_err(|mut failure| {
        failure.message.push_str(&format!("; nor on {home}; say where with --listen"));
        failure
    })?;
    super::eprintln_quietly(&format!("port502: not on {home}; listening on port 1502 instead"));
    Ok(vec![server])
}

/// A service whose file writes and diagnostics are shown: they change the device, and are no write to a table.
#[derive(Clone)]
struct Shown<S> {
    service: S,
    log: Arc<Log>,
}

impl<S: Service> Service for Shown<S> {
    // Always: it stands between the connection and the device for every request.
    #[inline(always)]
    fn call(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        match frame.pdu {
            [8 | 21, ..] => self.call_and_show(cx, frame, out),
            _ => self.service.call(cx, frame, out),
        }
    }

    fn serves(&self, unit: UnitId) -> bool {
        self.service.serves(unit)
    }

    fn broadcast(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        let outcome = self.service.broadcast(cx, frame, out);
        if let [8 | 21, ..] = frame.pdu {
            show_request(cx, frame, &self.log);
        }
        outcome
    }

    fn overheard(&self, event: LineEvent) {
        self.service.overheard(event);
    }
}

impl<S: Service> Shown<S> {
    #[cold]
    #[inline(never)]
    fn call_and_show(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        let outcome = self.service.call(cx, frame, out);
        if let Outcome::Now(Reply::Response { .. } | Reply::Silence) = outcome {
            show_request(cx, frame, &self.log);
        }
        outcome
    }
}

/// Who asked. On a serial line a client has no address.
fn name(peer: Option<SocketAddr>) -> String {
    peer.map_or_else(|| "serial".to_owned(), |peer| peer.to_string())
}

fn show_request(cx: &Context<'_>, frame: &Frame<'_>, log: &Log) {
    let peer = name(cx.peer);
    let unit = frame.unit;
    match Request::parse(frame.pdu) {
        Ok(Request::WriteFileRecord { records }) => {
            for run in records.iter() {
                let (file, record, count) = (run.file, run.record, run.registers.len() as u64);
                let count = counted(count, "register");
                log.line(format_args!("write {peer} unit {unit} FC21 file {file} record {record}: {count}"));
            }
        }
        Ok(Request::Diagnostics {
            sub_function:
                sub @ (SubFunction::RESTART_COMMUNICATIONS
                | SubFunction::FORCE_LISTEN_ONLY
                | SubFunction::CLEAR_COUNTERS),
            ..
        }) => log.line(format_args!("diagnostics {peer} unit {unit} FC8/{} {}", sub.0, sub.name())),
        _ => {}
    }
}

async fn show_changes(mut changes: broadcast::Receiver<Change>, log: Arc<Log>) {
    loop {
        match changes.recv().await {
            Ok(change) => show_change(&change, &log),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                log.line(format_args!("{} came too fast to be shown", counted(missed, "write")));
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Values shown of one write; the rest is counted.
const SHOWN_MAX: usize = 16;

fn show_change(change: &Change, log: &Log) {
    let (Some(unit), Some(function)) = (change.unit, change.function) else { return };
    let peer = name(change.peer);
    let values: Vec<u16> = match &change.values {
        Values::Bits(bits) => bits.iter().copied().map(u16::from).collect(),
        Values::Registers(registers) => registers.clone(),
    };
    let mut text: Vec<String> = values.iter().take(SHOWN_MAX).map(u16::to_string).collect();
    if values.len() > SHOWN_MAX {
        text.push(format!("... {} in all", values.len()));
    }
    let (table, start) = (change.table, change.start);
    let reference = point::reference(table, start);
    let (code, text) = (function.0, text.join(" "));
    log.line(format_args!("write {peer} unit {unit} FC{code} {table}:{start} ({reference}) = {text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_becomes_a_device_with_these_addresses_and_no_others() {
        let csv =
            "table,address,type,value,access\nholding,10,f32,2.5,rw\nholding,12,u16,7,ro\ncoil,3,bool,1,rw\n";
        let map = RegisterMap::parse(csv).unwrap();
        let device = device(Preset::Full, Some(&map));
        assert_eq!(device.register(Table::HoldingRegisters, 10), Some(0x4020));
        assert_eq!(device.register(Table::HoldingRegisters, 12), Some(7));
        assert_eq!(device.register(Table::HoldingRegisters, 13), None);
        assert_eq!(device.bit(Table::Coils, 3), Some(true));
    }

    #[test]
    fn the_bench_preset_holds_the_pattern() {
        let device = device(Preset::Bench, None);
        assert_eq!(device.register(Table::HoldingRegisters, 0), Some(0xA5C3));
        assert_eq!(device.register(Table::HoldingRegisters, 0xFFFF), Some(0x5A3C));
    }
}
