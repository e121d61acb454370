//! What `iptables-save` and `ip6tables-save` print.
//!
//! ```text
//!   *filter
//!   :INPUT DROP [0:0]
//!   -A INPUT -s 10.20.0.0/24 -p tcp -m tcp --dport 502 -j ACCEPT
//!   COMMIT
//! ```

use std::iter::Peekable;
use std::net::IpAddr;
use std::vec::IntoIter;

use ipnet::IpNet;

use super::{Action, Base, Chain, Family, Match, Rule, Ruleset, Source};
use crate::snapshot::Transport;

/// Chains that the kernel calls for packets to this machine.
const CALLED: [&str; 2] = ["PREROUTING", "INPUT"];

/// Reads the rules. What is not understood becomes [`Match::Unclear`] or [`Action::Unclear`].
pub fn parse(text: &str, source: Source) -> Ruleset {
    let family = if source == Source::Ip6tables { Family::V6 } else { Family::V4 };
    let (mut table, mut chains) = (String::new(), Vec::<Chain>::new());
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('*') {
            table = name.to_owned();
        } else if let Some(rest) = line.strip_prefix(':') {
            let mut words = rest.split_whitespace();
            let (name, policy) = (words.next().unwrap_or_default(), words.next());
            // A table of its own for translation decides nothing.
            let base = (CALLED.contains(&name) && table != "nat")
                .then_some(Base { policy_accepts: policy != Some("DROP") });
            chains.push(Chain {
                family,
                table: table.clone(),
                name: name.to_owned(),
                base,
                rules: Vec::new(),
            });
        } else if let Some(rest) = line.strip_prefix("-A ").or_else(|| {
            line.strip_prefix("[").and_then(|rest| rest.split_once("] -A ")).map(|(_, rest)| rest)
        }) {
            let words = words(rest);
            let Some((name, words)) = words.split_first() else { continue };
            if let Some(chain) = chains.iter_mut().find(|chain| chain.name == *name && chain.table == table) {
                chain.rules.push(rule(words.to_vec()));
            }
        }
    }
    Ruleset { source, chains }
}

