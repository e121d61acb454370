//! A guard at work: made as a plan says, and made otherwise when the plan changes.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use port502_guard::{Clock, Conduit, Options, Reach, Recorder, Status, Upstream};
use port502_inspect::WeekMinute;
use port502_net::gateway::{Lane, LaneEvent, LaneOptions};
use port502_net::server::{self, Server, Stop};
use port502_net::{Dialler, Link, Target};
use port502_session::duration;
use port502_site::Site;
use port502_site::proposal::proposal;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::callers::{Callers, Counts};
use super::files;
use super::plan::{ConduitPlan, Enforces, Plan, To};
use crate::failure::Failure;
use crate::log::Log;
use crate::output::counted;

/// What a guard runs with, whatever its plan.
pub(crate) struct Setup {
    pub(crate) log: Arc<Log>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) timekeeper: Handle,
    /// At each place where it listens.
    pub(crate) connections: usize,
    pub(crate) idle: Duration,
}

/// A conduit at work.
struct Standing {
    name: String,
    conduit: Arc<Conduit>,
    places: Vec<Place>,
    /// `to intake (tcp://10.20.1.11:502), a connection for each client`.
    leads: String,
    enforces: Enforces,
}

/// A place where clients connect.
#[derive(Clone)]
struct Place {
    /// The conduit's name, for those who tell of it.
    label: Label,
    asked: Target,
    local: Target,
    stop: Stop,
    reload: Option<server::Reload>,
    /// At most.
    connections: usize,
}

/// A name that may become another.
type Label = Arc<Mutex<String>>;

impl Place {
    /// Whether clients that come to `target` come here: what certificates it has there is another matter.
    fn is_at(&self, target: &Target) -> bool {
        let at = |target: &Target| (target.link(), target.host().to_owned(), target.port());
        at(&self.asked) == at(target)
    }
}

/// What has to be known of a guard at work to prepare another plan for it, on any thread.
pub(crate) struct Outlook {
    /// Of the conduits.
    names: Vec<String>,
    /// Each with the conduit's name.
    places: Vec<(String, Place)>,
    log: Arc<Log>,
    requests: Arc<AtomicU64>,
    callers: Arc<Callers>,
    timekeeper: Handle,
    connections: usize,
}

/// A plan, after all that may take time: its certificates are read, and its new places are bound.
pub(crate) struct Prepared {
    plan: Plan,
    /// What each of its conduits was called before, where it was there.
    before: Vec<Option<String>>,
    /// Places to listen that are new.
    servers: Vec<New>,
    certificates: Vec<server::Prepared>,
}

struct New {
    /// The conduit's name.
    name: String,
    label: Label,
    asked: Target,
    server: Server,
    connections: usize,
}

impl Outlook {
    /// Reads and binds whatever `plan` needs. Nothing of it holds yet.
    pub(crate) fn prepare(&self, plan: Plan) -> Result<Prepared, Failure> {
        let (mut fresh, mut certificates, mut need) = (Vec::new(), Vec::new(), files::Need::default());
        let before: Vec<Option<String>> =
            plan.conduits.iter().map(|conduit| self.before(conduit, &plan)).collect();
        for (conduit, before) in plan.conduits.iter().zip(&before) {
            let own = !conduit.to.shared;
            for target in &conduit.listen {
                // A place that a conduit has now stays where it is, and only what is behind it changes.
                let known =
                    |(name, place): &&(String, Place)| Some(name) == before.as_ref() && place.is_at(target);
                match self.places.iter().find(known) {
                    Some((_, place)) => {
                        need.stays(place.connections, own);
                        let certificate = place.reload.as_ref().map(|reload| reload.prepare_as(target));
                        let certificate = certificate.transpose();
                        certificates.extend(certificate.map_err(|error| Failure::other(error.to_string()))?);
                    }
                    None => {
                        need.comes(own, target.link() == Link::Tls);
                        fresh.push((conduit.name.clone(), target.clone()));
                    }
                }
            }
        }
        let (connections, too_few) = need.connections(self.connections);
        let mut servers = Vec::new();
        for (name, asked) in fresh {
            let label = Label::new(Mutex::new(name.clone()));
            let server = self.bind(&asked, &label, connections)?;
            servers.push(New { name, label, asked, server, connections });
        }
        if let Some(too_few) = too_few {
            self.log.error(format_args!("{too_few}"));
        }
        Ok(Prepared { plan, before, servers, certificates })
    }

