//! What a guard does for a site: its conduits with their compiled rules, where they listen and where they lead.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use port502_inspect::policy::{self, Mode};
use port502_inspect::{Engine, WeekMinute};
use port502_net::Target;
use port502_net::gateway::{DeviceOptions, LaneOptions};
use port502_session::target::{Carrier, Framing, Link};
use port502_site::Site;
use port502_site::compile::compile;
use port502_site::site::{self, Conduit};

use crate::output::counted;

/// A whole guard.
pub(crate) struct Plan {
    pub(crate) conduits: Vec<ConduitPlan>,
    /// For the hours of rules.
    pub(crate) zone: TimeZone,
    /// What it is made of.
    pub(crate) site: Arc<Site>,
}

/// One conduit.
pub(crate) struct ConduitPlan {
    pub(crate) name: String,
    pub(crate) listen: Vec<Target>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) to: To,
    /// What stands behind it, for people.
    pub(crate) devices: String,
    pub(crate) enforces: Enforces,
}

/// Whether what the rules do not allow is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Enforces {
    All,
    /// But for what so many rules only alert of.
    AllBut(usize),
    /// Only what so many rules refuse by themselves.
    Only(usize),
    Nothing,
}

impl Enforces {
    fn of(conduit: &policy::Conduit) -> Self {
        let with = |mode: Mode| conduit.rules.iter().filter(|rule| rule.mode == Some(mode)).count();
        match conduit.mode {
            Mode::Enforce if with(Mode::Alert) == 0 => Enforces::All,
            Mode::Enforce => Enforces::AllBut(with(Mode::Alert)),
            Mode::Alert if with(Mode::Enforce) == 0 => Enforces::Nothing,
            Mode::Alert => Enforces::Only(with(Mode::Enforce)),
        }
    }

    /// Whether it is the rule, or the exception.
    pub(crate) fn is_usual(self) -> bool {
        matches!(self, Enforces::All | Enforces::AllBut(_))
    }
}

impl fmt::Display for Enforces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = |count: usize| counted(count as u64, "rule");
        match *self {
            Enforces::All => f.write_str("what no rule allows is refused"),
            Enforces::AllBut(count) => write!(f, "ALERT: nothing is refused by {}", rules(count)),
            Enforces::Only(count) => write!(f, "ALERT: nothing is refused, but for {}", rules(count)),
            Enforces::Nothing => f.write_str("ALERT: nothing is refused"),
        }
    }
}

/// Where a conduit leads.
#[derive(Clone)]
pub(crate) struct To {
    /// The lane's name.
    pub(crate) name: String,
    pub(crate) target: Target,
    /// Whether all clients share one link.
    pub(crate) shared: bool,
    pub(crate) options: LaneOptions,
}

impl ConduitPlan {
    /// `to intake at tcp://10.20.1.11:502, a connection for each client, 7 rules`.
    pub(crate) fn leads(&self) -> String {
        let how = if self.to.shared { "one link for all clients" } else { "a connection for each client" };
        let at = self.to.target.to_string();
        let at = at.split('?').next().unwrap_or_default();
        let rules = counted(self.engine.rules() as u64, "rule");
        format!("to {} at {at}, {how}, {rules}", self.devices)
    }
}

