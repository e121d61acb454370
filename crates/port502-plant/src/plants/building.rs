//! A building: an air handler warms and renews the air of an office and a hall.
//!
//! ```text
//!   outside > (damper) > [filter] > [fan] > [heating coil] > office
//!                                                          > hall
//! ```
//!
//! The fan follows the CO2, the coil the supply temperature. Shut the damper, or stop the fan, and the CO2 of a full room
//! rises; the filter's alarm comes with dust; a frost guard stops the fan before the coil freezes.

use crate::equipment::{Fan, FanDesign, Filter, Latch, Pid, Room, RoomAir, Valve};
use crate::process::{Model, Variable, command, count, flag, is_on, sensor, state, switch};
use crate::random::{Wander, share, wave};

/// The frost guard.
const FROST_C: f64 = 4.0;
const COIL_W: f64 = 45_000.0;

pub(super) struct Building {
    seconds: f64,
    weather: Wander,
    outside_c: f64,
    visitors: Wander,
    fan: Fan,
    fan_run: bool,
    fan_auto: bool,
    fan_sp: f64,
    co2_sp: f64,
    co2: Pid,
    filter: Filter,
    filter_new: bool,
    damper: Valve,
    damper_sp: f64,
    coil: Valve,
    coil_sp: f64,
    coil_auto: bool,
    supply_sp_c: f64,
    supply_c: f64,
    frost: Latch,
    reset: bool,
    office: Room,
    office_people: f64,
    hall: Room,
    hall_people: f64,
    boiler_c: f64,
    heat_w: f64,
    heat_j: f64,
    power_j: f64,
    light: bool,
}

impl Model for Building {
    const VARIABLES: &'static [Variable<Self>] = &[
        switch("ahu.run", |p| flag(p.fan_run), |p, v| p.fan_run = is_on(v)),
        switch("ahu.auto", |p| flag(p.fan_auto), |p, v| p.fan_auto = is_on(v)),
        switch("ahu.reset", |p| flag(p.reset), |p, v| p.reset = is_on(v)),
        switch("ahu.filter_new", |p| flag(p.filter_new), |p, v| p.filter_new = is_on(v)),
        command("ahu.fan_sp", "%", (0.0, 100.0), |p| p.fan_sp, |p, v| p.fan_sp = v),
        command("ahu.damper_sp", "%", (0.0, 100.0), |p| p.damper_sp, |p, v| p.damper_sp = v),
        command("ahu.supply_sp", "degC", (10.0, 35.0), |p| p.supply_sp_c, |p, v| p.supply_sp_c = v),
        command("ahu.co2_sp", "ppm", (500.0, 1500.0), |p| p.co2_sp, |p, v| p.co2_sp = v),
        sensor("ahu.fan", "%", (0.0, 100.0), 0.0, |p| p.fan.speed * 100.0),
        sensor("ahu.flow", "m3/h", (0.0, 12_000.0), 12.0, |p| p.fan.flow_m3s * 3600.0),
        sensor("ahu.filter_dp", "Pa", (0.0, 1000.0), 0.8, |p| p.filter.drop_pa(p.fan.flow_m3s)),
        sensor("ahu.damper", "%", (0.0, 100.0), 0.0, |p| p.damper.position() * 100.0),
        sensor("ahu.supply", "degC", (-40.0, 80.0), 0.04, |p| p.supply_c),
        sensor("ahu.power", "kW", (0.0, 20.0), 0.01, |p| p.fan.power_w / 1000.0),
        state("ahu.frost", |p| flag(p.frost.is_tripped())),
        switch("coil.auto", |p| flag(p.coil_auto), |p, v| p.coil_auto = is_on(v)),
        command("coil.valve_sp", "%", (0.0, 100.0), |p| p.coil_sp, |p, v| p.coil_sp = v),
        sensor("coil.valve", "%", (0.0, 100.0), 0.0, |p| p.coil.position() * 100.0),
        sensor("coil.water", "degC", (0.0, 120.0), 0.05, |p| p.boiler_c),
        sensor("coil.power", "kW", (0.0, 100.0), 0.03, |p| p.heat_w / 1000.0),
        count("coil.energy", "kWh", |p| p.heat_j / 3.6e6),
        sensor("office.temperature", "degC", (-20.0, 60.0), 0.02, |p| p.office.air.celsius),
        sensor("office.co2", "ppm", (0.0, 5000.0), 4.0, |p| p.office.co2_ppm),
        switch("office.light", |p| flag(p.light), |p, v| p.light = is_on(v)),
        state("office.occupied", |p| flag(p.office_people > 0.5)),
        sensor("hall.temperature", "degC", (-20.0, 60.0), 0.02, |p| p.hall.air.celsius),
        sensor("hall.co2", "ppm", (0.0, 5000.0), 4.0, |p| p.hall.co2_ppm),
        state("hall.occupied", |p| flag(p.hall_people > 0.5)),
        sensor("meter.power", "kW", (0.0, 50.0), 0.01, |p| p.taken_w() / 1000.0),
        count("meter.energy", "kWh", |p| p.power_j / 3.6e6),
        sensor("meter.outside", "degC", (-40.0, 50.0), 0.03, |p| p.outside_c),
    ];

    fn new(seed: u64) -> Self {
        let design = FanDesign { shutoff_pa: 900.0, slope: 40.0, inertia_s: 3.0, efficiency: 0.6 };
        Building {
            seconds: 9.0 * 3600.0,
            weather: Wander::new(seed, "weather", 3600.0),
            outside_c: 4.0,
            visitors: Wander::new(seed, "visitors", 600.0),
            fan: Fan::new(design),
            fan_run: true,
            fan_auto: true,
            fan_sp: 50.0,
            co2_sp: 800.0,
            co2: Pid::new(-0.12, 400.0, 20.0, 100.0).from(40.0),
            filter: Filter::new(35.0, 86_400.0 * 60.0),
            filter_new: false,
            damper: Valve::new(1.0, 60.0),
            damper_sp: 100.0,
            coil: Valve::new(0.3, 40.0),
            coil_sp: 30.0,
            coil_auto: true,
            supply_sp_c: 21.5,
            supply_c: 20.0,
            frost: Latch::default(),
            reset: false,
            office: Room::new(21.0, 900.0, 120.0),
            office_people: 30.0,
            hall: Room::new(20.0, 2400.0, 180.0),
            hall_people: 40.0,
            boiler_c: 60.0,
            heat_w: 0.0,
            heat_j: 7.7e11,
            power_j: 3.2e11,
            light: true,
        }
    }

    fn step(&mut self, dt: f64) {
        self.seconds += dt;
        let day = self.seconds / 86_400.0;
        self.outside_c = 4.0 + 4.0 * wave(day - 0.4) + self.weather.step(dt);
        // People come at eight and leave at five.
        let hours = (day - day.floor()) * 24.0;
        let there = if (8.0..17.0).contains(&hours) { 1.0 } else { 0.0 };
        self.office_people += (32.0 * there - self.office_people) * share(dt, 900.0);
        let hall = (45.0 + 20.0 * self.visitors.step(dt)).max(0.0) * there;
        self.hall_people += (hall - self.hall_people) * share(dt, 600.0);
        self.step_air(dt);
        let air = |people, supply_m3s| RoomAir {
            supply_m3s,
            supply_c: self.supply_c,
            people,
            outside_c: self.outside_c,
        };
        let (office, hall) = (
            air(self.office_people, self.fan.flow_m3s * 0.4),
            air(self.hall_people, self.fan.flow_m3s * 0.6),
        );
        self.office.step(office, dt);
        self.hall.step(hall, dt);
        self.power_j += self.taken_w() * dt;
    }
}

