//! Guards: where they listen, what is behind them, and their rules.

use std::collections::HashMap;

use port502_inspect::Network;
use port502_inspect::network::NetworkError;
use port502_inspect::policy::{self, Mode, Operation, Refusal};
use port502_session::target::{Link, Target};
use port502_wire::FunctionCode;

use super::Parser;
use crate::site::fault::{Fault, Referred};
use crate::site::fields::{Fields, Item, Named, Word};
use crate::site::{Conduit, Device, DeviceId, Grant, Lane, LaneId, Rule, TlsFiles, ZoneId, keys};

impl<'a> Parser<'a> {
    pub(super) fn read_guard(
        &mut self,
        guard: &Named<'a>,
        devices: &[Device],
        lanes: &[Option<Lane>],
    ) -> Option<Conduit> {
        let fields = &guard.fields;
        self.faults.need(fields, "listen");
        let listen: Vec<Target> =
            self.faults.words(fields, "listen").into_iter().filter_map(|word| self.listen(word)).collect();
        let to = self.faults.need(fields, "to").is_some();
        let (lane, behind) = if to { self.behind(fields, devices, lanes) } else { (None, Vec::new()) };
        let units: Vec<u8> =
            behind.iter().filter_map(|id| devices.get(id.index())).map(|device| device.unit.0).collect();
        let allow = self.rules(fields, "allow", &units);
        let deny = self.rules(fields, "deny", &units);
        let mode = self.mode(fields).unwrap_or_default();
        let refusal = self.refusal(fields).unwrap_or_default();
        let share = self.faults.boolean(fields, "share").unwrap_or(false);
        let limits = policy::Limits {
            connections: self.faults.integer(fields, "connections", 1, 100_000),
            connections_per_client: self.faults.integer(fields, "connections_per_client", 1, 100_000),
            requests: self.faults.rate(fields, "requests"),
        };
        let tls = self.tls_files(fields, &listen);
        let description = self.faults.owned(fields, "description");
        Some(Conduit {
            name: guard.name.to_owned(),
            listen,
            devices: behind,
            lane: LaneId::new(lane?),
            allow,
            deny,
            mode,
            refusal,
            share,
            limits,
            tls,
            description,
        })
    }

    fn listen(&mut self, word: Word<'a>) -> Option<Target> {
        let target = self.faults.target(word)?;
        let good = matches!(target.link(), Link::Tcp | Link::Tls) && target.port() != 0;
        if !good {
            self.faults.tell(word.place, Fault::Listen { word: word.text.to_owned() });
        }
        good.then_some(target)
    }

    /// What is behind a conduit.
    fn behind(
        &mut self,
        fields: &Fields<'a>,
        devices: &[Device],
        lanes: &[Option<Lane>],
    ) -> (Option<usize>, Vec<DeviceId>) {
        let mut behind: Vec<DeviceId> = Vec::new();
        let mut lane: Option<(usize, String)> = None;
        for word in self.faults.words(fields, "to") {
            let (device, link) = (self.devices.find(word.text), self.links.find(word.text));
            let on = match (device, link) {
                (Some(_), Some(_)) => {
                    self.faults.tell(word.place, Fault::DeviceAndLink { word: word.text.to_owned() });
                    continue;
                }
                (None, None) => {
                    let nearest = self.devices.nearest(word.text).or_else(|| self.links.nearest(word.text));
                    self.unknown(word, Referred::DeviceOrLink, nearest);
                    continue;
                }
                (Some(device), None) => {
                    behind.push(DeviceId::new(device));
                    devices.get(device).map_or(usize::MAX, |device| device.lane.index())
                }
                (None, Some(link)) => {
                    let before = behind.len();
                    let on_link =
                        devices.iter().enumerate().filter(|(_, device)| device.lane.index() == link);
                    behind.extend(on_link.map(|(at, _)| DeviceId::new(at)));
                    if behind.len() == before {
                        self.faults.tell(word.place, Fault::NoDevices { link: word.text.to_owned() });
                    }
                    link
                }
            };
            match &lane {
                None => lane = Some((on, word.text.to_owned())),
                Some((first, name)) if *first != on && on < lanes.len() && *first < lanes.len() => {
                    let fault = Fault::SeveralLanes { first: name.clone(), second: word.text.to_owned() };
                    self.faults.tell(word.place, fault);
                }
                Some(_) => {}
            }
        }
        behind.sort_unstable();
        behind.dedup();
        (lane.map(|(lane, _)| lane), behind)
    }

