//! What a gateway has counted, for Prometheus.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use port502_net::gateway::{BreakerState, Gateway, Lane, LaneStatus, UnitStatus};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::runtime::Handle;

use crate::failure::Failure;
use crate::metrics;

/// What is shown.
#[derive(Debug, Default)]
struct Shown {
    gateway: Option<Gateway>,
    /// With what they are called now.
    lanes: Vec<(String, Lane)>,
}

/// A server of metrics; it ends with this.
pub(super) struct Metrics {
    pub(super) server: metrics::Metrics,
    shown: Arc<Mutex<Shown>>,
}

impl Metrics {
    /// Listens, and serves on `runtime`.
    pub(super) fn start(address: SocketAddr, runtime: &Handle) -> Result<Metrics, Failure> {
        let shown = Arc::<Mutex<Shown>>::default();
        let snapshot = Arc::clone(&shown);
        let page = Arc::new(move || metrics::page("port502_gateway", Box::new(Snapshot::of(&snapshot))));
        Ok(Metrics { server: metrics::Metrics::start(address, runtime, page)?, shown })
    }

    pub(super) fn show(&self, gateway: &Gateway, lanes: Vec<(String, Lane)>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Shown { gateway: Some(gateway.clone()), lanes };
    }
}

#[derive(Debug)]
struct Snapshot {
    lost: u64,
    lanes: Vec<(String, LaneStatus)>,
}

impl Snapshot {
    fn of(shown: &Mutex<Shown>) -> Self {
        let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes = shown.lanes.iter().map(|(name, lane)| (name.clone(), lane.status())).collect();
        Snapshot { lost: shown.gateway.as_ref().map_or(0, Gateway::lost), lanes }
    }
}

type Count = (&'static str, &'static str, fn(&LaneStatus) -> u64);
type UnitCount = (&'static str, &'static str, fn(&UnitStatus) -> u64);

const COUNTERS: [Count; 11] = [
    ("requests", "Requests that clients made", |lane| lane.requests),
    ("sent", "Requests that went out on the link", |lane| lane.sent),
    ("answered", "Requests that the device answered, exceptions included", |lane| lane.answered),
    ("exceptions", "Requests that the device answered with an exception", |lane| lane.exceptions),
    ("timeouts", "Requests that were not answered in time", |lane| lane.timeouts),
    ("bad_answers", "Answers that did not fit their requests", |lane| lane.nonsense),
    ("discarded", "Frames that nobody waited for", |lane| lane.discarded),
    ("coalesced", "Reads that shared the answer of another", |lane| lane.coalesced),
    ("cached", "Reads answered from the cache", |lane| lane.cached),
    ("connects", "Connections made", |lane| lane.connects),
    ("connect_failures", "Attempts to connect that failed", |lane| lane.connect_failures),
];

const GAUGES: [Count; 5] = [
    ("clients", "Clients with a place in the queue", |lane| number(lane.clients)),
    ("queued", "Requests that wait", |lane| number(lane.queued)),
    ("in_flight", "Requests that are out", |lane| number(lane.in_flight)),
    ("cache_answers", "Answers in the cache", |lane| number(lane.kept)),
    ("connected", "Whether the link is up", |lane| u64::from(lane.connected)),
];

const UNIT_COUNTERS: [UnitCount; 4] = [
    ("unit_requests", "Requests that went out to a unit", |unit| unit.requests),
    ("unit_answers", "Answers of a unit", |unit| unit.answers),
    ("unit_timeouts", "Requests that a unit did not answer", |unit| unit.timeouts),
    ("unit_opened", "How often a unit was left alone", |unit| unit.opened),
];

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Requests for units that lead nowhere";
        let lost = encoder.encode_descriptor("unrouted", help, None, MetricType::Counter)?;
        ConstCounter::new(self.lost).encode(lost)?;
        for (what, help, count) in COUNTERS {
            let mut metric = encoder.encode_descriptor(what, help, None, MetricType::Counter)?;
            for (link, lane) in &self.lanes {
                let labels = [("link", link.as_str())];
                ConstCounter::new(count(lane)).encode(metric.encode_family(&labels)?)?;
            }
        }
        for (what, help, count) in GAUGES {
            let mut metric = encoder.encode_descriptor(what, help, None, MetricType::Gauge)?;
            for (link, lane) in &self.lanes {
                let labels = [("link", link.as_str())];
                let count = i64::try_from(count(lane)).unwrap_or(i64::MAX);
                ConstGauge::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "Requests that the gateway refused, by exception code";
        let mut metric = encoder.encode_descriptor("refused", help, None, MetricType::Counter)?;
        for (link, lane) in &self.lanes {
            for (code, count) in &lane.refused {
                let code = code.to_string();
                let labels = [("link", link.as_str()), ("code", code.as_str())];
                ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
            }
        }
        let units = || {
            self.lanes.iter().flat_map(|(link, lane)| {
                lane.units.iter().map(move |(unit, status)| (link.as_str(), unit.to_string(), status))
            })
        };
        for (what, help, count) in UNIT_COUNTERS {
            let mut metric = encoder.encode_descriptor(what, help, None, MetricType::Counter)?;
            for (link, unit, status) in units() {
                let labels = [("link", link), ("unit", unit.as_str())];
                ConstCounter::new(count(status)).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "Whether a unit is left alone: its breaker's state is 1";
        let mut metric = encoder.encode_descriptor("unit_breaker", help, None, MetricType::Gauge)?;
        for (link, unit, status) in units() {
            for state in [BreakerState::Closed, BreakerState::Open, BreakerState::Probing] {
                let labels = [("link", link), ("unit", unit.as_str()), ("state", state.name())];
                ConstGauge::new(i64::from(status.breaker == state)).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
