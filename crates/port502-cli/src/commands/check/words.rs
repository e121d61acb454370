//! What a finding means, and what to do next, in the words of somebody who runs a plant.
//!
//! Every command that stands here works as it stands: a test runs those for the packet filter.

use std::net::IpAddr;

use jiff::Timestamp;
use port502_survey::judge::{Exposure, FilterState, Protection, Sign, Silence};
use port502_survey::{Direction, Finding, Interface, Peer, Service, Snapshot, Transport, Unseen, What, Why};

use crate::output::{counted, no_controls};

/// A finding in words.
pub(crate) struct Words {
    /// What it is.
    pub(crate) verdict: String,
    /// What to do, one after the other.
    pub(crate) next: Vec<Step>,
}

/// One thing to do.
pub(crate) struct Step {
    /// In words.
    pub(crate) say: String,
    /// As commands for a shell, where there are any.
    pub(crate) commands: Vec<String>,
}

/// Clients that are named in a proposed rule; with more, their network is.
const CLIENTS_MAX: usize = 3;

/// Says it.
pub(crate) fn words(finding: &Finding, snapshot: &Snapshot) -> Words {
    let (port, service) = (finding.port, finding.service);
    let pid =
        finding.endpoint.as_ref().and_then(|endpoint| endpoint.holder.processes().first()).map(|p| p.pid);
    let mut next = Vec::new();
    let mut step = |say: &str, commands: Vec<String>| next.push(Step { say: say.to_owned(), commands });
    let verdict = match &finding.what {
        What::OpenToNetworks(exposure) => {
            if exposure.protection != Protection::Certificate {
                if exposure.filter == FilterState::Unseen {
                    step(
                        "Look again with the rights to read the packet filter:",
                        vec![format!("sudo port502 check --port {port}={}", service.word())],
                    );
                }
                step(
                    "Until then, let in the clients that need it, and nobody else. \
                     With nftables, as root, and with your clients' addresses:",
                    filter(finding, exposure, snapshot),
                );
                if cfg!(target_os = "linux") {
                    step(
                        "To keep that after a restart, write the table to the file that nftables \
                         reads at the start. To take it back:",
                        vec!["nft delete table inet port502".to_owned()],
                    );
                }
            }
            open(finding, exposure)
        }
        What::LimitedByFilter { allowed, unclear } => {
            let unclear = if unclear.is_empty() {
                String::new()
            } else {
                format!(" Not understood of the rules: {}.", unclear.join("; "))
            };
            format!(
                "{service} listens for other machines, and the packet filter of this machine limits who \
                 gets in: {}.{unclear}",
                allowed.join("; ")
            )
        }
        What::ClosedByFilter => format!(
            "{service} listens for other machines, and the packet filter of this machine lets nobody in."
        ),
        What::LoopbackOnly => {
            format!("{service} is bound to loopback: only programs on this machine reach it.")
        }
        What::NoNetwork => format!(
            "{service} listens for other machines, and there is no network now by which they could come. \
             As soon as there is one, it is open."
        ),
        What::SomethingElse { looks_like, .. } => {
            investigate(finding, pid, &mut step);
            let like = looks_like.map(|like| format!(", it looks like {like}")).unwrap_or_default();
            format!("Not {service} at all: something else sits on {port}{like}. Investigate.")
        }
        What::NoAnswer(silence) => {
            if service == Service::Modbus && finding.transport == Transport::Tcp {
                step(
                    "Some devices answer only to their own unit id. Ask for the one that it has:",
                    vec![format!("port502 identify {} --unit 1 --timeout 3s", asked_at(finding))],
                );
            }
            investigate(finding, pid, &mut step);
            let how = match silence {
                Silence::Silent => "took the request and did not answer",
                Silence::Closed => "closed the connection without an answer",
                Silence::NoConnection { .. } => "did not take a connection",
            };
            let why = match silence {
                Silence::NoConnection { why } => format!(" ({why})"),
                _ => String::new(),
            };
            let hint = match (service, finding.transport) {
                (Service::Dnp3, _) => {
                    " An outstation answers only to its own link address, so that this says little."
                }
                (_, Transport::Udp) => " Over UDP that says little.",
                _ => " It may be busy with its clients, or it is not what belongs there.",
            };
            format!("What listens on {port} {how}{why}: whether it speaks {service} is not known.{hint}")
        }
        What::Unexpected { signs } => {
            investigate(finding, pid, &mut step);
            if let Some(pid) = pid {
                step("If nobody knows why it runs, stop it:", vec![format!("kill {pid}")]);
            }
            let signs: Vec<String> = signs.iter().map(sign).collect();
            format!(
                "Unexpected: {service} on a machine with no industrial role. Nothing else here has to do \
                 with a plant, nobody is connected, and {}.",
                signs.join(", and ")
            )
        }
        What::PublicPeer { direction, remote, connections } => {
            let side = if *direction == Direction::In { "sport" } else { "dport" };
            step("See which program it is:", vec![format!("ss -tnp '{side} = :{port} and dst {remote}'")]);
            if *direction == Direction::In && cfg!(target_os = "linux") {
                let family = if remote.is_ipv4() { "ip" } else { "ip6" };
                step("Keep that address out, as root:", {
                    let mut commands = table();
                    commands.push(format!("nft add rule inet port502 in {family} saddr {remote} drop"));
                    commands
                });
            }
            let connections = counted(u64::try_from(*connections).unwrap_or(u64::MAX), "connection");
            match direction {
                Direction::In => format!(
                    "An address of the internet, {remote}, is connected to {service} on this machine \
                     ({connections}). Plant protocols have no business there."
                ),
                Direction::Out => format!(
                    "This machine talks {service} to an address of the internet, {remote} ({connections}), \
                     in clear text for everybody on the way to read and to change."
                ),
            }
        }
        What::NoSecureNeighbour => format!(
            "Nothing offers Modbus/TCP Security on 802 beside {port}: whoever is on the way can read and change \
             what goes over it, and there is no way here to talk otherwise."
        ),
        What::NoClientCertificate => format!(
            "{service} on {port} does not ask clients for a certificate, as its specification has it (R-07): \
             the way is encrypted, and anyone who can connect can still write. Turn on client \
             certificates in the server's settings."
        ),
        What::OldTls { version } => format!(
            "{service} on {port} takes {version}, which is broken. The specification wants 1.2 or later: \
             turn the older ones off in the server's settings."
        ),
        What::NoEncryption { suite } => format!(
            "{service} on {port} takes {suite}, which encrypts nothing: everybody on the way can read what \
             goes over it. Turn off the NULL suites in the server's settings, unless that is meant."
        ),
        What::CertificateInvalid { not_before, not_after } => {
            step("See it whole:", dates(finding));
            let now = snapshot.taken;
            if now < *not_before {
                format!("The certificate on {port} holds only from {}: check the clocks.", time(*not_before))
            } else {
                format!(
                    "The certificate on {port} ended on {}: clients refuse it. Renew it.",
                    time(*not_after)
                )
            }
        }
        What::CertificateEnds { not_after } => {
            step("See it whole:", dates(finding));
            format!("The certificate on {port} ends on {}: renew it before.", time(*not_after))
        }
        What::OtherNamespace(namespace) => {
            step(
                "Look from inside, as root:",
                vec![format!(
                    "nsenter -t {} -n port502 check --port {port}={}",
                    namespace.pid,
                    service.word()
                )],
            );
            let interfaces = match namespace.interfaces.as_slice() {
                [] => "with no interface but loopback".to_owned(),
                some => format!("with the interfaces {}", some.join(", ")),
            };
            format!(
                "{service} listens on {port} in another network namespace, such as a container's, {interfaces}. \
                 It was not asked: from here nobody can connect to it."
            )
        }
        What::Forwarded { to } => {
            step("See the rules:", vec!["nft list ruleset".to_owned(), "iptables-save".to_owned()]);
            format!(
                "A rule of the packet filter sends what comes to {port} on to {to}: whoever reaches this machine \
                 reaches {service} there, whatever listens here."
            )
        }
        What::UnusualOverUdp => format!(
            "A program has UDP port {port} open, and {service} is not spoken over UDP: it is something else."
        ),
        What::FileReplaced { path, pid } => format!(
            "The file of process {pid}, {}, has been replaced or deleted since it was started: what runs is the \
             old one. After an update, restart it; without one, find out why.",
            path.display()
        ),
    };
    Words { verdict, next }
}

