//! The files that a `tls` target names: read, checked together, and looked at again when they have changed.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use port502_session::Target;
use port502_session::target::TlsSettings;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::{Certificate, provider};

/// Bytes that a file of a target may have, 16 MiB: a revocation list of a hundred thousand certificates has five.
pub const FILE_MAX: u64 = 1 << 24;

/// From so many days before its end on, a certificate is warned of.
pub(super) const WARN_DAYS: i64 = 30;

/// What a file is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// The own certificate, and those between it and its authority.
    Certificate,
    /// Its key.
    Key,
    /// The authorities that may have signed the peer's.
    Authorities,
    /// What they have revoked.
    Revocations,
}

impl What {
    const fn text(self) -> &'static str {
        match self {
            What::Certificate => "certificate",
            What::Key => "private key",
            What::Authorities => "authority's certificate",
            What::Revocations => "revocation list",
        }
    }

    /// What to do about a file that is not there or not good.
    const fn remedy(self) -> &'static str {
        match self {
            What::Certificate => {
                "name a PEM file with cert=, or make one with `port502 cert server` or `port502 cert client`"
            }
            What::Key => {
                "name the certificate's own key with key=; it lies beside it with the ending .key otherwise"
            }
            What::Authorities => {
                "name the PEM file of who signs the peers' certificates with ca=; `port502 cert ca` makes one"
            }
            What::Revocations => {
                "name the authority's PEM file with crl=; `port502 cert ca` and `port502 cert revoke` write one"
            }
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// What is wrong with the certificate, key, authorities or revocation list of a target.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The target names no certificate: on this link both sides have to show one.
    #[error(
        "{target} names no certificate, and Modbus/TCP Security wants one on both sides: add ?cert=FILE.pem; \
         `port502 cert` makes them"
    )]
    NoCertificate {
        /// The target.
        target: Box<Target>,
    },
    /// A file cannot be read.
    #[error("cannot read the {what} {}: {source}; {}", .path.display(), .what.remedy())]
    Read {
        /// What the file is for.
        what: What,
        /// Where it should be.
        path: PathBuf,
        /// The system's reason.
        source: Arc<io::Error>,
    },
    /// A file is not what it should be.
    #[error("the {what} {}: {problem}; {}", .path.display(), .what.remedy())]
    Content {
        /// What the file is for.
        what: What,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The name that the server should bear is none.
    #[error(
        "`{name}` is no host name and no address: say with name= which name stands in the server's certificate"
    )]
    Name {
        /// The host of the target, or its `name=`.
        name: String,
    },
}

/// What will keep connections from being made, before it does.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A certificate ends soon, or has ended.
    Expires {
        /// What it is for.
        what: What,
        /// Its file.
        path: PathBuf,
        /// Whose it is.
        subject: String,
        /// Whole days that are left; negative when it is over.
        days: i64,
    },
    /// The own certificate is not valid yet: or is the clock wrong?
    NotYetValid {
        /// Its file.
        path: PathBuf,
        /// Whose it is.
        subject: String,
    },
    /// The authority meant to have published a newer revocation list by now. The old one stays in force.
    OldRevocations {
        /// Its file.
        path: PathBuf,
    },
    /// There is no revocation list: a certificate that was lost is good until it ends.
    NoRevocations,
    /// Others than the owner can read the key.
    OpenKey {
        /// Its file.
        path: PathBuf,
        /// The file's permissions.
        mode: u32,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Expires { what, path, subject, days } => {
                let path = path.display();
                match days {
                    ..0 => write!(f, "the {what} {path} ({subject}) is over since {} days", -days)?,
                    0 => write!(f, "the {what} {path} ({subject}) ends today")?,
                    1 => write!(f, "the {what} {path} ({subject}) ends in 1 day")?,
                    days => write!(f, "the {what} {path} ({subject}) ends in {days} days")?,
                }
                f.write_str(": make a new one, put it in its place, and reload")
            }
            Notice::NotYetValid { path, subject } => {
                write!(f, "the certificate {} ({subject}) is not valid yet: is the clock right?", path.display())
            }
            Notice::OldRevocations { path } => write!(
                f,
                "the revocation list {} is older than its authority meant it to become: fetch the current one",
                path.display()
            ),
            Notice::NoRevocations => f.write_str(
                "no revocation list: a stolen certificate is good until it ends; name the authority's with crl=",
            ),
            Notice::OpenKey { path, mode } => write!(
                f,
                "others can read the key {} (mode {:o}): chmod 600 {0}",
                path.display(),
                mode & 0o777
            ),
        }
    }
}

