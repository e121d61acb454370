//! A whole capture in one table, or one JSON object.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;

use port502_capture::Timestamp;
use port502_session::tap::{Skipped, Transaction};
use port502_wire::{Anomalies, ExceptionCode, FunctionCode, view};
use serde::Serialize;

use super::capture::{Connection, Outcome, Report};
use super::lines::Clock;
use crate::output::counted;

/// So many clients, and as many servers, are told by address; a scan of a whole network must not fill memory.
const PEERS_MAX: usize = 1000;

/// The table shows so many of them, the busiest; JSON has all.
const PEERS_SHOWN: usize = 10;

/// Counts.
#[derive(Default)]
pub(super) struct Summary {
    clock: Clock,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    connections: u64,
    requests: u64,
    responses: u64,
    unanswered: u64,
    gaps: u64,
    gap_bytes: u64,
    unreadable: u64,
    datagrams: u64,
    skipped_bytes: u64,
    functions: BTreeMap<u8, Function>,
    exceptions: BTreeMap<u8, u64>,
    anomalies: BTreeMap<&'static str, u64>,
    clients: Peers,
    servers: Peers,
}

#[derive(Default, Clone, Copy)]
struct Function {
    requests: u64,
    responses: u64,
    exceptions: u64,
}

/// Requests by address.
#[derive(Default)]
struct Peers {
    requests: BTreeMap<IpAddr, u64>,
    /// There are more than are counted.
    more: bool,
}

impl Peers {
    fn count(&mut self, address: IpAddr, requests: u64) {
        if let Some(count) = self.requests.get_mut(&address) {
            *count += requests;
        } else if self.requests.len() < PEERS_MAX {
            self.requests.insert(address, requests);
        } else {
            self.more = true;
        }
    }

    fn told(&self) -> BTreeMap<String, u64> {
        self.requests.iter().map(|(address, requests)| (address.to_string(), *requests)).collect()
    }
}

/// The JSON object; `docs/json.md` tells what the fields mean.
#[derive(Serialize)]
struct Told<'a> {
    file: &'a str,
    first_time: Option<String>,
    last_time: Option<String>,
    packets: u64,
    truncated: bool,
    truncated_at: Option<u64>,
    connections: u64,
    requests: u64,
    responses: u64,
    exceptions: u64,
    unanswered: u64,
    unasked: u64,
    by_function: BTreeMap<u8, u64>,
    responses_by_function: BTreeMap<u8, u64>,
    by_exception: &'a BTreeMap<u8, u64>,
    anomalies: &'a BTreeMap<&'static str, u64>,
    gaps: u64,
    gap_bytes: u64,
    skipped_bytes: u64,
    conflicts: u64,
    strays: u64,
    unreadable: u64,
    datagrams: u64,
    clients: BTreeMap<String, u64>,
    servers: BTreeMap<String, u64>,
    peers_left_out: bool,
}

impl Summary {
    fn note(&mut self, anomalies: Anomalies) {
        for anomaly in anomalies.iter() {
            *self.anomalies.entry(anomaly.name()).or_default() += 1;
        }
    }

    fn exceptions(&self) -> u64 {
        self.exceptions.values().sum()
    }

    fn unasked(&self) -> u64 {
        // Every transaction has a request or is a response alone.
        self.responses - (self.requests - self.unanswered)
    }