fn open(finding: &Finding, exposure: &Exposure) -> String {
    let (service, port) = (finding.service, finding.port);
    let by = match exposure.interfaces.as_slice() {
        [one] => format!("one interface ({one})"),
        several => format!("{} interfaces ({})", several.len(), several.join(", ")),
    };
    let over = if exposure.only_v6 { " over IPv6, which the rules for IPv4 do not cover" } else { "" };
    let public = match exposure.public.as_slice() {
        [] => String::new(),
        some => {
            let all: Vec<String> = some.iter().map(ToString::to_string).collect();
            format!(" One of the addresses is of the internet: {}.", all.join(", "))
        }
    };
    let filter = match exposure.filter {
        FilterState::None => " No packet filter on this machine stands in between.",
        FilterState::LetsIn => " The packet filter of this machine lets everybody in.",
        FilterState::Unseen => " Whether a packet filter stands in between could not be seen.",
    };
    match exposure.protection {
        Protection::Certificate => format!(
            "{service} on {port} is reachable from {by}{over}, and lets in whoever has a certificate that it \
             trusts.{public}"
        ),
        Protection::Unknown => format!(
            "{service} on {port} is reachable from {by}{over}. Whether it asks clients for a certificate could \
             not be seen.{public}{filter}"
        ),
        Protection::AnotherProtocol => format!(
            "Whatever it is that sits on {port}, it is reachable from {by}{over}, and what it lets clients do is \
             not known.{public}{filter}"
        ),
        Protection::Own => format!(
            "Industrial control open to every network: {service} on {port} is reachable from {by}{over}. Who may \
             read and write is up to the server's own settings: check that it refuses anonymous users and the \
             security policy None.{public}{filter}"
        ),
        Protection::None => {
            let may = match service {
                Service::Modbus | Service::ModbusSecurity => "write",
                Service::S7 => "stop the controller and load programs, unless its own protection is on",
                Service::EtherNetIp => "change the configuration and write",
                Service::Dnp3 => "operate outputs, unless secure authentication is on",
                Service::OpcUa => "read and write",
            };
            format!(
                "Industrial control open to every network: {service} on {port} is reachable from {by}{over}, and \
                 anyone who can connect can {may}. Put a guard in front.{public}{filter}"
            )
        }
    }
}