    /// What a conduit of another plan is called now: the same, or, where only its name changed, what is called otherwise
    /// at one of its places.
    fn before(&self, conduit: &ConduitPlan, plan: &Plan) -> Option<String> {
        let goes = |name: &str| !plan.conduits.iter().any(|conduit| conduit.name == name);
        let same = self.names.iter().find(|name| **name == conduit.name);
        let renamed = || {
            let is_it = |(name, place): &&(String, Place)| {
                goes(name) && conduit.listen.iter().any(|target| place.is_at(target))
            };
            self.places.iter().find(is_it).map(|(name, _)| name)
        };
        same.or_else(renamed).cloned()
    }

    fn bind(&self, target: &Target, label: &Label, connections: usize) -> Result<Server, Failure> {
        let mut options = server::Options::default();
        options.connections = connections;
        // One address alone must not keep all others out, whatever its connections wait for.
        options.per_peer = (options.connections / 4 * 3).max(1);
        options.timekeeper = Some(self.timekeeper.clone());
        let log = Arc::clone(&self.log);
        let label = Arc::clone(label);
        let name = {
            let label = Arc::clone(&label);
            move || locked(&label).clone()
        };
        let place = move || format!("{}: ", locked(&label));
        let requests = || Arc::clone(&self.requests);
        let tells = super::super::serve::observer_of(place, log, requests());
        options.observer = Some(self.callers.observer(name, requests(), tells));
        Server::bind(target, options).map_err(|error| {
            match self.places.iter().find(|(_, place)| place.local.port() == target.port()) {
                Some((name, own)) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    let (target, own) = (shown(target), shown(&own.local));
                    Failure::other(format!(
                        "cannot listen on {target}: this guard itself listens on {own}, for {name}; start anew to \
                         change that"
                    ))
                }
                _ => super::super::serve::cannot_listen(target, &error),
            }
        })
    }
}

/// The conduits, for those who look now and then.
#[derive(Default)]
struct Shown {
    conduits: Vec<(String, Enforces, Arc<Conduit>)>,
    /// They are no part of the site any more, and have clients yet.
    going: Vec<Arc<Conduit>>,
}

impl Shown {
    fn tell_counted(&mut self) {
        self.conduits.iter().for_each(|(.., conduit)| conduit.tell_counted());
        self.going.retain(|conduit| {
            let stays = conduit.status().clients != 0;
            if stays {
                conduit.tell_counted()
            } else {
                conduit.finish()
            }
            stays
        });
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is done under these locks can panic halfway through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A guard as it runs.
pub(crate) struct Running {
    setup: Setup,
    clock: Arc<Clock>,
    zone: Arc<Mutex<TimeZone>>,
    standing: Vec<Standing>,
    site: Option<Arc<Site>>,
    /// Shared links, by where they lead.
    lanes: BTreeMap<String, Lane>,
    shown: Arc<Mutex<Shown>>,
    callers: Arc<Callers>,
    requests: Arc<AtomicU64>,
    ends: mpsc::Receiver<Failure>,
    ended: mpsc::Sender<Failure>,
    housekeeping: tokio::task::AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.housekeeping.abort();
    }
}

impl Running {
    pub(crate) fn new(setup: Setup) -> Self {
        let (ended, ends) = mpsc::channel(1);
        let clock = Arc::new(Clock::new(WeekMinute::default()));
        let zone = Arc::new(Mutex::new(TimeZone::UTC));
        let shown = Arc::<Mutex<Shown>>::default();
        let callers = Arc::<Callers>::default();
        let work = {
            let (clock, zone, shown) = (Arc::clone(&clock), Arc::clone(&zone), Arc::clone(&shown));
            let (callers, log) = (Arc::clone(&callers), Arc::clone(&setup.log));
            async move {
                let mut tick = tokio::time::interval(Duration::from_secs(1));
                loop {
                    tick.tick().await;
                    clock.set_week(Plan::week(&locked(&zone)));
                    locked(&shown).tell_counted();
                    callers.tell(&log);
                }
            }
        };
        let housekeeping = setup.timekeeper.spawn(work).abort_handle();
        Running {
            setup,
            clock,
            zone,
            standing: Vec::new(),
            site: None,
            lanes: BTreeMap::new(),
            shown,
            callers,
            requests: Arc::default(),
            ends,
            ended,
            housekeeping,
        }
    }

