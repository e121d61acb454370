//! What `nft -j list ruleset` prints (libnftables-json).
//!
//! ```text
//!   {"nftables": [{"chain": {.., "hook": "input", "policy": "accept"}},
//!                 {"rule": {.., "expr": [{"match": {"op": "==", "left": .., "right": 502}}, {"drop": null}]}}]}
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::{Action, Base, Chain, Family, Match, Rule, Ruleset, Source};
use crate::snapshot::Transport;

/// Reads the rules. What is not understood becomes [`Match::Unclear`] or [`Action::Unclear`].
///
/// # Errors
///
/// When the text is not JSON, or not that of a ruleset.
pub fn parse(text: &str) -> Result<Ruleset, NotARuleset> {
    let json: Value = serde_json::from_str(text).map_err(|_| NotARuleset)?;
    let objects = json.get("nftables").and_then(Value::as_array).ok_or(NotARuleset)?;
    let mut sets = BTreeMap::new();
    for set in objects.iter().filter_map(|object| object.get("set").or_else(|| object.get("map"))) {
        let elements = set.get("elem").and_then(Value::as_array).cloned().unwrap_or_default();
        sets.insert((word(set, "family"), word(set, "table"), word(set, "name")), elements);
    }
    let mut chains: Vec<Chain> = Vec::new();
    let mut places = BTreeMap::new();
    for object in objects {
        if let Some(chain) = object.get("chain")
            && let Some(family) = family(word(chain, "family"))
        {
            let hook = word(chain, "hook");
            // A chain of type nat only translates.
            let base = (["prerouting", "input"].contains(&hook) && word(chain, "type") != "nat")
                .then_some(Base { policy_accepts: word(chain, "policy") != "drop" });
            places.insert((word(chain, "family"), word(chain, "table"), word(chain, "name")), chains.len());
            chains.push(Chain {
                family,
                // Tables of different families may bear one name.
                table: format!("{} {}", word(chain, "family"), word(chain, "table")),
                name: word(chain, "name").to_owned(),
                base,
                rules: Vec::new(),
            });
        }
        if let Some(rule) = object.get("rule") {
            let place = (word(rule, "family"), word(rule, "table"), word(rule, "chain"));
            let Some(chain) = places.get(&place).and_then(|at| chains.get_mut(*at)) else { continue };
            let named = |name: &str| {
                let elements = sets.iter().find(|((family, table, known), _)| {
                    (*family, *table, *known) == (place.0, place.1, name)
                });
                elements.map(|(_, elements)| elements.as_slice())
            };
            chain.rules.append(&mut rules(rule, &named));
        }
    }
    Ok(Ruleset { source: Source::Nftables, chains })
}

/// Text that is no ruleset in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is not a ruleset in JSON")]
pub struct NotARuleset;

fn word<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn family(word: &str) -> Option<Family> {
    match word {
        "ip" => Some(Family::V4),
        "ip6" => Some(Family::V6),
        "inet" => Some(Family::Both),
        // Bridges, ARP and devices are below IP.
        _ => None,
    }
}

/// A rule; with a verdict map it is as many as the map has elements.
fn rules<'s>(rule: &Value, set: &impl Fn(&str) -> Option<&'s [Value]>) -> Vec<Rule> {
    let mut found = vec![Rule { matches: Vec::new(), action: Action::Nothing }];
    let expressions = rule.get("expr").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (name, value) in expressions.iter().filter_map(Value::as_object).flatten() {
        if name == "vmap" {
            let cases = mapped(value, set);
            found = found
                .iter()
                .flat_map(|rule| {
                    cases.iter().map(|(condition, action)| {
                        let mut matches = rule.matches.clone();
                        matches.push(condition.clone());
                        Rule { matches, action: action.clone() }
                    })
                })
                .collect();
            continue;
        }
        for rule in &mut found {
            statement(name, value, set, rule);
        }
    }
    found
}

