//! What a certificate says, for people, for logs, and for who may do what.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use port502_session::server::{Identity, RoleFault};
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, FromDer as _, Oid, Tag, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};

/// The extension that holds the role.
const ROLE: Oid<'static> = oid!(1.3.6.1.4.1.50316.802.1);

/// A certificate, read.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Certificate {
    /// Whose it is, as `CN=panel-3, O=Northfield`.
    pub subject: String,
    /// Who has signed it.
    pub issuer: String,
    /// Its serial number, big end first.
    pub serial: Vec<u8>,
    /// The SHA-256 of its DER bytes, as a pin names it.
    pub fingerprint: [u8; 32],
    /// The role in it; `None` for the null role.
    pub role: Option<String>,
    /// What keeps the role in it from being one.
    pub role_fault: Option<RoleFault>,
    /// Host names and addresses that it is good for.
    pub names: Vec<String>,
    /// Not valid before.
    pub not_before: SystemTime,
    /// Not valid after.
    pub not_after: SystemTime,
    /// It may sign others.
    pub is_authority: bool,
    /// It may be shown by a server; true where it says nothing of purposes.
    pub for_server: bool,
    /// It may be shown by a client; true where it says nothing of purposes.
    pub for_client: bool,
}

/// Bytes that are no certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("these bytes are no X.509 certificate")]
pub struct NoCertificate;

impl Certificate {
    /// Reads one certificate in DER.
    ///
    /// # Errors
    /// Bytes that are none, or more than one.
    pub fn parse(der: &[u8]) -> Result<Certificate, NoCertificate> {
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| NoCertificate)?;
        if !rest.is_empty() {
            return Err(NoCertificate);
        }
        let (role, role_fault) = match role(&parsed) {
            Ok(role) => (role, None),
            Err(fault) => (None, Some(fault)),
        };
        let purposes = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::ExtendedKeyUsage(usage) => Some(usage),
            _ => None,
        });
        let is_authority = parsed.extensions().iter().any(
            |extension| matches!(extension.parsed_extension(), ParsedExtension::BasicConstraints(it) if it.ca),
        );
        Ok(Certificate {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            serial: parsed.raw_serial().to_vec(),
            fingerprint: fingerprint(der),
            role,
            role_fault,
            names: names(&parsed),
            not_before: time(parsed.validity().not_before.timestamp()),
            not_after: time(parsed.validity().not_after.timestamp()),
            is_authority,
            for_server: purposes.is_none_or(|usage| usage.any || usage.server_auth),
            for_client: purposes.is_none_or(|usage| usage.any || usage.client_auth),
        })
    }

    /// Who a client with this certificate is.
    #[must_use]
    pub fn identity(self) -> Identity {
        let Certificate { subject, fingerprint, role, role_fault, .. } = self;
        Identity { subject, fingerprint, role, role_fault }
    }

    /// Whether it is within its time.
    #[must_use]
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whole days from `now` until it ends; negative once it has.
    #[must_use]
    pub fn days_left(&self, now: SystemTime) -> i64 {
        const DAY: u64 = 86_400;
        let days = |time: Duration| i64::try_from(time.as_secs() / DAY).unwrap_or(i64::MAX);
        match self.not_after.duration_since(now) {
            Ok(left) => days(left),
            Err(over) => -1 - days(over.duration()),
        }
    }
}

/// The SHA-256 of a certificate's DER bytes.
#[must_use]
pub fn fingerprint(der: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    // SHA-256 has 32 bytes.
    digest.as_ref().try_into().unwrap_or_default()
}

/// Bytes in hexadecimal digits, as `pin=` takes them.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn time(unix_seconds: i64) -> SystemTime {
    let length = Duration::from_secs(unix_seconds.unsigned_abs());
    let time = if unix_seconds < 0 { UNIX_EPOCH.checked_sub(length) } else { UNIX_EPOCH.checked_add(length) };
    time.unwrap_or(UNIX_EPOCH)
}

/// The one role in a certificate.
fn role(certificate: &X509Certificate<'_>) -> Result<Option<String>, RoleFault> {
    let mut roles = certificate.extensions().iter().filter(|extension| extension.oid == ROLE);
    let Some(role) = roles.next() else { return Ok(None) };
    if roles.next().is_some() {
        return Err(RoleFault::Several);
    }
    let text = match Any::from_der(role.value) {
        Ok((rest, any)) if rest.is_empty() && any.tag() == Tag::Utf8String => any.data,
        _ => return Err(RoleFault::NotUtf8String),
    };
    match std::str::from_utf8(text) {
        Ok("") => Err(RoleFault::Empty),
        Ok(role) => Ok(Some(role.to_owned())),
        Err(_) => Err(RoleFault::NotUtf8),
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.extensions().iter().filter_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    alternatives
        .flatten()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| Ipv4Addr::from(bytes).to_string()),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| Ipv6Addr::from(bytes).to_string()),
            },
            _ => None,
        })
        .collect()
}

/// Whether each certificate of a chain is within its time. Its signatures and revocation are not looked at.
pub(super) fn first_outside_its_time(chain: &[CertificateDer<'_>], now: SystemTime) -> Option<Certificate> {
    chain.iter().filter_map(|der| Certificate::parse(der).ok()).find(|it| !it.is_valid_at(now))
}
