//! What was found, for programs: one object a line, documented in docs/json.md.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use jiff::Timestamp;
use port502_survey::change::{Change, Report};
use port502_survey::probe::{Answer, Outcome, modbus, opc_ua, tls};
use port502_survey::{Endpoint, Finding, Holder, Namespace, Peer, Process, Severity, User, is_public};
use port502_wire::DEVICE_OBJECT_NAMES;
use serde::Serialize;

use super::page;
use super::words::{self, words};
use crate::output::rfc3339;

/// What every object begins with.
#[derive(Serialize)]
struct Line<'r, T> {
    time: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'static str>,
    #[serde(flatten)]
    what: &'r T,
}

#[derive(Serialize)]
struct Listener<'r> {
    port: u16,
    transport: &'static str,
    service: &'static str,
    addresses: Vec<JsonAddress>,
    user: Option<JsonUser<'r>>,
    holder: &'static str,
    processes: Vec<JsonProcess<'r>>,
    namespace: Option<JsonNamespace<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<JsonAnswer<'r>>,
}

#[derive(Serialize)]
struct JsonAddress {
    address: IpAddr,
    reach: &'static str,
    v6_only: Option<bool>,
}

#[derive(Serialize)]
struct JsonUser<'r> {
    uid: u32,
    name: Option<&'r str>,
}

#[derive(Serialize)]
struct JsonProcess<'r> {
    pid: u32,
    name: &'r str,
    executable: Option<String>,
    executable_deleted: bool,
    user: Option<JsonUser<'r>>,
    started: Option<String>,
}

#[derive(Serialize)]
struct JsonNamespace<'r> {
    id: u64,
    pid: u32,
    interfaces: &'r [String],
}

#[derive(Default, Serialize)]
struct JsonAnswer<'r> {
    outcome: &'static str,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<Vec<JsonObject<'r>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<JsonTls<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<JsonIdentity<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outstation: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

#[derive(Serialize)]
struct JsonObject<'r> {
    id: u8,
    name: Option<&'static str>,
    value: &'r str,
}

#[derive(Serialize)]
struct JsonTls<'r> {
    version: Option<String>,
    suite: Option<String>,
    asks_for_certificate: Option<bool>,
    subject: Option<&'r str>,
    not_after: Option<String>,
    alert: Option<u8>,
}

#[derive(Serialize)]
struct JsonIdentity<'r> {
    vendor: u16,
    device_type: u16,
    product_code: u16,
    revision: String,
    serial: u32,
    name: &'r str,
}

#[derive(Serialize)]
struct Connection<'r> {
    port: u16,
    service: &'static str,
    direction: &'static str,
    local: SocketAddr,
    remote: SocketAddr,
    public: bool,
    holder: &'static str,
    processes: Vec<JsonProcess<'r>>,
    namespace: Option<JsonNamespace<'r>>,
}

#[derive(Serialize)]
struct Judged {
    severity: &'static str,
    finding: &'static str,
    port: u16,
    transport: &'static str,
    service: &'static str,
    pids: Vec<u32>,
    verdict: String,
    next: Vec<JsonStep>,
}

#[derive(Serialize)]
struct JsonStep {
    say: String,
    commands: Vec<String>,
}

#[derive(Serialize)]
struct NotSeen {
    what: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Summary {
    ports: Vec<JsonPort>,
    listeners: usize,
    peers: usize,
    to_act_on: usize,
    notes: usize,
}

#[derive(Serialize)]
struct JsonPort {
    port: u16,
    service: &'static str,
}

fn line<T: Serialize>(
    out: &mut impl Write,
    time: Timestamp,
    kind: &'static str,
    change: Option<&'static str>,
    what: &T,
) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Line { time: rfc3339(time), kind, change, what })?;
    writeln!(out)
}

/// Everything, the summary last.
pub(super) fn report(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let snapshot = &report.snapshot;
    let time = Timestamp::now();
    for endpoint in &snapshot.endpoints {
        line(out, time, "listener", None, &listener(endpoint, report.outcomes.get(endpoint)))?;
    }
    for peer in &snapshot.peers {
        line(out, time, "peer", None, &connection(peer))?;
    }
    for finding in &report.findings {
        line(out, time, "finding", None, &judged(finding, report))?;
    }
    for unseen in &snapshot.unseen {
        let what = NotSeen { what: words::unseen_name(unseen), text: words::unseen(unseen) };
        line(out, time, "unseen", None, &what)?;
    }
    let to_act_on = report.findings.iter().filter(|finding| finding.severity() == Severity::Act).count();
    let summary = Summary {
        ports: snapshot
            .scope
            .ports()
            .map(|(port, service)| JsonPort { port, service: service.word() })
            .collect(),
        listeners: snapshot.endpoints.len(),
        peers: snapshot.peers.len(),
        to_act_on,
        notes: report.findings.len() - to_act_on,
    };
    line(out, time, "summary", None, &summary)
}

/// What has changed: the same objects, with the word for it.
pub(super) fn change(
    out: &mut impl Write,
    change: &Change,
    after: &Report,
    time: Timestamp,
) -> io::Result<()> {
    let (new, gone) = (Some("new"), Some("gone"));
    match change {
        Change::Listens(endpoint) => {
            line(out, time, "listener", new, &listener(endpoint, after.outcomes.get(endpoint)))
        }
        Change::Stopped(endpoint) => line(out, time, "listener", gone, &listener(endpoint, None)),
        Change::Connected(peer) => line(out, time, "peer", new, &connection(peer)),
        Change::Disconnected(peer) => line(out, time, "peer", gone, &connection(peer)),
        Change::Found(finding) => line(out, time, "finding", new, &judged(finding, after)),
        Change::Over(finding) => line(out, time, "finding", gone, &judged(finding, after)),
    }
}

