//! The rules of the packet filters, from the programs that show them.
//!
//! They are run with a fixed path, for a program that a user has put in front may be anybody's, and only where there is
//! something for them to show: `iptables-save` would load the kernel's part of it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::filter::{Ruleset, Source, iptables, nftables};
use crate::snapshot::{Snapshot, Unseen, Why};

/// Bytes of rules that are read; a longer ruleset is told as unseen.
pub(crate) const RULES_MAX: usize = 33_554_432;

/// How long a program may take to show its rules.
pub(crate) const RULES_WITHIN: Duration = Duration::from_secs(5);

/// Where such programs are.
const FOLDERS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin"];

/// Programs of iptables: what shows the rules, the kernel's list of the older tables, and the family as nftables calls it.
const OLDER: [(Source, &str, &str, &str, &str); 2] = [
    (Source::Iptables, "iptables-save", "iptables-legacy-save", "/proc/net/ip_tables_names", "ip"),
    (Source::Ip6tables, "ip6tables-save", "ip6tables-legacy-save", "/proc/net/ip6_tables_names", "ip6"),
];

/// Tables that iptables makes where it works by nftables.
const TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

/// Reads all rules that can be read.
pub(super) fn read(snapshot: &mut Snapshot) {
    let nft = run("nft", &["-j", "list", "ruleset"])
        .and_then(|text| nftables::parse(&text).map_err(|error| Why::Failed(error.to_string())));
    let older = |snapshot: &mut Snapshot, nft: &mut Option<Ruleset>| {
        for (source, tool, legacy, names, family) in OLDER {
            let in_use = std::fs::read_to_string(names).is_ok_and(|names| !names.trim().is_empty());
            let made = |ruleset: &Ruleset| ruleset.chains.iter().any(|chain| is_made(&chain.table, family));
            if !in_use && nft.as_ref().is_some_and(|ruleset| !made(ruleset)) {
                continue;
            }
            match run(tool, &[]) {
                Ok(text) => {
                    let by_nftables = text.contains("(nf_tables)");
                    if by_nftables && let Some(ruleset) = nft {
                        // The same rules, of which nft does not show all.
                        ruleset.chains.retain(|chain| !is_made(&chain.table, family));
                    }
                    snapshot.rulesets.push(iptables::parse(&text, source));
                    if by_nftables && in_use {
                        match run(legacy, &[]) {
                            Ok(text) => snapshot.rulesets.push(iptables::parse(&text, source)),
                            Err(why) => snapshot.unseen.push(unseen(legacy, source, why)),
                        }
                    }
                }
                // What nft shows of them has been read.
                Err(Why::NotInstalled) if !in_use && nft.is_some() => {}
                Err(Why::NotInstalled) if !in_use => {}
                Err(why) => snapshot.unseen.push(unseen(tool, source, why)),
            }
        }
    };
    match nft {
        Ok(ruleset) => {
            let mut ruleset = Some(ruleset);
            older(snapshot, &mut ruleset);
            snapshot.rulesets.extend(ruleset);
        }
        // Who may not see the ones may not see the others.
        Err(Why::NotPermitted) => {
            snapshot.unseen.push(Unseen::Filter {
                tool: "nft",
                rules: "nftables, iptables",
                why: Why::NotPermitted,
            });
        }
        Err(why) => {
            snapshot.unseen.push(unseen("nft", Source::Nftables, why));
            older(snapshot, &mut None);
        }
    }
}

fn unseen(tool: &'static str, source: Source, why: Why) -> Unseen {
    Unseen::Filter { tool, rules: source.name(), why }
}

/// Whether a table of nftables is one that iptables has made.
fn is_made(table: &str, family: &str) -> bool {
    table.split_once(' ').is_some_and(|(of, name)| of == family && TABLES.contains(&name))
}

/// What a program prints.
fn run(program: &str, arguments: &[&str]) -> Result<String, Why> {
    let path: PathBuf = FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
        .ok_or(Why::NotInstalled)?;
    let mut child = Command::new(path)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Why::Failed(error.to_string()))?;
    let (sender, printed) = mpsc::channel();
    let pipes = (child.stdout.take(), child.stderr.take());
    // Both ends are read aside, so that neither a long text nor a program that hangs can hold us up.
    let reader = std::thread::spawn(move || {
        let (Some(out), Some(mut err)) = pipes else { return };
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = err.by_ref().take(4_096).read_to_end(&mut text);
            let _ = std::io::copy(&mut err, &mut std::io::sink());
            text
        });
        let mut text = Vec::new();
        let limit = u64::try_from(RULES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        let _ = out.take(limit).read_to_end(&mut text);
        let _ = sender.send((text, errors.join().unwrap_or_default()));
    });
    let Ok((text, errors)) = printed.recv_timeout(RULES_WITHIN) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(Why::TooSlow);
    };
    let _ = reader.join();
    if text.len() > RULES_MAX {
        let _ = child.kill();
        let _ = child.wait();
        return Err(Why::TooLong);
    }
    let status = child.wait().map_err(|error| Why::Failed(error.to_string()))?;
    if status.success() {
        return String::from_utf8(text).map_err(|error| Why::Failed(error.to_string()));
    }
    let errors = String::from_utf8_lossy(&errors);
    if ["ermission denied", "not permitted", "must be root"].iter().any(|part| errors.contains(part)) {
        return Err(Why::NotPermitted);
    }
    let first = errors.lines().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    Err(Why::Failed(first.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_told() {
        assert_eq!(run("port502-has-no-such-program", &[]), Err(Why::NotInstalled));
    }

    #[test]
    fn what_a_program_prints_is_read() {
        assert_eq!(run("echo", &["502"]), Ok("502\n".to_owned()));
        assert_eq!(run("sh", &["-c", "echo it broke >&2; exit 3"]), Err(Why::Failed("it broke".into())));
        assert_eq!(run("sh", &["-c", "echo Operation not permitted >&2; exit 1"]), Err(Why::NotPermitted));
    }

    #[test]
    fn tables_of_iptables_are_known() {
        assert!(is_made("ip filter", "ip") && is_made("ip6 nat", "ip6"));
        assert!(!is_made("ip6 filter", "ip") && !is_made("inet filter", "ip") && !is_made("ip plant", "ip"));
    }
}
