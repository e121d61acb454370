use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use port502_wire::UnitId;

use super::BreakerOptions;

/// The most that [`LaneOptions::wait`] can be.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// How a lane behaves: one link with the devices behind it. Built from [`LaneOptions::default`] by changing
/// fields, or with [`Lane::reconfigure`](super::Lane::reconfigure) while it works.
#[derive(Clone)]
#[non_exhaustive]
pub struct LaneOptions {
    /// From a request's last byte out to its answer.
    pub timeout: Duration,
    /// For one attempt to connect.
    pub connect_timeout: Duration,
    /// Silence behind a connect: some devices lose what comes too soon.
    pub connect_delay: Duration,
    /// Silence between an answer and the next request.
    pub gap: Duration,
    /// Requests on the link at once, 1 to [`IN_FLIGHT_MAX`](crate::client::IN_FLIGHT_MAX). Many devices can only
    /// do 1, the default; lines without transaction ids never do more.
    pub in_flight: usize,
    /// A request that has waited for its turn for so long is answered with exception 0A instead of being sent:
    /// its client has given up. At most [`WAIT_MAX`].
    pub wait: Duration,
    /// The pause after the first failed attempt to connect; it doubles with each. Requests are answered with
    /// exception 0A meanwhile.
    pub backoff: Duration,
    /// The longest pause between attempts.
    pub backoff_max: Duration,
    /// Answers identical reads that wait or are out at the same time with one request.
    pub coalesce: bool,
    /// The peer answers with transaction ids of its own: answers are taken in the order of the requests, which
    /// leaves one in flight, and a connection on which one is missing is closed, lest it be the next one's.
    pub ignores_transaction: bool,
    /// Somebody between here and the clients looks at the answers, as the guard does: one that does not fit its request, also
    /// by its unit, is shown to them under the request's transaction id, and then the exception.
    pub inspected: bool,
    /// When a unit that does not answer is left alone.
    pub breaker: BreakerOptions,
    /// What holds for every device that is not in `devices`.
    pub device: DeviceOptions,
    /// Devices by the unit id that they have on the link.
    pub devices: BTreeMap<UnitId, DeviceOptions>,
    /// Told of what happens to the link and its units.
    pub observer: Option<LaneObserver>,
    /// The runtime that keeps the lane's timeouts; the one that the lane runs on when `None`. Links other than
    /// Modbus/TCP are worked on there altogether, for they need timers.
    pub timekeeper: Option<tokio::runtime::Handle>,
}

/// Is told what happens to a lane. It is called while others wait, so it must not block.
pub type LaneObserver = Arc<dyn Fn(&LaneEvent<'_>) + Send + Sync>;

/// What happens to a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LaneEvent<'a> {
    /// The link is up.
    Connected,
    /// An attempt to connect failed; the next one comes with the first request after the pause.
    Unreachable {
        /// Why.
        error: &'a str,
        /// Until the next attempt.
        pause: Duration,
    },
    /// The link broke.
    Disconnected {
        /// How.
        error: &'a str,
    },
    /// A unit is left alone.
    UnitDead {
        /// Its id on the link.
        unit: UnitId,
        /// Until the next look.
        pause: Duration,
    },
    /// A unit that was left alone has answered.
    UnitBack {
        /// Its id on the link.
        unit: UnitId,
    },
}

/// What is particular about one device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct DeviceOptions {
    /// Instead of the lane's.
    pub timeout: Option<Duration>,
    /// The most registers that it lets one request read or write.
    pub max_registers: Option<u16>,
    /// The most coils or discrete inputs that it lets one request read or write.
    pub max_bits: Option<u16>,
    /// What becomes of reads that are larger.
    pub larger: Larger,
    /// Answers to reads are kept for so long, and sent to whoever asks the same. Off when `None`.
    pub max_age: Option<Duration>,
}

/// What becomes of reads that are larger than a device takes. Larger writes are always refused, because nobody
/// would know how much of them was carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Larger {
    /// They are asked in pieces, one after the other, and answered when all are here. The values need not be of
    /// one moment.
    #[default]
    Split,
    /// They are answered with exception 03.
    Refuse,
}

impl DeviceOptions {
    /// Whether it takes every request that the specification allows.
    #[inline]
    pub(super) fn takes_all(&self) -> bool {
        self.max_registers.is_none() && self.max_bits.is_none()
    }
}

impl Default for LaneOptions {
    fn default() -> Self {
        LaneOptions {
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(3),
            connect_delay: Duration::ZERO,
            gap: Duration::ZERO,
            in_flight: 1,
            wait: Duration::from_secs(5),
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            coalesce: true,
            ignores_transaction: false,
            inspected: false,
            breaker: BreakerOptions::default(),
            device: DeviceOptions::default(),
            devices: BTreeMap::new(),
            observer: None,
            timekeeper: None,
        }
    }
}

impl LaneOptions {
    #[inline]
    pub(super) fn device(&self, unit: UnitId) -> &DeviceOptions {
        if self.devices.is_empty() { &self.device } else { self.devices.get(&unit).unwrap_or(&self.device) }
    }

    #[inline]
    pub(super) fn timeout(&self, unit: UnitId) -> Duration {
        self.device(unit).timeout.unwrap_or(self.timeout)
    }

    pub(super) fn tell(&self, event: &LaneEvent<'_>) {
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }
}

impl std::fmt::Debug for LaneOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneOptions")
            .field("timeout", &self.timeout)
            .field("in_flight", &self.in_flight)
            .field("gap", &self.gap)
            .field("devices", &self.devices)
            .finish_non_exhaustive()
    }
}