impl Building {
    fn taken_w(&self) -> f64 {
        self.fan.power_w + flag(self.light) * 2400.0 + 60.0 * self.office_people
    }

    fn step_air(&mut self, dt: f64) {
        let frost = self.frost.step(self.supply_c < FROST_C && self.fan.speed > 0.1, self.reset);
        self.reset = false;
        let worst = self.office.co2_ppm.max(self.hall.co2_ppm);
        if self.fan_auto {
            self.fan_sp = self.co2.step(self.co2_sp, worst, dt);
        } else {
            self.co2.follow(self.fan_sp, worst);
        }
        let runs = self.fan_run && !frost;
        self.damper.step(if frost { 0.0 } else { self.damper_sp / 100.0 }, dt);
        self.fan.step(
            if runs { self.fan_sp / 100.0 } else { 0.0 },
            self.filter.resistance(),
            self.damper.position(),
            dt,
        );
        if self.filter_new {
            self.filter.renew();
            self.filter_new = false;
        }
        self.filter.step(self.fan.flow_m3s / 2.5, dt);

        if self.coil_auto {
            self.coil_sp = (self.coil_sp + 0.15 * (self.supply_sp_c - self.supply_c) * dt).clamp(0.0, 100.0);
        }
        self.coil.step(self.coil_sp / 100.0, dt);
        let heat = COIL_W * self.coil.position() * ((self.boiler_c - self.supply_c) / 40.0).clamp(0.0, 1.2);
        self.boiler_c += (60.0 - 6.0 * self.coil.position() - self.boiler_c) * share(dt, 120.0);
        let air_w_k = (self.fan.flow_m3s * 1210.0).max(20.0);
        // No hotter than the water, whatever the flow.
        let after = (self.outside_c + heat / air_w_k).min(self.boiler_c);
        self.heat_w = (after - self.outside_c) * air_w_k;
        self.heat_j += self.heat_w * dt;
        let inlet = if self.fan.flow_m3s > 0.02 { after } else { self.office.air.celsius };
        self.supply_c += (inlet - self.supply_c) * share(dt, 25.0);
    }
}
