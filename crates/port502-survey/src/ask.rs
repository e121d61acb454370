//! Asking what listens: one connection each, one request, one answer.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::probe::{self, ANSWER_MAX, NotAsked, Outcome, Progress};
use crate::service::Service;
use crate::snapshot::{Address, Endpoint, Interface, Snapshot, Transport};

/// How long a listener has to take a connection: it is on this machine.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// How long it has to answer.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Listeners that are asked in one look; more are left alone, and that is told.
pub const ASKED_MAX: usize = 64;

/// What came of asking, by listener.
pub type Outcomes = BTreeMap<Endpoint, Outcome>;

/// Asks every listener of a snapshot the one request of its protocol, all at the same time.
pub async fn ask_all(snapshot: &Snapshot) -> Outcomes {
    ask_new(snapshot, &Outcomes::new()).await
}

/// Asks those that have no outcome yet, and keeps what is known of the others: a device is not asked again and again.
pub async fn ask_new(snapshot: &Snapshot, known: &Outcomes) -> Outcomes {
    let (mut outcomes, mut asking) = (Outcomes::new(), JoinSet::new());
    for endpoint in &snapshot.endpoints {
        if let Some((_, outcome)) = known.iter().find(|(before, _)| before.is_same(endpoint)) {
            outcomes.insert(endpoint.clone(), outcome.clone());
            continue;
        }
        match address(endpoint, &snapshot.interfaces) {
            Ok(_) if asking.len() >= ASKED_MAX => {
                outcomes.insert(endpoint.clone(), Outcome::NotAsked(NotAsked::TooMany));
            }
            Ok(at) => {
                let endpoint = endpoint.clone();
                asking.spawn(async move {
                    let outcome = ask(at, endpoint.transport, endpoint.service).await;
                    (endpoint, outcome)
                });
            }
            Err(why) => {
                outcomes.insert(endpoint.clone(), Outcome::NotAsked(why));
            }
        }
    }
    while let Some(done) = asking.join_next().await {
        if let Ok((endpoint, outcome)) = done {
            outcomes.insert(endpoint, outcome);
        }
    }
    outcomes
}

/// That nobody was asked.
pub fn not_wanted(snapshot: &Snapshot) -> Outcomes {
    let not = |endpoint: &Endpoint| (endpoint.clone(), Outcome::NotAsked(NotAsked::NotWanted));
    snapshot.endpoints.iter().map(not).collect()
}

/// Where a listener is asked: on loopback where it listens there, else on its own address.
///
/// # Errors
///
/// Why it is not asked.
pub fn address(endpoint: &Endpoint, interfaces: &[Interface]) -> Result<SocketAddr, NotAsked> {
    if endpoint.namespace.is_some() {
        return Err(NotAsked::OtherNamespace);
    }
    if !endpoint.service.is_spoken_over(endpoint.transport) {
        return Err(NotAsked::NotOverUdp);
    }
    let port = endpoint.port;
    let has_v6 = interfaces.iter().any(|interface| interface.ip == IpAddr::V6(Ipv6Addr::LOCALHOST));
    let reached = |address: &Address| match address.ip {
        // Where IPv6 is turned off, such a socket still takes IPv4.
        IpAddr::V6(ip) if ip.is_unspecified() && address.takes_v4() && !has_v6 => {
            Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        }
        IpAddr::V4(ip) if ip.is_unspecified() => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        IpAddr::V6(ip) if ip.is_unspecified() => Some(SocketAddr::from((Ipv6Addr::LOCALHOST, port))),
        IpAddr::V4(ip) if ip.is_multicast() || ip.is_broadcast() => None,
        IpAddr::V6(ip) if ip.is_multicast() => None,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            // Such an address is one only together with its interface.
            let scope = interfaces.iter().find(|interface| interface.ip == ip).and_then(|found| found.index);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope.unwrap_or_default())))
        }
        ip => Some(SocketAddr::new(ip, port)),
    };
    let mut all: Vec<SocketAddr> = endpoint.addresses.iter().filter_map(reached).collect();
    all.sort_by_key(|at| !at.ip().is_loopback());
    all.first().copied().ok_or(NotAsked::NoAddress)
}

/// Asks one listener.
pub async fn ask(at: SocketAddr, transport: Transport, service: Service) -> Outcome {
    let request = probe::request(service, at);
    let mut answer = Vec::new();
    let conversation = match transport {
        Transport::Tcp => {
            let connected = timeout(CONNECT_WITHIN, TcpStream::connect(at)).await;
            let stream = match connected {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Outcome::NoConnection { why: error.to_string() },
                Err(_) => {
                    return Outcome::NoConnection { why: "it does not take a connection in time".into() };
                }
            };
            timeout(ANSWERED_WITHIN, over_tcp(stream, service, &request, &mut answer)).await
        }
        Transport::Udp => timeout(ANSWERED_WITHIN, over_udp(at, service, &request, &mut answer)).await,
    };
    match (conversation, answer.as_slice()) {
        (Ok(Ok(Some(outcome))), _) => outcome,
        // It began to answer, and that was not the protocol's.
        (_, [_, ..]) => probe::something_else(&request, &answer),
        (Ok(Ok(None)), []) => Outcome::Closed,
        (Ok(Err(error)), []) if error.kind() == io::ErrorKind::ConnectionReset => Outcome::Closed,
        (Ok(Err(error)), []) if error.kind() == io::ErrorKind::BrokenPipe => Outcome::Closed,
        (Ok(Err(error)), []) => Outcome::NoConnection { why: error.to_string() },
        (Err(_), []) => Outcome::Silent,
    }
}

