//! `port502 cert show`: what is in a file, for people and for scripts.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use port502_net::tls::{Certificate, FILE_MAX, fingerprint, hex};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::authority::date;
use super::read_up_to;
use crate::failure::{Exit, Failure};
use crate::output::no_controls;

/// Say what is in certificates, keys and revocation lists
///
/// A key that lies beside its certificate (NAME.key beside NAME.pem) is compared with it, and a certificate is looked up
/// in the revocation list beside it (crl.pem).
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// PEM or DER files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One JSON object a line for each thing that is in them.
    #[arg(long)]
    json: bool,
}

/// What is in a file.
enum Item {
    Certificate(CertificateDer<'static>),
    Key(PrivateKeyDer<'static>),
    List(CertificateRevocationListDer<'static>),
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    let mut out = std::io::stdout().lock();
    for path in &args.files {
        let shown = items(path).and_then(|items| {
            items
                .iter()
                .enumerate()
                .map(|(at, item)| show(path, item, at == 0))
                .collect::<Result<Vec<_>, _>>()
        });
        match shown {
            Err(message) => wrong.push(message),
            Ok(all) => {
                for value in all {
                    if args.json {
                        writeln!(out, "{value}")?;
                    } else {
                        write_table(&mut out, &value)?;
                    }
                }
            }
        }
    }
    out.flush()?;
    if wrong.is_empty() { Ok(()) } else { Err(Failure::list(Exit::Other, wrong)) }
}

fn items(path: &Path) -> Result<Vec<Item>, String> {
    let file = path.display();
    let bytes = read_up_to(path, FILE_MAX).map_err(|error| format!("cannot read {file}: {error}"))?;
    let mut items = Vec::new();
    if bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        let bad = |error| format!("{file}: no good PEM: {error}");
        for der in CertificateDer::pem_slice_iter(&bytes) {
            items.push(Item::Certificate(der.map_err(bad)?));
        }
        for der in PrivateKeyDer::pem_slice_iter(&bytes) {
            items.push(Item::Key(der.map_err(bad)?));
        }
        for der in CertificateRevocationListDer::pem_slice_iter(&bytes) {
            items.push(Item::List(der.map_err(bad)?));
        }
    } else if Certificate::parse(&bytes).is_ok() {
        items.push(Item::Certificate(CertificateDer::from(bytes)));
    } else if CertificateRevocationList::from_der(&bytes).is_ok() {
        items.push(Item::List(CertificateRevocationListDer::from(bytes)));
    } else if let Ok(key) = PrivateKeyDer::try_from(bytes) {
        items.push(Item::Key(key));
    }
    if items.is_empty() {
        return Err(format!("{file}: neither a certificate nor a key nor a revocation list, in PEM or DER"));
    }
    Ok(items)
}

fn show(path: &Path, item: &Item, first: bool) -> Result<Value, String> {
    let file = path.display().to_string();
    match item {
        Item::Certificate(der) => {
            let certificate = Certificate::parse(der).map_err(|error| format!("{file}: {error}"))?;
            Ok(certificate_value(path, der, &certificate, first))
        }
        Item::Key(key) => Ok(json!({
            "file": file,
            "is": "private key",
            "algorithm": algorithm(key),
            "certificate": partner(path, "pem").and_then(|beside| key_fits(&beside, key).map(|fits| fit(&beside, fits))),
        })),
        Item::List(der) => {
            let (_, list) = CertificateRevocationList::from_der(der)
                .map_err(|_| format!("{file}: no revocation list"))?;
            let time = |time: x509_parser::time::ASN1Time| date(time.to_datetime().into());
            let revoked: Vec<Value> = list
                .iter_revoked_certificates()
                .map(|one| json!({"serial": hex(one.raw_serial()), "since": time(one.revocation_date)}))
                .collect();
            Ok(json!({
                "file": file,
                "is": "revocation list",
                "issuer": list.issuer().to_string(),
                "from": time(list.last_update()),
                "until": list.next_update().map(time),
                "revoked": revoked,
            }))
        }
    }
}

fn certificate_value(path: &Path, der: &CertificateDer<'_>, certificate: &Certificate, first: bool) -> Value {
    let Certificate { for_server, for_client, is_authority, .. } = certificate;
    let purposes: Vec<&str> = [(*is_authority, "authority"), (*for_server && !is_authority, "server")]
        .into_iter()
        .chain([(*for_client && !is_authority, "client")])
        .filter_map(|(holds, name)| holds.then_some(name))
        .collect();
    let key = partner(path, "key").filter(|_| first).and_then(|beside| {
        let key = PrivateKeyDer::from_pem_slice(&read_up_to(&beside, FILE_MAX).ok()?).ok()?;
        matches(der, key).map(|fits| fit(&beside, fits))
    });
    json!({
        "file": path.display().to_string(),
        "is": "certificate",
        "subject": certificate.subject,
        "role": certificate.role,
        "role_fault": certificate.role_fault.map(|fault| fault.to_string()),
        "names": certificate.names,
        "for": purposes,
        "issuer": certificate.issuer,
        "serial": hex(&certificate.serial),
        "from": date(certificate.not_before),
        "until": date(certificate.not_after),
        "days_left": certificate.days_left(SystemTime::now()),
        "sha256": hex(&fingerprint(der)),
        "key": key,
        "revoked": is_revoked(path, certificate),
    })
}

fn fit(beside: &Path, fits: bool) -> String {
    let fits = if fits { "fits" } else { "DOES NOT FIT" };
    format!("{} {fits}", beside.display())
}

/// The file with another ending, where it is there.
fn partner(path: &Path, ending: &str) -> Option<PathBuf> {
    Some(path.with_extension(ending)).filter(|partner| partner != path && partner.exists())
}

fn key_fits(certificate: &Path, key: &PrivateKeyDer<'_>) -> Option<bool> {
    let der = CertificateDer::from_pem_slice(&read_up_to(certificate, FILE_MAX).ok()?).ok()?;
    matches(&der, key.clone_key())
}

/// `None` for kinds of keys that cannot be compared.
fn matches(der: &CertificateDer<'_>, key: PrivateKeyDer<'static>) -> Option<bool> {
    let provider = rustls::crypto::ring::default_provider();
    match CertifiedKey::from_der(vec![der.clone().into_owned()], key, &provider) {
        Ok(_) => Some(true),
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => Some(false),
        Err(_) => None,
    }
}

fn algorithm(key: &PrivateKeyDer<'_>) -> Option<String> {
    let key = rustls::crypto::ring::sign::any_supported_type(key).ok()?;
    Some(format!("{:?}", key.algorithm()))
}

/// Whether the list beside a certificate has it; `None` without a list of its authority.
fn is_revoked(path: &Path, certificate: &Certificate) -> Option<bool> {
    let bytes = read_up_to(&path.with_file_name("crl.pem"), FILE_MAX).ok()?;
    let der = CertificateRevocationListDer::from_pem_slice(&bytes).ok()?;
    let (_, list) = CertificateRevocationList::from_der(&der).ok()?;
    if list.issuer().to_string() != certificate.issuer || certificate.is_authority {
        return None;
    }
    Some(list.iter_revoked_certificates().any(|one| one.raw_serial() == certificate.serial))
}

/// `pki/panel-3.pem: certificate`, and under it a line for each thing that it says.
fn write_table(out: &mut impl std::io::Write, value: &Value) -> std::io::Result<()> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(no_controls);
    writeln!(out, "{}: {}", text("file").unwrap_or_default(), text("is").unwrap_or_default())?;
    let mut line = |name: &str, text: &str| writeln!(out, "  {name:12} {text}");
    for key in ["subject", "role", "role_fault"] {
        match (key, text(key)) {
            ("role_fault", Some(fault)) => line("role", &format!("none: {fault}"))?,
            (key, Some(text)) => line(key, &text)?,
            _ => {}
        }
    }
    for key in ["names", "for"] {
        let all = value.get(key).and_then(Value::as_array).filter(|all| !all.is_empty());
        if let Some(all) = all {
            let all: Vec<String> = all.iter().filter_map(Value::as_str).map(no_controls).collect();
            line(key, &all.join(", "))?;
        }
    }
    for key in ["issuer", "serial", "algorithm"] {
        if let Some(text) = text(key) {
            line(key, &text)?;
        }
    }
    if let (Some(from), Some(until)) = (text("from"), text("until")) {
        let left = match value.get("days_left").and_then(Value::as_i64) {
            Some(days @ ..0) => format!(", OVER since {} days", -days),
            Some(days) => format!(", {days} days left"),
            None => String::new(),
        };
        line("valid", &format!("{from} to {until}{left}"))?;
    }
    for key in ["sha256", "key", "certificate"] {
        if let Some(text) = text(key) {
            line(key, &text)?;
        }
    }
    match value.get("revoked") {
        Some(Value::Bool(true)) => line("revoked", "YES: crl.pem beside it has it")?,
        Some(Value::Bool(false)) => line("revoked", "no, says crl.pem beside it")?,
        Some(Value::Array(all)) if all.is_empty() => line("revoked", "nothing")?,
        Some(Value::Array(all)) => {
            for one in all {
                let field = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
                line("revoked", &format!("{} since {}", field("serial"), field("since")))?;
            }
        }
        _ => {}
    }
    Ok(())
}
