//! A site for nftables: guarded devices are reached only through the guard, and the guard only by those who may ask
//! anything at all.
//!
//! ```text
//!   client ──► input of the guard's machine: chain to_guard      who may connect, how often, how many at once
//!   client ──► forward of a router, or input of the device's host: chain to_devices    only the guard may
//! ```
//!
//! One table holds both, and may be loaded on each of these machines. It touches nothing but the ports it is about, and
//! replaces itself: to load it again is to load it once. A packet filter sees no functions, units, addresses or values;
//! the rules that have them stand there as comments, and the guard enforces them.

use std::fmt::Write as _;
use std::net::IpAddr;

use port502_inspect::Network;
use port502_inspect::policy::{Mode, Policy, Rate};
use port502_site::compile::show;
use port502_site::site::Site;

use super::ways::{self, Behind, Door, ExportError, Exported, Options, Way, numbered, one_line};

/// Clients whose connections are counted apart; those beyond are let in uncounted.
pub const COUNTED_MAX: usize = 65_535;

/// The table of a site.
///
/// # Errors
/// No conduit, host names in the place of addresses, or not said where the guard is.
pub fn nftables(site: &Site, policy: &Policy, options: &Options) -> Result<Exported, ExportError> {
    if options.without_guard {
        return Err(ExportError::NeedsGuard);
    }
    let ways = ways::ways(site, policy, options)?;
    for way in &ways {
        let Behind::Network { address, .. } = way.behind else { continue };
        if address.is_loopback() {
            continue;
        }
        if options.guard.is_empty() {
            return Err(ExportError::NoGuardAddress { device: way.to.clone() });
        }
        if !options.guard.iter().any(|guard| guard.is_ipv4() == address.is_ipv4()) {
            return Err(ExportError::GuardFamily { device: way.to.clone(), address });
        }
    }
    let left_out = left_out(&ways);
    let table = format!("port502_{}", ways::module(site, options));
    let mut text = String::new();
    header(&mut text, site, &table, &left_out);
    let mut out = Out(&mut text);
    out.line(0, &format!("table inet {table}"));
    out.line(0, &format!("delete table inet {table}"));
    out.line(0, &format!("table inet {table} {{"));
    sets(&mut out, &ways);
    for (hook, jumps) in [("input", &["to_devices", "to_guard"][..]), ("forward", &["to_devices"][..])] {
        out.line(1, &format!("chain {hook} {{"));
        out.line(2, &format!("type filter hook {hook} priority -5; policy accept;"));
        for jump in jumps {
            out.line(2, &format!("jump {jump}"));
        }
        out.line(1, "}");
    }
    devices(&mut out, &ways, options);
    conduits(&mut out, policy, &ways);
    for way in &ways {
        admitting(&mut out, policy, way);
    }
    out.line(0, "}");
    Ok(Exported { text, left_out })
}

/// Lines with tabs in front, as `nft list` writes them.
struct Out<'t>(&'t mut String);

impl Out<'_> {
    fn line(&mut self, depth: usize, line: &str) {
        if !line.is_empty() {
            self.0.extend(std::iter::repeat_n('\t', depth));
            self.0.push_str(line);
        }
        self.0.push('\n');
    }
}

fn header(text: &mut String, site: &Site, table: &str, left_out: &[String]) {
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "#!/usr/sbin/nft -f\n\
         # {}: guarded devices are reached only through the guard.\n\
         # Made by `port502 export --to nftables`; make it anew instead of changing it.\n\
         #\n\
         # Load it on the guard's machine, on routers between clients and devices, and on devices that are Linux machines:\n\
         #   nft -f FILE                        again and again: it replaces itself\n\
         #   nft delete table inet {table}      takes it back\n\
         # Only the ports below are touched. What this table accepts another may still drop.\n\
         #\n\
         # Not in it, because a packet filter does not see it. The guard enforces it:",
        one_line(site.name())
    );
    for line in left_out {
        let _ = writeln!(text, "# - {line}");
    }
    text.push('\n');
}