/// The words of a line; those in quotes are one.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut escaped, mut any) =
        (Vec::new(), String::new(), false, false, false);
    for character in line.chars() {
        match character {
            _ if escaped => {
                word.push(character);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                any = true;
            }
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            _ => word.push(character),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

fn rule(words: Vec<String>) -> Rule {
    let mut words = words.into_iter().peekable();
    let mut rule = Rule { matches: Vec::new(), action: Action::Nothing };
    let mut not = false;
    while let Some(word) = words.next() {
        if word == "!" {
            not = true;
            continue;
        }
        let not = std::mem::take(&mut not);
        option(&word, not, &mut words, &mut rule);
    }
    rule
}

fn option(word: &str, not: bool, words: &mut Peekable<IntoIter<String>>, rule: &mut Rule) {
    let value = |words: &mut Peekable<IntoIter<String>>| words.next().unwrap_or_default();
    match word {
        "-p" => {
            let protocol = value(words);
            let any = match protocol.as_str() {
                "tcp" | "6" => vec![Transport::Tcp],
                "udp" | "17" => vec![Transport::Udp],
                "all" | "0" => vec![Transport::Tcp, Transport::Udp],
                _ => Vec::new(),
            };
            rule.matches.push(Match::Transport { any, not });
        }
        "-s" | "--src-range" => {
            let text = value(words);
            let any = networks(&text);
            rule.matches.push(Match::From { any, not, family: Family::Both, text });
        }
        "-d" => {
            let text = value(words);
            rule.matches.push(match networks(&text) {
                Some(any) => Match::To { any, not },
                None => Match::Unclear(format!("-d {text}")),
            });
        }
        "-i" => {
            let name = value(words).replace('+', "*");
            rule.matches.push(Match::Interface { any: vec![name], not });
        }
        "--dport" | "--dports" | "--destination-port" | "--destination-ports" | "--ports" => {
            let text = value(words);
            rule.matches.push(match ports(&text) {
                Some(any) => Match::Ports { any, not },
                None => Match::Unclear(format!("{word} {text}")),
            });
        }
        "--ctstate" | "--state" => {
            let states = value(words);
            rule.matches.push(Match::Sure(states.split(',').any(|state| state == "NEW") != not));
        }
        // The first packet of a connection.
        "--syn" => rule.matches.push(Match::Sure(!not)),
        "--tcp-flags" => {
            let (mask, set) = (value(words), value(words));
            rule.matches.push(if set == "SYN" && mask.contains("SYN") {
                Match::Sure(!not)
            } else {
                Match::Unclear(format!("--tcp-flags {mask} {set}"))
            });
        }
        "--match-set" => {
            let (set, direction) = (value(words), value(words));
            rule.matches.push(if direction.starts_with("src") {
                Match::From { any: None, not, family: Family::Both, text: format!("the set {set}") }
            } else {
                Match::Unclear(format!("the set {set}"))
            });
        }
        "--mac-source" => {
            let text = value(words);
            rule.matches.push(Match::From {
                any: None,
                not,
                family: Family::Both,
                text: format!("the MAC address {text}"),
            });
        }
        "--dst-type" => {
            let kind = value(words);
            // What comes to a socket of this machine is local.
            rule.matches.push(match kind.as_str() {
                "LOCAL" => Match::Sure(!not),
                _ => Match::Sure(not),
            });
        }
        "--limit" | "--hashlimit-upto" | "--connlimit-upto" => {
            let _ = value(words);
            rule.matches.push(Match::Sure(true));
        }
        "--hashlimit-above" | "--connlimit-above" | "--hitcount" => {
            let _ = value(words);
            rule.matches.push(Match::Sure(false));
        }
        "-j" | "-g" => {
            let target = value(words);
            rule.action = match target.as_str() {
                "ACCEPT" => Action::Accept,
                "DROP" | "REJECT" | "TARPIT" => Action::Drop,
                "RETURN" => Action::Return,
                "DNAT" | "REDIRECT" => Action::Forward(String::new()),
                "LOG" | "NFLOG" | "MARK" | "CONNMARK" | "TRACE" | "CT" | "NOTRACK" | "TCPMSS" | "SET"
                | "AUDIT" | "CLASSIFY" | "MASQUERADE" | "SNAT" => Action::Nothing,
                "NFQUEUE" | "QUEUE" => Action::Unclear("a program decides (NFQUEUE)".to_owned()),
                // Chains of people's own stand in capitals, too.
                _ if word == "-g" => Action::Goto(target),
                _ => Action::Jump(target),
            };
        }
        "--to-destination" | "--to-ports" => {
            let to = value(words);
            if matches!(rule.action, Action::Forward(_)) {
                rule.action = Action::Forward(if word == "--to-ports" { format!("port {to}") } else { to });
            }
        }
        // What follows says which part of a rule it is; its own options are what counts.
        "-m" | "-c" | "--comment" | "--limit-burst" | "--reject-with" | "--log-prefix" | "--log-level"
        | "--nflog-prefix" | "--nflog-group" | "--set-mark" | "--set-xmark" | "--hashlimit-burst"
        | "--hashlimit-mode" | "--hashlimit-name" | "--connlimit-mask" | "--name" | "--mask" => {
            let _ = value(words);
            if word == "-c" {
                let _ = value(words);
            }
        }
        "--connlimit-saddr" | "--rsource" | "--set" | "--update" | "--log-tcp-options"
        | "--log-ip-options" => {
            while words.peek().is_some_and(|next| !next.starts_with('-') && next != "!") {
                let _ = words.next();
            }
        }
        _ => {
            let mut text = word.to_owned();
            while let Some(next) = words.next_if(|next| !next.starts_with('-') && next != "!") {
                text.push(' ');
                text.push_str(&next);
            }
            rule.matches.push(Match::Unclear(text));
        }
    }
}

/// `10.0.0.0/8`, `10.0.0.1`, or `10.0.0.1-10.0.0.9`, of which the networks are not worked out.
fn networks(text: &str) -> Option<Vec<IpNet>> {
    text.split(',')
        .map(|part| part.parse().ok().or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from)))
        .collect()
}

