//! The role in a client's certificate, and what it may do.

use std::sync::{Arc, Mutex};

use port502_net::memory::MemoryDevice;
use port502_net::server::{Authorized, Event, Options, RoleFault};
use port502_site::Rights;

use crate::conformance::hex;
use crate::link::{Link as _, Mbap, serve};
use crate::pki::{Pki, Wish, der, utf8_string};
use crate::server::observed;

const RIGHTS: &str = "role,access,table,address
operator,rw,holding,0-99
operator,read
Bedienerin Süd,rw,holding
-,read,input
";

/// A read, a write, and what the null role may do.
const READ: &str = "03 0000 0001";
const WRITE: &str = "06 0005 1234";
const READ_INPUT: &str = "04 0000 0001";

#[tokio::test]
async fn a_role_is_one_utf8_string_and_all_else_is_the_null_role() {
    let pki = Pki::new();
    pki.server("server");
    let cases = [
        (vec![utf8_string("operator")], Some("operator"), None),
        (vec![utf8_string("Bedienerin Süd")], Some("Bedienerin Süd"), None),
        (vec![], None, None),
        (vec![utf8_string("operator"), utf8_string("viewer")], None, Some(RoleFault::Several)),
        (vec![utf8_string("operator"), utf8_string("operator")], None, Some(RoleFault::Several)),
        (vec![der(0x13, b"operator")], None, Some(RoleFault::NotUtf8String)), // PrintableString
        (vec![[utf8_string("operator"), vec![0]].concat()], None, Some(RoleFault::NotUtf8String)),
        (vec![der(0x0C, b"oper\xFFator")], None, Some(RoleFault::NotUtf8)),
        (vec![der(0x0C, b"")], None, Some(RoleFault::Empty)),
    ];
    let denied = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&denied);
    let service = Authorized::new(MemoryDevice::full(), Rights::parse(RIGHTS).unwrap()).observed_by(
        Arc::new(move |denied| {
            let subject = denied.client.identity.map(|identity| identity.subject.clone());
            let (role, unit) = (denied.client.role().map(str::to_owned), denied.client.unit);
            log.lock().unwrap().push((subject, role, unit.0, denied.function, denied.deed.to_string()));
        }),
    );
    let (options, mut events) = observed();
    let (address, _) = pki.serve(service, options);
    for (at, (roles, want, fault)) in cases.into_iter().enumerate() {
        let name = format!("c{at}");
        pki.make(&name, &Wish { roles, ..Wish::client() });
        let mut link = Mbap::new(pki.connect(address, &name).await.unwrap());
        for (request, allowed) in
            [(READ, want.is_some()), (WRITE, want.is_some()), (READ_INPUT, want != Some("Bedienerin Süd"))]
        {
            let request = hex(request);
            link.send(1, &request).await;
            let (_, answer) = link.receive().await.expect("an answer: the connection stays (R-23)");
            let refused = vec![request[0] | 0x80, 1];
            assert_eq!(
                answer != refused,
                allowed,
                "{name} {want:?}: {request:02X?} was answered {answer:02X?}"
            );
        }
        let Event::Opened { identity: Some(identity), .. } = events.next().await else { panic!("{name}") };
        assert_eq!((identity.role.as_deref(), identity.role_fault), (want, fault), "{name}");
        assert_eq!(identity.subject, format!("CN={name}"));
        let pem = std::fs::read(pki.path(&format!("{name}.pem"))).unwrap();
        use rustls::pki_types::pem::PemObject as _;
        let der = rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap();
        assert_eq!(identity.fingerprint, port502_net::tls::fingerprint(&der));
        let told = std::mem::take(&mut *denied.lock().unwrap());
        if want.is_none() {
            let who = |function, deed: &str| (Some(format!("CN={name}")), None, 1, function, deed.to_owned());
            assert_eq!(told, [who(3, "read holding:0"), who(6, "write holding:5")]);
        }
        drop(link);
        assert!(matches!(events.next().await, Event::Closed { requests: 3, .. }));
    }
}

#[tokio::test]
async fn rights_can_be_replaced_and_hold_without_tls() {
    let service = Authorized::new(MemoryDevice::full(), Rights::parse(RIGHTS).unwrap());
    let mut link = Mbap::connect(serve(service.clone(), Options::default())).await;
    link.send(1, &hex(READ_INPUT)).await;
    assert_eq!(link.receive().await, Some((1, hex("04 02 0000"))));
    link.send(1, &hex(READ)).await;
    assert_eq!(link.receive().await, Some((1, hex("83 01"))));
    service.replace(Rights::parse("role,access\n-,read\n").unwrap());
    link.send(1, &hex(READ)).await;
    assert_eq!(link.receive().await, Some((1, hex("03 02 0000"))));
}
