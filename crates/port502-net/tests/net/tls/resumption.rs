//! Sessions that are resumed: the role comes with them, and nothing that was revoked.

use std::sync::Arc;

use port502_net::memory::MemoryDevice;
use port502_net::server::{Authorized, Event, Refusal};
use port502_site::Rights;
use rustls::HandshakeKind;

use crate::conformance::hex;
use crate::link::{Link as _, Mbap};
use crate::pki::{Pki, connect};
use crate::server::observed;

#[tokio::test]
async fn a_resumed_session_keeps_the_role() {
    let pki = Pki::new();
    pki.server("server");
    pki.client("client", Some("operator"));
    for version in rustls::ALL_VERSIONS {
        let rights = Rights::parse("role,access\noperator,rw\n").unwrap();
        let (options, mut events) = observed();
        let (address, _) = pki.serve(Authorized::new(MemoryDevice::full(), rights), options);
        let config = pki.client_config(Some("client"), &[*version]);
        let mut first = None;
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let stream = connect(&config, address).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind), "{version:?}");
            let mut link = Mbap::new(stream);
            link.send(1, &hex("06 0000 0001")).await;
            assert_eq!(link.receive().await, Some((1, hex("06 0000 0001"))), "{version:?} {kind:?}");
            let Event::Opened { identity: Some(identity), .. } = events.next().await else { panic!() };
            assert_eq!(identity.role.as_deref(), Some("operator"));
            let before = first.get_or_insert_with(|| Arc::clone(&identity));
            assert_eq!(*before, identity);
            drop(link);
            assert!(matches!(events.next().await, Event::Closed { .. }));
        }
    }
}

#[tokio::test]
async fn nothing_revoked_comes_back_by_a_session() {
    let pki = Pki::new();
    pki.server("server");
    let serial = pki.client("client", Some("operator"));
    pki.client("other", Some("operator"));
    for version in rustls::ALL_VERSIONS {
        pki.revoke(&[]);
        let (options, mut events) = observed();
        let (address, reload) = pki.serve(MemoryDevice::full(), options);
        let config = pki.client_config(Some("client"), &[*version]);
        for _ in 0..2 {
            // The session's ticket comes with the first answer.
            let mut link = Mbap::new(connect(&config, address).await.unwrap());
            link.send(1, &hex("07")).await;
            assert!(link.receive().await.is_some());
            drop(link);
            assert!(matches!(events.next_end().await, Event::Closed { .. }));
        }
        pki.revoke(&[serial]);
        reload.reload().unwrap();
        let text = match connect(&config, address).await {
            Err(error) => error.to_string(),
            Ok(stream) => {
                assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full), "{version:?}");
                use tokio::io::AsyncReadExt as _;
                let mut stream = stream;
                stream.read(&mut [0; 8]).await.expect_err("an alert").to_string()
            }
        };
        assert!(text.contains("CertificateRevoked"), "{text}");
        let Event::Refused { why: Refusal::Handshake(failure), .. } = events.next_end().await else {
            panic!()
        };
        assert_eq!(failure.to_string(), "its certificate is revoked (it shows CN=client)");
    }
}