    /// What another plan has to be prepared with.
    pub(crate) fn outlook(&self) -> Outlook {
        let places = self
            .standing
            .iter()
            .flat_map(|standing| standing.places.iter().map(|place| (standing.name.clone(), place.clone())));
        Outlook {
            names: self.standing.iter().map(|standing| standing.name.clone()).collect(),
            places: places.collect(),
            log: Arc::clone(&self.setup.log),
            requests: Arc::clone(&self.requests),
            callers: Arc::clone(&self.callers),
            timekeeper: self.setup.timekeeper.clone(),
            connections: self.setup.connections,
        }
    }

    /// Makes everything as a plan says, or leaves everything as it is. Where it listens then.
    pub(crate) fn apply(&mut self, prepared: Prepared) -> Result<Vec<String>, Failure> {
        let Prepared { plan, before, servers, certificates } = prepared;
        let (mut lanes, mut upstreams) = (BTreeMap::new(), Vec::new());
        for conduit in &plan.conduits {
            upstreams.push(self.upstream(&conduit.to, &plan, &mut lanes)?);
        }
        // From here on nothing fails.
        certificates.into_iter().for_each(server::Prepared::install);
        self.site = Some(Arc::clone(&plan.site));
        *locked(&self.zone) = plan.zone.clone();
        self.clock.set_week(Plan::week(&plan.zone));
        let mut old = std::mem::take(&mut self.standing);
        let mut told = Vec::new();
        for ((conduit, upstream), before) in plan.conduits.iter().zip(upstreams).zip(before) {
            let known = old.iter().position(|standing| Some(&standing.name) == before.as_ref());
            let standing = match known.map(|at| old.swap_remove(at)) {
                Some(standing) => {
                    if let Upstream::Shared(lane) = &upstream {
                        lane.reconfigure(self.lane_options(&conduit.to));
                    }
                    standing.conduit.replace(Arc::clone(&conduit.engine));
                    standing.conduit.reroute(upstream);
                    standing.conduit.set_patience(conduit.to.options.timeout);
                    for place in &standing.places {
                        locked(&place.label).clone_from(&conduit.name);
                    }
                    if standing.name != conduit.name {
                        self.callers.rename(&standing.name, &conduit.name);
                        told.push(format!("{} is called {} now", standing.name, conduit.name));
                    }
                    if standing.enforces != conduit.enforces {
                        told.push(format!("{}: {}", conduit.name, conduit.enforces));
                    }
                    Standing {
                        name: conduit.name.clone(),
                        leads: conduit.leads(),
                        enforces: conduit.enforces,
                        ..standing
                    }
                }
                None => self.stand(conduit, upstream),
            };
            self.standing.push(standing);
        }
        for standing in old {
            standing.places.iter().for_each(|place| place.stop.stop());
            self.setup.log.line(format_args!("{} guards no more", standing.name));
            // Its clients are answered yet, and what they are refused is recorded.
            locked(&self.shown).going.push(standing.conduit);
        }
        for new in servers {
            told.push(format!("listening on {}", shown(new.server.target())));
            self.run(new);
        }
        for (standing, conduit) in self.standing.iter_mut().zip(&plan.conduits) {
            standing.places.retain_mut(|place| {
                let stays = conduit.listen.iter().find(|target| place.is_at(target));
                if let Some(target) = stays {
                    place.asked = target.clone();
                } else {
                    self.setup.log.line(format_args!("listening on {} no more", shown(&place.asked)));
                    place.stop.stop();
                }
                stays.is_some()
            });
        }
        for (at, lane) in std::mem::replace(&mut self.lanes, lanes) {
            if !self.lanes.contains_key(&at) {
                lane.close();
            }
        }
        let conduits = self.standing.iter().map(|it| (it.name.clone(), it.enforces, Arc::clone(&it.conduit)));
        locked(&self.shown).conduits = conduits.collect();
        self.callers.retain(|name| self.standing.iter().any(|standing| standing.name == name));
        Ok(told)
    }

