use std::collections::BTreeMap;

use super::*;
use crate::filter::{Ruleset, Source, iptables};
use crate::probe::modbus;
use crate::service::Scope;
use crate::snapshot::{Address, Holder, Machine, Process, Why};

/// A machine in a few words, as a row of a table.
struct Case {
    snapshot: Snapshot,
    outcomes: Outcomes,
}

const TODAY: i64 = 1_800_000_000;

fn interface(name: &str, ip: &str, prefix_len: u8) -> Interface {
    Interface { name: name.into(), index: None, ip: ip.parse().unwrap(), prefix_len, up: true }
}

fn modbus_answer() -> Outcome {
    Outcome::Speaks(Answer::Modbus(modbus::Answer::Identification(vec![(0, "ACME".into())])))
}

fn hello(version: u16, suite: u16, asks_for_certificate: bool, not_after: i64) -> Outcome {
    let certificate =
        Some(tls::Certificate { subject: "CN=plc".into(), not_before: 1_700_000_000, not_after });
    Outcome::Speaks(Answer::Tls(tls::Answer::Hello(tls::Hello {
        version,
        suite,
        asks_for_certificate,
        certificate,
    })))
}

impl Case {
    /// Two networks, IPv4 and IPv6, and nothing else.
    fn new() -> Self {
        let interfaces = vec![
            interface("lo", "127.0.0.1", 8),
            interface("lo", "::1", 128),
            interface("eth0", "10.20.0.5", 24),
            interface("eth0", "fe80::5", 64),
            interface("eth1", "192.168.7.5", 24),
        ];
        let snapshot = Snapshot { taken: TODAY, interfaces, scope: Scope::default(), ..Snapshot::default() };
        Case { snapshot, outcomes: BTreeMap::new() }
    }

    fn listener(self, port: u16, addresses: &[&str], outcome: Outcome) -> Self {
        self.program(port, Transport::Tcp, addresses, "/usr/bin/plc", outcome)
    }

    fn program(
        mut self,
        port: u16,
        transport: Transport,
        addresses: &[&str],
        exe: &str,
        outcome: Outcome,
    ) -> Self {
        let address = |ip: &&str| Address { ip: ip.parse().unwrap(), v6_only: None };
        let process = Process {
            pid: u32::from(port),
            name: "plc".into(),
            executable: Some(exe.into()),
            executable_deleted: false,
            user: None,
            started: Some(0),
        };
        let endpoint = Endpoint {
            port,
            transport,
            service: self.snapshot.scope.service(port).unwrap(),
            addresses: addresses.iter().map(address).collect(),
            user: None,
            holder: Holder::Processes(vec![process]),
            namespace: None,
        };
        self.outcomes.insert(endpoint.clone(), outcome);
        self.snapshot.endpoints.push(endpoint);
        self
    }

    fn peer(mut self, direction: Direction, local: &str, remote: &str) -> Self {
        self.snapshot.peers.push(Peer {
            direction,
            service: Service::Modbus,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            holder: Holder::Nobody,
            namespace: None,
        });
        self
    }

    fn rules(mut self, source: Source, rules: &str) -> Self {
        self.snapshot.rulesets.push(iptables::parse(&format!("*filter\n{rules}\nCOMMIT\n"), source));
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Snapshot)) -> Self {
        change(&mut self.snapshot);
        self
    }

    fn judge(&self) -> Vec<Finding> {
        judge(&self.snapshot, &self.outcomes)
    }

    /// The findings as `port name`, those to be acted on with an exclamation mark.
    #[track_caller]
    fn finds(&self, want: &[&str]) {
        let found: Vec<String> = self
            .judge()
            .iter()
            .map(|finding| {
                let mark = if finding.severity() == Severity::Act { "!" } else { "" };
                format!("{}{mark} {}", finding.port, finding.what.name())
            })
            .collect();
        assert_eq!(found, want, "{:#?}", self.judge());
    }

    fn exposure(&self) -> Exposure {
        let exposure = |finding: Finding| match finding.what {
            What::OpenToNetworks(exposure) => Some(exposure),
            _ => None,
        };
        self.judge().into_iter().find_map(exposure).unwrap()
    }
}

