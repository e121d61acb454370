//! The server's side: which clients are let in, and who they are.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::SystemTime;

use port502_session::Target;
use port502_session::server::Identity;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ServerSessionMemoryCache, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, HandshakeKind, ServerConfig,
    SignatureScheme,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::certificate::first_outside_its_time;
use super::failure::{of_certificate, of_io, told_by_first_bytes};
use super::files::{Files, Notice, TlsError};
use super::stream::{ServerStream, Socket, TlsStream};
use super::{Certificate, HandshakeFailure, HandshakeFault, VERSIONS, fingerprint, provider};

/// Sessions that a server remembers so that they can be resumed; the oldest are forgotten. Each client has one.
const SESSIONS_MAX: usize = 2048;

/// Bytes that are read of a client after it was refused.
const LINGER_MAX: u64 = 64 * 1024;

/// The fatal alert protocol_version in a TLS record: no version that the client offers is new enough (RFC 5246, E.1).
const PROTOCOL_VERSION: [u8; 7] = [21, 3, 1, 0, 2, 2, 70];

/// What a server's certificates are now, and how they are loaded anew.
pub(crate) struct Acceptor {
    current: RwLock<Arc<Loaded>>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("files", &self.current().files).finish_non_exhaustive()
    }
}

/// The certificates as they were at one time. Sessions belong to it: none outlives a reload, so that nothing that
/// was revoked since can be resumed.
pub(crate) struct Loaded {
    files: Files,
    config: Arc<ServerConfig>,
    verifier: Arc<Verifier>,
    material: super::files::Material,
}

/// A client that was let in.
pub(crate) struct Accepted {
    pub(crate) stream: ServerStream,
    pub(crate) identity: Identity,
    /// The certificates that it has shown, its own first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// It has resumed a session.
    pub(crate) resumed: bool,
    /// What was in force then.
    pub(crate) judged_by: JudgedBy,
}

/// The certificates by which a client was judged.
pub(crate) struct JudgedBy(Arc<Loaded>);

impl Acceptor {
    pub(crate) fn new(target: &Target) -> Result<Acceptor, TlsError> {
        Ok(Acceptor { current: RwLock::new(Loaded::of(target)?) })
    }

    /// Reads the files again; nothing of them holds before it is [installed](Self::install).
    pub(crate) fn load_again(&self) -> Result<Arc<Loaded>, TlsError> {
        let current = self.current();
        load(current.files.clone(), current.verifier.pin)
    }

    /// From now on these hold.
    pub(crate) fn install(&self, loaded: Arc<Loaded>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
    }

    fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is to be told of the certificates.
    pub(crate) fn notices(&self, now: SystemTime) -> Vec<Notice> {
        self.current().material.notices(now)
    }

