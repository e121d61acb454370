//! A plan as JSON, one object a line (docs/json.md).

use std::io::{self, Write};

use port502_inspect::baseline::Asker;
use port502_inspect::policy::{Effect, Functions, Places, Range, Rule};
use port502_site::Site;
use port502_site::compile::attention::attention;
use port502_site::compile::diff::{self, Change};
use port502_site::compile::{Compiled, show};
use port502_site::site::WriteLimits;
use serde::Serialize;

use super::Part;

/// One line.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line<'l> {
    Site {
        name: &'l str,
        devices: usize,
        lanes: usize,
        tags: usize,
        computed: usize,
    },
    Lane {
        lane: &'l str,
        target: String,
        load: f64,
    },
    Request {
        lane: &'l str,
        device: &'l str,
        unit: u8,
        scan: &'l str,
        every_ms: f64,
        function: u8,
        table: &'static str,
        address: u16,
        count: u16,
        cost_ms: f64,
        tags: Vec<String>,
    },
    Write {
        tag: String,
        point: String,
        roles: Vec<&'l str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        values: Option<&'l [f64]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max_step: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        rate: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<AfterLine>,
        #[serde(skip_serializing_if = "Option::is_none")]
        readback: Option<String>,
        raw: String,
    },
    Conduit {
        conduit: &'l str,
        listen: Vec<String>,
        devices: Vec<&'l str>,
        mode: String,
        refuse: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        connections: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        connections_per_client: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        requests: Option<String>,
        share: bool,
    },
    Rule {
        conduit: &'l str,
        rule: usize,
        name: &'l str,
        effect: &'static str,
        networks: Vec<String>,
        zones: &'l [String],
        roles: &'l [String],
        subjects: &'l [String],
        units: Vec<[u8; 2]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        functions: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        writes: Option<Vec<WritableLine<'l>>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        values: Option<[u16; 2]>,
        times: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        requests: Option<String>,
        mode: String,
        refuse: String,
    },
    Expected {
        client: String,
        networks: Vec<String>,
        server: &'l str,
        unit: u8,
        function: String,
        at: Vec<String>,
        period_ms: Option<f64>,
        requests: u32,
    },
    Simulated {
        device: &'l str,
        lane: &'l str,
        unit: u8,
        at: Vec<String>,
        writable: Vec<String>,
    },
    Attention {
        what: &'static str,
        text: String,
    },
    Change {
        part: &'static str,
        name: &'l str,
        old: Option<&'l str>,
        new: Option<&'l str>,
    },
}

#[derive(Serialize)]
struct WritableLine<'l> {
    tag: &'l str,
    at: String,
    r#type: String,
    raw: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_step: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<AfterLine>,
}

/// What has to be so before a write.
#[derive(Serialize)]
struct AfterLine {
    tag: String,
    is: i128,
    #[serde(skip_serializing_if = "Option::is_none")]
    within_ms: Option<f64>,
}

fn write(out: &mut dyn Write, line: &Line<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    writeln!(out)
}

fn millis(duration: std::time::Duration) -> f64 {
    // Whole microseconds: the rest is an estimate of an estimate.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn texts(ranges: &[Range]) -> Vec<String> {
    ranges.iter().map(ToString::to_string).collect()
}

pub(super) fn plan(
    out: &mut dyn Write,
    site: &Site,
    compiled: &Compiled,
    wanted: &dyn Fn(Part) -> bool,
) -> io::Result<()> {
    let line = Line::Site {
        name: site.name(),
        devices: site.devices().len(),
        lanes: site.lanes().len(),
        tags: site.tags().len(),
        computed: site.computed().len(),
    };
    write(out, &line)?;
    if wanted(Part::Poll) {
        polls(out, site, compiled)?;
    }
    if wanted(Part::Write) {
        writes(out, site)?;
    }
    if wanted(Part::Guard) {
        rules(out, site, compiled)?;
    }
    if wanted(Part::Expected) {
        expected(out, compiled)?;
    }
    if wanted(Part::Simulator) {
        simulated(out, site, compiled)?;
    }
    for attention in attention(site, compiled) {
        write(out, &Line::Attention { what: attention.name(), text: attention.text(site) })?;
    }
    Ok(())
}

