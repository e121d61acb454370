//! Packet filters: what the rules of nftables and iptables let through to a port.
//!
//! The rules of both become one model, and one reading of it answers one question: can somebody whom the rules do not
//! name open a connection to this port, by this interface? [`pass`] follows a packet that is new, comes from another
//! machine, and from an address that nobody knows yet. A match on its source is therefore neither true nor false: it
//! is noted, and both ways are gone.
//!
//! In doubt a port counts as open: a rule that is not understood never makes it look closed. It is noted, too.

pub mod iptables;
pub mod nftables;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::snapshot::Transport;

/// How deep chains may call each other; nothing deeper is read, and what is there counts as not understood.
const DEPTH_MAX: usize = 16;

/// How many rules one reading goes through, jumps included; what is behind them counts as not understood.
const STEPS_MAX: usize = 100_000;

/// Whose rules they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// `nft list ruleset`.
    Nftables,
    /// `iptables-save`.
    Iptables,
    /// `ip6tables-save`.
    Ip6tables,
}

impl Source {
    /// As people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Nftables => "nftables",
            Source::Iptables => "iptables",
            Source::Ip6tables => "ip6tables",
        }
    }
}

/// All rules that one source told.
#[derive(Clone, PartialEq, Debug)]
pub struct Ruleset {
    /// Whose they are.
    pub source: Source,
    /// The chains, as they were told.
    pub chains: Vec<Chain>,
}

/// Whose packets a chain sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Both.
    Both,
}

/// A list of rules.
#[derive(Clone, PartialEq, Debug)]
pub struct Chain {
    /// Whose packets it sees.
    pub family: Family,
    /// The table that it is in: chains call those of their own table and family.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where it is called by the kernel for packets to this machine: before routing, or at the input.
    pub base: Option<Base>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// A chain that the kernel calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Base {
    /// What becomes of packets that no rule decides: whether they pass.
    pub policy_accepts: bool,
}

/// Matches that must all hold, and what is done then.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// They must all hold.
    pub matches: Vec<Match>,
    /// What is done.
    pub action: Action,
}

/// What is done with a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// It passes this hook.
    Accept,
    /// It is dropped or refused.
    Drop,
    /// Another chain looks at it, and the next rule if that does not decide.
    Jump(String),
    /// Another chain looks at it, and the end of this one if that does not decide.
    Goto(String),
    /// This chain does not decide.
    Return,
    /// Its destination is changed.
    Forward(String),
    /// It is counted, logged or marked.
    Nothing,
    /// It is not understood.
    Unclear(String),
}

/// One condition.
#[derive(Clone, PartialEq, Debug)]
pub enum Match {
    /// The protocol on top of IP.
    Transport {
        /// Any of these; empty for others than TCP and UDP.
        any: Vec<Transport>,
        /// None of them.
        not: bool,
    },
    /// The port it is sent to.
    Ports {
        /// Any of these ranges, ends included.
        any: Vec<(u16, u16)>,
        /// None of them.
        not: bool,
    },
    /// The port it is sent to, where the protocol is this one; otherwise it does not hold.
    PortsOf {
        /// The protocol.
        transport: Transport,
        /// Any of these ranges, ends included.
        any: Vec<(u16, u16)>,
        /// None of them.
        not: bool,
    },
    /// The address it comes from.
    From {
        /// Any of these networks; `None` where they are not told.
        any: Option<Vec<IpNet>>,
        /// None of them.
        not: bool,
        /// It is compared in packets of this family, and holds in no other.
        family: Family,
        /// The condition as people read it.
        text: String,
    },
    /// The address it is sent to.
    To {
        /// Any of these networks.
        any: Vec<IpNet>,
        /// None of them.
        not: bool,
    },
    /// The interface it comes by.
    Interface {
        /// Any of these; one that ends in `*` stands for all that begin so.
        any: Vec<String>,
        /// None of them.
        not: bool,
    },
    /// IPv4 or IPv6.
    Family(Family),
    /// Known to hold, or not to hold, for one packet that opens a connection: its state, its rate, its kind.
    Sure(bool),
    /// Not understood.
    Unclear(String),
}

/// A packet that nobody knows yet, and that opens a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// TCP or UDP.
    pub transport: Transport,
    /// The port it is sent to.
    pub port: u16,
    /// The address it is sent to. It also says whether it is IPv4 or IPv6.
    pub to: IpAddr,
    /// The interface it comes by; not loopback.
    pub interface: &'a str,
}

/// What the rules do with it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Passage {
    /// Whether it passes though nobody knows its sender.
    pub open: bool,
    /// Who else passes, as the rules say it. Where nobody is named and it is not open, nobody passes.
    pub allowed: Vec<String>,
    /// What was not understood.
    pub unclear: Vec<String>,
}