fn statement<'s>(name: &str, value: &Value, set: &impl Fn(&str) -> Option<&'s [Value]>, rule: &mut Rule) {
    match name {
        "match" => {
            let not = word(value, "op") == "!=";
            let compares = ["==", "!=", "in"].contains(&word(value, "op"));
            let (left, right) = (value.get("left").unwrap_or(&Value::Null), value.get("right"));
            rule.matches.push(match right.filter(|_| compares) {
                Some(right) => condition(left, right, not, set),
                None => Match::Unclear(shortened(value)),
            });
        }
        "limit" => {
            let over = value.get("inv").and_then(Value::as_bool) == Some(true);
            rule.matches.push(Match::Sure(!over));
        }
        "ct count" => {
            let over = value.get("inv").and_then(Value::as_bool) == Some(true);
            rule.matches.push(Match::Sure(!over));
        }
        "counter" | "log" | "comment" | "mangle" | "notrack" | "ct helper" | "ct timeout" | "set" | "map"
        | "meter" | "quota" | "flow" | "masquerade" | "snat" | "dup" | "last" => {}
        _ => {
            if let Some(action) = action(name, value) {
                rule.action = action;
            } else {
                // What iptables put there is told whole by iptables-save.
                rule.matches.push(Match::Unclear(if name == "xt" {
                    "a match of iptables".into()
                } else {
                    name.into()
                }));
            }
        }
    }
}

fn action(name: &str, value: &Value) -> Option<Action> {
    Some(match name {
        "accept" => Action::Accept,
        "drop" | "reject" => Action::Drop,
        "return" => Action::Return,
        "continue" => Action::Nothing,
        "jump" => Action::Jump(word(value, "target").to_owned()),
        "goto" => Action::Goto(word(value, "target").to_owned()),
        "queue" => Action::Unclear("a program decides (queue)".to_owned()),
        "tproxy" => Action::Unclear("a proxy takes it (tproxy)".to_owned()),
        "synproxy" => Action::Nothing,
        "dnat" | "redirect" => {
            let part = |name: &str| match value.get(name) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) => number.to_string(),
                _ => String::new(),
            };
            let (address, port) = (part("addr"), part("port"));
            Action::Forward(match (address.as_str(), port.as_str()) {
                ("", "") => "elsewhere".to_owned(),
                ("", port) => format!("port {port}"),
                (address, "") => address.to_owned(),
                (address, port) if address.contains(':') => format!("[{address}]:{port}"),
                (address, port) => format!("{address}:{port}"),
            })
        }
        _ => return None,
    })
}

/// The cases of a verdict map.
fn mapped<'s>(value: &Value, set: &impl Fn(&str) -> Option<&'s [Value]>) -> Vec<(Match, Action)> {
    let key = value.get("key").unwrap_or(&Value::Null);
    let elements: Vec<Value> = match value.get("data") {
        Some(Value::String(name)) => set(name.trim_start_matches('@')).unwrap_or_default().to_vec(),
        Some(data) => data.get("set").and_then(Value::as_array).cloned().unwrap_or_default(),
        None => Vec::new(),
    };
    let case = |element: &Value| {
        let [key_of_it, verdict] = element.as_array()?.as_slice() else { return None };
        let (name, value) = verdict.as_object()?.iter().next()?;
        Some((condition(key, key_of_it, false, set), action(name, value)?))
    };
    elements
        .iter()
        .map(|element| case(element).unwrap_or_else(|| (Match::Unclear(shortened(element)), Action::Nothing)))
        .collect()
}