fn polls(out: &mut dyn Write, site: &Site, compiled: &Compiled) -> io::Result<()> {
    for plan in compiled.poll.lanes() {
        let lane = site.lane(plan.lane);
        write(
            out,
            &Line::Lane {
                lane: &lane.name,
                target: lane.target.to_string(),
                load: (plan.load * 1e6).round() / 1e6,
            },
        )?;
        for request in compiled.poll.requests_of(plan) {
            let (device, scan) = (site.device(request.device), site.scan(request.scan));
            let line = Line::Request {
                lane: &lane.name,
                device: &device.name,
                unit: device.unit.0,
                scan: &scan.name,
                every_ms: millis(scan.every),
                function: request.function().0,
                table: request.table.name(),
                address: request.start,
                count: request.count,
                cost_ms: millis(request.cost),
                tags: compiled.poll.tags_of(request).iter().map(|tag| site.path(*tag)).collect(),
            };
            write(out, &line)?;
        }
    }
    Ok(())
}

fn writes(out: &mut dyn Write, site: &Site) -> io::Result<()> {
    for (id, tag) in site.tag_ids() {
        let Some(of) = tag.write() else { continue };
        let (min, max, values) = match &of.limits {
            WriteLimits::Any => (None, None, None),
            WriteLimits::Between { min, max } => (Some(*min), Some(*max), None),
            WriteLimits::OneOf(values) => (None, None, Some(values.as_slice())),
        };
        let line = Line::Write {
            tag: site.path(id),
            point: tag.point.to_string(),
            roles: of.roles.iter().map(|role| site.role(*role).name.as_str()).collect(),
            min,
            max,
            values,
            max_step: of.max_step,
            rate: of.rate.map(|rate| rate.to_string()),
            after: of.after.map(|after| AfterLine {
                tag: site.path(after.tag),
                is: after.is.into(),
                within_ms: after.within.map(millis),
            }),
            readback: of.readback.map(|point| point.to_string()),
            raw: of.raw.to_string(),
        };
        write(out, &line)?;
    }
    Ok(())
}

fn rules(out: &mut dyn Write, site: &Site, compiled: &Compiled) -> io::Result<()> {
    for (conduit, of) in compiled.policy.conduits.iter().zip(site.conduits()) {
        let line = Line::Conduit {
            conduit: &conduit.name,
            listen: of.listen.iter().map(ToString::to_string).collect(),
            devices: of.devices.iter().map(|device| site.device(*device).name.as_str()).collect(),
            mode: conduit.mode.to_string(),
            refuse: conduit.refusal.to_string(),
            connections: conduit.limits.connections,
            connections_per_client: conduit.limits.connections_per_client,
            requests: conduit.limits.requests.map(|rate| rate.to_string()),
            share: of.share,
        };
        write(out, &line)?;
        for (at, rule) in conduit.rules.iter().enumerate() {
            let mode = rule.mode.unwrap_or(conduit.mode).to_string();
            let refuse = rule.refusal.unwrap_or(conduit.refusal).to_string();
            write(out, &rule_line(&conduit.name, at + 1, rule, mode, refuse))?;
        }
    }
    Ok(())
}

fn rule_line<'l>(conduit: &'l str, number: usize, rule: &'l Rule, mode: String, refuse: String) -> Line<'l> {
    let functions = match &rule.functions {
        Functions::Any => None,
        Functions::Of(functions) => Some(functions.iter().map(ToString::to_string).collect()),
    };
    let (at, writes) = match &rule.places {
        Places::Any => (None, None),
        Places::Of(places) => (Some(texts(places)), None),
        Places::Values(values) => {
            // A rule that denies looks at the limits only.
            let allows = rule.effect == Effect::Allow;
            let lines = values.iter().map(|value| WritableLine {
                tag: &value.name,
                at: Range { table: value.table, first: value.address, last: value.last() }.to_string(),
                r#type: value.value_type.to_string(),
                raw: value.limits.to_string(),
                max_step: value.max_step.filter(|_| allows),
                rate: value.rate.filter(|_| allows).map(|rate| rate.to_string()),
                after: value.after.as_ref().filter(|_| allows).map(|after| AfterLine {
                    tag: after.name.clone(),
                    is: after.is,
                    within_ms: after.within.map(millis),
                }),
            });
            (None, Some(lines.collect()))
        }
    };
    Line::Rule {
        conduit,
        rule: number,
        name: &rule.name,
        effect: if rule.effect == Effect::Allow { "allow" } else { "deny" },
        networks: rule.clients.networks.iter().map(ToString::to_string).collect(),
        zones: &rule.clients.zones,
        roles: &rule.clients.roles,
        subjects: &rule.clients.subjects,
        units: rule.units.iter().map(|(first, last)| [*first, *last]).collect(),
        functions,
        at,
        writes,
        values: rule.values.map(|(low, high)| [low, high]),
        times: rule.during.iter().map(ToString::to_string).collect(),
        requests: rule.requests.map(|rate| rate.to_string()),
        mode,
        refuse,
    }
}

