//! What was found, for people: within 80 columns, what is to be acted on before what is good to know.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;

use jiff::Timestamp;
use port502_survey::change::{Change, Report};
use port502_survey::probe::{Answer, NotAsked, Outcome, modbus, opc_ua, tls};
use port502_survey::{
    Address, Direction, Endpoint, Finding, Holder, Interface, Peer, Process, Severity, Snapshot, Transport,
    is_public,
};
use port502_wire::DEVICE_OBJECT_NAMES;

use super::words::{self, words};
use crate::output::{WIDTH, counted, no_controls, wrapped};

/// Addresses of clients that are shown of one listener; the others are counted.
const CLIENTS_SHOWN_MAX: usize = 8;

/// Processes that are shown of one listener; the others are counted.
const PROCESSES_SHOWN_MAX: usize = 4;

/// A line with a label, and what does not fit below it.
fn field(out: &mut impl Write, label: &str, text: &str) -> io::Result<()> {
    for (number, line) in wrapped(&no_controls(text), WIDTH - 14).iter().enumerate() {
        let label = if number == 0 { label } else { "" };
        writeln!(out, "  {label:10}  {line}")?;
    }
    Ok(())
}

/// A paragraph behind a mark.
fn paragraph(out: &mut impl Write, mark: &str, text: &str) -> io::Result<()> {
    let indent = mark.chars().count();
    for (number, line) in wrapped(&no_controls(text), WIDTH - indent).iter().enumerate() {
        let mark = if number == 0 { mark } else { "" };
        writeln!(out, "{mark:indent$}{line}")?;
    }
    Ok(())
}

/// Everything.
pub(super) fn report(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let snapshot = &report.snapshot;
    for (number, endpoint) in snapshot.endpoints.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        listener(out, endpoint, report.outcomes.get(endpoint), snapshot)?;
    }
    let silent: Vec<String> = snapshot
        .scope
        .ports()
        .filter(|(port, _)| snapshot.endpoints.iter().all(|endpoint| endpoint.port != *port))
        .map(|(port, service)| format!("{port} ({service})"))
        .collect();
    if !silent.is_empty() {
        if !snapshot.endpoints.is_empty() {
            writeln!(out)?;
        }
        paragraph(out, "", &format!("Nothing listens on {}.", silent.join(", ")))?;
    }
    devices(out, snapshot)?;
    let (act, note): (Vec<&Finding>, Vec<&Finding>) =
        report.findings.iter().partition(|finding| finding.severity() == Severity::Act);
    for (title, findings) in [("TO ACT ON", &act), ("GOOD TO KNOW", &note)] {
        if !findings.is_empty() {
            writeln!(out, "\n{title}")?;
        }
        for (number, finding) in findings.iter().enumerate() {
            let mark = format!("{:>2}. ", number + 1);
            say(out, &mark, finding, snapshot)?;
        }
    }
    if !snapshot.unseen.is_empty() {
        writeln!(out, "\nNOT SEEN")?;
        for unseen in &snapshot.unseen {
            paragraph(out, "  - ", &words::unseen(unseen))?;
        }
    }
    writeln!(out)?;
    match (act.len(), snapshot.endpoints.is_empty()) {
        (0, true) => writeln!(out, "Nothing listens, and there is nothing to act on."),
        (0, false) => writeln!(out, "There is nothing to act on."),
        (1, _) => writeln!(out, "There is 1 thing to act on."),
        (count, _) => writeln!(out, "There are {count} things to act on."),
    }
}

fn say(out: &mut impl Write, mark: &str, finding: &Finding, snapshot: &Snapshot) -> io::Result<()> {
    let words = words(finding, snapshot);
    let place = format!("{}/{}: ", finding.port, finding.transport);
    paragraph(out, mark, &format!("{place}{}", words.verdict))?;
    let indent = " ".repeat(mark.chars().count());
    for step in &words.next {
        paragraph(out, &indent, &step.say)?;
        for command in &step.commands {
            writeln!(out, "{indent}  {}", no_controls(command))?;
        }
    }
    Ok(())
}

