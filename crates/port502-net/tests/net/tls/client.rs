//! Our client: which servers it trusts, and what it says of those that it does not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use port502_net::client::{Client, Error, Options};
use port502_net::memory::MemoryDevice;
use port502_net::server::{Closed, Event};
use port502_net::tls::hex as digits;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::link::PATIENCE;
use crate::pki::{Pki, Wish};
use crate::server::observed;

fn options() -> Options {
    let mut options = Options::default().timeout(PATIENCE).retries(0);
    options.connect_timeout = PATIENCE;
    options
}

#[tokio::test]
async fn ours_with_ours() {
    let pki = Pki::new();
    pki.server("server");
    pki.client("client", Some("operator"));
    let (server_options, mut events) = observed();
    let (address, _) = pki.serve(MemoryDevice::full(), server_options);
    let client = Client::connect(pki.target(address, "client", ""), options().in_flight(16)).await.unwrap();
    let unit = client.unit(1);
    unit.write_multiple_registers(100, &[1, 2, 3]).await.unwrap();
    assert_eq!(unit.read_holding_registers(99, 5).await.unwrap(), [0, 1, 2, 3, 0]);
    // Split in many requests, all in flight at once.
    assert_eq!(unit.read_holding_registers(0, 5000).await.unwrap().len(), 5000);
    let Event::Opened { identity: Some(identity), .. } = events.next_opened().await else { panic!() };
    assert_eq!(identity.to_string(), "CN=client as operator");
    drop((unit, client));
    assert!(matches!(events.next_end().await, Event::Closed { why: Closed::ByPeer, .. }));
    // A client that is not told its name by the address, and one that connects when it is asked.
    let target = pki.target(address, "client", "&name=localhost");
    let client = Client::lazy(target, options()).unwrap();
    assert_eq!(client.unit(1).read_holding_registers(100, 1).await.unwrap(), [1]);
}

