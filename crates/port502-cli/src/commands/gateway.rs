//! `port502 gateway`: between two networks, with one connection to each device or bus.

mod config;
mod metrics;

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use port502_net::Target;
use port502_net::gateway::{Gateway, Lane, LaneEvent, LaneOptions, Routes};
use port502_net::server::{Authorized, Options, Prepared, Reload, Server, Stop};
use port502_session::duration;
use port502_session::target::{Carrier, Framing};
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::log::Log;
use crate::output::counted;
use crate::signal;
use crate::work::{Work, done, work};
use config::{Link, Listen, Plan, To};

/// Share one connection to a device or bus among many clients
///
/// What stands behind it is named by --to, or in a file with many links. Clients take turns, identical reads are
/// asked once, and a unit that does not answer is left alone for a while: it costs the others nothing. SIGHUP
/// reads the file, certificates and rights again, without dropping a client.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A file that says all of it (docs/gateway.md), instead of arguments.
    #[arg(value_name = "FILE", conflicts_with_all = ["to", "listen"])]
    file: Option<PathBuf>,
    /// Where clients connect; more than once for several places. Port 0 lets the system choose. [default:
    /// tcp://127.0.0.1:502]
    #[arg(long, value_name = "URL")]
    listen: Vec<Target>,
    /// Where requests go, and which units are there: URL, or UNITS=URL as 1-31=rtu:///dev/ttyUSB0. More than once
    /// for several links.
    #[arg(long, value_name = "[UNITS=]URL", required_unless_present = "file")]
    to: Vec<To>,
    /// Clients call it CLIENT, on its link it is DEVICE: 1=17. More than once for several units.
    #[arg(long, value_name = "CLIENT=DEVICE", value_parser = config::map, conflicts_with = "file")]
    map: Vec<(u8, u8)>,
    /// How long a device may take to answer.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = config::positive, conflicts_with = "file")]
    timeout: Duration,
    /// Silence between an answer and the next request.
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = super::duration, conflicts_with = "file")]
    gap: Duration,
    /// Silence behind a connect.
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = super::duration, conflicts_with = "file")]
    connect_delay: Duration,
    /// Requests on a link at once, up to 256. Many devices can only do one.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = config::in_flight, conflicts_with = "file")]
    in_flight: usize,
    /// The most registers that a device lets one request read: larger reads are asked in pieces.
    #[arg(long, value_name = "N", value_parser = config::max_registers, conflicts_with = "file")]
    max_registers: Option<u16>,
    /// Answer reads again from answers that are no older than this. [default: never]
    #[arg(long, value_name = "DURATION", value_parser = config::positive, conflicts_with = "file")]
    max_age: Option<Duration>,
    /// The devices do not echo transaction ids: take answers in the order of requests.
    #[arg(long, conflicts_with = "file")]
    ignores_transaction: bool,
    /// Ask each read for itself, though others ask the same.
    #[arg(long, conflicts_with = "file")]
    no_coalesce: bool,
    /// Serve counters for Prometheus at http://ADDRESS/metrics.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "file")]
    metrics: Option<SocketAddr>,
    /// Connections at once; one more closes the one that has been idle for longest.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = super::serve::connections, conflicts_with = "file")]
    connections: usize,
    /// Networks that clients may come from, as 10.20.0.0/24; more than once for several. [default: all]
    #[arg(long, value_name = "NETWORK", value_parser = super::serve::network, conflicts_with = "file")]
    allow: Vec<ipnet::IpNet>,
    /// What clients of tls:// may do, by the roles of their certificates, as CSV: role,access and optionally
    /// unit,function,table,address.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    rights: Option<PathBuf>,
    /// Close connections that have been silent for so long.
    #[arg(long, value_name = "DURATION", default_value = "300s", value_parser = super::serve::idle, conflicts_with = "file")]
    idle: Duration,
    /// Show nothing but where it listens.
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let plan = plan(args)?;
    let cannot = |error: io::Error| Failure::other(format!("cannot start: {error}"));
    // A runtime with timers looks at the clock for each request. Timeouts are kept by another, in a thread that
    // sleeps; it also works on lines, which need timers, and on metrics, which must not hold anybody up.
    let keeper = Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let timekeeper = keeper.handle().clone();
    std::thread::spawn(move || keeper.block_on(std::future::pending::<()>()));
    let runtime = Builder::new_current_thread().enable_io().build();
    runtime.map_err(cannot)?.block_on(serve(args, plan, timekeeper))
}

fn plan(args: &Args) -> Result<Plan, Failure> {
    match &args.file {
        Some(path) => config::read(path),
        None => config::of(args),
    }
}

