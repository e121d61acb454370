//! The client's side: which servers are trusted.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use port502_session::Target;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::accept::{SHOWN, as_io};
use super::failure::of_io;
use super::files::{Files, Stamp, TlsError};
use super::stream::{ClientStream, Socket, TlsStream};
use super::{Certificate, HandshakeFailure, VERSIONS, fingerprint, provider};

/// Servers whose sessions a client remembers.
const SESSIONS_MAX: usize = 64;

/// Sets of files that are remembered: clients that share their options rarely have more than one.
const LOADED_MAX: usize = 16;

/// What the files of targets hold, shared by all clients that were made with the same options: many connections read
/// the files once, and resume each other's sessions.
#[derive(Clone, Default)]
pub(crate) struct Connectors(Arc<Mutex<HashMap<Key, Loaded>>>);

/// The files of a target, and its pin.
type Key = (Files, Option<[u8; 32]>);

#[derive(Clone)]
struct Loaded {
    stamp: Stamp,
    config: Arc<ClientConfig>,
}

impl fmt::Debug for Connectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connectors")
    }
}

impl Connectors {
    /// The configuration for a target; loaded anew when a file has changed, for a client may live longer than its
    /// certificate.
    fn config(&self, target: &Target) -> Result<Arc<ClientConfig>, TlsError> {
        let files = Files::of(target)?;
        let pin = target.tls().and_then(|tls| tls.pin);
        let stamp = files.stamp();
        let key = (files, pin);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known.filter(|known| known.stamp == stamp) {
            return Ok(known.config);
        }
        let config = load(&key.0, pin)?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= LOADED_MAX {
            all.clear();
        }
        all.insert(key, Loaded { stamp, config: Arc::clone(&config) });
        Ok(config)
    }
}

/// Why there is no connection.
pub(crate) enum ConnectError {
    /// The files, or the name, of the target.
    Tls(TlsError),
    /// The network, or the peer.
    Io(io::Error),
}

impl From<TlsError> for ConnectError {
    fn from(error: TlsError) -> Self {
        ConnectError::Tls(error)
    }
}

/// Connects to a server that has shown the right certificate.
pub(crate) async fn connect(target: &Target, connectors: &Connectors) -> Result<ClientStream, ConnectError> {
    let config = connectors.config(target)?;
    let name = target.tls().and_then(|tls| tls.name).unwrap_or(target.host());
    // The interface of a link-local address is none of the certificate's business.
    let name = name.split('%').next().unwrap_or(name);
    let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name { name: name.to_owned() })?;
    let stream: TcpStream = crate::tcp::connect(target).await.map_err(ConnectError::Io)?;
    let connector = TlsConnector::from(config);
    let mut connect = pin!(connector.connect(name, Socket::new(stream)).into_fallible());
    let (outcome, shown) = poll_fn(|cx| {
        SHOWN.take();
        match connect.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready((outcome, SHOWN.take())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    match outcome {
        Ok(stream) => Ok(TlsStream(stream)),
        Err((error, _)) => Err(ConnectError::Io(as_io(HandshakeFailure::of(shown, of_io(&error))))),
    }
}

fn load(files: &Files, pin: Option<[u8; 32]>) -> Result<Arc<ClientConfig>, TlsError> {
    let material = files.load()?;
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::clone(&material.roots), provider())
        .with_crls(material.crls.iter().cloned())
        .build()
        .map_err(|error| match error {
            VerifierBuilderError::InvalidCrl(_) => files.crl_error(&error),
            _ => files.authorities_error(&error),
        })?;
    let verifier = Arc::new(Verifier { inner, pin });
    let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS);
    let mut config = config
        .map_err(|error| files.authorities_error(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(material.own)));
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    Ok(Arc::new(config))
}

/// The usual checks and the pin. What is refused is kept for the error.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    pin: Option<[u8; 32]>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused = |_: &Error| SHOWN.set(Certificate::parse(own).ok());
        let verified = self.inner.verify_server_cert(own, others, name, ocsp, now).inspect_err(refused)?;
        match self.pin {
            Some(pin) if pin != fingerprint(own) => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
                    .inspect_err(refused)
            }
            _ => Ok(verified),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