    /// The one JSON object.
    pub(super) fn write_json(&self, file: &str, outcome: &Outcome, mut out: impl Write) -> io::Result<()> {
        let by = |of: fn(&Function) -> u64| {
            let counts = self.functions.iter().map(|(code, function)| (*code, of(function)));
            counts.filter(|(_, count)| *count != 0).collect()
        };
        let counters = &outcome.counters;
        let told = Told {
            file,
            first_time: self.first.map(|at| self.clock.print(at)),
            last_time: self.last.map(|at| self.clock.print(at)),
            packets: counters.packets,
            truncated: outcome.cut.is_some(),
            truncated_at: outcome.cut,
            connections: self.connections,
            requests: self.requests,
            responses: self.responses,
            exceptions: self.exceptions(),
            unanswered: self.unanswered,
            unasked: self.unasked(),
            by_function: by(|function| function.requests),
            responses_by_function: by(|function| function.responses),
            by_exception: &self.exceptions,
            anomalies: &self.anomalies,
            gaps: self.gaps,
            gap_bytes: self.gap_bytes,
            skipped_bytes: self.skipped_bytes,
            conflicts: counters.conflicts,
            strays: counters.strays,
            unreadable: self.unreadable,
            datagrams: self.datagrams,
            clients: self.clients.told(),
            servers: self.servers.told(),
            peers_left_out: self.clients.more || self.servers.more,
        };
        serde_json::to_writer(&mut out, &told)?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// The table.
    pub(super) fn write_text(&self, file: &str, outcome: &Outcome, mut out: impl Write) -> io::Result<()> {
        let counters = &outcome.counters;
        writeln!(out, "capture      {file}: {}", counted(counters.packets, "packet"))?;
        if let (Some(first), Some(last)) = (self.first, self.last) {
            let seconds = last.since(first).as_secs_f64();
            let (first, last) = (self.clock.print(first), self.clock.print(last));
            writeln!(out, "time         {first} to {last}, {seconds:.3} s")?;
        }
        writeln!(out, "connections  {}", self.connections)?;
        writeln!(out, "requests     {}, {} without a response", self.requests, self.unanswered)?;
        writeln!(out, "responses    {}, {} without a request", self.responses, self.unasked())?;
        writeln!(out, "exceptions   {}", self.exceptions())?;
        for (code, count) in &self.exceptions {
            writeln!(out, "  {count:>9}  {}", ExceptionCode::from(*code))?;
        }
        if !self.functions.is_empty() {
            writeln!(out, "functions     requests responses exceptions")?;
        }
        for (code, function) in &self.functions {
            let Function { requests, responses, exceptions } = function;
            let name = FunctionCode(*code);
            writeln!(out, "            {requests:>10}{responses:>10}{exceptions:>11}  {name}")?;
        }
        let sides = [("clients", "of", &self.clients), ("servers", "to", &self.servers)];
        for (title, preposition, peers) in sides {
            let more = if peers.more { " and more" } else { "" };
            writeln!(out, "{title:<12} {}{more}", peers.requests.len())?;
            let mut busiest: Vec<_> = peers.requests.iter().collect();
            busiest.sort_by_key(|(_, requests)| std::cmp::Reverse(**requests));
            for (address, requests) in busiest.iter().take(PEERS_SHOWN) {
                let s = if **requests == 1 { "" } else { "s" };
                writeln!(out, "  {requests:>9}  request{s} {preposition} {address}")?;
            }
            if busiest.len() > PEERS_SHOWN {
                writeln!(out, "             and {} others", busiest.len() - PEERS_SHOWN)?;
            }
        }
        if !self.anomalies.is_empty() {
            writeln!(out, "anomalies")?;
        }
        for (name, count) in &self.anomalies {
            writeln!(out, "  {count:>9}  {name}")?;
        }
        let rest = [
            (self.gaps, "gaps: bytes that the capture lacks"),
            (self.skipped_bytes, "bytes that are no frames"),
            (counters.conflicts, "conflicts: bytes that came twice and differ"),
            (counters.strays, "strays: segments outside their stream"),
            (self.unreadable, "packets that could not be read"),
            (self.datagrams, "UDP datagrams that are not made of frames"),
        ];
        if rest.iter().any(|(count, _)| *count != 0) {
            writeln!(out, "besides")?;
        }
        for (count, what) in rest.iter().filter(|(count, _)| *count != 0) {
            writeln!(out, "  {count:>9}  {what}")?;
        }
        out.flush()
    }
}

impl Report for Summary {
    fn transaction(&mut self, connection: &Connection, transaction: &Transaction<'_>) -> io::Result<()> {
        self.note(transaction.all_anomalies());
        if let Some(request) = transaction.request {
            self.requests += 1;
            self.unanswered += u64::from(transaction.response.is_none());
            self.clients.count(connection.client.ip(), 1);
            self.servers.count(connection.server.ip(), 1);
            if let Some(function) = view::request(request.pdu).function {
                self.functions.entry(function.0).or_default().requests += 1;
            }
        }
        if let Some(response) = transaction.response {
            self.responses += 1;
            let view = view::response(response.pdu);
            if let Some(exception) = view.exception {
                *self.exceptions.entry(exception.code()).or_default() += 1;
            }
            if let Some(function) = view.function {
                let function = self.functions.entry(function.0).or_default();
                function.responses += 1;
                function.exceptions += u64::from(view.exception.is_some());
            }
        }
        Ok(())
    }

    fn skipped(&mut self, _: &Connection, skipped: &Skipped) -> io::Result<()> {
        self.note(skipped.anomalies);
        self.skipped_bytes += skipped.bytes;
        Ok(())
    }

    fn opened(&mut self, connection: &Connection) {
        self.connections += 1;
        self.clients.count(connection.client.ip(), 0);
        self.servers.count(connection.server.ip(), 0);
    }

    fn gap(&mut self, bytes: u64) {
        self.gaps += 1;
        self.gap_bytes += bytes;
    }

    fn unreadable(&mut self) {
        self.unreadable += 1;
    }

    fn datagram(&mut self) {
        self.datagrams += 1;
    }

    fn packet(&mut self, at: Timestamp) {
        self.clock.observe(at);
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
    }
}
