//! A pipeline: a station presses oil products into a line with two block valves, a terminal takes them at the other end, and
//! a leak detection compares what went in with what came out.
//!
//! ```text
//!   tanks > [pump station] ==== (valve1) ==== (valve2) ==== [terminal]
//!               flow, p0          p1 leak?      p2            flow, p3
//! ```
//!
//! Shut a block valve and the pressure before it rises until the pump's high-pressure protection trips it. A leak (a
//! contractor's digger: `leak.hole`, which no register shows) is seen by the mass balance within minutes, and isolated by
//! shutting the valves.

use crate::equipment::{Balance, Latch, Line, LineFlows, Pid, Pump, PumpDesign, Valve};
use crate::process::{Model, Variable, command, count, flag, is_on, sensor, state, switch};
use crate::random::Wander;

/// The pump station's high-pressure protection.
const TRIP_BAR: f64 = 37.0;
const M3H: f64 = 3600.0;
/// Metres of the product for a bar.
const M_BAR: f64 = 12.5;

pub(super) struct Pipeline {
    taking: Wander,
    pump: Pump,
    run: bool,
    speed_sp_hz: f64,
    trip: Latch,
    reset: bool,
    line: Line,
    flows: LineFlows,
    valve1: Valve,
    valve1_open: bool,
    valve2: Valve,
    valve2_open: bool,
    terminal: Valve,
    terminal_auto: bool,
    terminal_sp: f64,
    pressure_sp_bar: f64,
    pressure: Pid,
    delivered_m3: f64,
    sent_m3: f64,
    hole: f64,
    balance: Balance,
    leak_limit_m3h: f64,
    leak_s: f64,
    leak: Latch,
    leak_reset: bool,
    celsius: f64,
}

