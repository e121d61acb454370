//! Certificates that are loaded anew under a running server.

use port502_net::memory::MemoryDevice;
use port502_net::server::{Closed, Event};
use port502_net::tls::Notice;

use crate::conformance::hex;
use crate::link::{Link as _, Mbap};
use crate::pki::{Pki, Wish};
use crate::server::observed;

#[tokio::test]
async fn clients_stay_but_for_those_that_were_revoked() {
    let pki = Pki::new();
    pki.server("server");
    let bad = pki.client("bad", Some("operator"));
    pki.client("good", Some("operator"));
    let (options, mut events) = observed();
    let (address, reload) = pki.serve(MemoryDevice::full(), options);
    let mut links = Vec::new();
    for name in ["bad", "good"] {
        let mut link = Mbap::new(pki.connect(address, name).await.unwrap());
        link.send(1, &hex("07")).await;
        assert!(link.receive().await.is_some());
        links.push(link);
    }
    let (mut good, mut bad_one) = (links.pop().unwrap(), links.pop().unwrap());
    reload.reload().unwrap();
    for link in [&mut good, &mut bad_one] {
        link.send(1, &hex("07")).await;
        assert!(link.receive().await.is_some(), "a reload alone closes nothing");
    }
    pki.revoke(&[bad]);
    // A new certificate of the server, too.
    pki.server("server");
    reload.reload().unwrap();
    assert!(bad_one.is_closed_by_peer().await);
    assert!(matches!(events.next_end().await, Event::Closed { why: Closed::Revoked, requests: 2, .. }));
    good.send(1, &hex("07")).await;
    assert!(good.receive().await.is_some());
    let mut new = Mbap::new(pki.connect(address, "good").await.unwrap());
    new.send(1, &hex("07")).await;
    assert!(new.receive().await.is_some());
}

#[tokio::test]
async fn a_reload_with_a_wrong_file_changes_nothing() {
    let pki = Pki::new();
    pki.server("server");
    pki.client("client", None);
    let (options, _events) = observed();
    let (address, reload) = pki.serve(MemoryDevice::full(), options);
    let key = std::fs::read(pki.path("server.key")).unwrap();
    for (file, content, want) in [
        ("server.key", &b"nothing"[..], "there is no private key in PEM in it"),
        ("server.key", &std::fs::read(pki.path("client.key")).unwrap(), "it is not the key of"),
        (
            "server.pem",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "no X.509 certificate",
        ),
        ("server.pem", b"", "there is no certificate in PEM in it"),
        ("ca.pem", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "it is no good PEM"),
        ("crl.pem", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "it cannot be read"),
    ] {
        let path = pki.path(file);
        let before = std::fs::read(&path).unwrap();
        std::fs::write(&path, content).unwrap();
        let error = reload.reload().expect_err(file).to_string();
        assert!(error.contains(want) && error.contains(file), "{error}");
        std::fs::write(&path, before).unwrap();
        let mut link = Mbap::new(pki.connect(address, "client").await.unwrap());
        link.send(1, &hex("07")).await;
        assert!(link.receive().await.is_some(), "{error}");
    }
    assert_eq!(std::fs::read(pki.path("server.key")).unwrap(), key);
}

#[tokio::test]
async fn what_was_prepared_holds_when_it_is_installed() {
    let pki = Pki::new();
    pki.server("server");
    let bad = pki.client("bad", None);
    let (options, mut events) = observed();
    let (address, reload) = pki.serve(MemoryDevice::full(), options);
    let mut link = Mbap::new(pki.connect(address, "bad").await.unwrap());
    pki.revoke(&[bad]);
    let prepared = reload.prepare().unwrap();
    link.send(1, &hex("07")).await;
    assert!(link.receive().await.is_some(), "it is only prepared");
    prepared.install();
    assert!(link.is_closed_by_peer().await);
    assert!(matches!(events.next_end().await, Event::Closed { why: Closed::Revoked, requests: 1, .. }));
}

#[tokio::test]
async fn what_ends_soon_is_told() {
    let pki = Pki::new();
    pki.make("server", &Wish { since: 1, days: 8, ..Wish::server() });
    let key = std::fs::read_to_string(pki.path("server.key")).unwrap();
    pki.write_key("server", &key, 0o644);
    let (options, mut events) = observed();
    let (_, reload) = pki.serve(MemoryDevice::full(), options);
    let mut notices = Vec::new();
    for _ in 0..2 {
        let Event::Notice(notice) = events.next().await else { panic!() };
        notices.push(notice.to_string());
    }
    assert!(notices.iter().any(|notice| notice.starts_with("others can read the key")), "{notices:?}");
    assert!(
        notices.iter().any(|it| it.contains("(CN=server) ends in 6 days: make a new one")),
        "{notices:?}"
    );
    // A new one, and the warning is over.
    pki.server("server");
    std::fs::remove_file(pki.path("crl.pem")).unwrap();
    reload.reload().unwrap();
    let Event::Notice(notice) = events.next().await else { panic!() };
    assert_eq!(*notice, Notice::NoRevocations);
    assert!(events.is_empty());
}