/// The files of a target.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Files {
    cert: PathBuf,
    key: PathBuf,
    ca: PathBuf,
    /// Whether it was named: else it is taken where it is there.
    crl: (PathBuf, bool),
}

/// What the files hold.
pub(super) struct Material {
    pub(super) own: CertifiedKey,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) crls: Vec<CertificateRevocationListDer<'static>>,
    dated: Vec<(What, PathBuf, Certificate)>,
    lasting: Vec<Notice>,
    crl_ends: Option<(PathBuf, i64)>,
}

/// When files were last changed, and how long they were: what tells that they are others now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Stamp(Vec<Option<(SystemTime, u64)>>);

impl Files {
    pub(super) fn of(target: &Target) -> Result<Files, TlsError> {
        let no_certificate = || TlsError::NoCertificate { target: Box::new(target.clone()) };
        let TlsSettings { cert: Some(cert), key, ca, crl, .. } = target.tls().ok_or_else(no_certificate)?
        else {
            return Err(no_certificate());
        };
        let cert = PathBuf::from(cert);
        let key = key.map_or_else(|| cert.with_extension("key"), PathBuf::from);
        let ca = ca.map_or_else(|| cert.with_file_name("ca.pem"), PathBuf::from);
        let crl = match crl {
            Some(crl) => (PathBuf::from(crl), true),
            None => (ca.with_file_name("crl.pem"), false),
        };
        Ok(Files { cert, key, ca, crl })
    }

    pub(super) fn stamp(&self) -> Stamp {
        let stamp = |path: &PathBuf| {
            let file = fs::metadata(path).ok()?;
            Some((file.modified().ok()?, file.len()))
        };
        Stamp([&self.cert, &self.key, &self.ca, &self.crl.0].map(stamp).to_vec())
    }

    pub(super) fn load(&self) -> Result<Material, TlsError> {
        let bad = |what, path: &Path, problem: String| TlsError::Content { what, path: path.into(), problem };
        let chain: Vec<CertificateDer<'static>> = pem(What::Certificate, &self.cert)?;
        let key_bytes = read(What::Key, &self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key_bytes)
            .map_err(|error| bad(What::Key, &self.key, pem_problem("private key", &error)))?;
        let mut dated = Vec::new();
        for der in &chain {
            let certificate = Certificate::parse(der)
                .map_err(|error| bad(What::Certificate, &self.cert, error.to_string()))?;
            dated.push((What::Certificate, self.cert.clone(), certificate));
        }
        let own = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                bad(What::Key, &self.key, format!("it is not the key of {}", self.cert.display()))
            }
            error => bad(What::Key, &self.key, format!("it cannot be used: {error}")),
        })?;
        let mut roots = RootCertStore::empty();
        for der in pem::<CertificateDer<'static>>(What::Authorities, &self.ca)? {
            let certificate = Certificate::parse(&der)
                .map_err(|error| bad(What::Authorities, &self.ca, error.to_string()))?;
            dated.push((What::Authorities, self.ca.clone(), certificate));
            roots.add(der).map_err(|error| bad(What::Authorities, &self.ca, error.to_string()))?;
        }
        let mut lasting = Vec::new();
        let (path, named) = &self.crl;
        let crls: Vec<CertificateRevocationListDer<'static>> =
            if *named || path.exists() { pem(What::Revocations, path)? } else { Vec::new() };
        let mut ends = Vec::new();
        for crl in &crls {
            let (_, list) = CertificateRevocationList::from_der(crl)
                .map_err(|_| bad(What::Revocations, path, "it cannot be read".into()))?;
            ends.extend(list.next_update().map(|time| time.timestamp()));
        }
        if crls.is_empty() {
            lasting.push(Notice::NoRevocations);
        }
        lasting.extend(open_key(&self.key));
        let crl_ends = ends.into_iter().min().map(|end| (path.clone(), end));
        Ok(Material { own, roots: Arc::new(roots), crls, dated, lasting, crl_ends })
    }

    /// The revocation list, for errors about it.
    pub(super) fn crl_error(&self, problem: &dyn fmt::Display) -> TlsError {
        let (path, problem) = (self.crl.0.clone(), problem.to_string());
        TlsError::Content { what: What::Revocations, path, problem }
    }

    pub(super) fn authorities_error(&self, problem: &dyn fmt::Display) -> TlsError {
        let (path, problem) = (self.ca.clone(), problem.to_string());
        TlsError::Content { what: What::Authorities, path, problem }
    }
}

