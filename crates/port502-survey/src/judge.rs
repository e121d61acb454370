//! What to think of what was seen: a snapshot and answers in, findings out, and nothing else is asked.
//!
//! In doubt a listener counts as open: a rule that cannot be read keeps nobody out, and `::` takes IPv4.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::address::is_public;
use crate::ask::Outcomes;
use crate::filter::{Packet, forwards, pass};
use crate::probe::{Answer, NotAsked, Outcome, tls};
use crate::service::Service;
use crate::snapshot::{
    Chassis, Direction, Endpoint, Interface, Namespace, Peer, Snapshot, Transport, Unseen,
};

/// How long before its end a certificate is told: 30 days, in seconds.
pub const CERTIFICATE_ENDS_WITHIN: i64 = 2_592_000;

/// One thing to know about a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The port.
    pub port: u16,
    /// TCP or UDP.
    pub transport: Transport,
    /// What is expected there.
    pub service: Service,
    /// What listens there, where the finding is about that.
    pub endpoint: Option<Endpoint>,
    /// What it is.
    pub what: What,
}

/// Whether somebody should do something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Somebody should.
    Act,
    /// It is good to know.
    Note,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// Other machines reach it, and nothing on this one keeps anybody out.
    OpenToNetworks(Exposure),
    /// Other machines reach it, and the packet filter lets only some of them in.
    LimitedByFilter {
        /// Whom, as the rules say it.
        allowed: Vec<String>,
        /// What of the rules was not understood.
        unclear: Vec<String>,
    },
    /// It listens for other machines, and the packet filter lets none of them in.
    ClosedByFilter,
    /// Only programs on this machine reach it.
    LoopbackOnly,
    /// It listens for other machines, and there is no network now by which they would come.
    NoNetwork,
    /// It does not speak what belongs on that port.
    SomethingElse {
        /// What it looks like instead.
        looks_like: Option<&'static str>,
        /// Its first bytes.
        bytes: Vec<u8>,
    },
    /// Asked, it did not answer.
    NoAnswer(Silence),
    /// Nothing else on this machine has to do with plants, and the program looks like somebody's own.
    Unexpected {
        /// What speaks for that.
        signs: Vec<Sign>,
    },
    /// A connection with an address of the internet.
    PublicPeer {
        /// Who opened it.
        direction: Direction,
        /// The address.
        remote: IpAddr,
        /// How many connections.
        connections: usize,
    },
    /// Modbus is there for other machines, and Modbus/TCP Security is not.
    NoSecureNeighbour,
    /// Modbus/TCP Security without asking for the client's certificate, as R-07 has it.
    NoClientCertificate,
    /// TLS older than 1.2.
    OldTls {
        /// The version in words.
        version: String,
    },
    /// A suite that encrypts nothing.
    NoEncryption {
        /// The suite in words.
        suite: String,
    },
    /// The server's certificate does not hold now.
    CertificateInvalid {
        /// From when it holds, in seconds since 1970.
        not_before: i64,
        /// Until when.
        not_after: i64,
    },
    /// The server's certificate ends soon.
    CertificateEnds {
        /// When, in seconds since 1970.
        not_after: i64,
    },
    /// It listens in another network namespace, such as a container's.
    OtherNamespace(Namespace),
    /// A rule of the packet filter sends what comes to that port on.
    Forwarded {
        /// Where to, as the rule says it.
        to: String,
    },
    /// There is no such protocol over UDP.
    UnusualOverUdp,
    /// The file of the running program has been deleted or replaced.
    FileReplaced {
        /// The file.
        path: PathBuf,
        /// The process.
        pid: u32,
    },
}

/// From where a listener can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exposure {
    /// By which interfaces, by name.
    pub interfaces: Vec<String>,
    /// Addresses of the internet at which it can be reached.
    pub public: Vec<IpAddr>,
    /// What is known of a packet filter.
    pub filter: FilterState,
    /// The rules keep others out over IPv4, and do not over IPv6.
    pub only_v6: bool,
    /// What a client has to show.
    pub protection: Protection,
}

/// What is known of a packet filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilterState {
    /// There are no rules for packets to this machine.
    None,
    /// There are, and they let everybody in.
    LetsIn,
    /// They could not be read.
    Unseen,
}

/// What a client has to show before it may write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protection {
    /// Nothing: the protocol has nothing of the kind, or leaves it out as a rule.
    None,
    /// What the server's own settings ask for.
    Own,
    /// A certificate.
    Certificate,
    /// It could not be seen.
    Unknown,
    /// What listens speaks another protocol: nobody knows what it lets clients do.
    AnotherProtocol,
}