    /// The way to a device. Conduits to the same link share it.
    fn upstream(
        &self,
        to: &To,
        plan: &Plan,
        lanes: &mut BTreeMap<String, Lane>,
    ) -> Result<Upstream, Failure> {
        if !to.shared
            && let Some(dialler) = Dialler::new(
                to.target.clone(),
                to.options.connect_timeout,
                Some(self.setup.timekeeper.clone()),
            )
        {
            return Ok(Upstream::Own(dialler));
        }
        let at = to.target.to_string();
        let lane = match lanes.get(&at).or_else(|| self.lanes.get(&at)) {
            Some(lane) => lane.clone(),
            None => {
                // One that goes may have the port that this one needs.
                let stays = |at: &str| plan.conduits.iter().any(|it| it.to.target.to_string() == at);
                let goes =
                    |(at, lane): &(&String, &Lane)| lane.target().host() == to.target.host() && !stays(at);
                let old = self.lanes.iter().filter(goes).map(|(_, lane)| lane.clone()).collect();
                Lane::new_after(&*to.name, to.target.clone(), self.lane_options(to), old)
                    .map_err(|error| Failure::usage(format!("{}: {error}", to.name)))?
            }
        };
        lanes.insert(at, lane.clone());
        Ok(Upstream::Shared(lane))
    }