fn left_out(ways: &[Way<'_>]) -> Vec<String> {
    let mut all = Vec::new();
    for way in ways {
        let name = &way.conduit.name;
        all.push(format!(
            "guard {name}: which units, functions, addresses and values its {} rules are for",
            way.conduit.rules.len()
        ));
        for (at, _) in way.conduit.rules.iter().enumerate().filter(|(_, rule)| !rule.during.is_empty()) {
            all.push(format!("{}: its hours", numbered(way.conduit, at)));
        }
        if way.doors.iter().any(|door| door.certificates) {
            all.push(format!("guard {name}: whose certificate a client shows, and which role is in it"));
        }
        if way.conduit.mode == Mode::Alert {
            all.push(format!(
                "guard {name}: mode = \"alert\", so nobody is kept from its ports: they are logged"
            ));
        }
        if let Some(rate) = way.conduit.limits.requests {
            all.push(format!(
                "guard {name}: requests of one client, {rate}; new connections are held to that rate instead"
            ));
        }
        if matches!(way.behind, Behind::Serial) {
            all.push(format!("guard {name}: {} is {}: nobody reaches it by the network", way.to, way.target));
        }
    }
    all
}

/// What counts clients.
fn sets(out: &mut Out<'_>, ways: &[Way<'_>]) {
    for way in ways {
        for family in ["4", "6"] {
            let limits = way.conduit.limits;
            let mut set = |what: &str, flags: &str| {
                out.line(1, &format!("set {}{family} {{", set_name(way, what)));
                out.line(2, &format!("type ipv{family}_addr"));
                out.line(2, &format!("size {COUNTED_MAX}"));
                out.line(2, flags);
                out.line(1, "}");
            };
            if limits.connections_per_client.is_some() {
                set("open", "flags dynamic");
            }
            if limits.requests.is_some() {
                set("new", "flags dynamic,timeout; timeout 1h");
            }
        }
    }
}

fn set_name(way: &Way<'_>, what: &str) -> String {
    format!("{what}_{}_", way.conduit.name)
}

fn address(address: IpAddr) -> String {
    format!("{} {address}", if address.is_ipv4() { "ip daddr" } else { "ip6 daddr" })
}

/// Who may reach the devices: the guard's machine, and nobody else.
fn devices(out: &mut Out<'_>, ways: &[Way<'_>], options: &Options) {
    out.line(1, "chain to_devices {");
    let mut done: Vec<(IpAddr, u16, bool)> = Vec::new();
    for way in ways {
        let Behind::Network { address: at, port, udp } = way.behind else {
            out.line(
                2,
                &format!(
                    "# {} is {}: nobody reaches it by the network",
                    way.to,
                    one_line(&way.target.to_string())
                ),
            );
            continue;
        };
        if done.contains(&(at, port, udp)) {
            continue;
        }
        done.push((at, port, udp));
        let protocol = if udp { "udp" } else { "tcp" };
        out.line(2, &format!("# {}, behind guard {}", way.to, way.conduit.name));
        if at.is_loopback() {
            // It may listen on every address of this machine, and is asked for on this one only.
            let taken = ways.iter().flat_map(|way| &way.doors).any(|door| door.port == port);
            if taken {
                out.line(2, &format!("# {protocol} {port} of this machine is a port of the guard, too: {at} is reached from here only"));
            } else {
                out.line(2, &format!("iifname != \"lo\" {protocol} dport {port} counter drop"));
            }
            continue;
        }
        let family = if at.is_ipv4() { "ip" } else { "ip6" };
        let guards: Vec<String> = options
            .guard
            .iter()
            .filter(|guard| guard.is_ipv4() == at.is_ipv4())
            .map(ToString::to_string)
            .collect();
        let there = format!("{} {protocol} dport {port}", address(at));
        out.line(2, &format!("{there} {family} saddr {{ {} }} accept", guards.join(", ")));
        out.line(2, &format!("{there} counter drop"));
    }
    out.line(1, "}");
}

/// Who may come in where.
fn conduits(out: &mut Out<'_>, policy: &Policy, ways: &[Way<'_>]) {
    out.line(1, "chain to_guard {");
    // On the host of a device the device's own port is no door of the guard, whatever its number.
    for way in ways {
        if let Behind::Network { address: at, port, udp: false } = way.behind
            && !at.is_loopback()
            && ways.iter().flat_map(|way| &way.doors).any(|door| door.port == port && door.address.is_none())
        {
            out.line(2, &format!("{} tcp dport {port} return", address(at)));
        }
    }
    for way in ways {
        for door in &way.doors {
            entrance(out, policy, way, door);
        }
    }
    out.line(1, "}");
}