impl Material {
    /// What is to be told at `now`.
    pub(super) fn notices(&self, now: SystemTime) -> Vec<Notice> {
        let mut notices = self.lasting.clone();
        for (what, path, certificate) in &self.dated {
            let (path, subject) = (path.clone(), certificate.subject.clone());
            let days = certificate.days_left(now);
            if certificate.not_before > now {
                notices.push(Notice::NotYetValid { path, subject });
            } else if days < WARN_DAYS {
                let notice = Notice::Expires { what: *what, path, subject, days };
                // An authority may stand behind the own certificate as well.
                if !notices.contains(&notice) {
                    notices.push(notice);
                }
            }
        }
        let unix = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
        if let Some((path, end)) = &self.crl_ends
            && u64::try_from(*end).unwrap_or(0) < unix
        {
            notices.push(Notice::OldRevocations { path: path.clone() });
        }
        notices
    }
}

/// What is to be told of the files of a target before it is used; nothing for links without TLS.
///
/// # Errors
/// Files that cannot be used.
pub fn notices(target: &Target, now: SystemTime) -> Result<Vec<Notice>, TlsError> {
    match target.tls() {
        None => Ok(Vec::new()),
        Some(_) => Ok(Files::of(target)?.load()?.notices(now)),
    }
}

fn read(what: What, path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source: io::Error| TlsError::Read { what, path: path.into(), source: Arc::new(source) };
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        let problem = format!("it has more than {} MiB", FILE_MAX >> 20);
        return Err(TlsError::Content { what, path: path.into(), problem });
    }
    Ok(bytes)
}

/// All items of a kind in a PEM file, of which there must be one.
fn pem<T: PemObject>(what: What, path: &Path) -> Result<Vec<T>, TlsError> {
    let bytes = read(what, path)?;
    let bad = |problem: String| TlsError::Content { what, path: path.into(), problem };
    let items: Result<Vec<T>, _> = T::pem_slice_iter(&bytes).collect();
    let items = items.map_err(|error| bad(pem_problem(what.text(), &error)))?;
    if items.is_empty() {
        return Err(bad(pem_problem(what.text(), &rustls::pki_types::pem::Error::NoItemsFound)));
    }
    Ok(items)
}

fn pem_problem(item: &str, error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::NoItemsFound => format!("there is no {item} in PEM in it"),
        error => format!("it is no good PEM: {error}"),
    }
}

#[cfg(unix)]
fn open_key(path: &Path) -> Option<Notice> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o077 != 0).then(|| Notice::OpenKey { path: path.into(), mode })
}

#[cfg(not(unix))]
fn open_key(_: &Path) -> Option<Notice> {
    None
}
