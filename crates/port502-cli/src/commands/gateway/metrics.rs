//! Counters for Prometheus, over as much HTTP as a scrape needs.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use port502_net::gateway::{BreakerState, Gateway, Lane, LaneStatus, UnitStatus};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::failure::Failure;

/// Scrapes at once; one more ends the oldest.
const SCRAPES_MAX: usize = 8;

/// Bytes of a request's head; one that is longer is cut off.
const HEAD_MAX: usize = 8 * 1024;

/// For the head of a request, from its connection on.
const HEAD_WITHIN: Duration = Duration::from_secs(1);

/// For one scrape, from its connection to its end.
const SCRAPE_WITHIN: Duration = Duration::from_secs(5);

/// What is shown.
#[derive(Debug, Default)]
struct Shown {
    gateway: Option<Gateway>,
    /// With what they are called now.
    lanes: Vec<(String, Lane)>,
}

/// A server of metrics; it ends with this.
pub(super) struct Metrics {
    pub(super) asked: SocketAddr,
    pub(super) local: SocketAddr,
    shown: Arc<Mutex<Shown>>,
    task: tokio::task::AbortHandle,
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Metrics {
    /// Listens, and serves on `runtime`.
    pub(super) fn start(address: SocketAddr, runtime: &Handle) -> Result<Metrics, Failure> {
        let listen = || {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let local = listener.local_addr()?;
            let _runtime = runtime.enter();
            Ok((TcpListener::from_std(listener)?, local))
        };
        let (listener, local) = listen().map_err(|error: io::Error| {
            Failure::other(format!("cannot serve metrics on {address}: {error}; choose another --metrics"))
        })?;
        let shown = Arc::<Mutex<Shown>>::default();
        let task = runtime.spawn(serve(listener, Arc::clone(&shown))).abort_handle();
        Ok(Metrics { asked: address, local, shown, task })
    }

    pub(super) fn show(&self, gateway: &Gateway, lanes: Vec<(String, Lane)>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Shown { gateway: Some(gateway.clone()), lanes };
    }
}

async fn serve(listener: TcpListener, shown: Arc<Mutex<Shown>>) {
    let mut scrapes = VecDeque::<JoinHandle<()>>::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of file descriptors, most likely: that passes.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let shown = Arc::clone(&shown);
        scrapes.retain(|scrape| !scrape.is_finished());
        if scrapes.len() >= SCRAPES_MAX
            && let Some(oldest) = scrapes.pop_front()
        {
            oldest.abort();
        }
        scrapes.push_back(tokio::spawn(async move {
            // Who does not take the answer does not get it.
            let _ = tokio::time::timeout(SCRAPE_WITHIN, answer(stream, &shown)).await;
        }));
    }
}

/// A request's head; `None` when the peer goes before it is whole.
async fn head(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut room = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_MAX {
        match stream.read(&mut room).await? {
            0 => return Ok(None),
            n => head.extend_from_slice(room.get(..n).unwrap_or_default()),
        }
    }
    Ok(Some(head))
}

async fn answer(mut stream: TcpStream, shown: &Mutex<Shown>) -> io::Result<()> {
    let Some(head) = tokio::time::timeout(HEAD_WITHIN, head(&mut stream)).await?? else { return Ok(()) };
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        (b"GET" | b"HEAD", b"/metrics") => ("200 OK", page(shown)),
        (b"GET" | b"HEAD", _) => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "only GET\n".to_owned()),
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if method != b"HEAD" {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

fn page(shown: &Mutex<Shown>) -> String {
    let snapshot = {
        let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes = shown.lanes.iter().map(|(name, lane)| (name.clone(), lane.status())).collect();
        Snapshot { lost: shown.gateway.as_ref().map_or(0, Gateway::lost), lanes }
    };
    let mut registry = Registry::default();
    registry.sub_registry_with_prefix("port502_gateway").register_collector(Box::new(snapshot));
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = text::encode(&mut page, &registry);
    page
}

#[derive(Debug)]
struct Snapshot {
    lost: u64,
    lanes: Vec<(String, LaneStatus)>,
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