/// What a gateway that works is waiting for.
enum Asked {
    /// To read its file again.
    Reload,
    /// It has been read.
    Read(Result<Plan, Failure>),
    /// A server has ended.
    Ended(Option<Option<io::Error>>),
}

async fn serve(args: &Args, plan: Plan, timekeeper: Handle) -> Result<(), Failure> {
    let log = Arc::new(Log::start(args.quiet));
    let (ended, mut ends) = mpsc::channel(1);
    let mut running = Running {
        gateway: Gateway::new(Routes::new()),
        authorized: None,
        lanes: Vec::new(),
        places: Vec::new(),
        listen: plan.listen.clone(),
        metrics: None,
        log: Arc::clone(&log),
        requests: Arc::new(AtomicU64::new(0)),
        timekeeper,
        ended,
    };
    let told = running.apply(&plan)?;
    introduce(&told, &running, args.quiet)?;
    let mut reload = signal::Reload::new();
    let mut stop = signal::Interrupt::new();
    let (mut reading, mut once_more) = (None, false);
    let end = loop {
        let asked = stop
            .or(async {
                tokio::select! {
                    () = reload.asked() => Asked::Reload,
                    read = done(&mut reading) => Asked::Read(read),
                    end = ends.recv() => Asked::Ended(end),
                }
            })
            .await;
        match asked {
            None => {
                // Whoever asks a second time is not kept waiting.
                running.timekeeper.spawn(signal::end_at_once_when_asked());
                break None;
            }
            // One that was asked to end has no error.
            Some(Asked::Ended(Some(None))) => {}
            Some(Asked::Ended(end)) => break end.flatten(),
            Some(Asked::Reload) if reading.is_some() => {
                once_more = true;
                log.line(format_args!("the file is still being read; it is read once more after that"));
            }
            Some(Asked::Reload) => reading = running.reload(args),
            Some(Asked::Read(plan)) => {
                running.reloaded(args, plan);
                if std::mem::take(&mut once_more) {
                    reading = running.reload(args);
                }
            }
        }
    };
    running.stop(&mut ends).await;
    let last = if args.quiet { Vec::new() } else { running.summary() };
    log.end(&last, end.map_or(Ok(()), |error| Err(Failure::other(format!("the server ended: {error}")))))
}