fn listener(
    out: &mut impl Write,
    endpoint: &Endpoint,
    outcome: Option<&Outcome>,
    snapshot: &Snapshot,
) -> io::Result<()> {
    writeln!(out, "{}/{}  {}", endpoint.port, endpoint.transport, endpoint.service)?;
    let addresses: Vec<String> =
        endpoint.addresses.iter().map(|address| place(address, endpoint, &snapshot.interfaces)).collect();
    field(out, "listens on", &addresses.join("; "))?;
    if let Some(namespace) = &endpoint.namespace {
        field(out, "where", &format!("another network namespace, that of process {}", namespace.pid))?;
    }
    let user = || endpoint.user.as_ref().map(ToString::to_string);
    match &endpoint.holder {
        Holder::Processes(processes) => {
            for process in processes.iter().take(PROCESSES_SHOWN_MAX) {
                field(out, "program", &program(process))?;
                if let Some(path) = &process.executable {
                    let deleted =
                        if process.executable_deleted { " (deleted or replaced since)" } else { "" };
                    field(out, "", &format!("{}{deleted}", path.display()))?;
                }
            }
            if let Some(more) = processes.len().checked_sub(PROCESSES_SHOWN_MAX).filter(|more| *more > 0) {
                field(out, "", &format!("and {more} processes more"))?;
            }
        }
        Holder::Hidden => {
            let user = user().map(|user| format!("of user {user}; ")).unwrap_or_default();
            field(out, "program", &format!("{user}which one cannot be seen without root"))?;
        }
        Holder::Nobody => field(out, "program", "none: the kernel itself, or one that has just ended")?,
    }
    if let Some(outcome) = outcome {
        field(out, "answers", &answer(outcome))?;
    }
    clients(out, endpoint, snapshot)
}

/// `0.0.0.0: every IPv4 address (eth0, eth1)`.
fn place(address: &Address, endpoint: &Endpoint, interfaces: &[Interface]) -> String {
    let ip = address.ip.to_canonical();
    let names = |v4: bool, v6: bool| {
        let mut names: Vec<&str> = Vec::new();
        let counted = |interface: &&Interface| {
            interface.up && !interface.ip.is_loopback() && if interface.ip.is_ipv4() { v4 } else { v6 }
        };
        for interface in interfaces.iter().filter(counted) {
            if !names.contains(&interface.name.as_str()) {
                names.push(&interface.name);
            }
        }
        match (endpoint.namespace.is_some(), names.is_empty()) {
            (true, _) => String::new(),
            (false, true) => " (no network now)".to_owned(),
            (false, false) => format!(" ({})", names.join(", ")),
        }
    };
    match ip {
        _ if ip.is_loopback() => format!("{ip}: loopback"),
        IpAddr::V4(ip) if ip.is_unspecified() => format!("{ip}: every IPv4 address{}", names(true, false)),
        IpAddr::V6(ip) if ip.is_unspecified() => match address.v6_only {
            Some(true) => format!("[{ip}]: every IPv6 address{}", names(false, true)),
            Some(false) => format!("[{ip}]: every address, IPv4 too{}", names(true, true)),
            None => {
                format!("[{ip}]: every IPv6 address, and IPv4 unless it is told not to{}", names(true, true))
            }
        },
        ip => {
            let interface = interfaces.iter().find(|interface| interface.ip == ip);
            let name = interface.map(|interface| format!(" ({})", interface.name)).unwrap_or_default();
            format!("{ip}: this address alone{name}")
        }
    }
}

fn program(process: &Process) -> String {
    let user = process.user.as_ref().map(|user| format!(", user {user}")).unwrap_or_default();
    let since =
        process.started.map(|started| format!(", since {}", words::time(started))).unwrap_or_default();
    format!("{}, pid {}{user}{since}", process.name, process.pid)
}