/// How a listener did not answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Silence {
    /// It took the request and said nothing.
    Silent,
    /// It closed the connection.
    Closed,
    /// There was no connection.
    NoConnection {
        /// What the system said.
        why: String,
    },
}

/// Something that speaks against a role in a plant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sign {
    /// The machine is carried about.
    Portable,
    /// It stands at a desk.
    Desktop,
    /// The program lies in a person's folder.
    InHome(PathBuf),
    /// The program lies in a folder for temporary files.
    InTemporary(PathBuf),
}

impl What {
    /// One word, stable: JSON uses it.
    pub fn name(&self) -> &'static str {
        match self {
            What::OpenToNetworks(_) => "open-to-networks",
            What::LimitedByFilter { .. } => "limited-by-filter",
            What::ClosedByFilter => "closed-by-filter",
            What::LoopbackOnly => "loopback-only",
            What::NoNetwork => "no-network",
            What::SomethingElse { .. } => "something-else",
            What::NoAnswer(_) => "no-answer",
            What::Unexpected { .. } => "unexpected",
            What::PublicPeer { .. } => "public-peer",
            What::NoSecureNeighbour => "no-secure-neighbour",
            What::NoClientCertificate => "no-client-certificate",
            What::OldTls { .. } => "old-tls",
            What::NoEncryption { .. } => "no-encryption",
            What::CertificateInvalid { .. } => "certificate-invalid",
            What::CertificateEnds { .. } => "certificate-ends",
            What::OtherNamespace(_) => "other-namespace",
            What::Forwarded { .. } => "forwarded",
            What::UnusualOverUdp => "unusual-over-udp",
            What::FileReplaced { .. } => "file-replaced",
        }
    }
}

impl Finding {
    /// Whether somebody should do something about it.
    pub fn severity(&self) -> Severity {
        let act = match &self.what {
            What::OpenToNetworks(exposure) => {
                matches!(
                    exposure.protection,
                    Protection::None | Protection::Own | Protection::AnotherProtocol
                )
            }
            // Over UDP, and to a wrong address of DNP3, a device says nothing, and that is no sign of anything.
            What::NoAnswer(_) => self.transport == Transport::Tcp && self.service != Service::Dnp3,
            What::SomethingElse { .. }
            | What::Unexpected { .. }
            | What::PublicPeer { .. }
            | What::NoClientCertificate
            | What::OldTls { .. }
            | What::NoEncryption { .. }
            | What::CertificateInvalid { .. }
            | What::Forwarded { .. } => true,
            What::LimitedByFilter { .. }
            | What::ClosedByFilter
            | What::LoopbackOnly
            | What::NoNetwork
            | What::NoSecureNeighbour
            | What::CertificateEnds { .. }
            | What::OtherNamespace(_)
            | What::UnusualOverUdp
            | What::FileReplaced { .. } => false,
        };
        if act { Severity::Act } else { Severity::Note }
    }
}

/// What to think of a snapshot, and of what its listeners answered: what is to be acted on first, then by port as it was
/// asked for.
pub fn judge(snapshot: &Snapshot, outcomes: &Outcomes) -> Vec<Finding> {
    let mut findings = Vec::new();
    for endpoint in &snapshot.endpoints {
        let mut add = |what| {
            findings.push(Finding {
                port: endpoint.port,
                transport: endpoint.transport,
                service: endpoint.service,
                endpoint: Some(endpoint.clone()),
                what,
            });
        };
        listener(snapshot, outcomes, endpoint, &mut add);
    }
    public_peers(snapshot, &mut findings);
    for (port, service) in snapshot.scope.ports() {
        for transport in [Transport::Tcp, Transport::Udp] {
            for to in forwards(&snapshot.rulesets, transport, port) {
                findings.push(Finding {
                    port,
                    transport,
                    service,
                    endpoint: None,
                    what: What::Forwarded { to },
                });
            }
        }
    }
    let place = |port: u16| snapshot.scope.ports().position(|(known, _)| known == port);
    findings.sort_by_key(|finding| (finding.severity(), place(finding.port)));
    findings
}