/// `502`, `502,802`, `500:600`.
fn ports(text: &str) -> Option<Vec<(u16, u16)>> {
    text.split(',')
        .map(|part| match part.split_once(':') {
            Some(("", high)) => Some((0, high.parse().ok()?)),
            Some((low, "")) => Some((low.parse().ok()?, u16::MAX)),
            Some((low, high)) => Some((low.parse().ok()?, high.parse().ok()?)),
            None => part.parse().ok().map(|port| (port, port)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, Passage, forwards, pass};
    use super::*;

    /// What becomes of a connection to 502 by eth0.
    fn passage(rules: &str) -> Passage {
        let text = format!("# Generated\n*filter\n{rules}\nCOMMIT\n");
        let packet = Packet {
            transport: Transport::Tcp,
            port: 502,
            to: "0.0.0.0".parse().unwrap(),
            interface: "eth0",
        };
        pass(&[parse(&text, Source::Iptables)], packet)
    }

    #[track_caller]
    fn check(rules: &str, open: bool, allowed: &[&str]) {
        let found = passage(rules);
        assert_eq!(
            (found.open, found.allowed.iter().map(String::as_str).collect::<Vec<_>>()),
            (open, allowed.to_vec()),
            "{rules}\n{found:?}"
        );
    }

    #[test]
    fn rules_let_in_or_keep_out() {
        check("", true, &[]);
        check(":INPUT ACCEPT [0:0]", true, &[]);
        check(":INPUT DROP [0:0]", false, &[]);
        check(":INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 502 -j ACCEPT", true, &[]);
        check(":INPUT DROP [0:0]\n-A INPUT -p udp -m udp --dport 502 -j ACCEPT", false, &[]);
        check(":INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 503:600 -j ACCEPT", false, &[]);
        check(":INPUT DROP [0:0]\n-A INPUT -p tcp -m multiport --dports 22,500:510 -j ACCEPT", true, &[]);
        check(":INPUT DROP [0:0]\n-A INPUT ! -p udp -j ACCEPT", true, &[]);
        check(
            ":INPUT DROP [0:0]\n-A INPUT -s 10.20.0.0/24 -p tcp -m tcp --dport 502 -j ACCEPT",
            false,
            &["10.20.0.0/24"],
        );
        check(
            ":INPUT ACCEPT [0:0]\n-A INPUT ! -s 10.20.0.0/24 -p tcp --dport 502 -j DROP",
            false,
            &["10.20.0.0/24"],
        );
        // One who is kept out does not close it for the others.
        check(":INPUT ACCEPT [0:0]\n-A INPUT -s 10.20.0.9/32 -p tcp --dport 502 -j DROP", true, &[]);
        check(
            ":INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 502 -j REJECT --reject-with tcp-reset",
            false,
            &[],
        );
        check(":INPUT DROP [0:0]\n-A INPUT -s 0.0.0.0/0 -j ACCEPT", true, &[]);
        // Connections that are there already, and loopback, say nothing about who can connect.
        check(
            ":INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT",
            false,
            &[],
        );
        check(":INPUT DROP [0:0]\n-A INPUT -i eth+ -j ACCEPT", true, &[]);
        check(":INPUT ACCEPT [0:0]\n-A INPUT -i eth0 -j DROP", false, &[]);
        check(":INPUT ACCEPT [0:0]\n-A INPUT ! -i eth1 -j DROP", false, &[]);
    }

    #[test]
    fn chains_call_each_other() {
        let called = ":INPUT DROP [0:0]\n:plant - [0:0]\n-A INPUT -p tcp --dport 502 -j plant\n";
        check(&format!("{called}-A plant -s 10.0.0.0/8 -j ACCEPT"), false, &["10.0.0.0/8"]);
        check(&format!("{called}-A plant -j ACCEPT"), true, &[]);
        check(&format!("{called}-A plant -j RETURN\n-A plant -j ACCEPT"), false, &[]);
        check(":INPUT ACCEPT [0:0]\n:a - [0:0]\n-A INPUT -g a\n-A INPUT -j DROP\n-A a -j RETURN", true, &[]);
        check(
            ":INPUT DROP [0:0]\n:a - [0:0]\n-A INPUT -s 10.0.0.0/8 -j a\n-A a -j ACCEPT",
            false,
            &["10.0.0.0/8"],
        );
        check(":INPUT DROP [0:0]\n:a - [0:0]\n-A INPUT -s 10.0.0.0/8 -j a\n-A a -j DROP", false, &[]);
        // In a circle, which the kernel would refuse.
        assert!(passage(":INPUT DROP [0:0]\n:a - [0:0]\n-A INPUT -j a\n-A a -j a").open);
        assert_eq!(passage(":INPUT ACCEPT [0:0]\n-A INPUT -j gone").unclear, ["chain gone"]);
    }

    #[test]
    fn what_is_not_understood_keeps_nobody_out() {
        let found = passage(":INPUT ACCEPT [0:0]\n-A INPUT -m bpf --bytecode \"4,48 0\" -j DROP");
        assert!(found.open);
        assert_eq!(found.unclear, ["--bytecode 4,48 0"]);
        let found = passage(":INPUT DROP [0:0]\n-A INPUT -m bpf --bytecode \"4,48 0\" -j ACCEPT");
        assert!(!found.open);
        assert_eq!(found.allowed, ["--bytecode 4,48 0"]);
    }

    #[test]
    fn comments_are_no_rules() {
        check(
            ":INPUT DROP [0:0]\n-A INPUT -p tcp -m comment --comment \"-j ACCEPT \\\"all\\\"\" -m tcp --dport 502 -j DROP",
            false,
            &[],
        );
    }

    #[test]
    fn forwarding_is_told() {
        let text = "*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n\
            -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n\
            -A DOCKER ! -i docker0 -p tcp -m tcp --dport 502 -j DNAT --to-destination 172.17.0.2:502\n\
            -A PREROUTING -p tcp --dport 102 -j REDIRECT --to-ports 1102\nCOMMIT\n";
        let rules = [parse(text, Source::Iptables)];
        assert_eq!(forwards(&rules, Transport::Tcp, 502), ["172.17.0.2:502"]);
        assert_eq!(forwards(&rules, Transport::Tcp, 102), ["port 1102"]);
        assert!(forwards(&rules, Transport::Udp, 502).is_empty());
        assert!(forwards(&rules, Transport::Tcp, 802).is_empty());
    }
}