fn condition<'s>(
    left: &Value,
    right: &Value,
    not: bool,
    set: &impl Fn(&str) -> Option<&'s [Value]>,
) -> Match {
    let unclear = || Match::Unclear(format!("{} {}", shortened(left), shortened(right)));
    let values = || match right {
        Value::String(name) if name.starts_with('@') => {
            set(name.trim_start_matches('@')).map(|elements| elements.iter().map(element).collect::<Vec<_>>())
        }
        Value::Array(values) => Some(values.iter().map(element).collect()),
        _ => match right.get("set").and_then(Value::as_array) {
            Some(values) => Some(values.iter().map(element).collect()),
            None => Some(vec![right]),
        },
    };
    let text = || match right {
        Value::String(name) if name.starts_with('@') => format!("the set {}", name.trim_start_matches('@')),
        _ => values().unwrap_or_default().into_iter().map(plain).collect::<Vec<_>>().join(", "),
    };
    if let Some(payload) = left.get("payload") {
        return match (word(payload, "protocol"), word(payload, "field")) {
            (protocol @ ("tcp" | "udp" | "th"), "dport") => {
                let ports =
                    values().and_then(|values| values.into_iter().map(range).collect::<Option<Vec<_>>>());
                let Some(any) = ports else { return unclear() };
                match protocol {
                    // Both conditions in one; a port of the other protocol is none of these.
                    "tcp" => Match::PortsOf { transport: Transport::Tcp, any, not },
                    "udp" => Match::PortsOf { transport: Transport::Udp, any, not },
                    _ => Match::Ports { any, not },
                }
            }
            (protocol @ ("ip" | "ip6"), "saddr") => {
                let any = values().and_then(|values| values.into_iter().map(network).collect());
                let family = if protocol == "ip" { Family::V4 } else { Family::V6 };
                Match::From { any, not, family, text: text() }
            }
            ("ip" | "ip6", "daddr") => {
                match values().and_then(|values| values.into_iter().map(network).collect()) {
                    Some(any) => Match::To { any, not },
                    None => unclear(),
                }
            }
            ("ether", "saddr") => Match::From {
                any: None,
                not,
                family: Family::Both,
                text: format!("the MAC address {}", text()),
            },
            ("ip", "protocol") | ("ip6", "nexthdr") => transports(values(), not),
            _ => unclear(),
        };
    }
    if let Some(meta) = left.get("meta") {
        let is_word = |want: &str| {
            values().is_some_and(|values| values.iter().any(|value| value.as_str() == Some(want)))
        };
        return match word(meta, "key") {
            "l4proto" => transports(values(), not),
            "iifname" | "iif" => match values() {
                Some(values) => {
                    let any = values.into_iter().filter_map(Value::as_str).map(str::to_owned).collect();
                    Match::Interface { any, not }
                }
                None => unclear(),
            },
            "nfproto" | "protocol" => {
                let (v4, v6) = (is_word("ipv4") || is_word("ip"), is_word("ipv6") || is_word("ip6"));
                match (v4 != not, v6 != not) {
                    (true, true) => Match::Sure(true),
                    (true, false) => Match::Family(Family::V4),
                    (false, true) => Match::Family(Family::V6),
                    (false, false) => Match::Sure(false),
                }
            }
            // What is sent to one machine alone is what opens a connection.
            "pkttype" => Match::Sure((is_word("host") || is_word("unicast")) != not),
            _ => unclear(),
        };
    }
    if let Some(ct) = left.get("ct") {
        let has = |want: &str| {
            values().is_some_and(|values| values.iter().any(|value| value.as_str() == Some(want)))
        };
        return match word(ct, "key") {
            "state" => Match::Sure(has("new") != not),
            // It was translated, or not: a connection that is new was not translated here.
            "status" => Match::Sure(not),
            _ => unclear(),
        };
    }
    if let Some(fib) = left.get("fib") {
        // What comes to a socket of this machine is local.
        let local = values().is_some_and(|values| values.iter().any(|value| value.as_str() == Some("local")));
        let is_destination = fib.get("flags").is_some_and(|flags| {
            flags.as_str() == Some("daddr")
                || flags.as_array().is_some_and(|all| all.iter().any(|flag| flag.as_str() == Some("daddr")))
        });
        if word(fib, "result") == "type" && is_destination {
            return Match::Sure(local != not);
        }
    }
    unclear()
}

fn transports(values: Option<Vec<&Value>>, not: bool) -> Match {
    let word = |value: &&Value| match plain(value).as_str() {
        "tcp" | "6" => Some(Transport::Tcp),
        "udp" | "17" => Some(Transport::Udp),
        _ => None,
    };
    Match::Transport { any: values.unwrap_or_default().iter().filter_map(word).collect(), not }
}