/// What all the rules together do with a packet.
pub fn pass(rulesets: &[Ruleset], packet: Packet<'_>) -> Passage {
    let mut whole = Passage { open: true, ..Passage::default() };
    for ruleset in rulesets {
        for chain in &ruleset.chains {
            let Some(base) = chain.base.filter(|_| sees(chain.family, packet.to)) else { continue };
            let mut reading = Reading { ruleset, packet, found: Passage::default(), steps: 0 };
            // What gets past the rules of a chain meets its policy.
            let end = reading.chain(chain, 0);
            let passes = match end {
                End::Accepted => true,
                End::Dropped => false,
                End::Undecided | End::Returned => base.policy_accepts,
            };
            let mut found = reading.found;
            found.open |= passes;
            whole.unclear.append(&mut found.unclear);
            if !found.open {
                // It has to get past every chain: the one that lets fewer in is what counts.
                if whole.open || found.allowed.is_empty() {
                    whole.allowed = found.allowed;
                }
                whole.open = false;
            }
        }
    }
    whole.unclear.sort();
    whole.unclear.dedup();
    whole.allowed.sort();
    whole.allowed.dedup();
    if whole.open {
        whole.allowed.clear();
    }
    whole
}

/// Where packets to a port are sent on to, as the rules say it.
pub fn forwards(rulesets: &[Ruleset], transport: Transport, port: u16) -> Vec<String> {
    let mut to = Vec::new();
    for rule in rulesets.iter().flat_map(|ruleset| &ruleset.chains).flat_map(|chain| &chain.rules) {
        let Action::Forward(target) = &rule.action else { continue };
        // Rules that name no port at all send everything on; they are not about this one.
        let names_it = rule.matches.iter().any(|condition| {
            let (Match::Ports { any, not: false } | Match::PortsOf { any, not: false, .. }) = condition
            else {
                return false;
            };
            any.iter().any(|(low, high)| (*low..=*high).contains(&port))
        });
        let other = rule.matches.iter().any(|condition| match condition {
            Match::Transport { any, not } => any.contains(&transport) == *not,
            Match::PortsOf { transport: named, .. } => *named != transport,
            _ => false,
        });
        if names_it && !other && !to.contains(target) {
            to.push(target.clone());
        }
    }
    to
}

fn sees(family: Family, to: IpAddr) -> bool {
    match family {
        Family::Both => true,
        Family::V4 => to.is_ipv4(),
        Family::V6 => to.is_ipv6(),
    }
}

/// How a chain ends for the packet that nobody knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Accepted,
    Dropped,
    Returned,
    Undecided,
}

/// Whether a condition, or a rule, holds.
enum Holds {
    Always,
    Never,
    /// For those whom this text names, and for nobody else.
    For(String),
    /// For everybody but those whom this text names.
    Except(String),
    Unclear(String),
}

struct Reading<'a> {
    ruleset: &'a Ruleset,
    packet: Packet<'a>,
    found: Passage,
    steps: usize,
}