#[test]
fn where_it_listens_decides() {
    Case::new().finds(&[]);
    Case::new().listener(502, &["127.0.0.1"], modbus_answer()).finds(&["502 loopback-only"]);
    Case::new().listener(502, &["::1", "127.0.0.1"], modbus_answer()).finds(&["502 loopback-only"]);
    let open = ["502! open-to-networks", "502 no-secure-neighbour"];
    Case::new().listener(502, &["0.0.0.0"], modbus_answer()).finds(&open);
    Case::new().listener(502, &["::"], modbus_answer()).finds(&open);
    Case::new().listener(502, &["10.20.0.5"], modbus_answer()).finds(&open);
    Case::new().listener(502, &["127.0.0.1", "10.20.0.5"], modbus_answer()).finds(&open);
    // An address that no interface has.
    Case::new().listener(502, &["10.99.0.1"], modbus_answer()).finds(&["502 no-network"]);
    let offline =
        |snapshot: &mut Snapshot| snapshot.interfaces.retain(|interface| interface.ip.is_loopback());
    Case::new().with(offline).listener(502, &["0.0.0.0"], modbus_answer()).finds(&["502 no-network"]);
}

#[test]
fn interfaces_are_counted_by_what_comes_in() {
    let interfaces =
        |addresses: &[&str]| Case::new().listener(502, addresses, modbus_answer()).exposure().interfaces;
    assert_eq!(interfaces(&["0.0.0.0"]), ["eth0", "eth1"]);
    assert_eq!(interfaces(&["::"]), ["eth0", "eth1"]);
    assert_eq!(interfaces(&["192.168.7.5"]), ["eth1"]);
    // IPv6 alone.
    let only = Case::new().listener(502, &["::"], modbus_answer()).with(|snapshot| {
        snapshot.endpoints[0].addresses[0].v6_only = Some(true);
    });
    assert_eq!(only.exposure().interfaces, ["eth0"]);
    let down = |snapshot: &mut Snapshot| snapshot.interfaces.iter_mut().for_each(|i| i.up = i.name != "eth1");
    assert_eq!(
        Case::new().listener(502, &["0.0.0.0"], modbus_answer()).with(down).exposure().interfaces,
        ["eth0"]
    );
}

#[test]
fn what_it_answers_decides() {
    let something_else =
        Outcome::SomethingElse { bytes: b"HTTP".to_vec(), looks_like: Some("a web server (HTTP)") };
    Case::new()
        .listener(502, &["0.0.0.0"], something_else.clone())
        .finds(&["502! something-else", "502! open-to-networks"]);
    assert_eq!(
        Case::new().listener(502, &["0.0.0.0"], something_else.clone()).exposure().protection,
        Protection::AnotherProtocol
    );
    Case::new().listener(502, &["127.0.0.1"], something_else).finds(&["502! something-else"]);
    Case::new()
        .listener(502, &["127.0.0.1"], Outcome::Silent)
        .finds(&["502! no-answer", "502 loopback-only"]);
    Case::new()
        .listener(502, &["127.0.0.1"], Outcome::Closed)
        .finds(&["502! no-answer", "502 loopback-only"]);
    // To a wrong address of DNP3, and over UDP, devices are silent.
    Case::new()
        .listener(20000, &["127.0.0.1"], Outcome::Silent)
        .finds(&["20000 no-answer", "20000 loopback-only"]);
    Case::new()
        .program(502, Transport::Udp, &["127.0.0.1"], "/usr/bin/plc", Outcome::Silent)
        .finds(&["502 no-answer", "502 loopback-only"]);
    Case::new()
        .program(102, Transport::Udp, &["0.0.0.0"], "/usr/bin/plc", Outcome::NotAsked(NotAsked::NotOverUdp))
        .finds(&["102 unusual-over-udp"]);
    // Nobody was asked: what listens there counts as what belongs there.
    Case::new()
        .listener(502, &["0.0.0.0"], Outcome::NotAsked(NotAsked::NotWanted))
        .finds(&["502! open-to-networks", "502 no-secure-neighbour"]);
}

