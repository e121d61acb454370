//! A power feeder: a transformer station takes 20 kV from the grid and gives 400 V to two feeders, beside a field of solar
//! panels.
//!
//! ```text
//!   grid --(transformer)--+-- [breaker, relay, meter] -- feeder1: a village
//!                         +-- [breaker, relay, meter] -- feeder2: a saw-mill
//!                         +-- [inverter] -------------- pv
//! ```
//!
//! Load pulls the voltage down behind the transformer, sun pushes it up. A relay lets more than its pick-up current flow for
//! as long as its characteristic says, and then opens its breaker: set the pick-up low enough and the feeder is dark. What
//! has tripped has to be reset before it can be closed.

use crate::equipment::{Breaker, Latch, Meter, Relay};
use crate::process::{Model, Variable, command, count, flag, is_on, sensor, state, switch};
use crate::random::{Wander, share, wave};

const OPEN_V: f64 = 410.0;
/// Ohms of grid and transformer, as seen at 400 V.
const R_OHM: f64 = 0.004;
const X_OHM: f64 = 0.012;
const PV_W: f64 = 120_000.0;

/// A feeder with its breaker, relay and meter.
struct Feeder {
    load: Wander,
    breaker: Breaker,
    wanted_closed: bool,
    relay: Relay,
    pickup_a: f64,
    latch: Latch,
    reset: bool,
    meter: Meter,
    /// The load comes back softly after it was dark.
    awake: f64,
}

impl Feeder {
    fn new(seed: u64, name: &str, pickup_a: f64, import_kwh: f64) -> Self {
        Feeder {
            load: Wander::new(seed, name, 90.0),
            breaker: Breaker::new(true),
            wanted_closed: true,
            relay: Relay::new(0.8, 12.0),
            pickup_a,
            latch: Latch::default(),
            reset: false,
            meter: Meter { volts: 400.0, import_j: import_kwh * 3.6e6, ..Meter::default() },
            awake: 1.0,
        }
    }

    /// Lets `dt` seconds pass with a load that would take `nominal_w` at 400 V. Returns watts and vars.
    fn step(&mut self, nominal_w: f64, tan_phi: f64, volts: f64, dt: f64) -> (f64, f64) {
        let trips = self.relay.step(self.meter.amperes, self.pickup_a, dt);
        let tripped = self.latch.step(trips, self.reset);
        self.reset = false;
        self.breaker.step(self.wanted_closed, tripped, dt);
        if tripped {
            // As the relay's contact does: the command to close is gone, and has to be given anew.
            self.wanted_closed = false;
        }
        let closed = self.breaker.is_closed();
        self.awake = if closed { self.awake + (1.0 - self.awake) * share(dt, 8.0) } else { 0.0 };
        let wander = 1.0 + 0.07 * self.load.step(dt);
        let share_v = volts / 400.0;
        // A load of resistors: power goes with the square of the voltage.
        let active = if closed { nominal_w * wander.max(0.1) * self.awake * share_v * share_v } else { 0.0 };
        let reactive = active * tan_phi;
        self.meter.step(if closed { volts } else { 0.0 }, active, reactive, dt);
        (active, reactive)
    }
}

pub(super) struct Power {
    seconds: f64,
    clouds: Wander,
    grid: Wander,
    volts: f64,
    frequency: Wander,
    incomer: Meter,
    oil_c: f64,
    feeder1: Feeder,
    feeder2: Feeder,
    sun: f64,
    pv_on: bool,
    pv_limit: f64,
    pv: Meter,
}

