//! What a gateway is told, in arguments or in a file: everything is checked before anything changes.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use port502_net::Target;
use port502_net::client::IN_FLIGHT_MAX;
use port502_net::gateway::{DeviceOptions, LaneOptions, Larger, WAIT_MAX};
use port502_session::target::{Carrier, Framing};
use port502_wire::UnitId;
use serde::Deserialize;
use toml::Spanned;

use super::Args;
use crate::failure::{Exit, Failure};

/// Bytes of a file that are read. With all 256 units named it has a few ten thousand.
const FILE_MAX: u64 = 1 << 20;

/// Where clients connect when nothing says so.
const HOME: &str = "tcp://127.0.0.1:502";

/// All that a gateway is told.
pub(super) struct Plan {
    pub(super) listen: Listen,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) links: Vec<Link>,
    pub(super) routes: Vec<Route>,
    /// The link of all units that no route names.
    pub(super) rest: Option<usize>,
}

/// Where clients connect, and which.
#[derive(Clone, Debug)]
pub(super) struct Listen {
    pub(super) places: Vec<Target>,
    pub(super) connections: usize,
    pub(super) per_peer: usize,
    pub(super) idle: Duration,
    pub(super) allow: Vec<ipnet::IpNet>,
    /// The file that says what clients may do, by the roles of their certificates.
    pub(super) rights: Option<PathBuf>,
}

impl Listen {
    /// What holds for a place as long as it is there.
    pub(super) fn limits(&self) -> (usize, usize, Duration, &[ipnet::IpNet]) {
        (self.connections, self.per_peer, self.idle, &self.allow)
    }
}

/// A link, and how it behaves.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) options: LaneOptions,
}

impl Link {
    /// Whether what stands for the one can stand for the other, whatever they are called.
    pub(super) fn is_same(&self, other: &Link) -> bool {
        // Lines and datagrams are told once how long a connect may take.
        let told = |link: &Link| match (link.target.link().framing(), link.target.link().carrier()) {
            (Framing::Mbap, Carrier::Tcp | Carrier::Tls) => None,
            _ => Some(link.options.connect_timeout),
        };
        self.target == other.target && told(self) == told(other)
    }

    /// Whether both are the same port of the same machine, however they are spoken to.
    pub(super) fn is_at(&self, other: &Link) -> bool {
        (self.target.host(), self.target.port()) == (other.target.host(), other.target.port())
    }
}

/// A unit id of clients, and where it leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) client: u8,
    /// Which of the links.
    pub(super) link: usize,
    /// The unit id there.
    pub(super) device: u8,
}

/// `--to`: a link, and which units are there.
#[derive(Clone, Debug)]
pub(super) struct To {
    units: Option<Units>,
    target: Target,
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A target has `=` only behind its `?`, and no target begins with digits and commas alone.
        let (units, target) = match text.split_once('=') {
            Some((units, target)) if !units.contains(['/', '?', ':']) => (Some(units.parse()?), target),
            _ => (None, text),
        };
        let target = target.parse().map_err(|error: port502_net::TargetError| error.to_string())?;
        Ok(To { units, target })
    }
}

/// Unit ids, as `1-31` or `1-5,9`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Units(Vec<RangeInclusive<u8>>);