impl Plan {
    /// Of the conduits called `only`, or of all.
    pub(crate) fn of(site: Site, only: &[String], alert: bool) -> Result<Plan, String> {
        let names = || site.conduits().iter().map(|conduit| conduit.name.as_str());
        if site.conduits().is_empty() {
            return Err("there is no [guard.NAME] section, which says where to listen and what passes; \
                        docs/guard.md shows one"
                .to_owned());
        }
        if let Some(unknown) = only.iter().find(|only| !names().any(|name| name == *only)) {
            let near = port502_site::nearest(unknown, names());
            let hint = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
            let all: Vec<&str> = names().collect();
            return Err(format!("{unknown} is not a conduit; {hint}there are {}", all.join(", ")));
        }
        let zone = TimeZone::get(site.timezone())
            .map_err(|_| format!("{} is not a time zone that is known here", site.timezone()))?;
        let mut policy = compile(&site).policy;
        let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
        if alert {
            for conduit in &mut policy.conduits {
                conduit.mode = Mode::Alert;
                conduit.rules.iter_mut().for_each(|rule| rule.mode = None);
            }
        }
        let mut conduits = Vec::new();
        for (conduit, rules) in site.conduits().iter().zip(&policy.conduits) {
            if !wanted(&conduit.name) {
                continue;
            }
            let engine = Engine::compile(&policy, rules)
                .map_err(|error| format!("guard {}: {error}", conduit.name))?;
            let devices = conduit.devices.iter().map(|device| site.device(*device).name.as_str());
            conduits.push(ConduitPlan {
                name: conduit.name.clone(),
                listen: conduit
                    .listen
                    .iter()
                    .map(|target| with_files(target, conduit.tls.as_ref()))
                    .collect::<Result<_, _>>()?,
                engine: Arc::new(engine),
                to: to(&site, conduit),
                devices: devices.collect::<Vec<_>>().join(", "),
                enforces: Enforces::of(rules),
            });
        }
        Ok(Plan { conduits, zone, site: Arc::new(site) })
    }

    /// How far the week has come where the site is.
    pub(crate) fn week(zone: &TimeZone) -> WeekMinute {
        let now = jiff::Timestamp::now().to_zoned(zone.clone());
        let day = u8::try_from(now.weekday().to_monday_zero_offset()).unwrap_or_default();
        let part = |part: i8| u8::try_from(part).unwrap_or_default();
        WeekMinute::new(day, part(now.hour()), part(now.minute())).unwrap_or_default()
    }
}

/// A place to listen with the certificates that the conduit names.
fn with_files(target: &Target, files: Option<&site::TlsFiles>) -> Result<Target, String> {
    let (Link::Tls, Some(files)) = (target.link(), files) else { return Ok(target.clone()) };
    if target.option("cert").is_some() {
        return Ok(target.clone());
    }
    let mut text = target.to_string();
    let files = [("cert", Some(&files.cert)), ("key", Some(&files.key)), ("ca", files.ca.as_ref())];
    for (key, path) in files {
        let Some(path) = path else { continue };
        if path.contains('&') {
            return Err(format!("{key} = {path:?}: a path with & in it cannot be part of a URL; rename it"));
        }
        let separator = if text.contains('?') { '&' } else { '?' };
        text.push_str(&format!("{separator}{key}={path}"));
    }
    text.parse().map_err(|error| format!("{text}: {error}"))
}

/// A device that takes many clients keeps a connection for each, as before the guard stood there. All else is shared:
/// devices that take one connection, what has to be asked slowly, and links whose frames say nothing of who asks.
fn to(site: &Site, conduit: &Conduit) -> To {
    let lane = site.lane(conduit.lane);
    let link = lane.target.link();
    let streams = link.framing() == Framing::Mbap && matches!(link.carrier(), Carrier::Tcp | Carrier::Tls);
    let one_client = site.devices_of(conduit.lane).any(|(_, device)| device.quirks.one_client);
    let slow = lane.timing.gap > Duration::ZERO || lane.timing.connect_delay > Duration::ZERO;
    let mut options = LaneOptions::default();
    options.timeout = lane.timing.timeout;
    options.gap = lane.timing.gap;
    options.connect_delay = lane.timing.connect_delay;
    options.in_flight = lane.timing.in_flight.into();
    options.inspected = true;
    for (_, device) in site.devices_of(conduit.lane) {
        let mut own = DeviceOptions::default();
        own.max_registers = Some(device.limits.read_registers);
        own.max_bits = Some(device.limits.read_bits);
        options.devices.insert(device.unit, own);
    }
    To {
        name: lane.name.clone(),
        target: lane.target.clone(),
        shared: conduit.share || !streams || one_client || slow,
        options,
    }
}