    fn lane_options(&self, to: &To) -> LaneOptions {
        let (log, name) = (Arc::clone(&self.setup.log), to.name.clone());
        let mut options = to.options.clone();
        options.timekeeper = Some(self.setup.timekeeper.clone());
        options.observer = Some(Arc::new(move |event: &LaneEvent<'_>| match *event {
            LaneEvent::Connected => log.line(format_args!("{name} connected")),
            LaneEvent::Disconnected { error } => {
                log.line(format_args!("{name} lost its connection: {error}"));
            }
            LaneEvent::Unreachable { error, pause } => {
                let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).max(1);
                let pause = duration::display(Duration::from_millis(millis));
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

    fn stand(&self, plan: &ConduitPlan, upstream: Upstream) -> Standing {
        let options = Options { idle: self.setup.idle, ..Options::default() };
        let (clock, recorder) = (Arc::clone(&self.clock), Arc::clone(&self.setup.recorder));
        let (log, name) = (Arc::clone(&self.setup.log), plan.name.clone());
        let conduit = Conduit::new(Arc::clone(&plan.engine), upstream, options, clock, recorder);
        conduit.set_patience(plan.to.options.timeout);
        let conduit = conduit.observed_by(Arc::new(move |reach: &Reach<'_>| match reach {
            Reach::Lost { error } => {
                log.line(format_args!("{name}: {error}; its clients are closed until it is reached again"));
            }
            Reach::Back => log.line(format_args!("{name}: the device is reached again")),
        }));
        Standing {
            name: plan.name.clone(),
            conduit: Arc::new(conduit),
            places: Vec::new(),
            leads: plan.leads(),
            enforces: plan.enforces,
        }
    }

    fn run(&mut self, New { name, label, asked, server, connections }: New) {
        let Some(standing) = self.standing.iter_mut().find(|standing| standing.name == name) else { return };
        let (stop, reload) = (server.stop_handle(), server.reload_handle());
        let local = server.target().clone();
        standing.places.push(Place { label, asked, local: local.clone(), stop, reload, connections });
        let (conduit, ended) = (Arc::clone(&standing.conduit), self.ended.clone());
        tokio::spawn(async move {
            if let Err(error) = server.relay(conduit).await {
                // Nobody listens any more when the guard stops.
                let _ = ended.send(Failure::other(format!("{}: {error}", shown(&local)))).await;
            }
        });
    }

    /// Remembers from now on who asks for what.
    pub(crate) fn learn(&self) {
        self.standing.iter().for_each(|standing| standing.conduit.learn());
    }

    /// The rules that were learned, a section for each conduit; how many clients they are for.
    pub(crate) fn learned(&self) -> (String, usize) {
        let (mut text, mut clients) = (String::new(), 0);
        let Some(site) = &self.site else { return (text, clients) };
        let when = |then| self.clock.wall(then).to_string();
        for standing in &self.standing {
            let conduit = site.conduits().iter().find(|conduit| conduit.name == standing.name);
            if let (Some(conduit), Some(learned)) = (conduit, standing.conduit.stop_learning()) {
                clients += learned.clients().len();
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&proposal(&learned, site, conduit, &when));
            }
        }
        (text, clients)
    }

    pub(crate) fn timekeeper(&self) -> Handle {
        self.setup.timekeeper.clone()
    }

    /// Waits until a place to listen is lost.
    pub(crate) async fn ended(&mut self) -> Failure {
        match self.ends.recv().await {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Answers what has arrived, and ends. All that was counted is told then.
    pub(crate) async fn stop(&mut self) {
        let (ended, ends) = mpsc::channel(1);
        (self.ended, self.ends) = (ended, ends);
        for standing in &mut self.standing {
            standing.places.drain(..).for_each(|place| place.stop.stop());
        }
        // Each connection has an end of its own; what they say until then is counted.
        let going = std::mem::take(&mut locked(&self.shown).going);
        let conduits = || self.standing.iter().map(|standing| &standing.conduit).chain(&going);
        let gone = || conduits().all(|conduit| conduit.status().clients == 0);
        for _ in 0..100 {
            if gone() {
                break;
            }
            let _runtime = self.setup.timekeeper.enter();
            let pause = tokio::time::sleep(Duration::from_millis(50));
            drop(_runtime);
            pause.await;
        }
        conduits().for_each(|conduit| conduit.finish());
        self.callers.tell_all(&self.setup.log);
    }

    /// What stands behind each place.
    pub(crate) fn leads(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for Standing { name, leads, enforces, .. } in &self.standing {
            lines.push(format!("{name} leads {leads}"));
            if *enforces != Enforces::All {
                lines.push(format!("{name}: {enforces}"));
            }
        }
        lines
    }

    /// What happens on each conduit, whenever it is asked.
    pub(crate) fn watch(&self) -> impl Fn() -> Vec<Watched> + Send + Sync + use<> {
        let (shown, callers) = (Arc::clone(&self.shown), Arc::clone(&self.callers));
        move || {
            let watched = |(name, enforces, conduit): &(String, Enforces, Arc<Conduit>)| Watched {
                name: name.clone(),
                enforces: *enforces,
                status: conduit.status(),
                callers: callers.counts(name),
            };
            locked(&shown).conduits.iter().map(watched).collect()
        }
    }

    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    pub(crate) fn summary(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for Watched { name, status, .. } in self.watch()() {
            let mut line = format!("{name}: {}", counted(status.requests, "request"));
            line.push_str(&format!(", {} refused, {} alerted", status.refused, status.alerted));
            let words: Vec<String> =
                status.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            if !words.is_empty() {
                line.push_str(&format!(" ({})", words.join(", ")));
            }
            lines.push(line);
        }
        lines
    }
}

/// What happens on a conduit.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) enforces: Enforces,
    pub(crate) status: Status,
    pub(super) callers: Counts,
}

/// A place to listen without the paths of its files.
fn shown(target: &Target) -> String {
    let text = target.to_string();
    text.split('?').next().unwrap_or_default().to_owned()
}