/// Where it listens, and then where requests go.
fn introduce(told: &[String], running: &Running, quiet: bool) -> Result<(), Failure> {
    let mut text = told.join("\n") + "\n";
    if !quiet {
        for Leads { link, .. } in &running.lanes {
            text.push_str(&format!("{} leads to {}\n", link.name, link.target));
        }
    }
    // At once: a script that has read its line may close the pipe, which does not end a server.
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A link at work.
struct Leads {
    link: Link,
    lane: Lane,
}

/// A place where clients connect.
struct Place {
    asked: Target,
    /// The same with the port that the system chose.
    local: Target,
    stop: Stop,
    /// For its certificates.
    reload: Option<Reload>,
}

impl Place {
    /// Whether it is this place that keeps the gateway from listening at `target`.
    fn is_in_the_way(&self, target: &Target, error: io::ErrorKind) -> bool {
        let (ours, theirs) = (&self.local, target);
        if ours.serial().is_some() || theirs.serial().is_some() {
            return ours.serial().is_some() && theirs.serial().is_some() && ours.host() == theirs.host();
        }
        let all = |target: &Target| target.host().parse::<IpAddr>().is_ok_and(|host| host.is_unspecified());
        let datagrams = |target: &Target| target.link().carrier() == Carrier::Udp;
        error == io::ErrorKind::AddrInUse
            && (ours.port(), datagrams(ours)) == (theirs.port(), datagrams(theirs))
            && (all(ours) || all(theirs) || ours.host() == theirs.host())
    }
}

/// The gateway as it runs.
struct Running {
    gateway: Gateway,
    /// The same for those who may, where somebody says who may.
    authorized: Option<Authorized<Gateway>>,
    lanes: Vec<Leads>,
    places: Vec<Place>,
    listen: Listen,
    metrics: Option<metrics::Metrics>,
    log: Arc<Log>,
    requests: Arc<AtomicU64>,
    timekeeper: Handle,
    /// Told when a server has ended.
    ended: mpsc::Sender<Option<io::Error>>,
}

impl Running {
    /// Makes everything as `plan` says, or leaves everything as it is. Where it listens then.
    fn apply(&mut self, plan: &Plan) -> Result<Vec<String>, Failure> {
        if plan.listen.limits() != self.listen.limits() {
            let what = "connections, per_peer, idle and allow";
            return Err(Failure::usage(format!("{what} hold from the start: start anew to change them")));
        }
        let rights = super::serve::rights(plan.listen.rights.as_deref(), &plan.listen.places)?;
        if !self.places.is_empty() && rights.is_some() != self.authorized.is_some() {
            let message = "whether there are rights holds from the start: start anew to change that";
            return Err(Failure::usage(message.to_owned()));
        }
        let mut servers = Vec::new();
        for target in &plan.listen.places {
            if !self.places.iter().any(|place| place.asked == *target) {
                servers.push((target.clone(), self.bind(target, &plan.listen)?));
            }
        }
        let metrics = match (&self.metrics, plan.metrics) {
            (Some(metrics), Some(address)) if metrics.server.asked == address => None,
            (_, Some(address)) => Some(metrics::Metrics::start(address, &self.timekeeper)?),
            (_, None) => None,
        };
        let mut lanes = Vec::new();
        for link in &plan.links {
            let lane = match self.lanes.iter().find(|leads| leads.link.is_same(link)) {
                Some(leads) => leads.lane.clone(),
                None => self.lane(link, plan)?,
            };
            lanes.push(Leads { link: link.clone(), lane });
        }
        let staying = self.places.iter().filter(|place| plan.listen.places.contains(&place.asked));
        let certificates = staying.filter_map(|place| place.reload.as_ref()).map(Reload::prepare);
        let certificates = certificates.collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| Failure::other(error.to_string()))?;
        // From here on nothing fails.
        certificates.into_iter().for_each(Prepared::install);
        match (rights, &self.authorized) {
            (Some(rights), Some(authorized)) => authorized.replace(rights),
            (rights, _) => {
                let authorized = |rights| super::serve::authorized(self.gateway.clone(), rights, &self.log);
                self.authorized = rights.map(authorized);
            }
        }
        let mut routes = Routes::new();
        for leads in &lanes {
            leads.lane.reconfigure(self.lane_options(&leads.link));
        }
        for route in &plan.routes {
            if let Some(leads) = lanes.get(route.link) {
                routes = routes.with(route.client.into(), &leads.lane, route.device.into());
            }
        }
        if let Some(leads) = plan.rest.and_then(|rest| lanes.get(rest)) {
            routes = routes.with_rest(&leads.lane);
        }
        self.gateway.reroute(routes);
        let old = std::mem::replace(&mut self.lanes, lanes);
        // A client that asks nothing would keep them, and the port or the only connection with them.
        for leads in old.iter().filter(|old| !self.lanes.iter().any(|leads| leads.lane.is(&old.lane))) {
            leads.lane.close();
        }
        if plan.metrics.is_none() || metrics.is_some() {
            self.metrics = metrics;
        }
        if let Some(metrics) = &self.metrics {
            let lanes = self.lanes.iter().map(|leads| (leads.link.name.clone(), leads.lane.clone()));
            metrics.show(&self.gateway, lanes.collect());
        }
        let mut told = Vec::new();
        for (asked, server) in servers {
            told.push(format!("listening on {}", server.target()));
            self.run_server(asked, server);
        }
        if let Some(metrics) = &self.metrics {
            told.push(format!("metrics on http://{}/metrics", metrics.server.local));
        }
        self.places.retain(|place| {
            let stays = plan.listen.places.contains(&place.asked);
            if !stays {
                self.log.line(format_args!("listening on {} no more", place.asked));
                place.stop.stop();
            }
            stays
        });
        Ok(told)
    }

    /// A new lane. Where one stands in the way that `plan` drops, it waits until that has ended.
    fn lane(&self, link: &Link, plan: &Plan) -> Result<Lane, Failure> {
        let stays = |leads: &Leads| plan.links.iter().any(|link| leads.link.is_same(link));
        let in_the_way = |leads: &&Leads| leads.link.is_at(link) && !stays(leads);
        let old = self.lanes.iter().filter(in_the_way).map(|leads| leads.lane.clone()).collect();
        Lane::new_after(&*link.name, link.target.clone(), self.lane_options(link), old)
            .map_err(|error| Failure::usage(format!("link {}: {error}", link.name)))
    }

    fn bind(&self, target: &Target, listen: &Listen) -> Result<Server, Failure> {
        let (log, requests) = (Arc::clone(&self.log), Arc::clone(&self.requests));
        let mut options = Options::default();
        options.connections = listen.connections;
        options.per_peer = listen.per_peer;
        options.limits.idle = listen.idle;
        options.allowed.clone_from(&listen.allow);
        options.timekeeper = Some(self.timekeeper.clone());
        options.observer = Some(super::serve::observer(log, requests));
        Server::bind(target, options).map_err(|error| {
            let own = self.places.iter().find(|place| place.is_in_the_way(target, error.kind()));
            match own {
                Some(place) => Failure::other(format!(
                    "cannot listen on {target}: this gateway itself listens on {}; start anew to \
                     change that",
                    place.local
                )),
                None => super::serve::cannot_listen(target, &error),
            }
        })
    }

    fn run_server(&mut self, asked: Target, server: Server) {
        let (ended, stop, reload) = (self.ended.clone(), server.stop_handle(), server.reload_handle());
        let (gateway, authorized) = (self.gateway.clone(), self.authorized.clone());
        let link = asked.link();
        let streams =
            link.framing() == Framing::Mbap && matches!(link.carrier(), Carrier::Tcp | Carrier::Tls);
        self.places.push(Place { asked, local: server.target().clone(), stop, reload });
        let work = async move {
            let result = match authorized {
                Some(authorized) => server.run(authorized).await,
                None => server.run(gateway).await,
            };
            // Nobody listens any more when the gateway stops.
            let _ = ended.send(result.err()).await;
        };
        // Lines need timers.
        if streams {
            tokio::spawn(work);
        } else {
            self.timekeeper.spawn(work);
        }
    }

    fn lane_options(&self, link: &Link) -> LaneOptions {
        let (log, name) = (Arc::clone(&self.log), link.name.clone());
        let mut options = link.options.clone();
        options.timekeeper = Some(self.timekeeper.clone());
        options.observer = Some(Arc::new(move |event: &LaneEvent<'_>| match *event {
            LaneEvent::Connected => log.line(format_args!("{name} connected")),
            LaneEvent::Disconnected { error } => {
                log.line(format_args!("{name} lost its connection: {error}"))
            }
            LaneEvent::Unreachable { error, pause } => {
                let pause = duration::display(whole_millis(pause));
                log.line(format_args!("{name}: {error}; tried again in {pause}"));
            }
            LaneEvent::UnitDead { unit, pause } => {
                let pause = duration::display(pause);
                log.line(format_args!("{name} unit {unit} does not answer: left alone for {pause}"));
            }
            LaneEvent::UnitBack { unit } => log.line(format_args!("{name} unit {unit} answers again")),
            _ => {}
        }));
        options
    }

    fn is_secured(&self) -> bool {
        self.authorized.is_some() || self.places.iter().any(|place| place.reload.is_some())
    }

    /// Begins to read the file again, in a thread that may wait for it.
    fn reload(&mut self, args: &Args) -> Option<Work<Plan>> {
        let Some(path) = args.file.clone() else {
            if self.is_secured() {
                self.reloaded(args, config::of(args));
            } else {
                self.log.line(format_args!("nothing to read again: there is no file, only arguments"));
            }
            return None;
        };
        Some(work(move || config::read(&path)))
    }

    /// Takes what was read again. What is wrong with it is told, and everything stays as it was.
    fn reloaded(&mut self, args: &Args, plan: Result<Plan, Failure>) {
        let secured = self.is_secured();
        let applied = plan.and_then(|plan| self.apply(&plan));
        match applied {
            Ok(told) => {
                told.iter().for_each(|line| self.log.line(format_args!("{line}")));
                let what = match (args.file.is_some(), secured) {
                    (true, false) => "the file was read again",
                    (true, true) => "the file, certificates and rights were read again",
                    (false, _) => "certificates and rights were read again",
                };
                self.log.line(format_args!("{what}"));
            }
            Err(failure) => {
                self.log.failure(&failure);
                self.log.line(format_args!("that is wrong; everything stays as it was"));
            }
        }
    }

    /// Answers what has arrived, and ends.
    async fn stop(&mut self, ends: &mut mpsc::Receiver<Option<io::Error>>) {
        for place in self.places.drain(..) {
            place.stop.stop();
        }
        let (ended, _) = mpsc::channel(1);
        self.ended = ended; // what is left are the servers' own
        while ends.recv().await.is_some() {}
    }

    fn summary(&self) -> Vec<String> {
        let mut lines = vec![format!("passed on {}", counted(self.requests.load(Relaxed), "request"))];
        for Leads { link, lane } in &self.lanes {
            let status = lane.status();
            let sent = counted(status.sent, "request");
            let mut text = format!("{}: {sent} sent, {} answered", link.name, status.answered);
            for (count, what) in [
                (status.coalesced, "shared an answer"),
                (status.cached, "from the cache"),
                (status.timeouts, "without an answer"),
                (status.discarded, "late or unasked"),
                (status.refused.values().sum(), "refused"),
            ] {
                if count != 0 {
                    text.push_str(&format!(", {count} {what}"));
                }
            }
            lines.push(text);
        }
        lines
    }
}

fn whole_millis(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1))
}