fn sign(sign: &Sign) -> String {
    match sign {
        Sign::Portable => "it is a portable computer".to_owned(),
        Sign::Desktop => "it is a desktop computer".to_owned(),
        Sign::InHome(path) => format!("the program lies in a person's folder ({})", path.display()),
        Sign::InTemporary(path) => {
            format!("the program lies in a folder for temporary files ({})", path.display())
        }
    }
}

fn investigate(finding: &Finding, pid: Option<u32>, step: &mut impl FnMut(&str, Vec<String>)) {
    let flags = if finding.transport == Transport::Tcp { "-ltnp" } else { "-lunp" };
    let mut commands = if cfg!(target_os = "linux") {
        vec![format!("ss {flags} 'sport = :{}'", finding.port)]
    } else {
        Vec::new()
    };
    commands
        .extend(pid.filter(|_| cfg!(unix)).map(|pid| format!("ps -o pid,ppid,user,lstart,args -p {pid}")));
    if !commands.is_empty() {
        step("See which program it is, and who started it:", commands);
    }
}

/// A table with a chain that sees what comes in. Adding what is there already changes nothing.
fn table() -> Vec<String> {
    vec![
        "nft add table inet port502".to_owned(),
        "nft add chain inet port502 in '{ type filter hook input priority 0; }'".to_owned(),
    ]
}

/// Rules that let in whoever is connected now, or else one network of this machine, and nobody else.
fn filter(finding: &Finding, exposure: &Exposure, snapshot: &Snapshot) -> Vec<String> {
    if !cfg!(target_os = "linux") {
        return Vec::new();
    }
    let (transport, port) = (finding.transport, finding.port);
    let mut commands = table();
    for who in clients(finding, exposure, snapshot) {
        let family = if who.contains(':') { "ip6" } else { "ip" };
        commands.push(format!(
            "nft add rule inet port502 in {transport} dport {port} {family} saddr {who} accept"
        ));
    }
    commands.push(format!("nft add rule inet port502 in iifname != lo {transport} dport {port} drop"));
    commands
}

