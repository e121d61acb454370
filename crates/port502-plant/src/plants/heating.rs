//! A district heating station: a gas boiler heats the network, a pump drives it round, and a substation hands the heat to a
//! block of houses through an exchanger.
//!
//! ```text
//!            supply                        primary    secondary
//!   [boiler] ------> (network pump) -----> (valve) [exchanger] (house pump) [houses] ~~> outside
//!       ^                                      |
//!       +------------------ return ------------+
//! ```
//!
//! The supply follows the heating curve, the substation's valve its own. Stop the network pump and the boiler's water, with
//! nobody to take the heat, runs up to the limiter, which locks the burner out until it is reset by hand.

use crate::equipment::{Body, Boiler, Curve, Latch, Pid, Valve, WATER_J_KG_K, exchange_w};
use crate::process::{Model, Variable, command, count, flag, is_on, sensor, state, switch};
use crate::random::{Wander, share, wave};

/// The safety limiter.
const LIMIT_C: f64 = 110.0;
const NETWORK_KG_S: f64 = 12.0;
const HOUSE_KG_S: f64 = 10.0;
const BOILER_W: f64 = 2.0e6;

pub(super) struct Heating {
    seconds: f64,
    weather: Wander,
    outside_c: f64,

    boiler: Boiler,
    boiler_on: bool,
    supply_sp_c: f64,
    curve_on: bool,
    burner: Pid,
    limiter: Latch,
    reset: bool,

    pump_on: bool,
    pump_sp: f64,
    pump: f64,
    supply: Body,
    back: Body,
    delivered_w: f64,
    delivered_j: f64,

    valve: Valve,
    valve_auto: bool,
    valve_sp: f64,
    house_sp_c: f64,
    house: Pid,
    house_supply: Body,
    house_back_c: f64,
    houses: Body,
    exchanged_w: f64,
    pressure_bar: f64,
}

impl Model for Heating {
    const VARIABLES: &'static [Variable<Self>] = &[
        sensor("boiler.supply", "degC", (0.0, 150.0), 0.05, |p| p.boiler.water.celsius),
        sensor("boiler.return", "degC", (0.0, 150.0), 0.05, |p| p.back.celsius),
        sensor("boiler.firing", "%", (0.0, 100.0), 0.0, |p| p.boiler.firing * 100.0),
        sensor("boiler.gas", "m3/h", (0.0, 300.0), 0.2, |p| p.boiler.fuel_w / 36.0e6 * 3600.0),
        count("boiler.gas_total", "m3", |p| p.boiler.fuel_j / 36.0e6),
        state("boiler.flame", |p| flag(p.boiler.firing > 0.05)),
        state("boiler.locked_out", |p| flag(p.limiter.is_tripped())),
        switch("boiler.run", |p| flag(p.boiler_on), |p, v| p.boiler_on = is_on(v)),
        switch("boiler.curve", |p| flag(p.curve_on), |p, v| p.curve_on = is_on(v)),
        switch("boiler.reset", |p| flag(p.reset), |p, v| p.reset = is_on(v)),
        command("boiler.supply_sp", "degC", (40.0, 105.0), |p| p.supply_sp_c, |p, v| p.supply_sp_c = v),
        switch("pump.run", |p| flag(p.pump_on), |p, v| p.pump_on = is_on(v)),
        command("pump.speed_sp", "%", (0.0, 100.0), |p| p.pump_sp, |p, v| p.pump_sp = v),
        sensor("pump.speed", "%", (0.0, 100.0), 0.0, |p| p.pump * 100.0),
        sensor("pump.flow", "t/h", (0.0, 60.0), 0.05, |p| p.pump * NETWORK_KG_S * 3.6),
        sensor("pump.pressure", "bar", (0.0, 10.0), 0.01, |p| p.pressure_bar),
        sensor("pump.power", "kW", (0.0, 15.0), 0.02, |p| 0.2 + 7.5 * p.pump * p.pump * p.pump),
        sensor("meter.power", "kW", (0.0, 5000.0), 1.0, |p| p.delivered_w / 1000.0),
        count("meter.energy", "kWh", |p| p.delivered_j / 3.6e6),
        sensor("meter.supply", "degC", (0.0, 150.0), 0.05, |p| p.supply.celsius),
        sensor("meter.return", "degC", (0.0, 150.0), 0.05, |p| p.back.celsius),
        sensor("substation.supply", "degC", (0.0, 150.0), 0.05, |p| p.house_supply.celsius),
        sensor("substation.return", "degC", (0.0, 150.0), 0.05, |p| p.house_back_c),
        sensor("substation.room", "degC", (-20.0, 60.0), 0.02, |p| p.houses.celsius),
        sensor("substation.valve", "%", (0.0, 100.0), 0.0, |p| p.valve.position() * 100.0),
        sensor("substation.power", "kW", (0.0, 5000.0), 1.0, |p| p.exchanged_w / 1000.0),
        switch("substation.auto", |p| flag(p.valve_auto), |p, v| p.valve_auto = is_on(v)),
        command("substation.valve_sp", "%", (0.0, 100.0), |p| p.valve_sp, |p, v| p.valve_sp = v),
        command("substation.room_sp", "degC", (5.0, 25.0), |p| p.house_sp_c, |p, v| p.house_sp_c = v),
        sensor("weather.outside", "degC", (-40.0, 50.0), 0.03, |p| p.outside_c),
    ];

    fn new(seed: u64) -> Self {
        Heating {
            seconds: 7.0 * 3600.0,
            weather: Wander::new(seed, "weather", 3600.0),
            outside_c: 1.0,
            boiler: Boiler::new(82.0, 6_000.0 * WATER_J_KG_K, BOILER_W, 0.92),
            boiler_on: true,
            supply_sp_c: 85.0,
            curve_on: true,
            burner: Pid::new(0.05, 240.0, 0.0, 1.0).from(0.45),
            limiter: Latch::default(),
            reset: false,
            pump_on: true,
            pump_sp: 80.0,
            pump: 0.8,
            supply: Body::new(81.0, 2_000.0 * WATER_J_KG_K),
            back: Body::new(60.0, 2_000.0 * WATER_J_KG_K),
            delivered_w: 0.0,
            delivered_j: 5.2e12,
            valve: Valve::new(0.5, 60.0),
            valve_auto: true,
            valve_sp: 50.0,
            house_sp_c: 21.0,
            house: Pid::new(3.0, 900.0, 25.0, 75.0).from(52.0),
            house_supply: Body::new(52.0, 1_500.0 * WATER_J_KG_K),
            house_back_c: 42.0,
            houses: Body::new(20.8, 4.0e8),
            exchanged_w: 0.0,
            pressure_bar: 3.0,
        }
    }

    fn step(&mut self, dt: f64) {
        self.seconds += dt;
        // The coldest hour is before six.
        let day = self.seconds / 86_400.0;
        self.outside_c = 1.0 + 4.0 * wave(day - 0.47) + 1.5 * self.weather.step(dt);
        self.step_boiler(dt);
        self.step_substation(dt);
    }
}

