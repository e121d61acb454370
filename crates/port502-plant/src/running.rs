//! A simulation with sockets and a clock.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use port502_net::Target;
use port502_net::server::{Options, Reload, Server, Service, Stop};
use port502_wire::UnitId;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::process::STEP_S;
use crate::record::{RecordedServer, Recorder};
use crate::service::{LaneService, Shared};
use crate::simulation::Simulation;

/// How much faster than ours the plant's time may pass.
pub const SPEED_MAX: u32 = 10_000;

/// Steps that are made up for after a moment in which this machine had no time; older ones never happen.
pub const BEHIND_MAX: u32 = 10_000;

/// The clock ticks so often.
const TICK: Duration = Duration::from_millis(100);

/// A place to listen, and the lanes that are served there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Where.
    pub target: Target,
    /// By their numbers in the map.
    pub lanes: Vec<usize>,
}

/// Why lanes cannot be served at one place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlaceError {
    /// The unit id is a byte, and two lanes use the same one.
    #[error(
        "{first} and {second} both are unit {unit}, and {target} cannot tell them apart; listen on a loopback address \
         (the next lane is served at the next one), or give them units of their own"
    )]
    SameUnit {
        /// The unit.
        unit: UnitId,
        /// The device that has it.
        first: String,
        /// The device that has it, too.
        second: String,
        /// Where both should be.
        target: Target,
    },
    /// More lanes with the same units than there are loopback addresses behind this one.
    #[error("{target} is too near the end of its network for {lanes} lanes; begin at 127.0.0.1")]
    TooMany {
        /// Where the first is.
        target: Target,
        /// How many places are needed.
        lanes: usize,
    },
}

/// All lanes at one port: at `target` as many as have different units; the others, which one address cannot tell apart (a
/// unit id is one byte), at the loopback addresses that follow, under the same port.
///
/// # Errors
/// Units that are there twice, where `target` is no IPv4 loopback address.
pub fn gather(simulation: &Simulation, target: &Target) -> Result<Vec<Place>, PlaceError> {
    let base = match target.host().parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_loopback() => Some(address),
        _ => None,
    };
    let mut places: Vec<(Place, BTreeSet<UnitId>)> = Vec::new();
    for lane in 0..simulation.lanes().len() {
        let units: BTreeSet<UnitId> = simulation.units(lane).map(|(unit, _)| unit).collect();
        if let Some((place, taken)) = places.iter_mut().find(|(_, taken)| taken.is_disjoint(&units)) {
            place.lanes.push(lane);
            taken.extend(units);
            continue;
        }
        let target = match (places.first(), base) {
            (None, _) => target.clone(),
            (Some(_), Some(base)) => {
                let next =
                    u32::try_from(places.len()).ok().and_then(|more| u32::from(base).checked_add(more));
                let next = next.map(Ipv4Addr::from).filter(Ipv4Addr::is_loopback);
                let Some(next) = next else {
                    return Err(PlaceError::TooMany { target: target.clone(), lanes: places.len() + 1 });
                };
                target.clone().at(SocketAddr::new(next.into(), target.port()))
            }
            (Some((first, taken)), None) => return Err(same_unit(simulation, first, taken, lane, target)),
        };
        places.push((Place { target, lanes: vec![lane] }, units));
    }
    Ok(places.into_iter().map(|(place, _)| place).collect())
}

fn same_unit(
    simulation: &Simulation,
    place: &Place,
    taken: &BTreeSet<UnitId>,
    lane: usize,
    target: &Target,
) -> PlaceError {
    let (unit, second) = simulation
        .units(lane)
        .find(|(unit, _)| taken.contains(unit))
        .map_or((UnitId::default(), String::new()), |(unit, name)| (unit, name.to_owned()));
    let first = place
        .lanes
        .iter()
        .flat_map(|lane| simulation.units(*lane))
        .find(|(other, _)| *other == unit)
        .map_or_else(String::new, |(_, name)| name.to_owned());
    PlaceError::SameUnit { unit, first, second, target: target.clone() }
}

/// A plant that is served.
#[derive(Debug)]
pub struct Running {
    simulation: Shared,
    servers: Vec<(Server, Vec<usize>)>,
    speed: f64,
    /// As the servers, when what they say is recorded.
    recorded: Vec<RecordedServer>,
}

/// Where a plant of this process is served: what a drill may attack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Own {
    addresses: Vec<SocketAddr>,
}

