//! A water works: a river fills a well, a pump lifts the water through a filter into a tank, a booster presses it into the
//! town.
//!
//! ```text
//!   river ~~> [well] --(intake pump)--> [filter] --> (inlet valve) --> [tank] --> (outlet valve) --(booster)--> town
//!                                          dp            dosing          level                         pressure
//! ```
//!
//! The intake's PLC keeps the tank's level with the pump's speed, between 26 Hz and `intake.speed_sp`; in manual the pump
//! turns at `speed_sp`. Close the tank's outlet and the level rises though the controller goes to its lowest speed, until a
//! float, wired to the pump and not to the network, trips it.

use crate::equipment::{Latch, Pid, Pump, PumpDesign, Tank, Valve};
use crate::process::{Model, Variable, command, count, flag, is_on, sensor, state, switch};
use crate::random::{Wander, share, wave};

/// Below this frequency the intake pump overheats.
const INTAKE_LOWEST_HZ: f64 = 26.0;
/// The float that trips the intake pump, and the level below which it can be reset.
const TANK_TRIP_M: f64 = 5.7;
const TANK_HEIGHT_M: f64 = 6.0;
/// Where the booster would draw air.
const TANK_DRY_M: f64 = 0.3;
const M3H: f64 = 3600.0;

/// What `filter.state` says.
const FILTERING: f64 = 1.0;
const WASHING: f64 = 2.0;
const DRAINING: f64 = 3.0;
/// How long a backwash takes, and the draining after it.
const WASH_S: f64 = 300.0;
const DRAIN_S: f64 = 60.0;

pub(super) struct Waterworks {
    seconds: f64,
    river: Wander,
    demand: Wander,

    well: Tank,
    intake: Pump,
    motor_c: f64,
    run: bool,
    auto: bool,
    speed_sp_hz: f64,
    level_sp_m: f64,
    level: Pid,
    intake_trip: Latch,
    intake_reset: bool,

    filter_dirt: f64,
    filter_state: f64,
    filter_left_s: f64,
    filter_flow_m3s: f64,

    inlet: Valve,
    inlet_sp: f64,
    outlet: Valve,
    outlet_sp: f64,
    tank: Tank,
    overflow_m3s: f64,

    chlorine_sp: f64,
    chlorine: Pid,
    chlorine_mg_l: f64,
    stroke: f64,
    stock_l: f64,

    booster: Pump,
    booster_run: bool,
    boost: bool,
    pressure_sp_bar: f64,
    pressure: Pid,
    pressure_bar: f64,
    booster_trip: Latch,
    booster_reset: bool,
    sold_m3: f64,
    demand_m3s: f64,
}