/// Elements may carry a timeout, a counter or a comment.
fn element(value: &Value) -> &Value {
    value.get("elem").and_then(|elem| elem.get("val")).unwrap_or(value)
}

fn range(value: &Value) -> Option<(u16, u16)> {
    let number = |value: &Value| u16::try_from(value.as_u64()?).ok();
    match value.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        Some([low, high]) => Some((number(low)?, number(high)?)),
        _ => number(value).map(|port| (port, port)),
    }
}

fn network(value: &Value) -> Option<IpNet> {
    if let Some(prefix) = value.get("prefix") {
        let len = u8::try_from(prefix.get("len")?.as_u64()?).ok()?;
        return IpNet::new(word(prefix, "addr").parse().ok()?, len).ok();
    }
    value.as_str()?.parse::<IpAddr>().ok().map(IpNet::from)
}

/// A value as nft writes it.
fn plain(value: &Value) -> String {
    if let Some(prefix) = value.get("prefix") {
        let len = prefix.get("len").map(ToString::to_string).unwrap_or_default();
        return format!("{}/{len}", word(prefix, "addr"));
    }
    if let Some([low, high]) = value.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        return format!("{}-{}", plain(low), plain(high));
    }
    value.as_str().map_or_else(|| shortened(value), str::to_owned)
}