impl Reading<'_> {
    fn chain(&mut self, chain: &Chain, depth: usize) -> End {
        for rule in &chain.rules {
            self.steps += 1;
            if self.steps > STEPS_MAX || depth > DEPTH_MAX {
                self.found.unclear.push("more rules than are read".to_owned());
                return End::Accepted;
            }
            match self.rule(chain, rule, depth) {
                End::Undecided => {}
                end => return end,
            }
        }
        End::Undecided
    }

    fn rule(&mut self, chain: &Chain, rule: &Rule, depth: usize) -> End {
        if rule.action == Action::Nothing {
            return End::Undecided;
        }
        match (self.holds(rule), &rule.action) {
            (Holds::Never, _) => End::Undecided,
            (Holds::Always | Holds::Except(_), Action::Accept) => End::Accepted,
            (Holds::For(who), Action::Accept) => {
                self.found.allowed.push(who);
                End::Undecided
            }
            (Holds::Always, Action::Drop) => End::Dropped,
            // Whoever is left is named.
            (Holds::Except(who), Action::Drop) => {
                self.found.allowed.push(who);
                End::Dropped
            }
            // Some are kept out, and everybody else is not.
            (Holds::For(_), Action::Drop) => End::Undecided,
            (Holds::Always, Action::Return) => End::Returned,
            (Holds::For(_) | Holds::Except(_), Action::Return) => End::Undecided,
            (Holds::Always, Action::Jump(to) | Action::Goto(to)) => match self.called(chain, to, depth) {
                // What is behind a goto is not looked at.
                End::Undecided | End::Returned if matches!(rule.action, Action::Goto(_)) => End::Returned,
                End::Undecided | End::Returned => End::Undecided,
                end => end,
            },
            (Holds::For(who), Action::Jump(to) | Action::Goto(to)) => {
                // They pass if that chain lets them; everybody else goes on here.
                if self.called_aside(chain, to, depth) {
                    self.found.allowed.push(who);
                }
                End::Undecided
            }
            (Holds::Except(who), Action::Jump(to) | Action::Goto(to)) => {
                let end = self.called(chain, to, depth);
                if end == End::Dropped {
                    self.found.allowed.push(who);
                    return End::Dropped;
                }
                if end == End::Accepted { End::Accepted } else { End::Undecided }
            }
            (Holds::Unclear(what), Action::Accept | Action::Jump(_) | Action::Goto(_)) => {
                self.found.unclear.push(what.clone());
                self.found.allowed.push(what);
                End::Undecided
            }
            (Holds::Unclear(what), Action::Drop | Action::Return) => {
                self.found.unclear.push(what);
                End::Undecided
            }
            (_, Action::Unclear(what)) => {
                self.found.unclear.push(what.clone());
                End::Undecided
            }
            // It goes elsewhere, or is somebody else's decision: `forwards` tells it.
            (_, Action::Forward(_) | Action::Nothing) => End::Undecided,
        }
    }

    fn called(&mut self, from: &Chain, name: &str, depth: usize) -> End {
        let ruleset = self.ruleset;
        let called = ruleset
            .chains
            .iter()
            .find(|chain| chain.name == name && chain.table == from.table && chain.family == from.family);
        match called {
            Some(chain) => self.chain(chain, depth + 1),
            None => {
                self.found.unclear.push(format!("chain {name}"));
                End::Undecided
            }
        }
    }

    /// Whether a chain lets a packet through, without a trace in what was found.
    fn called_aside(&mut self, from: &Chain, name: &str, depth: usize) -> bool {
        let mut aside = Reading { found: Passage::default(), ..*self };
        let end = aside.called(from, name, depth);
        self.steps = aside.steps;
        self.found.unclear.append(&mut aside.found.unclear);
        end == End::Accepted || !aside.found.allowed.is_empty()
    }

    /// Whether all conditions of a rule hold together.
    fn holds(&self, rule: &Rule) -> Holds {
        let (mut named, mut except, mut unclear) = (Vec::new(), Vec::new(), Vec::new());
        for condition in &rule.matches {
            match self.condition(condition) {
                Holds::Never => return Holds::Never,
                Holds::Always => {}
                Holds::For(who) => named.push(who),
                Holds::Except(who) => except.push(who),
                Holds::Unclear(what) => unclear.push(what),
            }
        }
        match (named.as_slice(), except.as_slice(), unclear.as_slice()) {
            ([], [], []) => Holds::Always,
            ([], [who], []) => Holds::Except(who.clone()),
            (_, _, []) => {
                named.extend(except.into_iter().map(|who| format!("not {who}")));
                Holds::For(named.join(" and "))
            }
            _ => Holds::Unclear(unclear.join(" and ")),
        }
    }

    fn condition(&self, condition: &Match) -> Holds {
        let sure = |holds: bool| if holds { Holds::Always } else { Holds::Never };
        let to = self.packet.to;
        match condition {
            Match::Transport { any, not } => sure(any.contains(&self.packet.transport) != *not),
            Match::Ports { any, not } => {
                sure(any.iter().any(|(low, high)| (*low..=*high).contains(&self.packet.port)) != *not)
            }
            Match::PortsOf { transport, any, not } => sure(
                *transport == self.packet.transport
                    && any.iter().any(|(low, high)| (*low..=*high).contains(&self.packet.port)) != *not,
            ),
            Match::From { family, .. } if !sees(*family, to) => Holds::Never,
            // Everybody is in 0.0.0.0/0.
            Match::From { any: Some(networks), not, .. }
                if networks.iter().any(|network| network.prefix_len() == 0) =>
            {
                sure(!*not)
            }
            Match::From { not: false, text, .. } => Holds::For(text.clone()),
            Match::From { not: true, text, .. } => Holds::Except(text.clone()),
            Match::To { any, .. } if !any.iter().any(|network| sees(family_of(network), to)) => Holds::Never,
            Match::To { any, not } if !to.is_unspecified() => {
                sure(any.iter().any(|network| network.contains(&to)) != *not)
            }
            Match::To { any, .. } => {
                let text: Vec<String> = any.iter().map(ToString::to_string).collect();
                Holds::Unclear(format!("to {}", text.join(", ")))
            }
            Match::Interface { any, not } => {
                let is = |name: &String| match name.strip_suffix('*') {
                    Some(begin) => self.packet.interface.starts_with(begin),
                    None => name == self.packet.interface,
                };
                sure(any.iter().any(is) != *not)
            }
            Match::Family(family) => sure(sees(*family, to)),
            Match::Sure(holds) => sure(*holds),
            Match::Unclear(what) => Holds::Unclear(what.clone()),
        }
    }
}

fn family_of(network: &IpNet) -> Family {
    match network {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    }
}
