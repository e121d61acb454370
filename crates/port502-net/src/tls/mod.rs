//! Modbus/TCP Security: MBAP in TLS, with certificates on both sides and a role in the client's.
//!
//! A target says all of it: `tls://plc:802?cert=pki/panel.pem` connects with the certificate `pki/panel.pem`, its key
//! `pki/panel.key`, and trusts the authority `pki/ca.pem`; to listen on such a target asks every client for a
//! certificate of that authority. `docs/security.md` of the project says which requirements of the specification hold.
//!
//! - [`Certificate`][]: what a certificate says: subject, role, fingerprint, names, time.
//! - [`TlsError`][]: what is wrong with the files of a target.
//! - [`HandshakeFailure`][]: why a peer was turned away, and who it was.
//! - [`Notice`][]: what will be wrong soon.

mod accept;
mod certificate;
mod connect;
mod failure;
mod files;
mod stream;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{SupportedProtocolVersion, version};

pub use certificate::{Certificate, NoCertificate, fingerprint, hex};
pub use failure::{HandshakeFailure, HandshakeFault, SUBJECT_MAX};
pub use files::{FILE_MAX, Notice, TlsError, What, notices};

pub(crate) use accept::{Accepted, Acceptor, Loaded, linger};
pub(crate) use connect::{ConnectError, Connectors, connect};
pub(crate) use stream::{ClientStream, ServerStream};

/// TLS 1.3 and 1.2, and nothing older.
const VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// Named wherever rustls wants one: another crate in the same program may have brought another.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