fn listener<'r>(endpoint: &'r Endpoint, outcome: Option<&'r Outcome>) -> Listener<'r> {
    let address = |address: &port502_survey::Address| {
        let ip = address.ip.to_canonical();
        let reach = match ip {
            _ if ip.is_unspecified() => "all",
            _ if ip.is_loopback() => "loopback",
            _ => "one",
        };
        JsonAddress { address: ip, reach, v6_only: address.v6_only }
    };
    let (holder, processes) = held(&endpoint.holder);
    Listener {
        port: endpoint.port,
        transport: endpoint.transport.word(),
        service: endpoint.service.word(),
        addresses: endpoint.addresses.iter().map(address).collect(),
        user: endpoint.user.as_ref().map(user),
        holder,
        processes,
        namespace: endpoint.namespace.as_ref().map(namespace),
        answer: outcome.map(answer),
    }
}

fn user(user: &User) -> JsonUser<'_> {
    JsonUser { uid: user.uid, name: user.name.as_deref() }
}

fn namespace(namespace: &Namespace) -> JsonNamespace<'_> {
    JsonNamespace { id: namespace.id, pid: namespace.pid, interfaces: &namespace.interfaces }
}

fn process(process: &Process) -> JsonProcess<'_> {
    JsonProcess {
        pid: process.pid,
        name: &process.name,
        executable: process.executable.as_deref().map(Path::display).map(|path| path.to_string()),
        executable_deleted: process.executable_deleted,
        user: process.user.as_ref().map(user),
        started: process.started.map(words::time),
    }
}

fn held(holder: &Holder) -> (&'static str, Vec<JsonProcess<'_>>) {
    match holder {
        Holder::Processes(processes) => ("processes", processes.iter().map(process).collect()),
        Holder::Hidden => ("hidden", Vec::new()),
        Holder::Nobody => ("nobody", Vec::new()),
    }
}

fn answer(outcome: &Outcome) -> JsonAnswer<'_> {
    let mut found = JsonAnswer { text: page::answer(outcome), ..JsonAnswer::default() };
    found.outcome = match outcome {
        Outcome::Speaks(_) => "speaks",
        Outcome::SomethingElse { .. } => "something-else",
        Outcome::Silent => "silent",
        Outcome::Closed => "closed",
        Outcome::NoConnection { .. } => "no-connection",
        Outcome::NotAsked(_) => "not-asked",
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match outcome {
        Outcome::Speaks(Answer::Modbus(modbus::Answer::Identification(objects))) => {
            found.objects = Some(
                objects
                    .iter()
                    .map(|(id, value)| JsonObject {
                        id: *id,
                        name: DEVICE_OBJECT_NAMES.get(usize::from(*id)).copied(),
                        value,
                    })
                    .collect(),
            );
        }
        Outcome::Speaks(Answer::Modbus(modbus::Answer::Exception(code))) => found.exception = Some(*code),
        Outcome::Speaks(Answer::Tls(tls::Answer::Hello(hello))) => {
            let certificate = hello.certificate.as_ref();
            found.tls = Some(JsonTls {
                version: Some(hello.version_name()),
                suite: Some(hello.suite_name()),
                asks_for_certificate: Some(hello.asks_for_certificate),
                subject: certificate.map(|certificate| certificate.subject.as_str()),
                not_after: certificate.map(|certificate| words::time(certificate.not_after)),
                alert: None,
            });
        }
        Outcome::Speaks(Answer::Tls(tls::Answer::Alert(alert))) => {
            found.tls = Some(JsonTls {
                version: None,
                suite: None,
                asks_for_certificate: None,
                subject: None,
                not_after: None,
                alert: Some(*alert),
            });
        }
        Outcome::Speaks(Answer::EtherNetIp(identity)) => {
            found.identity = Some(JsonIdentity {
                vendor: identity.vendor,
                device_type: identity.device_type,
                product_code: identity.product_code,
                revision: format!("{}.{}", identity.revision.0, identity.revision.1),
                serial: identity.serial,
                name: &identity.name,
            });
        }
        Outcome::Speaks(Answer::Dnp3(link)) => found.outstation = Some(link.source),
        Outcome::Speaks(Answer::OpcUa(opc_ua::Answer::Error { code, .. })) => found.status = Some(*code),
        Outcome::SomethingElse { bytes, .. } => found.bytes = Some(hex(bytes)),
        _ => {}
    }
    found
}

fn connection(peer: &Peer) -> Connection<'_> {
    let (holder, processes) = held(&peer.holder);
    Connection {
        port: peer.port(),
        service: peer.service.word(),
        direction: peer.direction.word(),
        local: peer.local,
        remote: peer.remote,
        public: is_public(peer.remote.ip()),
        holder,
        processes,
        namespace: peer.namespace.as_ref().map(namespace),
    }
}

fn judged(finding: &Finding, report: &Report) -> Judged {
    let words = words(finding, &report.snapshot);
    let processes = finding.endpoint.as_ref().map(|endpoint| endpoint.holder.processes()).unwrap_or_default();
    Judged {
        severity: if finding.severity() == Severity::Act { "act" } else { "note" },
        finding: finding.what.name(),
        port: finding.port,
        transport: finding.transport.word(),
        service: finding.service.word(),
        pids: processes.iter().map(|process| process.pid).collect(),
        verdict: words.verdict,
        next: words
            .next
            .into_iter()
            .map(|step| JsonStep { say: step.say, commands: step.commands })
            .collect(),
    }
}