impl Model for Pipeline {
    const VARIABLES: &'static [Variable<Self>] = &[
        switch("station.run", |p| flag(p.run), |p, v| p.run = is_on(v)),
        switch("station.reset", |p| flag(p.reset), |p, v| p.reset = is_on(v)),
        command("station.speed_sp", "Hz", (0.0, 50.0), |p| p.speed_sp_hz, |p, v| p.speed_sp_hz = v),
        sensor("station.speed", "Hz", (0.0, 60.0), 0.0, |p| p.pump.speed_hz()),
        sensor("station.pressure", "bar", (0.0, 100.0), 0.02, |p| p.line.pressure_bar()[0]),
        sensor("station.flow", "m3/h", (0.0, 1000.0), 0.2, |p| p.flows.in_m3s * M3H),
        sensor("station.power", "kW", (0.0, 2000.0), 0.5, |p| p.pump.power_w / 1000.0),
        state("station.tripped", |p| flag(p.trip.is_tripped())),
        count("station.total", "m3", |p| p.sent_m3),
        switch("valve1.open", |p| flag(p.valve1_open), |p, v| p.valve1_open = is_on(v)),
        sensor("valve1.position", "%", (0.0, 100.0), 0.0, |p| p.valve1.position() * 100.0),
        sensor("valve1.pressure", "bar", (0.0, 100.0), 0.02, |p| p.line.pressure_bar()[1]),
        state("valve1.is_open", |p| flag(p.valve1.position() >= 0.99)),
        state("valve1.is_shut", |p| flag(p.valve1.position() <= 0.01)),
        switch("valve2.open", |p| flag(p.valve2_open), |p, v| p.valve2_open = is_on(v)),
        sensor("valve2.position", "%", (0.0, 100.0), 0.0, |p| p.valve2.position() * 100.0),
        sensor("valve2.pressure", "bar", (0.0, 100.0), 0.02, |p| p.line.pressure_bar()[2]),
        state("valve2.is_open", |p| flag(p.valve2.position() >= 0.99)),
        state("valve2.is_shut", |p| flag(p.valve2.position() <= 0.01)),
        sensor("terminal.pressure", "bar", (0.0, 100.0), 0.02, |p| p.line.pressure_bar()[3]),
        sensor("terminal.flow", "m3/h", (0.0, 1000.0), 0.2, |p| p.flows.out_m3s * M3H),
        sensor("terminal.valve", "%", (0.0, 100.0), 0.0, |p| p.terminal.position() * 100.0),
        sensor("terminal.temperature", "degC", (-20.0, 80.0), 0.02, |p| p.celsius),
        switch("terminal.auto", |p| flag(p.terminal_auto), |p, v| p.terminal_auto = is_on(v)),
        command("terminal.valve_sp", "%", (0.0, 100.0), |p| p.terminal_sp, |p, v| p.terminal_sp = v),
        command(
            "terminal.pressure_sp",
            "bar",
            (2.0, 20.0),
            |p| p.pressure_sp_bar,
            |p, v| p.pressure_sp_bar = v,
        ),
        count("terminal.total", "m3", |p| p.delivered_m3),
        sensor("leak.missing", "m3/h", (-200.0, 200.0), 0.05, |p| p.balance.missing_m3s * M3H),
        sensor("leak.pack", "m3", (0.0, 100_000.0), 0.0, |p| p.line.packed_m3()),
        command("leak.limit", "m3/h", (1.0, 50.0), |p| p.leak_limit_m3h, |p, v| p.leak_limit_m3h = v),
        state("leak.alarm", |p| flag(p.leak.is_tripped())),
        switch("leak.reset", |p| flag(p.leak_reset), |p, v| p.leak_reset = is_on(v)),
        command("leak.hole", "", (0.0, 1.0), |p| p.hole, |p, v| p.hole = v),
    ];

    fn new(seed: u64) -> Self {
        let design =
            PumpDesign { shutoff_m: 680.0, slope: 6.0e3, ramp_hz_s: 2.0, efficiency: 0.75, idle_w: 20_000.0 };
        Pipeline {
            taking: Wander::new(seed, "terminal", 120.0),
            pump: Pump::new(design),
            run: true,
            speed_sp_hz: 42.0,
            trip: Latch::default(),
            reset: false,
            line: Line::new(12.0, 0.35, 600.0),
            flows: LineFlows { in_m3s: 0.0, out_m3s: 0.0, leak_m3s: 0.0 },
            valve1: Valve::new(1.0, 45.0),
            valve1_open: true,
            valve2: Valve::new(1.0, 45.0),
            valve2_open: true,
            terminal: Valve::new(0.4, 20.0),
            terminal_auto: true,
            terminal_sp: 40.0,
            pressure_sp_bar: 8.0,
            // Open more and the pressure falls.
            pressure: Pid::new(-1.5, 20.0, 0.0, 100.0).from(40.0),
            delivered_m3: 902_113.0,
            sent_m3: 902_140.0,
            hole: 0.0,
            balance: Balance::new(60.0),
            leak_limit_m3h: 6.0,
            leak_s: 0.0,
            leak: Latch::default(),
            leak_reset: false,
            celsius: 14.0,
        }
    }

    fn step(&mut self, dt: f64) {
        let [p0, _, _, p3] = self.line.pressure_bar();
        let tripped = self.trip.step(p0 >= TRIP_BAR, self.reset && p0 < TRIP_BAR - 8.0);
        self.reset = false;
        self.pump.drive(if self.run && !tripped { self.speed_sp_hz } else { 0.0 }, dt);
        if self.terminal_auto {
            self.terminal_sp = self.pressure.step(self.pressure_sp_bar, p3, dt);
        } else {
            self.pressure.follow(self.terminal_sp, p3);
        }
        self.terminal.step(self.terminal_sp / 100.0, dt);
        self.valve1.step(flag(self.valve1_open), dt);
        self.valve2.step(flag(self.valve2_open), dt);

        let (pump, speed) = (&self.pump, self.pump.speed_hz());
        // The tanks stand a little higher than the line.
        let press = |bar: f64| pump.flow_at(speed, (bar - 1.0).max(0.0) * M_BAR, 200.0);
        let opening = self.terminal.position() * (1.0 + 0.02 * self.taking.step(dt));
        let take = |bar: f64| 0.06 * opening * bar.max(0.0).sqrt();
        let valves = [self.valve1.position(), self.valve2.position()];
        self.flows = self.line.step(press, take, valves, self.hole * 0.01, dt);
        self.pump.moved(self.flows.in_m3s);
        self.sent_m3 += self.flows.in_m3s * dt;
        self.delivered_m3 += self.flows.out_m3s * dt;
        self.celsius = 14.0 + 0.3 * self.taking.value();

        let missing =
            self.balance.step(self.flows.in_m3s, self.flows.out_m3s, self.line.packed_m3(), dt) * M3H;
        // An alarm that comes by itself is believed by nobody: only what lasts half a minute is a leak.
        self.leak_s = if missing > self.leak_limit_m3h { self.leak_s + dt } else { 0.0 };
        self.leak.step(self.leak_s > 30.0, self.leak_reset);
        self.leak_reset = false;
    }
}
