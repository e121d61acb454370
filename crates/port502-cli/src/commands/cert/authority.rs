//! The authority's folder: its certificate and key, what it has signed, what it has revoked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use port502_net::tls::{Certificate, hex};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CustomExtension,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, RevokedCertParams, SanType, SerialNumber,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use time::{Duration, OffsetDateTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::failure::Failure;

/// The extension with the role (Modbus/TCP Security, R-21).
const ROLE: &[u64] = &[1, 3, 6, 1, 4, 1, 50316, 802, 1];

/// Valid from so long before it was made, for clocks that are behind.
const BACKDATED: Duration = Duration::hours(1);

const RECORD_HEADER: &str = "serial,kind,name,role,not_before,not_after,file,sha256,revoked\n";

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Server,
    Client,
}

/// What a certificate is to say.
pub(super) struct Wish {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) names: Vec<SanType>,
    pub(super) role: Option<String>,
    pub(super) purpose: ExtendedKeyUsagePurpose,
}

/// What was made.
pub(super) struct Made {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// In one line.
    pub(super) what: String,
}

pub(super) struct Authority {
    folder: PathBuf,
    /// Its certificate, as it was read: it goes behind each that it signs.
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    not_after: SystemTime,
}

fn cannot(what: &str, path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::other(format!("cannot {what} {}: {error}", path.display()))
}

/// What rcgen cannot do with values that were checked is nobody's mistake but ours.
fn unexpected(error: impl std::fmt::Display) -> Failure {
    Failure::other(format!("the certificate cannot be made: {error}"))
}

impl Authority {
    /// Makes a new one in a folder where there is none.
    pub(super) fn make(folder: &Path, name: &str, days: u32) -> Result<Made, Failure> {
        let [certificate, key, list, record] =
            ["ca.pem", "ca.key", "crl.pem", "issued.csv"].map(|it| folder.join(it));
        for path in [&certificate, &key, &list, &record] {
            refuse_to_overwrite(path)?;
        }
        make_folder(folder)?;
        let mut params = params(name, days, None)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key_pair = new_key()?;
        let key_pem = key_pair.serialize_pem();
        let issuer = CertifiedIssuer::self_signed(params, key_pair).map_err(unexpected)?;
        write_new(&record, RECORD_HEADER, Mode::Open)?;
        write_new(&key, &key_pem, Mode::Secret)?;
        write_new(&certificate, &issuer.pem(), Mode::Open)?;
        let made = Certificate::parse(issuer.der()).map_err(unexpected)?;
        Authority::load(folder)?.write_list(&[])?;
        Ok(Made { certificate, key, what: describe(&made) })
    }