impl Model for Waterworks {
    const VARIABLES: &'static [Variable<Self>] = &[
        sensor("intake.flow", "m3/h", (0.0, 400.0), 0.3, |p| p.intake.flow_m3s * M3H),
        sensor("intake.power", "kW", (0.0, 90.0), 0.03, |p| p.intake.power_w / 1000.0),
        sensor("intake.speed", "Hz", (0.0, 60.0), 0.0, |p| p.intake.speed_hz()),
        sensor("intake.temperature", "degC", (-20.0, 150.0), 0.1, |p| p.motor_c),
        sensor("intake.well", "m", (0.0, 6.0), 0.004, |p| p.well.level_m()),
        count("intake.hours", "h", |p| 18_224.0 + p.intake.run_s / 3600.0),
        count("intake.starts", "", |p| 412.0 + f64::from(p.intake.starts)),
        state("intake.running", |p| flag(p.intake.speed_hz() > 0.5)),
        state("intake.fault", |p| flag(p.intake_trip.is_tripped())),
        switch("intake.run", |p| flag(p.run), |p, v| p.run = is_on(v)),
        switch("intake.auto", |p| flag(p.auto), |p, v| p.auto = is_on(v)),
        switch("intake.reset", |p| flag(p.intake_reset), |p, v| p.intake_reset = is_on(v)),
        command("intake.speed_sp", "Hz", (0.0, 50.0), |p| p.speed_sp_hz, |p, v| p.speed_sp_hz = v),
        command("intake.level_sp", "m", (0.5, 5.5), |p| p.level_sp_m, |p, v| p.level_sp_m = v),
        sensor("filter.pressure_in", "bar", (0.0, 10.0), 0.003, |p| 0.4 + p.filter_dp_bar()),
        sensor("filter.pressure_out", "bar", (0.0, 10.0), 0.003, |p| 0.4 * flag(p.filter_flow_m3s > 0.0)),
        sensor("filter.turbidity", "NTU", (0.0, 5.0), 0.001, |p| 0.08 + 0.06 * p.filter_dirt * p.filter_dirt),
        sensor("filter.chlorine", "mg/l", (0.0, 5.0), 0.004, |p| p.chlorine_mg_l),
        state("filter.washing", |p| flag(is_state(p.filter_state, WASHING))),
        command("filter.state", "", (0.0, 3.0), |p| p.filter_state, |p, v| p.set_filter(v.round())),
        sensor("dosing.stroke", "%", (0.0, 100.0), 0.0, |p| p.stroke * 100.0),
        sensor("dosing.stock", "l", (0.0, 200.0), 0.05, |p| p.stock_l),
        command("dosing.chlorine_sp", "mg/l", (0.0, 4.0), |p| p.chlorine_sp, |p, v| p.chlorine_sp = v),
        sensor("tank.level", "m", (0.0, 6.0), 0.003, |p| p.tank.level_m()),
        sensor("tank.inflow", "m3/h", (0.0, 400.0), 0.3, |p| p.filter_flow_m3s * M3H),
        sensor("tank.outflow", "m3/h", (0.0, 600.0), 0.3, |p| p.booster.flow_m3s * M3H),
        sensor("tank.battery", "V", (0.0, 30.0), 0.01, |p| 12.9 + 0.6 * wave(p.seconds / 86_400.0 - 0.25)),
        sensor("tank.inlet", "%", (0.0, 100.0), 0.0, |p| p.inlet.position() * 100.0),
        sensor("tank.outlet", "%", (0.0, 100.0), 0.0, |p| p.outlet.position() * 100.0),
        command("tank.inlet_sp", "%", (0.0, 100.0), |p| p.inlet_sp, |p, v| p.inlet_sp = v),
        command("tank.outlet_sp", "%", (0.0, 100.0), |p| p.outlet_sp, |p, v| p.outlet_sp = v),
        state("tank.overflow", |p| flag(p.overflow_m3s > 0.0)),
        count("tank.overflowed", "m3", |p| p.tank.overflowed_m3),
        sensor("booster.pressure", "bar", (0.0, 10.0), 0.01, |p| p.pressure_bar),
        sensor("booster.flow", "m3/h", (0.0, 600.0), 0.3, |p| p.booster.flow_m3s * M3H),
        sensor("booster.power", "kW", (0.0, 160.0), 0.03, |p| p.booster.power_w / 1000.0),
        state("booster.pump1", |p| flag(p.booster.speed_hz() > 0.5)),
        state("booster.pump2", |p| flag(p.booster.flow_m3s * M3H > 55.0)),
        state("booster.pump3", |p| flag(p.booster.flow_m3s * M3H > 110.0)),
        state("booster.fault", |p| flag(p.booster_trip.is_tripped())),
        switch("booster.run", |p| flag(p.booster_run), |p, v| p.booster_run = is_on(v)),
        switch("booster.reset", |p| flag(p.booster_reset), |p, v| p.booster_reset = is_on(v)),
        switch("booster.boost", |p| flag(p.boost), |p, v| p.boost = is_on(v)),
        command(
            "booster.pressure_sp",
            "bar",
            (2.0, 8.0),
            |p| p.pressure_sp_bar,
            |p, v| p.pressure_sp_bar = v,
        ),
        count("meter.total", "m3", |p| p.sold_m3),
        sensor("meter.flow", "m3/h", (0.0, 600.0), 0.4, |p| p.booster.flow_m3s * M3H),
    ];

    fn new(seed: u64) -> Self {
        let intake =
            PumpDesign { shutoff_m: 34.0, slope: 9.0e3, ramp_hz_s: 5.0, efficiency: 0.68, idle_w: 900.0 };
        let booster =
            PumpDesign { shutoff_m: 80.0, slope: 1.4e4, ramp_hz_s: 10.0, efficiency: 0.72, idle_w: 1200.0 };
        Waterworks {
            // Seven in the morning: the town wakes up.
            seconds: 7.0 * 3600.0,
            river: Wander::new(seed, "river", 1800.0),
            demand: Wander::new(seed, "demand", 240.0),
            well: Tank::new(20.0, 6.0, 4.2),
            intake: Pump::new(intake),
            motor_c: 41.0,
            run: true,
            auto: true,
            speed_sp_hz: 45.0,
            level_sp_m: 4.2,
            level: Pid::new(30.0, 900.0, INTAKE_LOWEST_HZ, 45.0).from(38.0),
            intake_trip: Latch::default(),
            intake_reset: false,
            filter_dirt: 0.4,
            filter_state: FILTERING,
            filter_left_s: 0.0,
            filter_flow_m3s: 0.0,
            inlet: Valve::new(1.0, 30.0),
            inlet_sp: 100.0,
            outlet: Valve::new(1.0, 30.0),
            outlet_sp: 100.0,
            tank: Tank::new(8.0, TANK_HEIGHT_M, 4.1),
            overflow_m3s: 0.0,
            chlorine_sp: 0.5,
            chlorine: Pid::new(0.25, 120.0, 0.0, 1.0).from(0.3),
            chlorine_mg_l: 0.48,
            stroke: 0.3,
            stock_l: 160.0,
            booster: Pump::new(booster),
            booster_run: true,
            boost: false,
            pressure_sp_bar: 5.5,
            pressure: Pid::new(2.0, 6.0, 0.0, 50.0).from(40.0),
            pressure_bar: 5.3,
            booster_trip: Latch::default(),
            booster_reset: false,
            sold_m3: 48_211.0,
            demand_m3s: 0.0,
        }
    }

    fn step(&mut self, dt: f64) {
        self.seconds += dt;
        self.step_intake(dt);
        self.step_booster(dt);
        let outflow = self.booster.flow_m3s;
        let flows = self.tank.step(self.filter_flow_m3s, outflow, dt);
        self.overflow_m3s = flows.over_m3s;
        self.sold_m3 += flows.out_m3s * dt;
        self.step_dosing(dt);
    }
}

