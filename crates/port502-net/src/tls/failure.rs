//! Why a handshake came to nothing, in words for the log and for whoever has to set it right.

use std::fmt;
use std::io;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use super::Certificate;

/// So many characters of a subject that nothing proves are told: anybody can show one that fills the log.
pub const SUBJECT_MAX: usize = 200;

/// A handshake that failed: with whom, as far as that is known, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandshakeFailure {
    /// The subject of the certificate that the peer has shown, at most [`SUBJECT_MAX`] characters of it. Nothing proves
    /// that it is the peer's.
    pub subject: Option<String>,
    /// Its SHA-256.
    pub fingerprint: Option<[u8; 32]>,
    /// Why.
    pub fault: HandshakeFault,
}

/// What went wrong in a handshake.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HandshakeFault {
    /// The peer has shown no certificate (R-10, R-44).
    NoCertificate,
    /// Nobody who is trusted has signed the peer's certificate.
    UnknownAuthority,
    /// The peer's certificate, or one between it and its authority, is over.
    Expired {
        /// Since when.
        since: Duration,
    },
    /// The peer's certificate is not valid yet.
    NotYetValid {
        /// From when on it will be.
        until: Duration,
    },
    /// Its authority has revoked it.
    Revoked,
    /// There is no revocation list of who has signed it.
    NoRevocationList,
    /// It is not the one that the pin names.
    Pin,
    /// It does not bear the server's name.
    Name {
        /// The name that was wanted.
        wanted: String,
        /// The names that it has.
        presented: Vec<String>,
    },
    /// It is for another purpose, as a server's shown by a client.
    Purpose,
    /// It is an authority's own, shown as a device's.
    IsAuthority,
    /// It has an extension that must be understood and is not: roles must not be marked critical.
    CriticalExtension,
    /// It cannot be read, or its signature is wrong, or made with an algorithm that is not taken.
    BadCertificate(String),
    /// The client offers nothing newer than this version.
    TooOld {
        /// Which.
        version: &'static str,
    },
    /// No cipher suite, group or signature that both have.
    NothingInCommon(String),
    /// What the peer sends is no TLS.
    NotTls {
        /// It looks like plain Modbus/TCP.
        modbus: bool,
    },
    /// The peer has refused with an alert.
    Alert(AlertDescription),
    /// It was not over in time.
    TimedOut,
    /// There were too many handshakes at once, and this was the oldest.
    TooMany,
    /// The peer ended the connection in the middle.
    HungUp,
    /// The connection broke, or the peer broke the rules of TLS.
    Other(String),
}

impl HandshakeFailure {
    /// A failure of somebody who has shown nothing.
    pub(crate) const fn unknown(fault: HandshakeFault) -> Self {
        HandshakeFailure { subject: None, fingerprint: None, fault }
    }

    pub(super) fn of(shown: Option<Certificate>, fault: HandshakeFault) -> Self {
        match shown {
            None => HandshakeFailure::unknown(fault),
            Some(Certificate { subject, fingerprint, .. }) => {
                HandshakeFailure { subject: Some(shortened(subject)), fingerprint: Some(fingerprint), fault }
            }
        }
    }
}

/// Cut to [`SUBJECT_MAX`] characters, the last of which says so.
fn shortened(text: String) -> String {
    match text.char_indices().nth(SUBJECT_MAX) {
        None => text,
        Some(_) => text.chars().take(SUBJECT_MAX - 1).chain(['…']).collect(),
    }
}

impl std::error::Error for HandshakeFailure {}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fault)?;
        if let Some(subject) = &self.subject {
            let plain: String =
                subject.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
            write!(f, " (it shows {plain})")?;
        }
        Ok(())
    }
}