    fn mode(&mut self, fields: &Fields<'a>) -> Option<Mode> {
        const KNOWN: &[&str] = &["enforce", "alert"];
        let word = self.faults.text(fields, "mode")?;
        self.faults.choice(word, "a mode", KNOWN, &[Mode::Enforce, Mode::Alert])
    }

    fn refusal(&mut self, fields: &Fields<'a>) -> Option<Refusal> {
        const KNOWN: &[&str] = &["exception", "exception:2", "drop", "reset"];
        let word = self.faults.text(fields, "refuse")?;
        if let Some(code) = word.text.strip_prefix("exception:") {
            let code = crate::point::number(code.trim()).and_then(|code| u8::try_from(code).ok());
            if let Some(code) = code.filter(|code| (1..=127).contains(code)) {
                return Some(Refusal::Exception(code));
            }
        }
        let values = [Refusal::Exception(1), Refusal::Exception(2), Refusal::Drop, Refusal::Reset];
        self.faults.choice(word, "a refusal", KNOWN, &values)
    }

    fn tls_files(&mut self, fields: &Fields<'a>, listen: &[Target]) -> Option<TlsFiles> {
        let wanted = listen.iter().any(|target| target.link() == Link::Tls);
        let mut path = |key: &'static str| self.faults.owned(fields, key);
        let (cert, key, ca) = (path("cert"), path("key"), path("ca"));
        for name in ["cert", "key", "ca"] {
            match fields.find(name) {
                Some(field) if !wanted && !listen.is_empty() => {
                    self.faults.tell(field.key_place(), Fault::NoTls { key: name });
                }
                None if wanted && name != "ca" => {
                    let place = fields.find("listen").map_or(fields.place, |field| field.place());
                    self.faults.tell(place, Fault::TlsFiles { key: name });
                }
                _ => {}
            }
        }
        Some(TlsFiles { cert: cert?, key: key?, ca })
    }

    fn rules(&mut self, fields: &Fields<'a>, key: &'static str, units: &[u8]) -> Vec<Rule> {
        let items = self.faults.items(fields, key);
        items.into_iter().filter_map(|item| self.rule(item, key, units)).collect()
    }

    fn rule(&mut self, item: Item<'a>, list: &'static str, units: &[u8]) -> Option<Rule> {
        let fields = self.faults.item_table(item, &keys::RULE)?;
        let fields = &fields;
        let name = self.faults.owned(fields, "name");
        let (mut zones, mut networks) = (Vec::new(), Vec::new());
        for word in self.faults.words(fields, "from") {
            if let Some(at) = self.zones.find(word.text) {
                zones.push(ZoneId::new(at));
                continue;
            }
            match word.text.parse::<Network>() {
                Ok(network) => networks.push(network),
                Err(NetworkError::Syntax) => {
                    let nearest = self.zones.nearest(word.text);
                    self.faults.tell(word.place, Fault::From { word: word.text.to_owned(), nearest });
                }
                Err(error) => {
                    self.faults.tell(word.place, Fault::Network { word: word.text.to_owned(), error });
                }
            }
        }
        let roles = self.role_words(fields, "roles");
        let subjects = self.faults.owned_words(fields, "subjects");
        let mut wanted = Vec::new();
        for item in self.faults.items(fields, "units") {
            let Some((first, last)) = self.faults.units(item) else { continue };
            let there = |unit: &u8| (first..=last).contains(unit);
            if !units.is_empty() && !units.iter().any(there) {
                self.faults.tell(item.place, Fault::UnitNotThere { unit: first });
            }
            wanted.push((first, last));
        }
        wanted.sort_unstable();
        let grant = self.grant(fields, list);
        let words = self.faults.words(fields, "times");
        let times = words.into_iter().filter_map(|word| self.faults.time_window(word)).collect();
        let requests = self.faults.rate(fields, "requests");
        let (mode, refusal) = (self.mode(fields), self.refusal(fields));
        let grant = grant?;
        Some(Rule {
            name,
            zones,
            networks,
            roles,
            subjects,
            units: wanted,
            grant,
            times,
            requests,
            mode,
            refusal,
        })
    }