/// `None` when it closes before it is through.
async fn over_tcp(
    mut stream: TcpStream,
    service: Service,
    request: &[u8],
    answer: &mut Vec<u8>,
) -> io::Result<Option<Outcome>> {
    stream.write_all(request).await?;
    let mut buffer = [0; 4_096];
    loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Ok(None);
        }
        answer.extend(buffer.iter().take(len));
        if let Some(outcome) = judged(service, request, answer) {
            return Ok(Some(outcome));
        }
    }
}

async fn over_udp(
    at: SocketAddr,
    service: Service,
    request: &[u8],
    answer: &mut Vec<u8>,
) -> io::Result<Option<Outcome>> {
    let any: SocketAddr =
        if at.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(at).await?;
    socket.send(request).await?;
    let mut buffer = vec![0; ANSWER_MAX];
    let len = socket.recv(&mut buffer).await?;
    answer.extend(buffer.iter().take(len));
    // A datagram is whole or nothing.
    Ok(judged(service, request, answer))
}

fn judged(service: Service, request: &[u8], answer: &[u8]) -> Option<Outcome> {
    match probe::read(service, answer) {
        Progress::Done(answer) => Some(Outcome::Speaks(answer)),
        Progress::No => Some(probe::something_else(request, answer)),
        Progress::More if answer.len() >= ANSWER_MAX => Some(probe::something_else(request, answer)),
        Progress::More => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Holder, Namespace};

    fn endpoint(addresses: &[(&str, Option<bool>)]) -> Endpoint {
        let address =
            |(ip, v6_only): &(&str, Option<bool>)| Address { ip: ip.parse().unwrap(), v6_only: *v6_only };
        Endpoint {
            port: 502,
            transport: Transport::Tcp,
            service: Service::Modbus,
            addresses: addresses.iter().map(address).collect(),
            user: None,
            holder: Holder::Nobody,
            namespace: None,
        }
    }

    fn interface(name: &str, ip: &str) -> Interface {
        Interface { name: name.into(), index: Some(3), ip: ip.parse().unwrap(), prefix_len: 64, up: true }
    }

    #[track_caller]
    fn check(addresses: &[(&str, Option<bool>)], want: Result<&str, NotAsked>) {
        let interfaces = [interface("lo", "127.0.0.1"), interface("lo", "::1"), interface("eth0", "fe80::5")];
        let found = address(&endpoint(addresses), &interfaces).map(|at| at.to_string());
        assert_eq!(found, want.map(str::to_owned), "{addresses:?}");
    }

    #[test]
    fn a_listener_is_asked_where_it_listens() {
        check(&[("0.0.0.0", None)], Ok("127.0.0.1:502"));
        check(&[("::", Some(false))], Ok("[::1]:502"));
        check(&[("10.0.0.5", None)], Ok("10.0.0.5:502"));
        check(&[("10.0.0.5", None), ("127.0.0.1", None)], Ok("127.0.0.1:502"));
        check(&[("fe80::5", None)], Ok("[fe80::5%3]:502"));
        check(&[("224.0.0.5", None)], Err(NotAsked::NoAddress));
        check(&[("255.255.255.255", None)], Err(NotAsked::NoAddress));
        // Without IPv6 on loopback there is IPv4, where that is taken.
        let at = |v6_only| address(&endpoint(&[("::", v6_only)]), &[]).unwrap().to_string();
        assert_eq!(
            (at(None), at(Some(false)), at(Some(true))),
            ("127.0.0.1:502".into(), "127.0.0.1:502".into(), "[::1]:502".into())
        );
    }

    #[test]
    fn what_cannot_be_asked_is_not() {
        let namespace = Some(Namespace { id: 1, pid: 1, interfaces: Vec::new() });
        let elsewhere = Endpoint { namespace, ..endpoint(&[("127.0.0.1", None)]) };
        assert_eq!(address(&elsewhere, &[]), Err(NotAsked::OtherNamespace));
        let udp = Endpoint {
            transport: Transport::Udp,
            service: Service::OpcUa,
            ..endpoint(&[("127.0.0.1", None)])
        };
        assert_eq!(address(&udp, &[]), Err(NotAsked::NotOverUdp));
    }

    #[tokio::test]
    async fn a_listener_is_not_asked_again() {
        let snapshot = Snapshot { endpoints: vec![endpoint(&[("127.0.0.1", None)])], ..Snapshot::default() };
        let known = Outcomes::from([(snapshot.endpoints[0].clone(), Outcome::Silent)]);
        assert_eq!(ask_new(&snapshot, &known).await, known);
    }
}