impl fmt::Display for HandshakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeFault::NoCertificate => f.write_str("no certificate"),
            HandshakeFault::UnknownAuthority => f.write_str("its certificate is of an unknown authority"),
            HandshakeFault::Expired { since } => write!(f, "its certificate expired {} ago", Rough(*since)),
            HandshakeFault::NotYetValid { until } => {
                write!(f, "its certificate is not valid before {} from now", Rough(*until))
            }
            HandshakeFault::Revoked => f.write_str("its certificate is revoked"),
            HandshakeFault::NoRevocationList => {
                f.write_str("the revocation list of who signed its certificate is missing")
            }
            HandshakeFault::Pin => f.write_str("its certificate is not the pinned one"),
            HandshakeFault::Name { wanted, presented } => {
                write!(f, "its certificate is not for {wanted}")?;
                match presented.as_slice() {
                    [] => f.write_str(", and has no name"),
                    names => write!(f, ", but for {}", shortened(names.join(", "))),
                }
            }
            HandshakeFault::Purpose => f.write_str("its certificate is for another purpose"),
            HandshakeFault::IsAuthority => f.write_str("its certificate is an authority's own"),
            HandshakeFault::CriticalExtension => {
                f.write_str("its certificate has an unknown critical extension (a role must not be critical)")
            }
            HandshakeFault::BadCertificate(text) => write!(f, "its certificate is no good: {text}"),
            HandshakeFault::TooOld { version } => write!(f, "{version} is too old"),
            HandshakeFault::NothingInCommon(text) => write!(f, "nothing in common: {text}"),
            HandshakeFault::NotTls { modbus: true } => f.write_str("plain Modbus/TCP, not TLS"),
            HandshakeFault::NotTls { modbus: false } => f.write_str("not TLS"),
            HandshakeFault::Alert(alert) => write!(f, "it refused: {}", alert_text(*alert)),
            HandshakeFault::TimedOut => f.write_str("the handshake took too long"),
            HandshakeFault::TooMany => f.write_str("too many handshakes at once, and this was the oldest"),
            HandshakeFault::HungUp => f.write_str("it hung up during the handshake"),
            HandshakeFault::Other(text) => f.write_str(text),
        }
    }
}

/// What a peer means with an alert.
pub(super) fn alert_text(alert: AlertDescription) -> String {
    let text = match alert {
        AlertDescription::UnknownCA => "it does not know the authority of our certificate",
        AlertDescription::CertificateExpired => "our certificate is over, or its clock is wrong",
        AlertDescription::CertificateRevoked => "our certificate is revoked",
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => "it wants a certificate",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError => "it does not take our certificate",
        AlertDescription::AccessDenied => "it does not let us in",
        AlertDescription::ProtocolVersion => "it speaks another version of TLS",
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "it has no cipher in common with us, or wants a certificate"
        }
        AlertDescription::UnrecognisedName => "it does not know that name",
        other => return format!("alert {other:?}"),
    };
    text.to_owned()
}

/// The two largest units of a time are enough: `3 days`, `5 hours`.
struct Rough(Duration);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (count, unit) = match seconds {
            172_800.. => (seconds / 86_400, "days"),
            7_200.. => (seconds / 3_600, "hours"),
            120.. => (seconds / 60, "minutes"),
            1 => (1, "second"),
            _ => (seconds, "seconds"),
        };
        write!(f, "{count} {unit}")
    }
}

/// What the first bytes of a connection tell, when nobody can go on with them.
///
/// ```text
///   byte    0     1     2     3     4     5     6 ..  8     9    10
///        +-----+-----------+-----------+-----+----------+-----------+
///        | 16h |  version  |  length   | 01h |  length  |  version  |      a ClientHello in a TLS record
///        +-----+-----------+-----------+-----+----------+-----------+
///        |transaction| protocol 0|  length   |unit |                      a Modbus/TCP frame
/// ```
pub(super) fn told_by_first_bytes(first: &[u8]) -> Option<HandshakeFault> {
    match first {
        [0x16, 3, _, _, _, 1, _, _, _, 3, minor @ 0..=2, ..] => {
            let version = match minor {
                0 => "SSL 3.0",
                1 => "TLS 1.0",
                _ => "TLS 1.1",
            };
            Some(HandshakeFault::TooOld { version })
        }
        [0x16, 3, ..] | [] => None,
        // SSL 2.0 had a ClientHello of its own.
        [0x80..=0xFF, _, 1, 0 | 3, ..] => Some(HandshakeFault::TooOld { version: "SSL 2.0" }),
        [_, _, 0, 0, 0, 2..=254, ..] => Some(HandshakeFault::NotTls { modbus: true }),
        _ => Some(HandshakeFault::NotTls { modbus: false }),
    }
}

