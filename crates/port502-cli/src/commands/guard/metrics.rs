//! What a guard has counted, for Prometheus.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use port502_guard::Status;
use port502_guard::record::SinkStatus;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::callers::{Counts, Reasons};
use super::running::{Running, Watched};
use crate::failure::Failure;
use crate::metrics::{self, Metrics};

/// Listens, and serves.
pub(super) fn start(address: SocketAddr, running: &Running) -> Result<Metrics, Failure> {
    let (watch, recorder) = (running.watch(), Arc::clone(&running.setup().recorder));
    let page = Arc::new(move || {
        let snapshot = Snapshot { conduits: watch(), outputs: recorder.status() };
        metrics::page("port502_guard", Box::new(snapshot))
    });
    Metrics::start(address, &running.setup().timekeeper, page)
}

#[derive(Debug)]
struct Snapshot {
    conduits: Vec<Watched>,
    outputs: Vec<SinkStatus>,
}

type Count = (&'static str, &'static str, fn(&Status) -> u64);

const COUNTERS: [Count; 6] = [
    ("connections", "Connections that clients made", |status| status.connections),
    ("requests", "Frames that came from clients", |status| status.requests),
    ("refused", "Transactions, connections and bytes that were kept back", |status| status.refused),
    ("alerted", "Requests that passed though a rule refuses them", |status| status.alerted),
    ("unreachable", "Times that the device could not be reached", |status| status.unreachable),
    ("discarded", "Frames over a shared link that answer nothing", |status| status.discarded),
];

type ByReason = (&'static str, &'static str, fn(&Counts) -> &Reasons);

const CONNECTIONS: [ByReason; 2] = [
    ("turned_away", "Connections that were not let in, by reason", |counts| &counts.turned_away),
    ("closed", "Connections that ended, by reason", |counts| &counts.closed),
];

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, count) in COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for Watched { name: conduit, status, .. } in &self.conduits {
                let labels = [("conduit", conduit.as_str())];
                ConstCounter::new(count(status)).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "Clients that are connected";
        let mut metric = encoder.encode_descriptor("clients", help, None, MetricType::Gauge)?;
        for Watched { name: conduit, status, .. } in &self.conduits {
            let labels = [("conduit", conduit.as_str())];
            let clients = i64::try_from(status.clients).unwrap_or(i64::MAX);
            ConstGauge::new(clients).encode(metric.encode_family(&labels)?)?;
        }
        let help = "Whether what no rule allows is refused (1), or passes with an alert (0)";
        let mut metric = encoder.encode_descriptor("enforcing", help, None, MetricType::Gauge)?;
        for Watched { name: conduit, enforces, .. } in &self.conduits {
            let labels = [("conduit", conduit.as_str())];
            ConstGauge::new(i64::from(enforces.is_usual())).encode(metric.encode_family(&labels)?)?;
        }
        let help = "What was refused, alerted or noted, by reason";
        let mut metric = encoder.encode_descriptor("objections", help, None, MetricType::Counter)?;
        for Watched { name: conduit, status, .. } in &self.conduits {
            for (reason, count) in &status.reasons {
                let labels = [("conduit", conduit.as_str()), ("reason", *reason)];
                ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
            }
        }
        for (name, help, reasons) in CONNECTIONS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for Watched { name: conduit, callers, .. } in &self.conduits {
                for (reason, count) in reasons(callers) {
                    let labels = [("conduit", conduit.as_str()), ("reason", *reason)];
                    ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
                }
            }
        }
        let help = "Records that wait for an output";
        let mut metric = encoder.encode_descriptor("output_queued", help, None, MetricType::Gauge)?;
        for output in &self.outputs {
            let labels = [("output", output.name.as_str())];
            let queued = i64::try_from(output.queued).unwrap_or(i64::MAX);
            ConstGauge::new(queued).encode(metric.encode_family(&labels)?)?;
        }
        let help = "Whether an output fails at the moment";
        let mut metric = encoder.encode_descriptor("output_failing", help, None, MetricType::Gauge)?;
        for output in &self.outputs {
            let labels = [("output", output.name.as_str())];
            ConstGauge::new(i64::from(output.failing)).encode(metric.encode_family(&labels)?)?;
        }
        let help = "Records that an output had no room for, and that it is told as counts";
        let mut metric = encoder.encode_descriptor("output_counted", help, None, MetricType::Counter)?;
        for output in &self.outputs {
            let labels = [("output", output.name.as_str())];
            ConstCounter::new(output.counted).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