impl FromStr for Units {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` names no units: want 0 to 255, as 1-31 or 1-5,9");
        let number = |text: &str| text.trim().parse::<u8>().map_err(|_| wrong());
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first <= last { Ok(first..=last) } else { Err(wrong()) }
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(Units)
    }
}

impl TryFrom<String> for Units {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// `--map`: the client's unit id and the device's.
pub(super) fn map(text: &str) -> Result<(u8, u8), String> {
    let pair = text
        .split_once('=')
        .and_then(|(client, device)| Some((client.trim().parse().ok()?, device.trim().parse().ok()?)));
    pair.ok_or_else(|| "want two unit ids from 0 to 255, the client's first, as 1=17".to_owned())
}

pub(super) fn positive(text: &str) -> Result<Duration, String> {
    match super::super::duration(text)? {
        Duration::ZERO => Err("want more than nothing, as 500ms".into()),
        time => Ok(time),
    }
}

pub(super) fn in_flight(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=IN_FLIGHT_MAX).contains(number));
    number.ok_or_else(|| format!("want 1 to {IN_FLIGHT_MAX} requests"))
}

pub(super) fn max_registers(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| (1..=125).contains(number));
    number.ok_or_else(|| "want 1 to 125 registers".to_owned())
}

/// What the arguments say.
pub(super) fn of(args: &Args) -> Result<Plan, Failure> {
    let mut options = LaneOptions::default();
    options.timeout = args.timeout;
    options.gap = args.gap;
    options.connect_delay = args.connect_delay;
    options.in_flight = args.in_flight;
    options.coalesce = !args.no_coalesce;
    options.ignores_transaction = args.ignores_transaction;
    options.device.max_registers = args.max_registers;
    options.device.max_age = args.max_age;
    let places = if args.listen.is_empty() { home() } else { args.listen.clone() };
    for (at, place) in places.iter().enumerate() {
        once(place, places.iter().take(at)).map_err(|wrong| Failure::usage(format!("--listen {wrong}")))?;
    }
    let listen = Listen {
        places,
        connections: args.connections,
        per_peer: usize::MAX,
        idle: args.idle,
        allow: args.allow.clone(),
        rights: args.rights.clone(),
    };
    let mut routes = Routing::default();
    let mut links = Vec::new();
    for (at, to) in args.to.iter().enumerate() {
        let name = to.target.to_string();
        if args.to.iter().take(at).any(|other| other.target == to.target) {
            let message =
                format!("--to {name} stands there twice: give all of its units at once, as 1-5,9={name}");
            return Err(Failure::usage(message));
        }
        routes
            .units(at, to.units.as_ref())
            .map_err(|wrong| Failure::usage(format!("--to {name}: {wrong}")))?;
        links.push(Link { name, target: to.target.clone(), options: options.clone() });
    }
    for (client, device) in &args.map {
        let link = routes.link_of(*device).ok_or_else(|| {
            Failure::usage(format!("--map {client}={device}: no --to has unit {device}; add it to one"))
        })?;
        routes
            .device(*client, link, *device)
            .map_err(|wrong| Failure::usage(format!("--map {client}={device}: {wrong}")))?;
    }
    Ok(routes.plan(listen, args.metrics, links))
}

/// Whether a place is none of those `before` it; the system may choose another port for each.
fn once<'t>(place: &Target, mut before: impl Iterator<Item = &'t Target>) -> Result<(), String> {
    let chosen = place.port() == 0 && place.serial().is_none();
    if !chosen && before.any(|other| other == place) {
        return Err(format!("{place} stands there twice: once is enough"));
    }
    Ok(())
}

fn home() -> Vec<Target> {
    HOME.parse().into_iter().collect()
}

/// Which unit id leads where, as far as it has been told.
#[derive(Default)]
struct Routing {
    /// By the client's unit id: the link, the unit id there, and whether that was said for this one alone.
    by_client: BTreeMap<u8, (usize, u8, bool)>,
    rest: Option<usize>,
}

impl Routing {
    /// A link with these units under their own ids, or with all that no other link has.
    fn units(&mut self, link: usize, units: Option<&Units>) -> Result<(), String> {
        let Some(Units(ranges)) = units else {
            if self.rest.is_some() {
                return Err("only one link can have all other units: say which units this one has".into());
            }
            self.rest = Some(link);
            return Ok(());
        };
        for unit in ranges.iter().flat_map(Clone::clone) {
            match self.by_client.insert(unit, (link, unit, false)) {
                Some((other, ..)) if other != link => {
                    return Err(format!("unit {unit} is on another link too: which one is meant?"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// One unit, under the id that clients use.
    fn device(&mut self, client: u8, link: usize, device: u8) -> Result<(), String> {
        match self.by_client.insert(client, (link, device, true)) {
            Some((.., true)) => Err(format!("clients' unit {client} leads somewhere else already")),
            Some((other, ..)) if other != link => {
                Err(format!("unit {client} is one of another link's units: leave it out there"))
            }
            _ => Ok(()),
        }
    }

    /// The link that has a unit under its own id.
    fn link_of(&self, unit: u8) -> Option<usize> {
        let own = self.by_client.values().find(|(_, device, _)| *device == unit);
        own.map(|(link, ..)| *link).or(self.rest)
    }

    fn plan(self, listen: Listen, metrics: Option<SocketAddr>, links: Vec<Link>) -> Plan {
        let route = |(client, (link, device, _))| Route { client, link, device };
        let routes = self.by_client.into_iter().map(route).collect();
        Plan { listen, metrics, links, routes, rest: self.rest }
    }
}

// ---- the file -----------------------------------------------------------------------------------------------------

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    gateway: GatewayTable,
    #[serde(default)]
    link: BTreeMap<String, Spanned<LinkTable>>,
    #[serde(default)]
    device: BTreeMap<String, DeviceTable>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default)]
struct GatewayTable {
    listen: Vec<Spanned<Url>>,
    metrics: Option<SocketAddr>,
    connections: Option<Count>,
    per_peer: Option<Count>,
    idle: Option<Positive>,
    allow: Vec<Network>,
    rights: Option<PathBuf>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct LinkTable {
    connect: Url,
    units: Option<Spanned<Units>>,
    timeout: Option<Positive>,
    connect_timeout: Option<Positive>,
    connect_delay: Option<Time>,
    gap: Option<Time>,
    in_flight: Option<InFlight>,
    wait: Option<Wait>,
    coalesce: Option<bool>,
    ignores_transaction: Option<bool>,
    breaker: Option<BreakerTable>,
    max_registers: Option<MaxRegisters>,
    max_bits: Option<MaxBits>,
    larger: Option<LargerWord>,
    max_age: Option<Positive>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct BreakerTable {
    failures: Option<u32>,
    pause: Option<Positive>,
    pause_max: Option<Positive>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct DeviceTable {
    link: Spanned<String>,
    unit: Spanned<u8>,
    r#as: Option<u8>,
    timeout: Option<Positive>,
    max_registers: Option<MaxRegisters>,
    max_bits: Option<MaxBits>,
    larger: Option<LargerWord>,
    max_age: Option<Positive>,
}

#[derive(Deserialize, Clone, Copy, Debug)]
#[serde(rename_all = "lowercase")]
enum LargerWord {
    Split,
    Refuse,
}

/// Values that are checked as they are read, so that errors say where they stand.
macro_rules! checked {
    ($($name:ident($type:ty), $literal:literal, $from:ty => $check:expr;)*) => {$(
        #[derive(Deserialize, Clone, Debug)]
        #[serde(try_from = $literal)]
        struct $name($type);

        impl TryFrom<$from> for $name {
            type Error = String;

            fn try_from(value: $from) -> Result<Self, String> {
                let check: fn($from) -> Result<$type, String> = $check;
                check(value).map($name)
            }
        }
    )*};
}

checked! {
    Url(Target), "String", String => |text| text.parse().map_err(|e: port502_net::TargetError| e.to_string());
    Network(ipnet::IpNet), "String", String => |text| super::super::serve::network(&text);
    Time(Duration), "String", String => |text| super::super::duration(&text);
    Positive(Duration), "String", String => |text| positive(&text);
    Wait(Duration), "String", String => |text| positive(&text).and_then(|time| {
        if time <= WAIT_MAX { Ok(time) } else { Err(format!("want {} s at most", WAIT_MAX.as_secs())) }
    });
    Count(usize), "i64", i64 => |number| {
        usize::try_from(number).ok().filter(|n| *n != 0).ok_or_else(|| "want 1 or more".to_owned())
    };
    InFlight(usize), "i64", i64 => |number| in_flight(&number.to_string());
    MaxRegisters(u16), "i64", i64 => |number| max_registers(&number.to_string());
    MaxBits(u16), "i64", i64 => |number| {
        let bits = u16::try_from(number).ok().filter(|bits| (8..=2000).contains(bits));
        bits.ok_or_else(|| "want 8 to 2000 bits".to_owned())
    };
}

/// Reads and checks a file, all of it.
pub(super) fn read(path: &Path) -> Result<Plan, Failure> {
    let file = path.display();
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|input| input.take(FILE_MAX + 1).read_to_string(&mut text))
        .map_err(|error| Failure::other(format!("cannot read {file}: {error}")))?;
    if text.len() as u64 > FILE_MAX {
        return Err(Failure::usage(format!("{file}: more than 1 MiB, which no gateway needs")));
    }
    parse(&text).map_err(|wrong| {
        let at = |at: usize| {
            let before = text.get(..at).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("{file}:{line}:{column}")
        };
        let lines = wrong.into_iter().map(|(place, what)| format!("{}: {what}", at(place)));
        Failure::list(Exit::Usage, lines)
    })
}

/// Where in the text, and what is wrong.
type Wrong = (usize, String);

fn parse(text: &str) -> Result<Plan, Vec<Wrong>> {
    let file: File = toml::from_str(text).map_err(|error| {
        let place = error.span().map_or(0, |span| span.start);
        vec![(place, error.message().replace('\n', "; "))]
    })?;
    let mut wrong = Vec::new();
    let mut routes = Routing::default();
    let mut links = Vec::new();
    for (at, (name, table)) in file.link.iter().enumerate() {
        let (place, link) = (table.span().start, table.get_ref());
        let units = link.units.as_ref();
        if let Err(what) = routes.units(at, units.map(Spanned::get_ref)) {
            wrong.push((units.map_or(place, |units| units.span().start), what));
        }
        let (target, options) = (link.connect.0.clone(), link_options(link));
        if name.contains(char::is_control) {
            wrong.push((place, format!("{name:?} is no name for a link: it has a control character")));
        }
        if let Some(other) = links.iter().find(|other: &&Link| other.target == target) {
            let what = format!("[link.{}] leads to {target} too: give all of its units to one", other.name);
            wrong.push((place, what));
        }
        if options.breaker.pause > options.breaker.pause_max {
            let what = format!("breaker: pause is longer than pause_max, {:?}", options.breaker.pause_max);
            wrong.push((place, what));
        }
        links.push(Link { name: name.clone(), target, options });
    }
    for (at, listen) in file.gateway.listen.iter().enumerate() {
        let before = file.gateway.listen.iter().take(at).map(|listen| &listen.get_ref().0);
        if let Err(what) = once(&listen.get_ref().0, before) {
            wrong.push((listen.span().start, what));
        }
    }
    if links.is_empty() {
        wrong.push((0, "there is no [link.NAME]: where should requests go?".to_owned()));
    }
    for device in file.device.values() {
        let name = device.link.get_ref();
        let Some(at) = links.iter().position(|link| link.name == *name) else {
            wrong.push((device.link.span().start, format!("there is no [link.{name}]")));
            continue;
        };
        let unit = *device.unit.get_ref();
        if let Err(what) = routes.device(device.r#as.unwrap_or(unit), at, unit) {
            wrong.push((device.unit.span().start, what));
        }
        if let (Some(link), Some(table)) = (links.get_mut(at), file.link.get(name)) {
            let devices = &mut link.options.devices;
            if devices.insert(UnitId(unit), device_options(table.get_ref(), Some(device))).is_some() {
                wrong.push((device.unit.span().start, format!("unit {unit} of {name} stands there twice")));
            }
        }
    }
    if !wrong.is_empty() {
        wrong.sort();
        return Err(wrong);
    }
    let gateway = file.gateway;
    let places = gateway.listen.into_iter().map(|place| place.into_inner().0).collect::<Vec<_>>();
    let listen = Listen {
        places: if places.is_empty() { home() } else { places },
        connections: gateway.connections.map_or(2048, |count| count.0),
        per_peer: gateway.per_peer.map_or(usize::MAX, |count| count.0),
        idle: gateway.idle.map_or(Duration::from_secs(300), |idle| idle.0),
        allow: gateway.allow.into_iter().map(|network| network.0).collect(),
        rights: gateway.rights,
    };
    Ok(routes.plan(listen, gateway.metrics, links))
}

fn link_options(link: &LinkTable) -> LaneOptions {
    let mut options = LaneOptions::default();
    let set = |field: &mut Duration, value: Option<Duration>| *field = value.unwrap_or(*field);
    set(&mut options.timeout, link.timeout.as_ref().map(|time| time.0));
    set(&mut options.connect_timeout, link.connect_timeout.as_ref().map(|time| time.0));
    set(&mut options.connect_delay, link.connect_delay.as_ref().map(|time| time.0));
    set(&mut options.gap, link.gap.as_ref().map(|time| time.0));
    set(&mut options.wait, link.wait.as_ref().map(|time| time.0));
    options.in_flight = link.in_flight.as_ref().map_or(options.in_flight, |count| count.0);
    options.coalesce = link.coalesce.unwrap_or(options.coalesce);
    options.ignores_transaction = link.ignores_transaction.unwrap_or_default();
    if let Some(breaker) = &link.breaker {
        options.breaker.failures = breaker.failures.unwrap_or(options.breaker.failures);
        set(&mut options.breaker.pause, breaker.pause.as_ref().map(|time| time.0));
        set(&mut options.breaker.pause_max, breaker.pause_max.as_ref().map(|time| time.0));
    }
    options.device = device_options(link, None);
    options
}

/// What a device says of itself, or else its link says of all.
fn device_options(link: &LinkTable, device: Option<&DeviceTable>) -> DeviceOptions {
    let mut options = DeviceOptions::default();
    options.timeout = device.and_then(|device| device.timeout.as_ref()).map(|time| time.0);
    let registers = device.and_then(|device| device.max_registers.as_ref()).or(link.max_registers.as_ref());
    options.max_registers = registers.map(|count| count.0);
    let bits = device.and_then(|device| device.max_bits.as_ref()).or(link.max_bits.as_ref());
    options.max_bits = bits.map(|count| count.0);
    let age = device.and_then(|device| device.max_age.as_ref()).or(link.max_age.as_ref());
    options.max_age = age.map(|time| time.0);
    options.larger = match device.and_then(|device| device.larger).or(link.larger) {
        Some(LargerWord::Refuse) => Larger::Refuse,
        Some(LargerWord::Split) | None => Larger::Split,
    };
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[gateway]
listen = ["tcp://127.0.0.1:1502"]
allow = ["10.0.0.0/8"]

[link.bus]
connect = "rtu:///dev/ttyUSB0?baud=9600"
units = "1-5,9"
timeout = "300ms"
gap = "20ms"
max_registers = 60
breaker = { failures = 2, pause = "1s" }

[link.plc]
connect = "tcp://10.0.0.5"
in_flight = 16

[device.meter]
link = "bus"
unit = 3
as = 17
max_registers = 20
max_age = "500ms"
"#;

    #[test]
    fn a_file_says_all_of_it() {
        let plan = parse(GOOD).unwrap();
        assert_eq!(plan.links.iter().map(|link| &*link.name).collect::<Vec<_>>(), ["bus", "plc"]);
        assert_eq!(plan.rest, Some(1));
        let routes: Vec<_> = plan.routes.iter().map(|r| (r.client, r.link, r.device)).collect();
        assert_eq!(routes, [(1, 0, 1), (2, 0, 2), (3, 0, 3), (4, 0, 4), (5, 0, 5), (9, 0, 9), (17, 0, 3)]);
        let bus = &plan.links[0].options;
        assert_eq!((bus.timeout, bus.gap), (Duration::from_millis(300), Duration::from_millis(20)));
        assert_eq!((bus.breaker.failures, bus.breaker.pause), (2, Duration::from_secs(1)));
        assert_eq!(bus.device.max_registers, Some(60));
        let meter = &bus.devices[&UnitId(3)];
        assert_eq!((meter.max_registers, meter.max_age), (Some(20), Some(Duration::from_millis(500))));
        assert_eq!(plan.links[1].options.in_flight, 16);
    }

    #[track_caller]
    fn check(from: &str, to: &str, want: &str) {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replace(from, to);
        let wrong = parse(&text).err().unwrap_or_else(|| panic!("`{to}` is taken"));
        let all: Vec<&str> = wrong.iter().map(|(_, what)| what.as_str()).collect();
        assert!(all.iter().any(|what| what.contains(want)), "`{to}`: want {want}, got {all:?}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        check("\"1-5,9\"", "\"5-1\"", "names no units");
        check("units = \"1-5,9\"", "", "only one link can have all other units");
        check("link = \"bus\"", "link = \"buss\"", "there is no [link.buss]");
        check(
            "[link.plc]\nconnect = \"tcp://10.0.0.5\"",
            "[link.plc]\nconnect = \"rtu:///dev/ttyUSB0?baud=9600\"",
            "[link.bus] leads to rtu:///dev/ttyUSB0?baud=9600 too",
        );
        check("pause = \"1s\"", "pause = \"2m\"", "longer than pause_max, 60s");
        check("pause = \"1s\"", "pause = \"2s\", pause_max = \"1s\"", "longer than pause_max, 1s");
        check("1502\"]", "1502\", \"tcp://127.0.0.1:1502\"]", "tcp://127.0.0.1:1502 stands there twice");
        check("[link.plc]", "[link.\"p\\u001Blc\"]", "has a control character");
        check(GOOD, "", "there is no [link.NAME]");
        check("300ms", "300", "300");
        check("timeout = \"300ms\"", "timeout = \"0s\"", "more than nothing");
        check("in_flight = 16", "in_flight = 257", "want 1 to 256");
        check("max_registers = 20", "max_registers = 126", "want 1 to 125");
        check("max_registers = 20", "max_register = 20", "unknown field");
        check("as = 17", "as = 300", "300");
        check("tcp://10.0.0.5", "modbus://10.0.0.5", "is not a link");
        check("in_flight = 16", "units = \"9-12\"", "on another link too");
        check(
            "[device.meter]",
            "[device.other]\nlink = \"bus\"\nunit = 4\nas = 17\n[device.meter]",
            "leads somewhere else",
        );
    }

    #[test]
    fn to_and_map() {
        let to: To = "1-31=rtu:///dev/ttyUSB0?baud=9600".parse().unwrap();
        assert_eq!(to.units, Some(Units(vec![1..=31])));
        assert_eq!(to.target.to_string(), "rtu:///dev/ttyUSB0?baud=9600");
        let to: To = "rtu:///dev/ttyUSB0?baud=9600".parse().unwrap();
        assert_eq!(to.units, None);
        assert!("1-300=tcp://a".parse::<To>().is_err());
        assert_eq!(map("1=17"), Ok((1, 17)));
        assert!(map("1=300").is_err());
    }
}