fn listener(snapshot: &Snapshot, outcomes: &Outcomes, endpoint: &Endpoint, add: &mut impl FnMut(What)) {
    let outcome = outcomes.get(endpoint).unwrap_or(&Outcome::NotAsked(NotAsked::NotWanted));
    if let Some(namespace) = &endpoint.namespace {
        return add(What::OtherNamespace(namespace.clone()));
    }
    for process in endpoint.holder.processes() {
        if let (true, Some(path)) = (process.executable_deleted, &process.executable) {
            add(What::FileReplaced { path: path.clone(), pid: process.pid });
        }
    }
    let silence = match outcome {
        Outcome::SomethingElse { bytes, looks_like } => {
            add(What::SomethingElse { looks_like: *looks_like, bytes: bytes.clone() });
            None
        }
        Outcome::NotAsked(NotAsked::NotOverUdp) => return add(What::UnusualOverUdp),
        Outcome::Silent => Some(Silence::Silent),
        Outcome::Closed => Some(Silence::Closed),
        Outcome::NoConnection { why } => Some(Silence::NoConnection { why: why.clone() }),
        Outcome::Speaks(_) | Outcome::NotAsked(_) => None,
    };
    if let Some(silence) = silence {
        add(What::NoAnswer(silence));
    }
    if let Outcome::Speaks(Answer::Tls(tls::Answer::Hello(hello))) = outcome {
        tls_server(hello, snapshot.taken, add);
    }
    let what = reach(snapshot, endpoint, outcome);
    let reached = matches!(what, What::OpenToNetworks(_) | What::LimitedByFilter { .. });
    // Whatever it is, that everybody reaches it matters. What is said of servers of the protocol only would be wrong.
    if let Outcome::SomethingElse { .. } = outcome {
        if let What::OpenToNetworks(_) = what {
            add(what);
        }
        return;
    }
    if let What::OpenToNetworks(_) = what {
        let signs = signs_against(snapshot, endpoint);
        if !signs.is_empty() && !has_role(snapshot, outcomes, endpoint) {
            add(What::Unexpected { signs });
        }
    }
    add(what);
    let is_secure = |other: &Endpoint| {
        let outcome = outcomes.get(other);
        other.service == Service::ModbusSecurity
            && other.transport == Transport::Tcp
            && other.namespace.is_none()
            && matches!(outcome, None | Some(Outcome::Speaks(_) | Outcome::NotAsked(_)))
    };
    if reached
        && endpoint.service == Service::Modbus
        && endpoint.transport == Transport::Tcp
        && !snapshot.endpoints.iter().any(is_secure)
    {
        add(What::NoSecureNeighbour);
    }
}

fn tls_server(hello: &tls::Hello, now: i64, add: &mut impl FnMut(What)) {
    if !hello.asks_for_certificate {
        add(What::NoClientCertificate);
    }
    if hello.version < 0x0303 {
        add(What::OldTls { version: hello.version_name() });
    }
    if hello.is_without_encryption() {
        add(What::NoEncryption { suite: hello.suite_name() });
    }
    if let Some(certificate) = &hello.certificate {
        let (not_before, not_after) = (certificate.not_before, certificate.not_after);
        if now < not_before || now > not_after {
            add(What::CertificateInvalid { not_before, not_after });
        } else if not_after.saturating_sub(now) < CERTIFICATE_ENDS_WITHIN {
            add(What::CertificateEnds { not_after });
        }
    }
}

/// From where it can be reached, and what stands between.
fn reach(snapshot: &Snapshot, endpoint: &Endpoint, outcome: &Outcome) -> What {
    if endpoint.addresses.iter().all(|address| address.ip.to_canonical().is_loopback()) {
        return What::LoopbackOnly;
    }
    let ways = ways(endpoint, &snapshot.interfaces);
    if ways.is_empty() {
        return What::NoNetwork;
    }
    let (mut open, mut allowed, mut unclear) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for way in &ways {
        let packet =
            Packet { transport: endpoint.transport, port: endpoint.port, to: way.ip, interface: &way.name };
        let passage = pass(&snapshot.rulesets, packet);
        unclear.extend(passage.unclear);
        if passage.open {
            open.push(*way);
        } else {
            allowed.extend(passage.allowed);
        }
    }
    if open.is_empty() {
        if allowed.is_empty() {
            return What::ClosedByFilter;
        }
        return What::LimitedByFilter {
            allowed: allowed.into_iter().collect(),
            unclear: unclear.into_iter().collect(),
        };
    }
    let mut interfaces: Vec<String> = Vec::new();
    for way in &open {
        if !interfaces.contains(&way.name) {
            interfaces.push(way.name.clone());
        }
    }
    let has_rules =
        || snapshot.rulesets.iter().flat_map(|rules| &rules.chains).any(|chain| chain.base.is_some());
    What::OpenToNetworks(Exposure {
        interfaces,
        public: open.iter().map(|way| way.ip).filter(|ip| is_public(*ip)).collect(),
        filter: if snapshot.unseen.iter().any(|unseen| matches!(unseen, Unseen::Filter { .. })) {
            FilterState::Unseen
        } else if has_rules() {
            FilterState::LetsIn
        } else {
            FilterState::None
        },
        only_v6: open.iter().all(|way| way.ip.is_ipv6()) && ways.iter().any(|way| way.ip.is_ipv4()),
        protection: protection(endpoint.service, outcome),
    })
}

