//! The authority's folder: its certificate and key, what it has signed, what it has revoked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use port502_net::tls::{Certificate, FILE_MAX, hex};
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

use super::read_up_to;
use crate::failure::Failure;

/// The extension with the role (Modbus/TCP Security, R-21).
const ROLE: &[u64] = &[1, 3, 6, 1, 4, 1, 50316, 802, 1];

/// Valid from so long before it was made, for clocks that are behind.
const BACKDATED: Duration = Duration::hours(1);

/// Bytes of the record: some hundred thousand certificates.
const RECORD_MAX: u64 = 1 << 26;

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

/// What a revocation list says.
#[derive(Default)]
struct Revoked {
    /// Serial numbers, each with its time.
    certificates: Vec<(Vec<u8>, OffsetDateTime)>,
    /// The list's own number, where it has one.
    number: Option<u64>,
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
        make_folder(folder)?;
        let _lock = Lock::of(folder)?;
        for path in [&certificate, &key, &list, &record] {
            refuse_to_overwrite(path)?;
        }
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
        Authority::load(folder)?.write_list(&Revoked::default())?;
        Ok(Made { certificate, key, what: describe(&made) })
    }

    /// The one in a folder.
    pub(super) fn load(folder: &Path) -> Result<Authority, Failure> {
        let (certificate, key) = (folder.join("ca.pem"), folder.join("ca.key"));
        let hint = "; make an authority with `port502 cert ca`, or say with --dir where it is";
        let read = |path: &Path| {
            read_text(path, FILE_MAX)
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
        // The record before the certificate: one that is not recorded could only be revoked by its file. And the files
        // before the record, for it is not to have what could not be written.
        let (mut key_file, mut file) =
            (Fresh::create(&key_path, Mode::Secret)?, Fresh::create(out, Mode::Open)?);
        key_file.write(&key.serialize_pem())?;
        self.record(wish, &made, out)?;
        file.write(&format!("{}{}", certificate.pem(), self.pem))?;
        key_file.keep();
        file.keep();
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
        let _lock = Lock::of(&self.folder)?;
        let append = || -> io::Result<()> {
            let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
            let length = file.metadata()?.len();
            let text = if length == 0 { format!("{RECORD_HEADER}{line}") } else { line };
            if length + text.len() as u64 > RECORD_MAX {
                return Err(io::Error::other(format!("it would have more than {} MiB", RECORD_MAX >> 20)));
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        append().map_err(|error| cannot("write", &path, error))
    }

    /// Revokes a certificate by its file or its serial number, and says which it was.
    pub(super) fn revoke(&self, which: &str) -> Result<String, Failure> {
        let _lock = Lock::of(&self.folder)?;
        let serial = if Path::new(which).exists() {
            self.serial_of_file(Path::new(which))?
        } else {
            self.serial_of_text(which)?
        };
        let mut revoked = self.revoked()?;
        let list = self.list_path();
        if revoked.certificates.iter().any(|(known, _)| *known == serial) {
            return Err(Failure::other(format!(
                "{} is revoked already: {} has it",
                hex(&serial),
                list.display()
            )));
        }
        let now = OffsetDateTime::now_utc();
        revoked.certificates.push((serial.clone(), now));
        self.write_list(&revoked)?;
        self.record_revocation(&serial, now)?;
        let name = self.recorded_name(&serial)?.map_or_else(String::new, |name| format!(" ({name})"));
        let path = list.display();
        Ok(format!("revoked {}{name}; {path} says so: take it to every peer, and reload them", hex(&serial)))
    }

    fn serial_of_file(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        let bytes = read_up_to(path, FILE_MAX).map_err(|error| cannot("read", path, error))?;
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
        let known = self.recorded()?.into_iter().filter_map(|fields| fields.into_iter().next());
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

    /// The rows of the record; none where there is no record.
    fn recorded(&self) -> Result<Vec<Vec<String>>, Failure> {
        let path = self.record_path();
        match read_text(&path, RECORD_MAX) {
            Ok(text) => Ok(text.lines().skip(1).map(fields).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            // One that cannot be read must not be replaced by one that has forgotten what was in it.
            Err(error) => Err(cannot("read", &path, error)),
        }
    }

    fn recorded_name(&self, serial: &[u8]) -> Result<Option<String>, Failure> {
        let serial = hex(serial);
        let row = self.recorded()?.into_iter().find(|fields| fields.first() == Some(&serial));
        Ok(row.and_then(|row| row.into_iter().nth(2)))
    }

    /// What the list has; nothing where there is no list yet.
    fn revoked(&self) -> Result<Revoked, Failure> {
        let path = self.list_path();
        let bytes = match read_up_to(&path, FILE_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Revoked::default()),
            Err(error) => return Err(cannot("read", &path, error)),
        };
        // A list that cannot be read must not be replaced by one that has forgotten what was in it.
        let unreadable =
            || cannot("read", &path, "it is no revocation list in PEM; put a good one in its place first");
        let der = CertificateRevocationListDer::from_pem_slice(&bytes).map_err(|_| unreadable())?;
        let (_, list) = CertificateRevocationList::from_der(&der).map_err(|_| unreadable())?;
        let certificates = list
            .iter_revoked_certificates()
            .map(|one| (one.raw_serial().to_vec(), one.revocation_date.to_datetime()))
            .collect();
        Ok(Revoked { certificates, number: list.crl_number().and_then(|number| u64::try_from(number).ok()) })
    }

    fn write_list(&self, revoked: &Revoked) -> Result<(), Failure> {
        let now = OffsetDateTime::now_utc();
        // Ever larger, as it has to be (RFC 5280, section 5.2.3): also twice in a second.
        let clock = u64::try_from(now.unix_timestamp()).unwrap_or_default();
        let number = revoked.number.map_or(clock, |last| clock.max(last.saturating_add(1)));
        let params = CertificateRevocationListParams {
            this_update: now - BACKDATED,
            // An authority of this kind publishes when it revokes, and not by the clock: peers that insist on the
            // date would lock everybody out.
            next_update: OffsetDateTime::from(self.not_after).max(now),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .certificates
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
        let path = self.list_path();
        if list.len() as u64 > FILE_MAX {
            let text = format!("it would have more than {} MiB, and no peer would load it", FILE_MAX >> 20);
            return Err(cannot("write", &path, text));
        }
        replace(&path, &list)
    }

    fn record_revocation(&self, serial: &[u8], time: OffsetDateTime) -> Result<(), Failure> {
        let (serial, when) = (hex(serial), date(time.into()));
        let mut text = RECORD_HEADER.to_owned();
        for mut row in self.recorded()? {
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
    let mut file = Fresh::create(path, mode)?;
    file.write(text)?;
    file.keep();
    Ok(())
}

fn create_new(path: &Path, mode: Mode) -> io::Result<File> {
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
    options.open(path)
}

/// A file that was not there before, and goes again unless it is kept.
struct Fresh {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Fresh {
    fn create(path: &Path, mode: Mode) -> Result<Fresh, Failure> {
        let file = create_new(path, mode).map_err(|error| cannot("write", path, error))?;
        Ok(Fresh { path: path.to_owned(), file, kept: false })
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(|error| cannot("write", &self.path, error))
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.kept {
            // What keeps it from being removed is not what is to be told: that is on its way already.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The folder, for one at a time who reads what is in it to write it anew. It is free again when this is dropped, or the
/// process ends.
struct Lock {
    #[cfg(unix)]
    _folder: File,
}

impl Lock {
    /// Waits until whoever has it is done.
    #[cfg(unix)]
    fn of(folder: &Path) -> Result<Lock, Failure> {
        use rustix::fs::{FlockOperation, flock};
        use rustix::io::retry_on_intr;
        let lock = || -> io::Result<File> {
            let file = File::open(folder)?;
            retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
            Ok(file)
        };
        lock().map(|_folder| Lock { _folder }).map_err(|error| cannot("lock the folder", folder, error))
    }

    /// Folders cannot be locked here: two at once are for whoever starts them to keep apart.
    #[cfg(not(unix))]
    fn of(_: &Path) -> Result<Lock, Failure> {
        Ok(Lock {})
    }
}

/// Whoever reads meanwhile sees the old or the new, and never half of it. What could be read by few can be after it.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let mut number = [0; 8];
    SystemRandom::new()
        .fill(&mut number)
        .map_err(|_| Failure::other("the system gives no random numbers: try again"))?;
    // Nobody can have put anything under that name, such as a link to another file.
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", hex(&number)));
    let mut new = Fresh::create(Path::new(&name), Mode::Open)?;
    let failed = |error| cannot("write", path, error);
    if let Some(old) = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file) {
        new.file.set_permissions(old.permissions()).map_err(failed)?;
    }
    new.write(text)?;
    fs::rename(&new.path, path).map_err(failed)?;
    new.keep();
    sync_folder_of(path).map_err(failed)
}

/// A new name is on the disk once its folder is.
#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(not(unix))]
fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(())
}

fn read_text(path: &Path, max: u64) -> io::Result<String> {
    String::from_utf8(read_up_to(path, max)?).map_err(|_| io::Error::other("it is no text in UTF-8"))
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
