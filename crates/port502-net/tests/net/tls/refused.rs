//! Clients that are turned away: each is told with its address, its subject where it has shown one, and why.

use std::net::SocketAddr;
use std::sync::Arc;

use port502_net::memory::MemoryDevice;
use port502_net::server::{Event, Refusal};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::conformance::hex;
use crate::link::{Link as _, Mbap};
use crate::pki::{Pki, Wish, connect, utf8_string};
use crate::server::{Events, observed};

/// What is told of a client that this is the end of.
async fn told(events: &mut Events) -> String {
    match events.next_end().await {
        Event::Refused { why: why @ Refusal::Handshake(_), .. } => why.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Whether a client with this configuration is refused, and what it is told itself.
async fn is_refused(config: &Arc<ClientConfig>, address: SocketAddr) -> String {
    let mut stream = match connect(config, address).await {
        Err(error) => return error.to_string(),
        Ok(stream) => stream,
    };
    // With TLS 1.3 a client learns it with its first read.
    let _ = stream.write_all(&hex("0001 0000 0006 01 03 0000 0001")).await;
    match stream.read(&mut [0; 64]).await {
        Err(error) => error.to_string(),
        Ok(count) => panic!("{count} bytes of an answer"),
    }
}

struct Case {
    wish: Wish,
    revoked: bool,
    alert: &'static str,
    want: &'static str,
}

#[tokio::test]
async fn bad_certificates() {
    let pki = Pki::new();
    pki.server("server");
    let operator = || Wish { roles: vec![utf8_string("operator")], ..Wish::client() };
    let good = Case { wish: operator(), revoked: false, alert: "", want: "" };
    let cases = [
        Case {
            wish: Wish { since: 33, days: 30, ..operator() },
            alert: "CertificateExpired",
            want: "its certificate expired 3 days ago (it shows CN=c0)",
            ..good
        },
        Case {
            wish: Wish { since: -2, ..operator() },
            alert: "",
            want: "its certificate is not valid before 46 hours from now (it shows CN=c1)",
            ..good
        },
        Case {
            wish: operator(),
            revoked: true,
            alert: "CertificateRevoked",
            want: "its certificate is revoked (it shows CN=c2)",
        },
        Case {
            wish: Wish { purpose: ExtendedKeyUsagePurpose::ServerAuth, ..operator() },
            alert: "",
            want: "its certificate is for another purpose (it shows CN=c3)",
            ..good
        },
        Case {
            wish: Wish { critical: true, ..operator() },
            alert: "",
            want: "its certificate has an unknown critical extension (a role must not be critical) (it shows CN=c4)",
            ..good
        },
    ];
    let mut revoked = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        let serial = pki.make(&format!("c{at}"), &case.wish);
        revoked.extend(case.revoked.then_some(serial));
    }
    pki.revoke(&revoked);
    let (options, mut events) = observed();
    let (address, _) = pki.serve(MemoryDevice::full(), options);
    for version in rustls::ALL_VERSIONS {
        for (at, case) in cases.iter().enumerate() {
            let alert = is_refused(&pki.client_config(Some(&format!("c{at}")), &[*version]), address).await;
            assert!(alert.contains("alert") && alert.contains(case.alert), "{}: {alert}", case.want);
            assert_eq!(told(&mut events).await, case.want, "{version:?}");
        }
    }
}

#[tokio::test]
async fn no_certificate_and_one_of_another_authority() {
    let (pki, other) = (Pki::new(), Pki::new());
    pki.server("server");
    other.client("stranger", Some("operator"));
    std::fs::copy(other.path("stranger.pem"), pki.path("stranger.pem")).unwrap();
    std::fs::copy(other.path("stranger.key"), pki.path("stranger.key")).unwrap();
    let (options, mut events) = observed();
    let (address, _) = pki.serve(MemoryDevice::full(), options);
    for version in rustls::ALL_VERSIONS {
        let alert = is_refused(&pki.client_config(None, &[*version]), address).await;
        assert!(alert.contains("CertificateRequired") || alert.contains("HandshakeFailure"), "{alert}");
        assert_eq!(told(&mut events).await, "no certificate");
        let alert = is_refused(&pki.client_config(Some("stranger"), &[*version]), address).await;
        assert!(alert.contains("UnknownCA"), "{alert}");
        let want = "its certificate is of an unknown authority (it shows CN=stranger)";
        assert_eq!(told(&mut events).await, want);
    }
}

/// A ClientHello as a client made it that knows nothing newer than `minor`: two suites and no extension.
fn old_hello(minor: u8) -> Vec<u8> {
    let body = [&[3, minor][..], &[0x5A; 32], &[0, 0, 4, 0xC0, 0x13, 0x00, 0x2F, 1, 0]].concat();
    let handshake = [&[1, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat();
    [&[0x16, 3, 1, 0, u8::try_from(handshake.len()).unwrap()][..], &handshake].concat()
}

#[tokio::test]
async fn what_is_too_old_and_what_is_no_tls() {
    let pki = Pki::new();
    pki.server("server");
    let (options, mut events) = observed();
    let (address, _) = pki.serve(MemoryDevice::full(), options);
    for (first, want) in [
        (old_hello(2), "TLS 1.1 is too old"),
        (old_hello(1), "TLS 1.0 is too old"),
        (old_hello(0), "SSL 3.0 is too old"),
        (hex("0001 0000 0006 01 03 0000 0001"), "plain Modbus/TCP, not TLS"),
        (b"GET / HTTP/1.0\r\n\r\n".to_vec(), "not TLS"),
        (vec![], "it hung up during the handshake"),
        (old_hello(2)[..20].to_vec(), "TLS 1.1 is too old"),
        (old_hello(3)[..20].to_vec(), "it hung up during the handshake"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&first).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(told(&mut events).await, want);
        // An alert (21) that is fatal (2), or nothing to those who had gone.
        assert!(answer.is_empty() || (answer[0] == 21 && answer[5] == 2), "{want}: {answer:02X?}");
        if want.contains("old") {
            assert_eq!(answer[6], 70, "protocol_version");
        }
    }
}

/// The alert must arrive, though the client has sent more than the server will read.
#[tokio::test]
async fn a_client_that_is_refused_can_read_why() {
    let pki = Pki::new();
    pki.server("server");
    let (options, _events) = observed();
    let (address, _) = pki.serve(MemoryDevice::full(), options);
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[&old_hello(2)[..], &[0xAA; 4096]].concat()).await.unwrap();
        let mut alert = [0; 7];
        stream.read_exact(&mut alert).await.unwrap();
        assert_eq!(alert, [21, 3, 1, 0, 2, 2, 70]);
    }
}

#[tokio::test]
async fn the_lists_of_addresses_and_places_hold_for_tls_too() {
    let pki = Pki::new();
    pki.server("server");
    pki.client("client", None);
    let (mut options, mut events) = observed();
    options.per_peer = 1;
    let (address, _) = pki.serve(MemoryDevice::full(), options);
    let mut first = Mbap::new(pki.connect(address, "client").await.unwrap());
    first.send(1, &hex("07")).await;
    assert!(first.receive().await.is_some());
    let mut second = Mbap::new(pki.connect(address, "client").await.unwrap());
    assert!(second.is_closed_by_peer().await);
    assert!(matches!(events.next_end().await, Event::Refused { why: Refusal::PerPeer, .. }));

    let (mut options, mut events) = observed();
    options.allowed = vec!["10.0.0.0/8".parse().unwrap()];
    let (address, _) = pki.serve(MemoryDevice::full(), options);
    assert!(pki.connect(address, "client").await.is_err());
    assert!(matches!(events.next().await, Event::Refused { why: Refusal::NotAllowed, .. }));
}