impl Own {
    /// The addresses.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The same, reached by a guard of this very process that listens at `guard`.
    #[must_use]
    pub fn behind(mut self, guard: SocketAddr) -> Own {
        self.addresses = vec![guard];
        self
    }

    /// Whether `address` is one of them, and on this machine only.
    #[must_use]
    pub fn is_own(&self, address: SocketAddr) -> bool {
        address.ip().is_loopback() && self.addresses.contains(&address)
    }
}

impl Running {
    /// Listens at every place; serves nothing yet. The plant's time will pass `speed` times as fast as ours.
    ///
    /// # Errors
    /// A place that cannot be listened on, and the system's reason.
    pub fn bind(
        simulation: Simulation,
        places: &[Place],
        options: &Options,
        speed: f64,
    ) -> Result<Self, (Target, io::Error)> {
        let bind = |place: &Place| {
            Server::bind(&place.target, options.clone())
                .map(|server| (server, place.lanes.clone()))
                .map_err(|error| (place.target.clone(), error))
        };
        let servers = places.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        Ok(Running {
            simulation: Shared::new(simulation),
            servers,
            speed: speed.clamp(0.0, SPEED_MAX.into()),
            recorded: Vec::new(),
        })
    }

    /// Writes down what is asked and answered.
    #[must_use]
    pub fn recorded_by(self, recorder: &Recorder) -> Self {
        let recorded = self.servers.iter().map(|(server, _)| recorder.server(server)).collect();
        Running { recorded, ..self }
    }

    /// What loads certificates anew, where it is served over TLS.
    #[must_use]
    pub fn reloads(&self) -> Vec<Reload> {
        self.servers.iter().filter_map(|(server, _)| server.reload_handle()).collect()
    }

    /// Where it listens, and which lanes are there.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = (&Target, &[usize])> + '_ {
        self.servers.iter().map(|(server, lanes)| (server.target(), lanes.as_slice()))
    }

    /// The simulation behind it.
    #[must_use]
    pub fn simulation(&self) -> Shared {
        self.simulation.clone()
    }

    /// What a drill may attack.
    #[must_use]
    pub fn own(&self) -> Own {
        Own { addresses: self.servers.iter().filter_map(|(server, _)| server.local_addr()).collect() }
    }

    /// What ends it.
    #[must_use]
    pub fn stops(&self) -> Vec<Stop> {
        self.servers.iter().map(|(server, _)| server.stop_handle()).collect()
    }

    /// Serves, and lets the plant's time pass, until all of its servers are stopped.
    ///
    /// # Errors
    /// A server that cannot go on.
    pub async fn run(self) -> io::Result<()> {
        self.run_behind(|service| service).await
    }

    /// The same with something in front of the devices, as what asks whether a client may.
    ///
    /// # Errors
    /// A server that cannot go on.
    pub async fn run_behind<S: Service>(self, mut front: impl FnMut(LaneService) -> S) -> io::Result<()> {
        let mut serving = JoinSet::new();
        let mut recorded = self.recorded.into_iter();
        for (server, lanes) in self.servers {
            let service = front(LaneService::new(self.simulation.clone(), lanes));
            match recorded.next() {
                None => serving.spawn(server.run(service)),
                Some(recorded) => serving.spawn(server.run(recorded.service(service))),
            };
        }
        let clock = tokio::spawn(tick(self.simulation, self.speed));
        let mut outcome = Ok(());
        while let Some(ended) = serving.join_next().await {
            if let Ok(Err(error)) = ended {
                outcome = Err(error);
            }
        }
        clock.abort();
        outcome
    }
}

/// Lets the plant's time pass.
async fn tick(simulation: Shared, speed: f64) {
    let mut ticks = interval(TICK);
    // Steps that were missed are made up for below: the plant's time is the number of its steps.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let began = tokio::time::Instant::now();
    let mut done = 0_u64;
    loop {
        ticks.tick().await;
        let due = steps_due(began.elapsed(), speed);
        let behind = due.saturating_sub(done);
        let mut simulation = simulation.lock();
        for _ in 0..behind.min(BEHIND_MAX.into()) {
            simulation.step();
        }
        done = due;
        simulation.show();
    }
}

/// How many steps should have been made.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and a cast saturates"
)]
fn steps_due(elapsed: Duration, speed: f64) -> u64 {
    (elapsed.as_secs_f64() * speed / STEP_S + 1e-6) as u64
}