/// What an error of the handshake means.
pub(super) fn of_io(error: &io::Error) -> HandshakeFault {
    if let Some(error) = error.get_ref().and_then(|source| source.downcast_ref::<Error>()) {
        return of_tls(error);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => HandshakeFault::HungUp,
        _ => HandshakeFault::Other(error.to_string()),
    }
}

fn of_tls(error: &Error) -> HandshakeFault {
    match error {
        Error::NoCertificatesPresented => HandshakeFault::NoCertificate,
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(alert) => HandshakeFault::Alert(*alert),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => HandshakeFault::TooOld { version: "what it speaks of TLS" },
        Error::PeerIncompatible(why) => HandshakeFault::NothingInCommon(format!("{why:?}")),
        // A client hears the answer of a server that may be anything.
        Error::InvalidMessage(_) => HandshakeFault::NotTls { modbus: false },
        error => HandshakeFault::Other(error.to_string()),
    }
}

pub(super) fn of_certificate(error: &CertificateError) -> HandshakeFault {
    let between = |a: &UnixTime, b: &UnixTime| Duration::from_secs(a.as_secs().saturating_sub(b.as_secs()));
    match error {
        CertificateError::Expired => HandshakeFault::Expired { since: Duration::ZERO },
        CertificateError::ExpiredContext { time, not_after } => {
            HandshakeFault::Expired { since: between(time, not_after) }
        }
        CertificateError::NotValidYet => HandshakeFault::NotYetValid { until: Duration::ZERO },
        CertificateError::NotValidYetContext { time, not_before } => {
            HandshakeFault::NotYetValid { until: between(not_before, time) }
        }
        CertificateError::Revoked => HandshakeFault::Revoked,
        CertificateError::UnknownRevocationStatus => HandshakeFault::NoRevocationList,
        // An authority of the same name is another one all the same, when the signature is not its own.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => HandshakeFault::UnknownAuthority,
        CertificateError::ApplicationVerificationFailure => HandshakeFault::Pin,
        CertificateError::NotValidForNameContext { expected, presented } => HandshakeFault::Name {
            wanted: expected.to_str().into_owned(),
            // `DnsName("plc-7")`, `IpAddress(10.0.0.7)` and the like.
            presented: presented
                .iter()
                .map(|name| {
                    name.split(['(', ')', '"']).rfind(|part| !part.is_empty()).unwrap_or(name).to_owned()
                })
                .collect(),
        },
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            HandshakeFault::Purpose
        }
        CertificateError::UnhandledCriticalExtension => HandshakeFault::CriticalExtension,
        other => {
            // rustls has no variant for these two and passes on the name that its verifier gives them.
            let text = other.to_string();
            if text.contains("CaUsedAsEndEntity") {
                HandshakeFault::IsAuthority
            } else if text.contains("UnsupportedCriticalExtension") {
                HandshakeFault::CriticalExtension
            } else {
                HandshakeFault::BadCertificate(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_does_not_fill_the_log() {
        let names: Vec<String> = (0..300).map(|n| format!("O=ä{n}")).collect();
        let text = shortened(names.join(", "));
        assert_eq!((text.chars().count(), text.chars().last()), (SUBJECT_MAX, Some('…')));
        let just = "x".repeat(SUBJECT_MAX);
        assert_eq!(shortened(just.clone()), just);
        let fault = HandshakeFault::Name { wanted: "plc".into(), presented: names };
        assert!(fault.to_string().chars().count() < SUBJECT_MAX + 60);
    }
}