    fn grant(&mut self, fields: &Fields<'a>, list: &'static str) -> Option<Grant> {
        const KNOWN: &[&str] = &["derived", "read-only", "read-write", "programming"];
        let preset = match self.faults.text(fields, "do") {
            Some(word) => Some((self.faults.choice(word, "a preset", KNOWN, &[0, 1, 2, 3])?, word.place)),
            None => None,
        };
        let items = self.faults.items(fields, "functions");
        let mut functions: Vec<Operation> =
            items.into_iter().filter_map(|item| self.faults.operation(item)).collect();
        let places = self.faults.ranges(fields, "at");
        let values = self.register_values(fields);
        match preset {
            Some((0, place)) if list == "deny" => {
                self.faults.tell(place, Fault::DerivedDenied);
                return None;
            }
            Some((0, _)) => {
                for key in ["functions", "at", "values"] {
                    if let Some(field) = fields.find(key) {
                        self.faults.tell(field.key_place(), Fault::DerivedWith { key });
                    }
                }
                return Some(Grant::Derived);
            }
            Some((1, _)) => functions.extend(READS.map(plain)),
            Some((2, _)) => functions.extend(READS.into_iter().chain(WRITES).map(plain)),
            Some(_) => functions.clear(),
            None => {
                let says = ["functions", "at"].into_iter().any(|key| fields.find(key).is_some());
                if !says && list == "allow" {
                    self.faults.tell(fields.place, Fault::EmptyRule);
                }
            }
        }
        functions.sort_unstable();
        functions.dedup();
        Some(Grant::Listed { functions, places, values })
    }

    fn register_values(&mut self, fields: &Fields<'a>) -> Option<(u16, u16)> {
        let items = self.faults.items(fields, "values");
        let field = fields.find("values")?;
        let mut numbers = items.iter().filter_map(|item| self.faults.item_integer(*item, 0, 65_535));
        let (low, high) = (numbers.next(), numbers.next());
        let register = |number: i64| u16::try_from(number).ok();
        let (low, high) = (register(low?)?, register(high?)?);
        if low > high || items.len() != 2 {
            self.faults.tell(field.place(), Fault::LowHigh { key: "values".to_owned() });
            return None;
        }
        Some((low, high))
    }

    /// Two conduits cannot listen at one place.
    pub(super) fn check_listen(&mut self, named: &[Named<'a>], guards: &[Option<Conduit>]) {
        let mut taken: HashMap<u16, Vec<(&str, usize)>> = HashMap::new();
        for (at, guard) in guards.iter().enumerate() {
            for target in guard.iter().flat_map(|guard| &guard.listen) {
                let there = taken.entry(target.port()).or_default();
                let any = |host: &str| matches!(host, "0.0.0.0" | "::");
                let clash =
                    there.iter().find(|(host, _)| *host == target.host() || any(host) || any(target.host()));
                if let Some((_, first)) = clash {
                    let place = |at: usize| {
                        let fields = named.get(at).map(|named| named.fields);
                        fields.map(|fields| fields.find("listen").map_or(fields.place, |field| field.place()))
                    };
                    let other = named.get(*first).map_or("", |named| named.name).to_owned();
                    self.faults.tell_both(
                        place(at).unwrap_or_default(),
                        Fault::ListenTwice { other },
                        place(*first),
                    );
                }
                there.push((target.host(), at));
            }
        }
    }
}

/// What reads, and what writes.
const READS: [FunctionCode; 5] = [
    FunctionCode::READ_COILS,
    FunctionCode::READ_DISCRETE_INPUTS,
    FunctionCode::READ_HOLDING_REGISTERS,
    FunctionCode::READ_INPUT_REGISTERS,
    FunctionCode::READ_FIFO_QUEUE,
];
const WRITES: [FunctionCode; 6] = [
    FunctionCode::WRITE_SINGLE_COIL,
    FunctionCode::WRITE_SINGLE_REGISTER,
    FunctionCode::WRITE_MULTIPLE_COILS,
    FunctionCode::WRITE_MULTIPLE_REGISTERS,
    FunctionCode::MASK_WRITE_REGISTER,
    FunctionCode::READ_WRITE_MULTIPLE_REGISTERS,
];

const fn plain(function: FunctionCode) -> Operation {
    Operation { function, sub: None }
}