fn expected(out: &mut dyn Write, compiled: &Compiled) -> io::Result<()> {
    for flow in &compiled.baseline.flows {
        let networks = match &flow.client {
            Asker::Poller { networks } | Asker::Zone { networks, .. } | Asker::Networks { networks } => {
                networks.iter().map(ToString::to_string).collect()
            }
            Asker::Guard { .. } => Vec::new(),
        };
        let line = Line::Expected {
            client: diff::asker(&flow.client),
            networks,
            server: &flow.server,
            unit: flow.unit.0,
            function: diff::operation(flow),
            at: texts(&flow.ranges),
            period_ms: flow.period.map(millis),
            requests: flow.requests,
        };
        write(out, &line)?;
    }
    Ok(())
}

fn simulated(out: &mut dyn Write, site: &Site, compiled: &Compiled) -> io::Result<()> {
    for device in &compiled.simulator.devices {
        let blocks = device.blocks.iter();
        let line = Line::Simulated {
            device: &site.device(device.device).name,
            lane: &site.lane(device.lane).name,
            unit: device.unit.0,
            at: blocks.map(|block| show::block(block.table, block.start, block.cells.len())).collect(),
            writable: texts(&device.writable),
        };
        write(out, &line)?;
    }
    Ok(())
}

pub(super) fn changes(out: &mut dyn Write, changes: &[Change]) -> io::Result<()> {
    for change in changes {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        write(out, &Line::Change { part: change.part.name(), name: &change.name, old, new })?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use port502_site::compile::compile;
    use port502_site::site::{Profiles, SourceFile};
    use serde_json::{Value, json};

    use super::*;

    const SITE: &str = r#"
[site]
name = "x"
[role.operator]
[zone.a]
networks = ["10.0.0.0/24"]
roles = ["operator"]
[poll]
zone = "a"
[device.pump]
connect = "tcp://10.0.1.1"
[device.pump.tag]
run = { at = "coil:3", write = { roles = ["operator"] } }
speed = { at = "holding:200", scale = 0.1, range = [0, 50], write = { roles = ["operator"], max_step = 0.3, rate = "6/min", after = { tag = "run", is = 1, within = "5s" } } }
[guard.pump]
listen = ["tcp://0.0.0.0:502"]
to = "pump"
requests = "50/s"
allow = [
    { from = "a", do = "derived" },
    { name = "wide", from = "a", functions = [16], at = ["holding:*"], mode = "alert", refuse = "drop" },
]
"#;

    #[test]
    fn all_that_decides_is_there() {
        let files = [SourceFile { name: "site.toml", text: SITE }];
        let site = Site::parse(&files, &Profiles::none()).unwrap();
        let mut out = Vec::new();
        plan(&mut out, &site, &compile(&site), &|part| matches!(part, Part::Guard | Part::Write)).unwrap();
        let lines: Vec<Value> =
            out.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
        let after = json!({ "tag": "pump.run", "is": 1, "within_ms": 5000.0 });
        assert_eq!(of("write")[1]["after"], after);
        assert_eq!(of("conduit").len(), 1);
        assert_eq!(
            *of("conduit")[0],
            json!({
                "kind": "conduit", "conduit": "pump", "listen": ["tcp://0.0.0.0:502"], "devices": ["pump"],
                "mode": "enforce", "refuse": "exception:1", "requests": "50/s", "share": false,
            })
        );
        assert_eq!(
            of("rule")[1]["writes"][1],
            json!({
                "tag": "pump.speed", "at": "holding:200", "type": "u16", "raw": "0 to 500", "max_step": 3.0,
                "rate": "6/min", "after": after,
            })
        );
        assert_eq!((&of("rule")[2]["mode"], &of("rule")[2]["refuse"]), (&json!("alert"), &json!("drop")));
        assert_eq!(of("attention")[0]["what"], "goes-round");
    }
}