    /// The one in a folder.
    pub(super) fn load(folder: &Path) -> Result<Authority, Failure> {
        let (certificate, key) = (folder.join("ca.pem"), folder.join("ca.key"));
        let hint = "; make an authority with `port502 cert ca`, or say with --dir where it is";
        let read = |path: &Path| {
            fs::read_to_string(path)
                .map_err(|error| cannot("read the authority's", path, format!("{error}{hint}")))
        };
        let (pem, key_pem) = (read(&certificate)?, read(&key)?);
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| cannot("use", &certificate, "there is no certificate in PEM in it"))?;
        let parsed = Certificate::parse(&der).map_err(|error| cannot("use", &certificate, error))?;
        let pair = KeyPair::from_pem(&key_pem).map_err(|error| cannot("use", &key, error))?;
        let issuer =
            Issuer::from_ca_cert_der(&der, pair).map_err(|error| cannot("use", &certificate, error))?;
        let (folder, not_after) = (folder.to_owned(), parsed.not_after);
        let authority = Authority { folder, pem, der, issuer, not_after };
        if !authority.key_fits() {
            let text = format!("it is not the key of {}", certificate.display());
            return Err(cannot("use", &key, text));
        }
        Ok(authority)
    }

    pub(super) fn certificate_path(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    fn record_path(&self) -> PathBuf {
        self.folder.join("issued.csv")
    }

    fn list_path(&self) -> PathBuf {
        self.folder.join("crl.pem")
    }

    fn key_fits(&self) -> bool {
        use rcgen::PublicKeyData as _;
        X509Certificate::from_der(&self.der)
            .is_ok_and(|(_, own)| own.public_key().raw == self.issuer.key().subject_public_key_info())
    }

    /// Signs a certificate and writes it, with its key beside it.
    pub(super) fn issue(&self, wish: &Wish, days: u32, out: &Path) -> Result<Made, Failure> {
        let key_path = out.with_extension("key");
        if key_path == out {
            let message =
                format!("{}: its key would have the same name: choose another ending", out.display());
            return Err(Failure::usage(message));
        }
        refuse_to_overwrite(out)?;
        refuse_to_overwrite(&key_path)?;
        let mut params = params(&wish.name, days, Some(self.not_after))?;
        params.subject_alt_names.clone_from(&wish.names);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![wish.purpose.clone()];
        params.use_authority_key_identifier_extension = true;
        if let Some(role) = &wish.role {
            // Not critical: path validators refuse critical extensions that they do not know.
            params.custom_extensions.push(CustomExtension::from_oid_content(ROLE, utf8_string(role)));
        }
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(unexpected)?;
        let made = Certificate::parse(certificate.der()).map_err(unexpected)?;
        // First what can be told apart from a certificate that is there: one that is not recorded could only be
        // revoked by its file.
        self.record(wish, &made, out)?;
        write_new(&key_path, &key.serialize_pem(), Mode::Secret)?;
        write_new(out, &format!("{}{}", certificate.pem(), self.pem), Mode::Open)?;
        Ok(Made { certificate: out.to_owned(), key: key_path, what: describe(&made) })
    }

    fn record(&self, wish: &Wish, made: &Certificate, out: &Path) -> Result<(), Failure> {
        let kind = match wish.kind {
            Kind::Server => "server",
            Kind::Client => "client",
        };
        let fields = [
            hex(&made.serial),
            kind.to_owned(),
            wish.name.clone(),
            wish.role.clone().unwrap_or_default(),
            date(made.not_before),
            date(made.not_after),
            out.display().to_string(),
            hex(&made.fingerprint),
            String::new(),
        ];
        let path = self.record_path();
        let line = fields.map(|field| quoted(&field)).join(",") + "\n";
        let append = || -> io::Result<()> {
            let is_new = !path.exists();
            let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
            if is_new {
                file.write_all(RECORD_HEADER.as_bytes())?;
            }
            file.write_all(line.as_bytes())?;
            file.sync_all()
        };
        append().map_err(|error| cannot("write", &path, error))
    }

    /// Revokes a certificate by its file or its serial number, and says which it was.
    pub(super) fn revoke(&self, which: &str) -> Result<String, Failure> {
        let serial = if Path::new(which).exists() {
            self.serial_of_file(Path::new(which))?
        } else {
            self.serial_of_text(which)?
        };
        let mut revoked = self.revoked()?;
        let list = self.list_path();
        if revoked.iter().any(|(known, _)| *known == serial) {
            return Err(Failure::other(format!(
                "{} is revoked already: {} has it",
                hex(&serial),
                list.display()
            )));
        }
        let now = OffsetDateTime::now_utc();
        revoked.push((serial.clone(), now));
        self.write_list(&revoked)?;
        self.record_revocation(&serial, now)?;
        let name = self.recorded_name(&serial).map_or_else(String::new, |name| format!(" ({name})"));
        let path = list.display();
        Ok(format!("revoked {}{name}; {path} says so: take it to every peer, and reload them", hex(&serial)))
    }

    fn serial_of_file(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        let bytes = fs::read(path).map_err(|error| cannot("read", path, error))?;
        let der = CertificateDer::from_pem_slice(&bytes)
            .map_err(|_| cannot("revoke", path, "there is no certificate in PEM in it"))?;
        let certificate = Certificate::parse(&der).map_err(|error| cannot("revoke", path, error))?;
        if der == self.der {
            let text = "it is the authority itself: make a new one in another folder, and take this one from every peer";
            return Err(cannot("revoke", path, text));
        }
        if !self.has_signed(&der) {
            let text = format!("{} has not signed it", self.certificate_path().display());
            return Err(cannot("revoke", path, text));
        }
        Ok(certificate.serial)
    }

    fn has_signed(&self, der: &[u8]) -> bool {
        let (Ok((_, own)), Ok((_, other))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(der))
        else {
            return false;
        };
        other.issuer() == own.subject() && other.verify_signature(Some(own.public_key())).is_ok()
    }

    fn serial_of_text(&self, text: &str) -> Result<Vec<u8>, Failure> {
        let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
        let record = self.record_path();
        let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
        let known = self.recorded().into_iter().filter_map(|fields| fields.into_iter().next());
        match known.into_iter().find(|serial| is_number && *serial == digits) {
            Some(serial) => unhex(&serial).ok_or_else(|| cannot("read", &record, "a serial number is none")),
            None if is_number => Err(Failure::usage(format!(
                "{text}: neither a file nor a serial number in {}",
                record.display()
            ))),
            None => Err(Failure::usage(format!(
                "{text}: there is no such file; name the certificate's file, or its serial number as {} has it",
                record.display()
            ))),
        }
    }

    fn recorded(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.record_path()).unwrap_or_default();
        text.lines().skip(1).map(fields).collect()
    }

    fn recorded_name(&self, serial: &[u8]) -> Option<String> {
        let serial = hex(serial);
        self.recorded().into_iter().find(|fields| fields.first() == Some(&serial))?.into_iter().nth(2)
    }

    /// What the list has; nothing where there is no list yet.
    fn revoked(&self) -> Result<Vec<(Vec<u8>, OffsetDateTime)>, Failure> {
        let path = self.list_path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(cannot("read", &path, error)),
        };
        // A list that cannot be read must not be replaced by one that has forgotten what was in it.
        let unreadable =
            || cannot("read", &path, "it is no revocation list in PEM; put a good one in its place first");
        let der = CertificateRevocationListDer::from_pem_slice(&bytes).map_err(|_| unreadable())?;
        let (_, list) = CertificateRevocationList::from_der(&der).map_err(|_| unreadable())?;
        Ok(list
            .iter_revoked_certificates()
            .map(|one| (one.raw_serial().to_vec(), one.revocation_date.to_datetime()))
            .collect())
    }

    fn write_list(&self, revoked: &[(Vec<u8>, OffsetDateTime)]) -> Result<(), Failure> {
        let now = OffsetDateTime::now_utc();
        let params = CertificateRevocationListParams {
            this_update: now - BACKDATED,
            // An authority of this kind publishes when it revokes, and not by the clock: peers that insist on the
            // date would lock everybody out.
            next_update: OffsetDateTime::from(self.not_after).max(now),
            // Ever larger, as it has to be.
            crl_number: SerialNumber::from(u64::try_from(now.unix_timestamp()).unwrap_or_default()),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|(serial, time)| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(serial),
                    revocation_time: *time,
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(unexpected)?;
        replace(&self.list_path(), &list)
    }

    fn record_revocation(&self, serial: &[u8], time: OffsetDateTime) -> Result<(), Failure> {
        let (serial, when) = (hex(serial), date(time.into()));
        let mut text = RECORD_HEADER.to_owned();
        for mut row in self.recorded() {
            if row.first() == Some(&serial)
                && let Some(revoked) = row.get_mut(8)
            {
                revoked.clone_from(&when);
            }
            text.push_str(&row.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(","));
            text.push('\n');
        }
        replace(&self.record_path(), &text)
    }
}