/// What came of asking, in one line.
pub(super) fn answer(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Speaks(Answer::Modbus(answer)) => match answer {
            modbus::Answer::Identification(objects) if !objects.is_empty() => {
                let object = |(id, value): &(u8, String)| {
                    let name = DEVICE_OBJECT_NAMES.get(usize::from(*id)).copied();
                    format!("{} {value}", name.map_or_else(|| format!("object 0x{id:02X}"), str::to_owned))
                };
                format!("Modbus: {}", objects.iter().map(object).collect::<Vec<_>>().join(", "))
            }
            modbus::Answer::Identification(_) => "Modbus: it does not say who it is".to_owned(),
            modbus::Answer::Exception(_) => match answer.exception() {
                Some(code) => format!("Modbus: it does not say who it is (exception {code})"),
                None => "Modbus".to_owned(),
            },
            modbus::Answer::Unreadable => "Modbus: what it says of itself cannot be read".to_owned(),
        },
        Outcome::Speaks(Answer::Tls(tls::Answer::Hello(hello))) => {
            let asks = if hello.asks_for_certificate {
                "asks for a client certificate"
            } else {
                "asks for no client certificate"
            };
            let certificate = hello.certificate.as_ref().map(|certificate| {
                format!(", its own: {}, until {}", certificate.subject, words::time(certificate.not_after))
            });
            format!(
                "{}, {}, {asks}{}",
                hello.version_name(),
                hello.suite_name(),
                certificate.unwrap_or_default()
            )
        }
        Outcome::Speaks(Answer::Tls(tls::Answer::Alert(70))) => {
            "TLS, and not 1.2: what it asks of clients is hidden in 1.3".to_owned()
        }
        Outcome::Speaks(Answer::Tls(tls::Answer::Alert(alert))) => {
            format!("TLS: it refused with alert {alert}")
        }
        Outcome::Speaks(Answer::S7) => "ISO transport (COTP), as S7 controllers speak it".to_owned(),
        Outcome::Speaks(Answer::EtherNetIp(identity)) => format!(
            "EtherNet/IP: {}, vendor {}, device type {}, product {}, revision {}.{}, serial {:08X}",
            identity.name,
            identity.vendor,
            identity.device_type,
            identity.product_code,
            identity.revision.0,
            identity.revision.1,
            identity.serial
        ),
        Outcome::Speaks(Answer::Dnp3(link)) => format!("DNP3: outstation {}", link.source),
        Outcome::Speaks(Answer::OpcUa(opc_ua::Answer::Acknowledge)) => "OPC UA".to_owned(),
        Outcome::Speaks(Answer::OpcUa(opc_ua::Answer::Error { code, reason })) => {
            format!("OPC UA: it refused with status 0x{code:08X} {reason}")
        }
        Outcome::SomethingElse { bytes, looks_like } => {
            let hex: Vec<String> = bytes.iter().take(12).map(|byte| format!("{byte:02X}")).collect();
            let more = if bytes.len() > 12 { " ..." } else { "" };
            match looks_like {
                Some(like) => format!("something else: {like} ({}{more})", hex.join(" ")),
                None => format!("something else: {}{more}", hex.join(" ")),
            }
        }
        Outcome::Silent => "nothing: it took the request and did not answer in time".to_owned(),
        Outcome::Closed => "nothing: it closed the connection".to_owned(),
        Outcome::NoConnection { why } => format!("nothing: it took no connection ({why})"),
        Outcome::NotAsked(why) => match why {
            NotAsked::NotWanted => "not asked (--no-probe)",
            NotAsked::OtherNamespace => "not asked: it is in another network namespace",
            NotAsked::NotOverUdp => "not asked: this protocol has no UDP",
            NotAsked::NoAddress => "not asked: it has no address of one machine",
            NotAsked::TooMany => "not asked: too many listeners",
        }
        .to_owned(),
    }
}