    /// Why a client that was let in would not be let in now.
    pub(crate) fn judge(&self, chain: &[CertificateDer<'static>]) -> Result<(), HandshakeFault> {
        let Some((own, others)) = chain.split_first() else { return Err(HandshakeFault::NoCertificate) };
        let verifier = Arc::clone(&self.current().verifier);
        match verifier.check(own, others, UnixTime::now()) {
            Ok(_) => Ok(()),
            Err(Error::InvalidCertificate(error)) => Err(of_certificate(&error)),
            Err(error) => Err(HandshakeFault::Other(error.to_string())),
        }
    }

    /// The same, of a client that was let in just now: it need not be asked where nothing has changed since.
    pub(crate) fn judge_again(
        &self,
        judged_by: &JudgedBy,
        chain: &[CertificateDer<'static>],
    ) -> Result<(), HandshakeFault> {
        if Arc::ptr_eq(&judged_by.0, &self.current()) { Ok(()) } else { self.judge(chain) }
    }

    /// Shakes hands with a client. The caller keeps the time.
    ///
    /// After a failure the client is told why with an alert, and the connection is returned: it has to
    /// be given time, see [`linger`].
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<Accepted, (HandshakeFailure, Option<TcpStream>)> {
        let mut socket = Socket::new(stream);
        let told = match socket.look().await {
            Ok([]) => Some(HandshakeFault::HungUp),
            Ok(first) => told_by_first_bytes(first),
            Err(error) => Some(of_io(&error)),
        };
        if let Some(fault) = told {
            let mut stream = socket.into_stream();
            if let HandshakeFault::TooOld { .. } = fault {
                let _ = stream.write_all(&PROTOCOL_VERSION).await;
            }
            return Err((HandshakeFailure::unknown(fault), Some(stream)));
        }
        let loaded = self.current();
        let config = Arc::clone(&loaded.config);
        let mut accept = pin!(TlsAcceptor::from(config).accept(socket).into_fallible());
        let (outcome, shown) = poll_fn(|cx| {
            // A certificate is judged within a poll, on this thread: what is found there behind it is this client's.
            SHOWN.take();
            match accept.as_mut().poll(cx) {
                Poll::Ready(outcome) => Poll::Ready((outcome, SHOWN.take())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        let stream = match outcome {
            Ok(stream) => stream,
            Err((error, socket)) => {
                let fault = of_io(&error);
                return Err((HandshakeFailure::of(shown, fault), Some(socket.into_stream())));
            }
        };
        let (_, tls) = stream.get_ref();
        let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
        let chain = tls.peer_certificates().unwrap_or_default().to_vec();
        let stream = TlsStream(stream);
        let Some(own) = chain.first().and_then(|own| Certificate::parse(own).ok()) else {
            let text = "its certificate cannot be read".to_owned();
            let fault = HandshakeFault::BadCertificate(text);
            return Err((HandshakeFailure::unknown(fault), None));
        };
        // Authorities and revocations are those of the session, for it would not be here had they changed. Only time
        // has gone by.
        let now = SystemTime::now();
        if resumed && let Some(over) = first_outside_its_time(&chain, now) {
            let since = now.duration_since(over.not_after).unwrap_or_default();
            return Err((HandshakeFailure::of(Some(own), HandshakeFault::Expired { since }), None));
        }
        Ok(Accepted { stream, identity: own.identity(), chain, resumed, judged_by: JudgedBy(loaded) })
    }
}

/// Lets a client that was refused read why. A connection that is closed while its client still sends is reset, and a
/// reset overtakes the alert.
pub(crate) async fn linger(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let _ = tokio::io::copy(&mut (&mut stream).take(LINGER_MAX), &mut tokio::io::sink()).await;
}

impl Loaded {
    /// The certificates that a target names.
    pub(crate) fn of(target: &Target) -> Result<Arc<Loaded>, TlsError> {
        load(Files::of(target)?, target.tls().and_then(|tls| tls.pin))
    }
}

fn load(files: Files, pin: Option<[u8; 32]>) -> Result<Arc<Loaded>, TlsError> {
    let material = files.load()?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&material.roots), provider())
        .with_crls(material.crls.iter().cloned())
        .build()
        .map_err(|error| match error {
            VerifierBuilderError::InvalidCrl(_) => files.crl_error(&error),
            _ => files.authorities_error(&error),
        })?;
    let verifier = Arc::new(Verifier { inner: verifier, pin });
    let config = ServerConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS);
    let mut config = config
        .map_err(|error| files.authorities_error(&error))?
        .with_client_cert_verifier(Arc::clone(&verifier) as Arc<dyn ClientCertVerifier>)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(material.own.clone())));
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    // One is enough: a client that connects once at a time needs no more.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(Loaded { files, config: Arc::new(config), verifier, material }))
}

thread_local! {
    /// The certificate that was refused last.
    pub(super) static SHOWN: RefCell<Option<Certificate>> = const { RefCell::new(None) };
}

/// The usual checks and the pin. What is refused is kept for the log.
#[derive(Debug)]
struct Verifier {
    inner: Arc<dyn ClientCertVerifier>,
    pin: Option<[u8; 32]>,
}

impl Verifier {
    fn check(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(own, others, now)?;
        match self.pin {
            Some(pin) if pin != fingerprint(own) => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(verified),
        }
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(own, others, now).inspect_err(|_| SHOWN.set(Certificate::parse(own).ok()))
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

/// A failure as the error of a socket.
pub(super) fn as_io(failure: HandshakeFailure) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, failure)
}