/// The addresses at which other machines reach a listener.
fn ways<'s>(endpoint: &Endpoint, interfaces: &'s [Interface]) -> Vec<&'s Interface> {
    let by = |interface: &&Interface| {
        interface.up
            && !interface.ip.is_loopback()
            && endpoint.addresses.iter().any(|address| {
                let ip = address.ip.to_canonical();
                match (ip.is_unspecified(), interface.ip.is_ipv4()) {
                    (true, true) => address.takes_v4(),
                    (true, false) => address.takes_v6(),
                    (false, _) => ip == interface.ip,
                }
            })
    };
    interfaces.iter().filter(by).collect()
}

fn protection(service: Service, outcome: &Outcome) -> Protection {
    match (service, outcome) {
        (_, Outcome::SomethingElse { .. }) => Protection::AnotherProtocol,
        (Service::OpcUa, _) => Protection::Own,
        (Service::ModbusSecurity, Outcome::Speaks(Answer::Tls(tls::Answer::Hello(hello)))) => {
            if hello.asks_for_certificate { Protection::Certificate } else { Protection::None }
        }
        (Service::ModbusSecurity, _) => Protection::Unknown,
        _ => Protection::None,
    }
}

/// What speaks against a role in a plant.
fn signs_against(snapshot: &Snapshot, endpoint: &Endpoint) -> Vec<Sign> {
    let mut signs = Vec::new();
    for path in endpoint.holder.processes().iter().filter_map(|process| process.executable.as_ref()) {
        let sign =
            if ["/tmp", "/var/tmp", "/dev/shm", "/private/tmp"].iter().any(|folder| path.starts_with(folder))
            {
                Sign::InTemporary(path.clone())
            } else if ["/home", "/Users", "/root"].iter().any(|folder| path.starts_with(folder)) {
                Sign::InHome(path.clone())
            } else {
                continue;
            };
        if !signs.contains(&sign) {
            signs.push(sign);
        }
    }
    match snapshot.machine.chassis {
        Some(Chassis::Portable) => signs.push(Sign::Portable),
        Some(Chassis::Desktop) => signs.push(Sign::Desktop),
        Some(Chassis::Other) | None => {}
    }
    signs
}

/// Whether anything but this listener says that the machine has to do with a plant: it polls devices, other machines are
/// connected to it, or another program serves such a protocol, too.
fn has_role(snapshot: &Snapshot, outcomes: &Outcomes, endpoint: &Endpoint) -> bool {
    let is_elsewhere = |peer: &Peer| {
        let ip = peer.remote.ip().to_canonical();
        !ip.is_loopback() && snapshot.interfaces.iter().all(|interface| interface.ip != ip)
    };
    let speaks = |other: &Endpoint| matches!(outcomes.get(other), Some(Outcome::Speaks(_)));
    snapshot.peers.iter().any(is_elsewhere)
        || snapshot.endpoints.iter().any(|other| other.holder != endpoint.holder && speaks(other))
}

fn public_peers(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    let networks: Vec<_> = snapshot.interfaces.iter().filter_map(Interface::network).collect();
    let mut found: Vec<(Finding, usize)> = Vec::new();
    for peer in &snapshot.peers {
        let remote = peer.remote.ip().to_canonical();
        // A network of ours may well have addresses of the internet, as with IPv6.
        if !is_public(remote) || networks.iter().any(|network| network.contains(&remote)) {
            continue;
        }
        let what = What::PublicPeer { direction: peer.direction, remote, connections: 0 };
        let finding = Finding {
            port: peer.port(),
            transport: Transport::Tcp,
            service: peer.service,
            endpoint: None,
            what,
        };
        match found.iter_mut().find(|(known, _)| *known == finding) {
            Some((_, count)) => *count += 1,
            None => found.push((finding, 1)),
        }
    }
    findings.extend(found.into_iter().map(|(mut finding, count)| {
        if let What::PublicPeer { connections, .. } = &mut finding.what {
            *connections = count;
        }
        finding
    }));
}

#[cfg(test)]
mod tests;