fn new_key() -> Result<KeyPair, Failure> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(unexpected)
}

/// Name, time and a serial number of 126 random bits; no longer than whoever signs it is good for.
fn params(name: &str, days: u32, no_longer_than: Option<SystemTime>) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATED;
    params.not_after = now + Duration::days(days.into());
    if let Some(end) = no_longer_than {
        params.not_after = params.not_after.min(end.into());
        if params.not_after <= now {
            return Err(Failure::other("the authority is over: make a new one in another folder"));
        }
    }
    let mut serial = [0; 16];
    SystemRandom::new()
        .fill(&mut serial)
        .map_err(|_| Failure::other("the system gives no random numbers: try again"))?;
    // Positive, and of the same length always.
    serial[0] = serial[0] & 0x3F | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

/// A UTF8String in DER.
fn utf8_string(text: &str) -> Vec<u8> {
    // Names have at most 64 characters, which are at most 256 bytes.
    let length = text.len();
    let mut der = vec![0x0C];
    match u8::try_from(length) {
        Ok(short @ 0..=0x7F) => der.push(short),
        Ok(long) => der.extend([0x81, long]),
        Err(_) => {
            der.push(0x82);
            der.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    der.extend_from_slice(text.as_bytes());
    der
}

fn describe(certificate: &Certificate) -> String {
    let role = certificate.role.as_ref().map_or_else(String::new, |role| format!(", role {role}"));
    let names = match certificate.names.as_slice() {
        [] => String::new(),
        names => format!(", for {}", names.join(", ")),
    };
    let end = date(certificate.not_after);
    format!("{}{role}{names}, until {end}", certificate.subject)
}

/// To the second.
pub(super) fn date(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// The fields of a line that [`quoted`] made.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut in_quotes) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if in_quotes && characters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => in_quotes = !in_quotes,
            ',' if !in_quotes => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}

// ---- files --------------------------------------------------------------------------------------------------------

/// Who may read a file.
#[derive(Clone, Copy)]
enum Mode {
    Open,
    /// The owner alone.
    Secret,
}

fn refuse_to_overwrite(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(Failure::other(format!(
            "{} is there already, and stays: choose another name",
            path.display()
        ))),
        Err(_) => Ok(()),
    }
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder).map_err(|error| cannot("make the folder", folder, error))
}

fn write_new(path: &Path, text: &str, mode: Mode) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(match mode {
            Mode::Open => 0o644,
            Mode::Secret => 0o600,
        });
    }
    #[cfg(not(unix))]
    let _ = mode;
    let write = |mut file: File| file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    options.open(path).and_then(write).map_err(|error| cannot("write", path, error))
}

/// Whoever reads meanwhile sees the old or the new, and never half of it.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let write = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|error| cannot("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_of_any_length_is_der() {
        assert_eq!(utf8_string("op"), [0x0C, 2, b'o', b'p']);
        let long = "ä".repeat(64);
        assert_eq!(utf8_string(&long)[..3], [0x0C, 0x81, 128]);
        assert_eq!(utf8_string(&"€".repeat(100))[..4], [0x0C, 0x82, 1, 44]);
    }

    #[test]
    fn a_line_of_the_record_reads_back() {
        let row = ["40", "client", "a, \"b\"", "", "x"].map(str::to_owned);
        assert_eq!(fields(&row.clone().map(|field| quoted(&field)).join(",")), row);
        assert_eq!(unhex("40ff"), Some(vec![0x40, 0xFF]));
        assert_eq!(unhex("4"), None);
    }
}