/// A server that is not ours, with one of the certificates.
async fn foreign(pki: &Pki, name: &str) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_file(pki.path(&format!("{name}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(pki.path(&format!("{name}.key"))).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}

#[tokio::test]
async fn servers_that_are_not_trusted() {
    let (pki, other) = (Pki::new(), Pki::new());
    pki.client("client", None);
    other.server("stranger");
    for file in ["stranger.pem", "stranger.key"] {
        std::fs::copy(other.path(file), pki.path(file)).unwrap();
    }
    pki.server("good");
    pki.make("old", &Wish { since: 40, days: 30, ..Wish::server() });
    pki.make("elsewhere", &Wish { names: vec!["plc-7".into(), "10.0.0.7".into()], ..Wish::server() });
    pki.make("nameless", &Wish { names: vec![], ..Wish::server() });
    pki.make("no-server", &Wish { purpose: ExtendedKeyUsagePurpose::ClientAuth, ..Wish::server() });
    pki.make("careless", &Wish { authority: true, ..Wish::server() });
    let revoked = pki.server("revoked");
    pki.revoke(&[revoked]);
    let pin = digits(&[0xAB; 32]);
    for (name, more, want) in [
        ("stranger", "", "its certificate is of an unknown authority (it shows CN=stranger)"),
        ("old", "", "its certificate expired 10 days ago (it shows CN=old)"),
        (
            "elsewhere",
            "",
            "its certificate is not for 127.0.0.1, but for plc-7, 10.0.0.7 (it shows CN=elsewhere)",
        ),
        ("nameless", "", "its certificate is not for 127.0.0.1, and has no name (it shows CN=nameless)"),
        ("no-server", "", "its certificate is for another purpose (it shows CN=no-server)"),
        ("careless", "", "its certificate is an authority's own (it shows CN=careless)"),
        ("revoked", "", "its certificate is revoked (it shows CN=revoked)"),
        ("good", &format!("&pin={pin}"), "its certificate is not the pinned one (it shows CN=good)"),
        (
            "good",
            "&name=plc-9",
            "its certificate is not for plc-9, but for localhost, 127.0.0.1 (it shows CN=good)",
        ),
    ] {
        let target = pki.target(foreign(&pki, name).await, "client", more);
        let error = Client::connect(target, options()).await.expect_err(want);
        let Error::Connect { source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(source.to_string(), want);
        assert!(!error.maybe_executed());
    }
    // One that says another name, and one that bears the pin.
    let target = pki.target(foreign(&pki, "elsewhere").await, "client", "&name=plc-7");
    Client::connect(target, options()).await.unwrap();
    let der = CertificateDer::from_pem_file(pki.path("good.pem")).unwrap();
    let pin = digits(&port502_net::tls::fingerprint(&der));
    let target = pki.target(foreign(&pki, "good").await, "client", &format!("&pin={pin}"));
    Client::connect(target, options()).await.unwrap();
}

/// With TLS 1.3 the server's refusal comes after the client's handshake is over: with the first answer.
#[tokio::test]
async fn a_server_that_refuses_us_says_why() {
    let pki = Pki::new();
    pki.server("server");
    pki.make("old", &Wish { since: 40, days: 30, ..Wish::client() });
    let (server_options, _events) = observed();
    let (address, _) = pki.serve(MemoryDevice::full(), server_options);
    let client = Client::connect(pki.target(address, "old", ""), options()).await.unwrap();
    let error = client.unit(1).read_holding_registers(0, 1).await.expect_err("refused").to_string();
    assert!(error.contains("our certificate is over"), "{error}");
}

#[tokio::test]
async fn files_that_cannot_be_used() {
    let pki = Pki::new();
    pki.client("client", None);
    let address: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let error = |target: String| async move {
        let error = Client::connect(target.parse().unwrap(), options()).await.expect_err("no file");
        assert!(matches!(error, Error::Tls(_)), "{error:?}");
        error.to_string()
    };
    let text = error(format!("tls://{address}")).await;
    assert!(text.contains("names no certificate") && text.contains("?cert=FILE.pem"), "{text}");
    let text = error(format!("tls://{address}{}", pki.query("nobody"))).await;
    assert!(text.contains("cannot read the certificate") && text.contains("port502 cert"), "{text}");
    let text = error(format!("tls://{address}{}&ca=/nowhere/ca.pem", pki.query("client"))).await;
    assert!(text.contains("cannot read the authority's certificate /nowhere/ca.pem"), "{text}");
    let text = error(format!("tls://{address}{}&crl=/nowhere", pki.query("client"))).await;
    assert!(text.contains("cannot read the revocation list /nowhere"), "{text}");
    let text = error(format!("tls://{address}{}&name=a b", pki.query("client"))).await;
    assert!(text.contains("`a b` is no host name"), "{text}");
}

/// A client lives longer than its certificate: it takes the new one when it connects again.
#[tokio::test]
async fn a_new_certificate_is_taken_with_the_next_connection() {
    let pki = Pki::new();
    pki.server("server");
    pki.client("client", Some("viewer"));
    let (mut server_options, mut events) = observed();
    server_options.connections = 1;
    let (address, _) = pki.serve(MemoryDevice::full(), server_options);
    let options = options().retries(5).backoff(Duration::from_millis(1), Duration::from_millis(5));
    let client = Client::connect(pki.target(address, "client", ""), options).await.unwrap();
    assert!(client.unit(1).read_holding_registers(0, 1).await.is_ok());
    let Event::Opened { identity: Some(identity), .. } = events.next_opened().await else { panic!() };
    assert_eq!(identity.role.as_deref(), Some("viewer"));
    // Longer than the old one, for a clock of whole seconds.
    pki.client("client", Some("operator with a longer name"));
    // Another takes its place, and makes room again.
    drop(pki.connect(address, "client").await.unwrap());
    loop {
        if let Event::Opened { identity: Some(identity), .. } = events.next_opened().await
            && identity.role.as_deref() == Some("operator with a longer name")
        {
            break;
        }
    }
    assert!(client.unit(1).read_holding_registers(0, 1).await.is_ok());
    let Event::Opened { identity: Some(identity), .. } = events.next_opened().await else { panic!() };
    assert_eq!(identity.role.as_deref(), Some("operator with a longer name"));
}