impl Model for Power {
    const VARIABLES: &'static [Variable<Self>] = &[
        sensor("incomer.voltage", "V", (0.0, 500.0), 0.15, |p| p.volts),
        sensor("incomer.current", "A", (0.0, 1500.0), 0.3, |p| p.incomer.amperes),
        sensor("incomer.power", "kW", (-1000.0, 1000.0), 0.1, |p| p.incomer.active_w / 1000.0),
        sensor("incomer.reactive", "kvar", (-1000.0, 1000.0), 0.1, |p| p.incomer.reactive_var / 1000.0),
        sensor("incomer.frequency", "Hz", (45.0, 55.0), 0.001, |p| 50.0 + 0.012 * p.frequency.value()),
        sensor("incomer.power_factor", "", (0.0, 1.0), 0.0005, |p| p.incomer.power_factor()),
        sensor("incomer.oil", "degC", (-20.0, 150.0), 0.05, |p| p.oil_c),
        count("incomer.import", "kWh", |p| p.incomer.import_j / 3.6e6),
        count("incomer.export", "kWh", |p| p.incomer.export_j / 3.6e6),
        sensor("feeder1.voltage", "V", (0.0, 500.0), 0.15, |p| p.feeder1.meter.volts),
        sensor("feeder1.current", "A", (0.0, 6000.0), 0.2, |p| p.feeder1.meter.amperes),
        sensor("feeder1.power", "kW", (-1000.0, 1000.0), 0.05, |p| p.feeder1.meter.active_w / 1000.0),
        count("feeder1.energy", "kWh", |p| p.feeder1.meter.import_j / 3.6e6),
        state("feeder1.closed", |p| flag(p.feeder1.breaker.is_closed())),
        state("feeder1.tripped", |p| flag(p.feeder1.latch.is_tripped())),
        state("feeder1.charged", |p| flag(p.feeder1.breaker.is_charged())),
        count("feeder1.operations", "", |p| f64::from(p.feeder1.breaker.operations)),
        switch("feeder1.close", |p| flag(p.feeder1.wanted_closed), |p, v| p.feeder1.wanted_closed = is_on(v)),
        switch("feeder1.reset", |p| flag(p.feeder1.reset), |p, v| p.feeder1.reset = is_on(v)),
        command("feeder1.pickup", "A", (50.0, 800.0), |p| p.feeder1.pickup_a, |p, v| p.feeder1.pickup_a = v),
        sensor("feeder2.voltage", "V", (0.0, 500.0), 0.15, |p| p.feeder2.meter.volts),
        sensor("feeder2.current", "A", (0.0, 6000.0), 0.2, |p| p.feeder2.meter.amperes),
        sensor("feeder2.power", "kW", (-1000.0, 1000.0), 0.05, |p| p.feeder2.meter.active_w / 1000.0),
        count("feeder2.energy", "kWh", |p| p.feeder2.meter.import_j / 3.6e6),
        state("feeder2.closed", |p| flag(p.feeder2.breaker.is_closed())),
        state("feeder2.tripped", |p| flag(p.feeder2.latch.is_tripped())),
        state("feeder2.charged", |p| flag(p.feeder2.breaker.is_charged())),
        count("feeder2.operations", "", |p| f64::from(p.feeder2.breaker.operations)),
        switch("feeder2.close", |p| flag(p.feeder2.wanted_closed), |p, v| p.feeder2.wanted_closed = is_on(v)),
        switch("feeder2.reset", |p| flag(p.feeder2.reset), |p, v| p.feeder2.reset = is_on(v)),
        command("feeder2.pickup", "A", (50.0, 800.0), |p| p.feeder2.pickup_a, |p, v| p.feeder2.pickup_a = v),
        sensor("pv.power", "kW", (0.0, 200.0), 0.05, |p| -p.pv.active_w / 1000.0),
        sensor("pv.voltage", "V", (0.0, 500.0), 0.15, |p| p.pv.volts),
        sensor("pv.irradiance", "W/m2", (0.0, 1400.0), 1.0, |p| p.sun * 1000.0),
        count("pv.energy", "kWh", |p| p.pv.export_j / 3.6e6),
        switch("pv.run", |p| flag(p.pv_on), |p, v| p.pv_on = is_on(v)),
        command("pv.limit", "%", (0.0, 100.0), |p| p.pv_limit, |p, v| p.pv_limit = v),
    ];

    fn new(seed: u64) -> Self {
        Power {
            seconds: 10.0 * 3600.0,
            clouds: Wander::new(seed, "clouds", 120.0),
            grid: Wander::new(seed, "grid", 300.0),
            volts: 402.0,
            frequency: Wander::new(seed, "frequency", 20.0),
            incomer: Meter { import_j: 8.4e12, export_j: 3.1e11, ..Meter::default() },
            oil_c: 48.0,
            feeder1: Feeder::new(seed, "village", 320.0, 611_240.0),
            feeder2: Feeder::new(seed, "mill", 400.0, 1_204_311.0),
            sun: 0.5,
            pv_on: true,
            pv_limit: 100.0,
            pv: Meter { volts: 402.0, export_j: 6.6e11, ..Meter::default() },
        }
    }

    fn step(&mut self, dt: f64) {
        self.seconds += dt;
        let day = self.seconds / 86_400.0;
        self.frequency.step(dt);
        // The sun is up from six to eighteen; clouds go before it.
        let clear = wave(day - 0.25).max(0.0);
        let cloud = (0.75 + 0.2 * self.clouds.step(dt)).clamp(0.1, 1.0);
        self.sun += (clear * cloud - self.sun) * share(dt, 3.0);

        let village = 95_000.0 * (1.0 + 0.25 * wave(2.0 * day - 0.33));
        // The mill saws from seven to five.
        let works = if wave(day - 0.25) > 0.15 { 150_000.0 } else { 12_000.0 };
        let (p1, q1) = self.feeder1.step(village, 0.2, self.volts, dt);
        let (p2, q2) = self.feeder2.step(works, 0.45, self.volts, dt);
        // An inverter lets go above the limit of its standard, and comes back when it may.
        let may_feed = self.pv_on && (320.0..460.0).contains(&self.volts);
        let sun_w = if may_feed { PV_W * self.sun.min(self.pv_limit / 100.0) } else { 0.0 };
        let pv_w = -self.pv.active_w + (sun_w + self.pv.active_w) * share(dt, 1.0);
        self.pv.step(self.volts, -pv_w, 0.0, dt);

        let (active, reactive) = (p1 + p2 - pv_w, q1 + q2);
        self.incomer.step(self.volts, active, reactive, dt);
        // The drop over grid and transformer, by the usual approximation.
        let open = OPEN_V + 1.5 * self.grid.step(dt);
        let drop = (active * R_OHM + reactive * X_OHM) / self.volts.max(100.0);
        self.volts += (open - drop - self.volts) * share(dt, 0.2);
        // Copper losses warm the oil, within hours.
        let load = self.incomer.amperes / 580.0;
        self.oil_c += (25.0 + 45.0 * load * load - self.oil_c) * share(dt, 7200.0);
    }
}