#[test]
fn security_beside_502_counts() {
    let good = || hello(0x0303, 0xC02F, true, TODAY + 2 * CERTIFICATE_ENDS_WITHIN);
    let with = |outcome| Case::new().listener(802, &["0.0.0.0"], outcome);
    with(good()).finds(&["802 open-to-networks"]);
    assert_eq!(with(good()).exposure().protection, Protection::Certificate);
    with(good())
        .listener(502, &["0.0.0.0"], modbus_answer())
        .finds(&["502! open-to-networks", "802 open-to-networks"]);
    with(hello(0x0303, 0xC02F, false, TODAY * 2))
        .finds(&["802! no-client-certificate", "802! open-to-networks"]);
    with(hello(0x0302, 0xC02F, true, TODAY * 2)).finds(&["802! old-tls", "802 open-to-networks"]);
    with(hello(0x0303, 0x003B, true, TODAY * 2)).finds(&["802! no-encryption", "802 open-to-networks"]);
    // Each side of the certificate's end, and of the time before it.
    with(hello(0x0303, 0xC02F, true, TODAY - 1)).finds(&["802! certificate-invalid", "802 open-to-networks"]);
    with(hello(0x0303, 0xC02F, true, TODAY)).finds(&["802 certificate-ends", "802 open-to-networks"]);
    with(hello(0x0303, 0xC02F, true, TODAY + CERTIFICATE_ENDS_WITHIN - 1))
        .finds(&["802 certificate-ends", "802 open-to-networks"]);
    with(hello(0x0303, 0xC02F, true, TODAY + CERTIFICATE_ENDS_WITHIN)).finds(&["802 open-to-networks"]);
    with(good())
        .with(|snapshot| snapshot.taken = 1_699_999_999)
        .finds(&["802! certificate-invalid", "802 open-to-networks"]);
    // An alert shows that it is TLS, and no more; what is not TLS does not stand beside 502.
    with(Outcome::Speaks(Answer::Tls(tls::Answer::Alert(70)))).finds(&["802 open-to-networks"]);
    with(Outcome::Closed).listener(502, &["10.20.0.5"], modbus_answer()).finds(&[
        "502! open-to-networks",
        "802! no-answer",
        "502 no-secure-neighbour",
        "802 open-to-networks",
    ]);
}

#[test]
fn the_packet_filter_decides() {
    let open = || Case::new().listener(502, &["0.0.0.0"], modbus_answer());
    assert_eq!(open().exposure().filter, FilterState::None);
    let lets_in = open().rules(Source::Iptables, ":INPUT ACCEPT [0:0]");
    assert_eq!(lets_in.exposure().filter, FilterState::LetsIn);
    let unseen = Unseen::Filter { tool: "nft", rules: "nftables", why: Why::NotPermitted };
    assert_eq!(open().with(|snapshot| snapshot.unseen.push(unseen)).exposure().filter, FilterState::Unseen);
    open().rules(Source::Iptables, ":INPUT DROP [0:0]").finds(&["502 closed-by-filter"]);
    open()
        .rules(Source::Iptables, ":INPUT DROP [0:0]\n-A INPUT -s 10.20.0.0/24 -p tcp --dport 502 -j ACCEPT")
        .finds(&["502 limited-by-filter", "502 no-secure-neighbour"]);
    // One interface is closed, the other is not.
    let half =
        open().rules(Source::Iptables, ":INPUT ACCEPT [0:0]\n-A INPUT -i eth1 -p tcp --dport 502 -j DROP");
    assert_eq!(half.exposure().interfaces, ["eth0"]);
    // Rules for IPv4 say nothing of IPv6.
    let both =
        || Case::new().listener(502, &["::"], modbus_answer()).rules(Source::Iptables, ":INPUT DROP [0:0]");
    assert!(both().exposure().only_v6);
    both().rules(Source::Ip6tables, ":INPUT DROP [0:0]").finds(&["502 closed-by-filter"]);
    // Rules that send connections on are told, though nothing listens here.
    Case::new()
        .with(|snapshot| {
            let nat = "*nat\n:PREROUTING ACCEPT\n-A PREROUTING -p tcp --dport 502 -j DNAT --to-destination 10.0.0.9\n";
            let ruleset: Ruleset = iptables::parse(nat, Source::Iptables);
            snapshot.rulesets.push(ruleset);
        })
        .finds(&["502! forwarded"]);
}