/// States are whole numbers in a register.
fn is_state(value: f64, state: f64) -> bool {
    (value - state).abs() < 0.5
}

impl Waterworks {
    /// In m per (m3/s)^2: dirt makes a bed of sand tight.
    fn filter_resistance(&self) -> f64 {
        2.5e3 * (1.0 + 2.0 * self.filter_dirt)
    }

    fn filter_dp_bar(&self) -> f64 {
        self.filter_resistance() * self.filter_flow_m3s * self.filter_flow_m3s / 10.2
    }

    fn step_intake(&mut self, dt: f64) {
        let level = self.tank.level_m();
        let trip = self.intake_trip.step(level >= TANK_TRIP_M, self.intake_reset && level < 5.3);
        // The reset is a key: it springs back.
        self.intake_reset = false;
        self.level.limit(INTAKE_LOWEST_HZ, self.speed_sp_hz);
        let wanted = if self.auto {
            self.level.step(self.level_sp_m, level, dt)
        } else {
            self.level.follow(self.speed_sp_hz, level);
            self.speed_sp_hz
        };
        let runs = self.run && !trip && self.well.level_m() > 0.2;
        self.intake.drive(if runs { wanted } else { 0.0 }, dt);
        self.inlet.step(self.inlet_sp / 100.0, dt);

        // The river fills the well through a screen, as far as it stands higher.
        let river_m = 4.6 + 0.15 * self.river.step(dt);
        let fill = 0.06 * (river_m - self.well.level_m()).max(0.0).sqrt();
        let opening = self.inlet.position();
        let pipe = 4.0e3 / (opening * opening).max(1.0e-6);
        // What has to be lifted: from the well's water to the tank's inlet.
        let height = 12.0 - self.well.level_m();
        let resistance = self.filter_resistance() + pipe;
        let flow = self.intake.flow_at(self.intake.speed_hz(), height, resistance);
        let flow = if opening > 0.0 { flow } else { 0.0 };
        let drawn = self.well.step(fill, flow, dt);
        self.intake.moved(drawn.out_m3s);

        self.motor_c += (25.0 + 4.0 * self.intake.power_w / 1000.0 - self.motor_c) * share(dt, 600.0);
        self.filter_left_s = (self.filter_left_s - dt).max(0.0);
        if self.filter_left_s <= 0.0 {
            // A wash ends in draining, and that in filtering, by itself.
            if is_state(self.filter_state, WASHING) {
                self.set_filter(DRAINING);
            } else if is_state(self.filter_state, DRAINING) {
                self.set_filter(FILTERING);
            }
        }
        if is_state(self.filter_state, WASHING) {
            self.filter_dirt *= 1.0 - share(dt, 100.0);
        }
        if is_state(self.filter_state, FILTERING) {
            // A day at full flow makes it dirty.
            self.filter_dirt = (self.filter_dirt + drawn.out_m3s / 0.03 * dt / 86_400.0).min(3.0);
            self.filter_flow_m3s = drawn.out_m3s;
        } else {
            // The water goes to the drain, and dirt with it: nothing comes into the tank.
            self.filter_flow_m3s = 0.0;
        }
    }