fn clients(finding: &Finding, exposure: &Exposure, snapshot: &Snapshot) -> Vec<String> {
    let is_client = |peer: &&Peer| {
        let ip = peer.remote.ip();
        peer.direction == Direction::In
            && peer.local.port() == finding.port
            && peer.namespace.is_none()
            && !ip.is_loopback()
            && !port502_survey::is_public(ip)
            && snapshot.interfaces.iter().all(|interface| interface.ip != ip)
    };
    let mut connected: Vec<IpAddr> =
        snapshot.peers.iter().filter(is_client).map(|peer| peer.remote.ip()).collect();
    connected.sort();
    connected.dedup();
    if (1..=CLIENTS_MAX).contains(&connected.len()) {
        return connected.iter().map(ToString::to_string).collect();
    }
    let is_by =
        |interface: &&Interface| exposure.interfaces.contains(&interface.name) && !interface.ip.is_loopback();
    let mut networks: Vec<_> =
        snapshot.interfaces.iter().filter(is_by).filter_map(Interface::network).collect();
    // IPv4 first: that is where plants are.
    networks.sort_by_key(|network| network.addr().is_ipv6());
    networks.first().map(ToString::to_string).into_iter().collect()
}

fn dates(finding: &Finding) -> Vec<String> {
    vec![format!("openssl s_client -connect {} </dev/null | openssl x509 -text", asked_at(finding))]
}

/// Where a listener is asked, as an argument.
fn asked_at(finding: &Finding) -> String {
    let at = finding.endpoint.as_ref().and_then(|endpoint| port502_survey::ask::address(endpoint, &[]).ok());
    at.map_or_else(|| format!("127.0.0.1:{}", finding.port), |at| at.to_string())
}

/// What could not be seen, why, and what would show it.
pub(crate) fn unseen(unseen: &Unseen) -> String {
    let count = |count: &usize, what| counted(u64::try_from(*count).unwrap_or(u64::MAX), what);
    match unseen {
        Unseen::Holders { sockets } => format!(
            "the programs behind {}: they belong to other users. As root they can be seen.",
            count(sockets, "socket")
        ),
        Unseen::Executables { processes } => format!(
            "the file that {} runs: it belongs to another user, or to the kernel. As root it can be seen.",
            count(processes, "program")
        ),
        Unseen::Ended { sockets } => {
            format!("{} that went away while it was looked at.", count(sockets, "listener"))
        }
        Unseen::File { path, why } => format!("{}: {}.", path.display(), no_controls(why)),
        Unseen::Filter { tool, rules, why } => match why {
            Why::NotInstalled => format!(
                "the rules of {rules}: {tool}, which would show them, is not installed. If there are rules, they \
                 were not taken into account."
            ),
            Why::NotPermitted => {
                format!("the rules of {rules}: only root may read them ({tool} was refused).")
            }
            Why::NoWay => {
                format!("the rules of {rules}: they are not read on this system ({tool} shows them).")
            }
            Why::TooLong => format!("the rules of {rules}: {tool} prints more than is read."),
            Why::TooSlow => format!("the rules of {rules}: {tool} did not end in time."),
            Why::Failed(message) => format!("the rules of {rules}: {tool} failed: {}.", no_controls(message)),
        },
        Unseen::Namespaces { processes } => format!(
            "whether {} in another network namespace (a container), and what listens there: we may not look \
             into {}. As root, with all of root's rights, it can be seen.",
            if *processes == 1 { "1 process is".to_owned() } else { format!("{processes} processes are") },
            if *processes == 1 { "it" } else { "them" }
        ),
        Unseen::Peers => "who is connected: this system does not tell it.".to_owned(),
        Unseen::Users => "as whom, and since when, programs run: this system does not tell it.".to_owned(),
        Unseen::TooMany { what, max } => format!("{what} beyond the first {max}."),
    }
}

/// One word for what could not be seen, stable: JSON uses it.
pub(crate) fn unseen_name(unseen: &Unseen) -> &'static str {
    match unseen {
        Unseen::Holders { .. } => "programs",
        Unseen::Executables { .. } => "executables",
        Unseen::Ended { .. } => "ended",
        Unseen::File { .. } => "file",
        Unseen::Filter { .. } => "packet-filter",
        Unseen::Namespaces { .. } => "namespaces",
        Unseen::Peers => "peers",
        Unseen::Users => "users",
        Unseen::TooMany { .. } => "too-many",
    }
}

/// Seconds since 1970 as people read them.
pub(crate) fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| "an unknown time".to_owned(), |time| format!("{time:.0}"))
}