#[test]
fn addresses_of_the_internet_are_marked() {
    let case = || Case::new().listener(502, &["127.0.0.1"], modbus_answer());
    case().peer(Direction::In, "10.20.0.5:502", "10.20.0.9:40000").finds(&["502 loopback-only"]);
    let two = case()
        .peer(Direction::In, "10.20.0.5:502", "8.8.8.8:40000")
        .peer(Direction::In, "10.20.0.5:502", "8.8.8.8:40001")
        .peer(Direction::Out, "10.20.0.5:40002", "8.8.8.8:502");
    two.finds(&["502! public-peer", "502! public-peer", "502 loopback-only"]);
    let what = two.judge().remove(0).what;
    let remote = "8.8.8.8".parse().unwrap();
    assert_eq!(what, What::PublicPeer { direction: Direction::In, remote, connections: 2 });
    // In a network of ours it is a neighbour.
    let ours = |snapshot: &mut Snapshot| snapshot.interfaces.push(interface("eth2", "8.8.8.1", 24));
    case().with(ours).peer(Direction::In, "8.8.8.1:502", "8.8.8.8:40000").finds(&["502 loopback-only"]);
    // The listener itself has such an address.
    let public = Case::new().with(ours).listener(502, &["0.0.0.0"], modbus_answer()).exposure().public;
    assert_eq!(public, ["8.8.8.1".parse::<IpAddr>().unwrap()]);
}

#[test]
fn a_machine_without_a_role_is_told() {
    let home = |exe: &str, addresses: &[&str]| {
        Case::new().program(502, Transport::Tcp, addresses, exe, modbus_answer())
    };
    let unexpected = ["502! unexpected", "502! open-to-networks", "502 no-secure-neighbour"];
    let expected = ["502! open-to-networks", "502 no-secure-neighbour"];
    home("/home/anna/sim", &["0.0.0.0"]).finds(&unexpected);
    home("/tmp/x", &["0.0.0.0"]).finds(&unexpected);
    home("/opt/plc/run", &["0.0.0.0"]).finds(&expected);
    // Who tries something out on loopback does no harm.
    home("/home/anna/sim", &["127.0.0.1"]).finds(&["502 loopback-only"]);
    let chassis = |kind| move |snapshot: &mut Snapshot| snapshot.machine = Machine { chassis: Some(kind) };
    home("/opt/plc/run", &["0.0.0.0"]).with(chassis(Chassis::Portable)).finds(&unexpected);
    home("/opt/plc/run", &["0.0.0.0"]).with(chassis(Chassis::Other)).finds(&expected);
    // Somebody uses it, or it uses somebody, or it has more of the kind.
    home("/home/anna/sim", &["0.0.0.0"])
        .peer(Direction::In, "10.20.0.5:502", "10.20.0.9:4000")
        .finds(&expected);
    home("/home/anna/sim", &["0.0.0.0"])
        .peer(Direction::In, "127.0.0.1:502", "127.0.0.1:4000")
        .finds(&unexpected);
    home("/home/anna/sim", &["0.0.0.0"])
        .peer(Direction::Out, "10.20.0.5:4000", "10.20.0.9:502")
        .finds(&expected);
    home("/home/anna/sim", &["0.0.0.0"])
        .listener(4840, &["127.0.0.1"], Outcome::Speaks(Answer::S7))
        .finds(&["502! open-to-networks", "502 no-secure-neighbour", "4840 loopback-only"]);
}

#[test]
fn other_namespaces_and_files_are_noted() {
    let namespace = Namespace { id: 7, pid: 42, interfaces: vec!["eth0".into()] };
    Case::new()
        .listener(502, &["0.0.0.0"], Outcome::NotAsked(NotAsked::OtherNamespace))
        .with(|snapshot| snapshot.endpoints[0].namespace = Some(namespace))
        .finds(&["502 other-namespace"]);
    Case::new()
        .listener(502, &["127.0.0.1"], modbus_answer())
        .with(|snapshot| {
            if let Holder::Processes(processes) = &mut snapshot.endpoints[0].holder {
                processes[0].executable_deleted = true;
            }
        })
        .finds(&["502 file-replaced", "502 loopback-only"]);
}