    fn set_filter(&mut self, state: f64) {
        self.filter_state = state;
        self.filter_left_s = if is_state(state, WASHING) {
            WASH_S
        } else if is_state(state, DRAINING) {
            DRAIN_S
        } else {
            0.0
        };
    }

    fn step_booster(&mut self, dt: f64) {
        let dry = self.tank.level_m() < TANK_DRY_M;
        let trip = self.booster_trip.step(dry, self.booster_reset && self.tank.level_m() > 0.6);
        self.booster_reset = false;
        let runs = self.booster_run && !trip;
        let wanted = if runs {
            self.pressure.step(self.pressure_sp_bar + 0.5 * flag(self.boost), self.pressure_bar, dt)
        } else {
            self.pressure.follow(0.0, self.pressure_bar);
            0.0
        };
        self.booster.drive(wanted, dt);
        self.outlet.step(self.outlet_sp / 100.0, dt);

        // Two peaks a day, at seven and at seven; taps give by the root of the pressure.
        let day = self.seconds / 86_400.0;
        let pattern = 1.0 + 0.2 * wave(2.0 * day - 0.33) - 0.1 * wave(day + 0.25);
        self.demand_m3s = 65.0 / M3H * pattern.max(0.2) * (1.0 + 0.06 * self.demand.step(dt));
        let taps = self.demand_m3s.max(0.001) / 5.5_f64.sqrt();
        let opening = self.outlet.position();
        let supply = 3.0e3 / (opening * opening).max(1.0e-6);
        // The taps are a resistance too: head = flow^2 * (pipe + 10.2 / taps^2).
        let town = 10.2 / (taps * taps);
        let flow = self.booster.flow_at(self.booster.speed_hz(), 0.0, supply + town);
        let flow = if opening > 0.0 && !dry { flow } else { 0.0 };
        let there = self.tank.volume_m3() / dt.max(1.0e-6);
        self.booster.moved(flow.min(there));
        let pressure = self.booster.flow_m3s * self.booster.flow_m3s / (taps * taps);
        // The town's pipes give a little.
        self.pressure_bar += (pressure - self.pressure_bar) * share(dt, 3.0);
    }

    fn step_dosing(&mut self, dt: f64) {
        let flow = self.filter_flow_m3s;
        self.stroke = if flow > 0.001 && self.stock_l > 0.0 {
            self.chlorine.step(self.chlorine_sp, self.chlorine_mg_l, dt)
        } else {
            0.0
        };
        // At full stroke 6 l/h of a solution of 25 g/l.
        let dosed_g = self.stroke * 6.0 / 3600.0 * dt * 25.0;
        self.stock_l = (self.stock_l - self.stroke * 6.0 / 3600.0 * dt).max(0.0);
        let volume = self.tank.volume_m3().max(0.5);
        // What flows in brings none but what is dosed, and chlorine decays within hours.
        let diluted = self.chlorine_mg_l * (1.0 - share(dt, volume / flow.max(1.0e-6)));
        self.chlorine_mg_l = (diluted + dosed_g / volume) * (1.0 - share(dt, 20_000.0));
    }
}