fn entrance(out: &mut Out<'_>, policy: &Policy, way: &Way<'_>, door: &Door) {
    let name = &way.conduit.name;
    let mut here = door.address.map(address).unwrap_or_default();
    let _ = write!(here, "{}tcp dport {}", if here.is_empty() { "" } else { " " }, door.port);
    let enforced = way.conduit.mode == Mode::Enforce;
    let refuse = if enforced {
        "counter drop".to_owned()
    } else {
        format!("ct state new limit rate 10/minute log prefix \"port502 {name}: \"")
    };
    out.line(2, &format!("# guard {name}: {}", one_line(&door.shown)));
    for (family, of) in [("ip", true), ("ip6", false)] {
        let list = |networks: &[Network]| -> Option<String> {
            let all: Vec<String> = networks
                .iter()
                .filter(|network| network.address().is_ipv4() == of)
                .map(ToString::to_string)
                .collect();
            (!all.is_empty()).then(|| format!("{family} saddr {{ {} }}", all.join(", ")))
        };
        if door.address.is_some_and(|address| address.is_ipv4() != of) {
            continue;
        }
        if let Some(denied) = list(&ways::shut_out(way.conduit)) {
            out.line(2, &format!("{here} {denied} counter drop"));
        }
        if let Some(admitted) = ways::admitted(policy, way.conduit, door)
            && let Some(admitted) = list(&admitted)
        {
            out.line(2, &format!("{here} {admitted} goto conduit_{name}"));
        }
    }
    match (ways::admitted(policy, way.conduit, door), enforced) {
        (None, _) => {
            out.line(2, "# A certificate lets in from everywhere.");
            out.line(2, &format!("{here} goto conduit_{name}"));
        }
        (Some(_), true) => out.line(2, &format!("{here} {refuse}")),
        (Some(_), false) => {
            out.line(2, &format!("{here} {refuse}"));
            out.line(2, &format!("{here} goto conduit_{name}"));
        }
    }
}

/// What holds for those who may come in.
fn admitting(out: &mut Out<'_>, policy: &Policy, way: &Way<'_>) {
    let (name, limits) = (&way.conduit.name, way.conduit.limits);
    out.line(1, &format!("chain conduit_{name} {{"));
    out.line(2, &format!("# To {}. Left to the guard:", way.to));
    for (at, rule) in way.conduit.rules.iter().enumerate() {
        let shown = one_line(&format!("{} ({})", show::rule(&policy.zones, rule), rule.name));
        out.line(2, &format!("# {}. {shown}", at + 1));
    }
    for (set, family) in [("4", "ip"), ("6", "ip6")] {
        if let Some(rate) = limits.requests {
            let (update, limit) = (set_name(way, "new"), limit(rate));
            out.line(
                2,
                &format!("ct state new update @{update}{set} {{ {family} saddr {limit} }} counter drop"),
            );
        }
        if let Some(most) = limits.connections_per_client {
            let open = set_name(way, "open");
            out.line(
                2,
                &format!(
                    "ct state new add @{open}{set} {{ {family} saddr ct count over {most} }} counter reject with tcp reset"
                ),
            );
        }
    }
    if let Some(most) = limits.connections {
        out.line(2, &format!("ct state new ct count over {most} counter reject with tcp reset"));
    }
    out.line(2, "accept");
    out.line(1, "}");
}

/// A rate in the units of nftables, never below what it is here.
fn limit(rate: Rate) -> String {
    let units = [(1_u64, "second"), (60, "minute"), (3_600, "hour"), (86_400, "day")];
    let seconds = rate.per.as_secs().max(1);
    let (length, unit) = units.into_iter().find(|(length, _)| *length >= seconds).unwrap_or((86_400, "day"));
    let count = (u64::from(rate.count) * length).div_ceil(seconds).max(1);
    format!("limit rate over {count}/{unit} burst {} packets", rate.count)
}