/// Who is connected to a listener, by address.
fn clients(out: &mut impl Write, endpoint: &Endpoint, snapshot: &Snapshot) -> io::Result<()> {
    if endpoint.transport == Transport::Udp {
        return Ok(());
    }
    let is_client = |peer: &&Peer| {
        peer.direction == Direction::In
            && peer.local.port() == endpoint.port
            && peer.namespace == endpoint.namespace
            && endpoint.takes(peer.local.ip())
    };
    let list = by_address(snapshot.peers.iter().filter(is_client).map(|peer| peer.remote.ip().to_string()));
    match list {
        Some(list) => field(out, "clients", &list),
        None => field(out, "clients", "none now"),
    }
}

/// The devices that this machine is a client of.
fn devices(out: &mut impl Write, snapshot: &Snapshot) -> io::Result<()> {
    let is_out = |peer: &&Peer| peer.direction == Direction::Out && !peer.remote.ip().is_loopback();
    let list = by_address(snapshot.peers.iter().filter(is_out).map(|peer| peer.remote.to_string()));
    match list {
        Some(list) => paragraph(out, "", &format!("This machine is a client of {list}.")),
        None => Ok(()),
    }
}

/// `10.0.0.1 (2 connections), 8.8.8.8 (public)`.
fn by_address(all: impl Iterator<Item = String>) -> Option<String> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for address in all {
        *counts.entry(address).or_default() += 1;
    }
    let is_of_the_internet = |text: &str| {
        let ip = text.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|at| at.ip()));
        ip.is_some_and(is_public)
    };
    let mut shown: Vec<String> = counts
        .iter()
        .take(CLIENTS_SHOWN_MAX)
        .map(|(address, count)| match (*count, is_of_the_internet(address)) {
            (1, false) => address.clone(),
            (1, true) => format!("{address} (PUBLIC ADDRESS)"),
            (count, false) => format!("{address} ({count} connections)"),
            (count, true) => format!("{address} (PUBLIC ADDRESS, {count} connections)"),
        })
        .collect();
    let more = counts.len().saturating_sub(CLIENTS_SHOWN_MAX);
    if more > 0 {
        shown.push(format!("and {} more", counted(u64::try_from(more).unwrap_or(u64::MAX), "address")));
    }
    (!shown.is_empty()).then(|| shown.join(", "))
}

/// One line, or a few, for what has changed.
pub(super) fn change(
    out: &mut impl Write,
    change: &Change,
    snapshot: &Snapshot,
    time: Timestamp,
) -> io::Result<()> {
    let mark = |sign: char| format!("{time:.0} {sign} ");
    let who = |holder: &Holder| match holder.processes() {
        [first, ..] => format!("{}, pid {}", first.name, first.pid),
        [] => "a program that cannot be seen".to_owned(),
    };
    let listens = |endpoint: &Endpoint| {
        let addresses: Vec<String> =
            endpoint.addresses.iter().map(|address| address.ip.to_string()).collect();
        format!(
            "{}/{} {} on {}: {}",
            endpoint.port,
            endpoint.transport,
            endpoint.service,
            addresses.join(", "),
            who(&endpoint.holder)
        )
    };
    let connection = |peer: &Peer| match peer.direction {
        Direction::In => format!("client {} of {}", peer.remote, peer.local),
        Direction::Out => format!("this machine as client of {} ({})", peer.remote, who(&peer.holder)),
    };
    match change {
        Change::Listens(endpoint) => paragraph(out, &mark('+'), &format!("listens: {}", listens(endpoint))),
        Change::Stopped(endpoint) => paragraph(out, &mark('-'), &format!("stopped: {}", listens(endpoint))),
        Change::Connected(peer) => paragraph(out, &mark('+'), &format!("connected: {}", connection(peer))),
        Change::Disconnected(peer) => paragraph(out, &mark('-'), &format!("gone: {}", connection(peer))),
        Change::Found(finding) => {
            let sign = if finding.severity() == Severity::Act { '!' } else { '+' };
            let verdict = words(finding, snapshot).verdict;
            paragraph(out, &mark(sign), &format!("{}/{}: {verdict}", finding.port, finding.transport))
        }
        Change::Over(finding) => {
            let name = finding.what.name();
            paragraph(out, &mark('-'), &format!("over: {}/{}: {name}", finding.port, finding.transport))
        }
    }
}