/// For people to find it again.
fn shortened(value: &Value) -> String {
    /// Enough to find a rule by.
    const SHOWN_MAX: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, Passage, forwards, pass};
    use super::*;

    fn chain(hook: &str, policy: &str) -> String {
        format!(
            r#"{{"chain":{{"family":"inet","table":"t","name":"c","type":"filter","hook":"{hook}","prio":0,"policy":"{policy}"}}}}"#
        )
    }

    fn rule(expr: &str) -> String {
        format!(r#"{{"rule":{{"family":"inet","table":"t","chain":"c","handle":1,"expr":[{expr}]}}}}"#)
    }

    fn passage(objects: &[String], to: &str, interface: &str) -> Passage {
        let text = format!(r#"{{"nftables":[{{"metainfo":{{}}}},{}]}}"#, objects.join(","));
        let packet = Packet { transport: Transport::Tcp, port: 502, to: to.parse().unwrap(), interface };
        pass(&[parse(&text).unwrap()], packet)
    }

    #[track_caller]
    fn check(policy: &str, rules: &[&str], open: bool, allowed: &[&str]) {
        let mut objects = vec![chain("input", policy)];
        objects.extend(rules.iter().map(|expr| rule(expr)));
        let found = passage(&objects, "0.0.0.0", "eth0");
        let names: Vec<&str> = found.allowed.iter().map(String::as_str).collect();
        assert_eq!((found.open, names), (open, allowed.to_vec()), "{rules:?}\n{found:?}");
    }

    const PORT: &str =
        r#"{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":502}}"#;
    const PORTS: &str = r#"{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":{"set":[22,{"range":[500,600]}]}}}"#;
    const UDP: &str =
        r#"{"match":{"op":"!=","left":{"payload":{"protocol":"udp","field":"dport"}},"right":53}}"#;
    const PLANT: &str = r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"prefix":{"addr":"10.20.0.0","len":24}}}}"#;
    const NOT_PLANT: &str = r#"{"match":{"op":"!=","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"prefix":{"addr":"10.20.0.0","len":24}}}}"#;
    const OLD: &str =
        r#"{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","related"]}}"#;
    const LO: &str = r#"{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"lo"}}"#;
    const NOT_LO: &str = r#"{"match":{"op":"!=","left":{"meta":{"key":"iifname"}},"right":"lo"}}"#;

    #[test]
    fn rules_let_in_or_keep_out() {
        let with = |parts: &[&str], action: &str| format!("{},{{\"{action}\":null}}", parts.join(","));
        check("accept", &[], true, &[]);
        check("drop", &[], false, &[]);
        check("drop", &[&with(&[PORT], "accept")], true, &[]);
        check("drop", &[&with(&[PORTS], "accept")], true, &[]);
        check("drop", &[&with(&[UDP], "accept")], false, &[]);
        check("accept", &[&with(&[PORT], "drop")], false, &[]);
        check("accept", &[&with(&[PORT, NOT_LO], "reject")], false, &[]);
        check("drop", &[&with(&[OLD], "accept"), &with(&[LO], "accept")], false, &[]);
        check("drop", &[&with(&[PLANT, PORT], "accept")], false, &["10.20.0.0/24"]);
        check("accept", &[&with(&[PLANT, PORT], "accept"), &with(&[PORT], "drop")], false, &["10.20.0.0/24"]);
        check("accept", &[&with(&[NOT_PLANT, PORT], "drop")], false, &["10.20.0.0/24"]);
        check("accept", &[&with(&[PLANT, PORT], "drop")], true, &[]);
        check("accept", &[&format!("{PORT},{{\"counter\":{{}}}},{{\"log\":null}}")], true, &[]);
    }

    #[test]
    fn ipv6_gets_past_a_rule_for_ipv4() {
        let objects = [chain("input", "accept"), rule(&format!("{NOT_PLANT},{PORT},{{\"drop\":null}}"))];
        // An address of IPv4 is compared in packets of IPv4 alone.
        assert!(passage(&objects, "::", "eth0").open);
        assert!(!passage(&objects, "0.0.0.0", "eth0").open);
    }

    #[test]
    fn sets_and_verdict_maps_are_looked_up() {
        let set = r#"{"set":{"family":"inet","name":"s","table":"t","type":"ipv4_addr","elem":[{"elem":{"val":"10.0.0.5","timeout":5}}]}}"#;
        let from_set =
            r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":"@s"}}"#;
        let found = passage(
            &[set.to_owned(), chain("input", "drop"), rule(&format!("{from_set},{{\"accept\":null}}"))],
            "0.0.0.0",
            "eth0",
        );
        assert_eq!((found.open, found.allowed), (false, vec!["the set s".to_owned()]));
        let map = r#"{"vmap":{"key":{"meta":{"key":"iifname"}},"data":{"set":[["lo",{"accept":null}],["eth1",{"drop":null}]]}}}"#;
        let objects = [chain("input", "accept"), rule(map)];
        assert!(passage(&objects, "0.0.0.0", "eth0").open);
        assert!(!passage(&objects, "0.0.0.0", "eth1").open);
    }

    #[test]
    fn every_chain_has_to_let_it_through() {
        let other = r#"{"chain":{"family":"ip","table":"t","name":"d","type":"filter","hook":"prerouting","prio":-300,"policy":"drop"}}"#;
        let objects = [chain("input", "accept"), other.to_owned()];
        assert!(!passage(&objects, "0.0.0.0", "eth0").open);
        assert!(passage(&objects, "::", "eth0").open);
        assert!(passage(&[chain("output", "drop"), chain("forward", "drop")], "0.0.0.0", "eth0").open);
    }

    #[test]
    fn forwarding_is_told() {
        let text = format!(
            r#"{{"nftables":[{{"chain":{{"family":"inet","table":"t","name":"c","type":"nat","hook":"prerouting","prio":-100,"policy":"accept"}}}},{}]}}"#,
            rule(&format!(r#"{PORT},{{"dnat":{{"family":"ip","addr":"10.0.0.7","port":502}}}}"#))
        );
        assert_eq!(forwards(&[parse(&text).unwrap()], Transport::Tcp, 502), ["10.0.0.7:502"]);
    }

    #[test]
    fn other_text_is_no_ruleset() {
        for text in ["", "{", "[]", "{}", "{\"nftables\":3}", "null"] {
            assert_eq!(parse(text), Err(NotARuleset), "{text}");
        }
        assert_eq!(parse("{\"nftables\":[]}").unwrap().chains, []);
    }
}
