//! `port502 cert`: a small certificate authority for Modbus/TCP Security.

mod authority;
mod show;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{ExtendedKeyUsagePurpose, SanType};
use rustls::pki_types::ServerName;

use crate::failure::Failure;
use authority::{Authority, Kind, Wish};

/// Make and look at certificates for tls:// targets
///
/// A folder holds the authority (ca.pem with its key ca.key, crl.pem with what it has revoked, issued.csv with what it
/// has signed) and the certificates that it signs, each with its key beside it. Keys are ECDSA on P-256 and can be read
/// by their owner alone. Nothing that is there is ever overwritten.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  port502 cert ca --name 'Northfield CA'
  port502 cert server --name plc-7 --ip 10.20.1.11
  port502 cert client --name panel-3 --role operator
  port502 cert show pki/panel-3.pem
  port502 cert revoke pki/panel-3.pem")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Ca(CaArgs),
    Server(ServerArgs),
    Client(ClientArgs),
    Revoke(RevokeArgs),
    Show(show::Args),
}

/// Make an authority: whoever has its key decides who may connect
#[derive(clap::Args, Debug)]
struct CaArgs {
    /// What it is called.
    #[arg(long, value_name = "NAME", default_value = "port502 CA", value_parser = name)]
    name: String,
    /// How long it is good for.
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = days)]
    days: u32,
    #[command(flatten)]
    folder: Folder,
}

/// Make a certificate for a server, with the names and addresses that clients know it by
#[derive(clap::Args, Debug)]
struct ServerArgs {
    /// A host name; more than once for several.
    #[arg(long, value_name = "NAME", required_unless_present = "ip", value_parser = host)]
    name: Vec<String>,
    /// An address; more than once for several.
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,
    #[command(flatten)]
    issue: Issue,
}

/// Make a certificate for a client, with its role
#[derive(clap::Args, Debug)]
struct ClientArgs {
    /// Who or what the client is.
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: String,
    /// What it may do, by a name that servers have rights for; without one it has the null role.
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Option<String>,
    #[command(flatten)]
    issue: Issue,
}

/// Revoke a certificate: servers and clients that load the list refuse it from then on
#[derive(clap::Args, Debug)]
struct RevokeArgs {
    /// Its file, or its serial number.
    certificate: String,
    #[command(flatten)]
    folder: Folder,
}

#[derive(clap::Args, Debug)]
struct Folder {
    /// The folder of the authority.
    #[arg(long, value_name = "FOLDER", default_value = "pki")]
    dir: PathBuf,
}

#[derive(clap::Args, Debug)]
struct Issue {
    /// How long it is good for.
    #[arg(long, value_name = "N", default_value_t = 825, value_parser = days)]
    days: u32,
    /// Where to write it; the key goes beside it, with the ending .key. [default: FOLDER/NAME.pem]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    folder: Folder,
}

/// Longer names fit in no certificate (RFC 5280, ub-common-name).
const NAME_MAX: usize = 64;

/// A hundred years.
const DAYS_MAX: u32 = 36_500;

fn name(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.chars().count() <= NAME_MAX && text.trim() == text;
    if good && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err("want 1 to 64 characters, without blanks at the ends".into())
    }
}

fn role(text: &str) -> Result<String, String> {
    match text {
        "*" | "-" => Err("a file of rights means every role, or none, by that; choose another name".into()),
        text => name(text),
    }
}

fn host(text: &str) -> Result<String, String> {
    let text = name(text)?;
    match ServerName::try_from(text.as_str()) {
        Ok(ServerName::DnsName(_)) => Ok(text),
        Ok(_) => Err("that is an address: say it with --ip".into()),
        Err(_) => Err("want a host name, as plc-7 or plc-7.plant.example".into()),
    }
}

fn days(text: &str) -> Result<u32, String> {
    let days = text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days));
    days.ok_or_else(|| format!("want a number of days from 1 to {DAYS_MAX}"))
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Ca(args) => {
            let made = Authority::make(&args.folder.dir, &args.name, args.days)?;
            print(&[
                format!("made {}: {}", made.certificate.display(), made.what),
                format!(
                    "{} stays on this machine; peers need {}",
                    made.key.display(),
                    made.certificate.display()
                ),
            ])
        }
        Command::Server(args) => {
            let names = args.name.iter().map(|name| match name.as_str().try_into() {
                Ok(name) => Ok(SanType::DnsName(name)),
                Err(_) => Err(Failure::usage(format!("--name {name}: not a host name"))),
            });
            let names: Vec<SanType> = names
                .chain(args.ip.iter().map(|ip| Ok(SanType::IpAddress(*ip))))
                .collect::<Result<_, _>>()?;
            let name = args.name.first().cloned().or_else(|| Some(args.ip.first()?.to_string()));
            let wish = Wish {
                kind: Kind::Server,
                name: name.unwrap_or_default(),
                names,
                role: None,
                purpose: ExtendedKeyUsagePurpose::ServerAuth,
            };
            issue(&args.issue, &wish)
        }
        Command::Client(args) => {
            let wish = Wish {
                kind: Kind::Client,
                name: args.name.clone(),
                names: Vec::new(),
                role: args.role.clone(),
                purpose: ExtendedKeyUsagePurpose::ClientAuth,
            };
            issue(&args.issue, &wish)
        }
        Command::Revoke(args) => {
            let revoked = Authority::load(&args.folder.dir)?.revoke(&args.certificate)?;
            print(&[revoked])
        }
        Command::Show(args) => show::run(&args),
    }
}

fn issue(args: &Issue, wish: &Wish) -> Result<(), Failure> {
    let out = match &args.out {
        Some(out) => out.clone(),
        None => file_for(&args.folder.dir, &wish.name)?,
    };
    let authority = Authority::load(&args.folder.dir)?;
    let made = authority.issue(wish, args.days, &out)?;
    let mut lines = vec![format!("made {}: {}", made.certificate.display(), made.what)];
    let beside = out.with_file_name("ca.pem");
    let ca = if beside.exists() {
        String::new()
    } else {
        format!("&ca={}", authority.certificate_path().display())
    };
    let url = match wish.kind {
        Kind::Server => "tls://0.0.0.0:802",
        Kind::Client => "tls://HOST",
    };
    lines.push(format!("use it as '{url}?cert={}{ca}'", made.certificate.display()));
    print(&lines)
}

/// The file of a certificate by the name in it.
fn file_for(folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    if name.starts_with('.') || !name.chars().all(plain) {
        return Err(Failure::usage(format!(
            "`{name}` makes no good file name: say with --out where to write it"
        )));
    }
    Ok(folder.join(format!("{}.pem", name.replace(' ', "-"))))
}

/// All of a file, unless it has more bytes than `max`: a mistyped name may be one without an end.
fn read_up_to(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("it has more than {} MiB", max >> 20)));
    }
    Ok(bytes)
}

fn print(lines: &[String]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}