/// The colder outside, the hotter the supply.
const CURVE: Curve = Curve { cold: (-12.0, 100.0), mild: (16.0, 68.0) };

impl Heating {
    fn step_boiler(&mut self, dt: f64) {
        self.pump += (flag(self.pump_on) * self.pump_sp / 100.0 - self.pump) * share(dt, 4.0);
        self.pressure_bar = 1.5 + 2.4 * self.pump * self.pump;
        if self.curve_on {
            // As on the panel: the set-point shows what the curve wants.
            self.supply_sp_c = CURVE.supply(self.outside_c);
        }
        let celsius = self.boiler.water.celsius;
        let locked = self.limiter.step(celsius >= LIMIT_C, self.reset && celsius < LIMIT_C - 15.0);
        self.reset = false;
        let wanted = if self.boiler_on && !locked {
            self.burner.step(self.supply_sp_c, celsius, dt)
        } else {
            self.burner.follow(0.0, celsius);
            0.0
        };
        let flow = self.pump * NETWORK_KG_S;
        // A burner that is let down to its least load keeps that up; the controller switches it off above the set-point.
        let least = if celsius < self.supply_sp_c + 4.0 && self.boiler_on && !locked && self.pump_on {
            0.2
        } else {
            0.0
        };
        // A boiler without flow does not notice that nobody takes its heat: its sensor stands in the pipe.
        let wanted =
            if flow < 0.5 && self.boiler_on && !locked { wanted.max(0.3) } else { wanted.max(least) };
        self.delivered_w = self.boiler.step(wanted, flow, self.back.celsius, dt);
        self.delivered_j += self.delivered_w.max(0.0) * dt;
        // Through the pipe, which loses a little to the ground.
        self.supply.step(0.0, self.boiler.water.celsius, flow * WATER_J_KG_K, dt);
        self.supply.step(0.0, 8.0, 400.0, dt);
    }

    fn step_substation(&mut self, dt: f64) {
        // The rooms set what the houses' supply should be, the valve what it is.
        let wanted = self.house.step(self.house_sp_c, self.houses.celsius, dt);
        if self.valve_auto {
            let error = wanted - self.house_supply.celsius;
            self.valve_sp = (self.valve_sp + 0.02 * error * dt).clamp(0.0, 100.0);
        }
        self.valve.step(self.valve_sp / 100.0, dt);
        let primary = self.pump * NETWORK_KG_S * self.valve.position();
        let cold = self.house_back_c;
        self.exchanged_w = exchange_w(0.8, primary, self.supply.celsius, HOUSE_KG_S, cold);
        // What went through the exchanger comes back cooled, the rest past it as it is.
        let around = self.pump * NETWORK_KG_S;
        if around > 0.01 {
            let cooled = self.supply.celsius - self.exchanged_w / (around * WATER_J_KG_K);
            self.back.step(0.0, cooled, around * WATER_J_KG_K, dt);
        }
        let stream = HOUSE_KG_S * WATER_J_KG_K;
        self.house_supply.step(self.exchanged_w, cold, stream, dt);
        // Radiators give by the difference to the room.
        let radiated = (22_000.0 * (self.house_supply.celsius - self.houses.celsius)).max(0.0);
        let radiated = radiated.min(stream * (self.house_supply.celsius - self.houses.celsius).max(0.0));
        self.house_back_c +=
            (self.house_supply.celsius - radiated / stream - self.house_back_c) * share(dt, 30.0);
        self.houses.step(radiated, self.outside_c, 34_000.0, dt);
    }
}
