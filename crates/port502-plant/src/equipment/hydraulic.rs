//! Water: tanks, pumps, valves.

use crate::random::share;

/// An open vessel: its volume is the integral of what comes in less what goes out.
#[derive(Clone, Debug, PartialEq)]
pub struct Tank {
    area_m2: f64,
    height_m: f64,
    volume_m3: f64,
    /// What ran over the rim since the beginning.
    pub overflowed_m3: f64,
}

/// What one step of a tank came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flows {
    /// What left through the outlet; less than was asked for when there was not so much.
    pub out_m3s: f64,
    /// What ran over the rim.
    pub over_m3s: f64,
}

impl Tank {
    /// A tank with this base and height, filled to `level_m`.
    #[must_use]
    pub fn new(area_m2: f64, height_m: f64, level_m: f64) -> Self {
        let volume_m3 = level_m.clamp(0.0, height_m) * area_m2;
        Tank { area_m2, height_m, volume_m3, overflowed_m3: 0.0 }
    }

    /// Lets `dt` seconds pass with these flows asked for, neither below 0.
    pub fn step(&mut self, in_m3s: f64, out_m3s: f64, dt: f64) -> Flows {
        let there = self.volume_m3 + in_m3s.max(0.0) * dt;
        let out_m3 = (out_m3s.max(0.0) * dt).min(there);
        let left = there - out_m3;
        let over_m3 = (left - self.area_m2 * self.height_m).max(0.0);
        self.volume_m3 = left - over_m3;
        self.overflowed_m3 += over_m3;
        if dt > 0.0 {
            Flows { out_m3s: out_m3 / dt, over_m3s: over_m3 / dt }
        } else {
            Flows { out_m3s: 0.0, over_m3s: 0.0 }
        }
    }

    /// Between 0 and the height.
    #[must_use]
    pub fn level_m(&self) -> f64 {
        self.volume_m3 / self.area_m2
    }

    /// What is in it.
    #[must_use]
    pub const fn volume_m3(&self) -> f64 {
        self.volume_m3
    }
}

/// A valve with a motor: it takes its time from shut to open.
#[derive(Clone, Debug, PartialEq)]
pub struct Valve {
    /// 0 shut, 1 open.
    position: f64,
    stroke_s: f64,
}

impl Valve {
    /// A valve that travels from shut to open in `stroke_s` seconds, now at `position`.
    #[must_use]
    pub const fn new(position: f64, stroke_s: f64) -> Self {
        Valve { position, stroke_s }
    }

    /// Moves towards `wanted` (0 to 1) for `dt` seconds.
    pub fn step(&mut self, wanted: f64, dt: f64) {
        let reach = if self.stroke_s > 0.0 { dt / self.stroke_s } else { 1.0 };
        let way = (wanted.clamp(0.0, 1.0) - self.position).clamp(-reach, reach);
        self.position = (self.position + way).clamp(0.0, 1.0);
    }

    /// 0 shut, 1 open.
    #[must_use]
    pub const fn position(&self) -> f64 {
        self.position
    }
}

/// What a pump was built for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PumpDesign {
    /// Head against a shut valve at 50 Hz.
    pub shutoff_m: f64,
    /// The head falls by this times the flow squared, in m per (m3/s)^2.
    pub slope: f64,
    /// How fast the drive changes its frequency.
    pub ramp_hz_s: f64,
    /// Of the hydraulic power, what the motor takes more: 0.7 means 70 % arrive in the water.
    pub efficiency: f64,
    /// What motor and drive take while they turn and nothing flows, at 50 Hz.
    pub idle_w: f64,
}

/// A centrifugal pump behind a frequency converter, by the affinity laws: flow with the speed, head with its square,
/// power with its cube.
#[derive(Clone, Debug, PartialEq)]
pub struct Pump {
    design: PumpDesign,
    speed_hz: f64,
    /// What it moves.
    pub flow_m3s: f64,
    /// What it adds to the water's pressure, as metres of water.
    pub head_m: f64,
    /// What it takes from the grid.
    pub power_w: f64,
    /// Seconds that it has turned.
    pub run_s: f64,
    /// How often it was started.
    pub starts: u32,
}

const GRAVITY: f64 = 9.81;
const WATER_KG_M3: f64 = 1000.0;

impl Pump {
    /// A pump that stands still.
    #[must_use]
    pub const fn new(design: PumpDesign) -> Self {
        Pump { design, speed_hz: 0.0, flow_m3s: 0.0, head_m: 0.0, power_w: 0.0, run_s: 0.0, starts: 0 }
    }

    /// What drives the water at `speed_hz` against `static_m` metres of height and a pipe of `resistance` (m per
    /// (m3/s)^2): where the curves of pump and pipe meet.
    #[must_use]
    pub fn flow_at(&self, speed_hz: f64, static_m: f64, resistance: f64) -> f64 {
        let speed = speed_hz / 50.0;
        let spare = self.design.shutoff_m * speed * speed - static_m;
        // A pump that does not reach the height moves nothing; a check valve keeps the water from coming back.
        if spare <= 0.0 { 0.0 } else { (spare / (self.design.slope + resistance.max(0.0))).sqrt() }
    }

    /// Drives the motor towards `wanted_hz` for `dt` seconds, 0 to stop.
    pub fn drive(&mut self, wanted_hz: f64, dt: f64) {
        let was_still = self.speed_hz <= 0.0;
        let reach = self.design.ramp_hz_s * dt;
        self.speed_hz += (wanted_hz.max(0.0) - self.speed_hz).clamp(-reach, reach);
        if self.speed_hz > 0.0 {
            self.run_s += dt;
            self.starts += u32::from(was_still);
        }
    }

    /// The flow that came of it: `flow_m3s` is what the pipe let through.
    pub fn moved(&mut self, flow_m3s: f64) {
        let speed = self.speed_hz / 50.0;
        self.flow_m3s = flow_m3s;
        self.head_m =
            (self.design.shutoff_m * speed * speed - self.design.slope * flow_m3s * flow_m3s).max(0.0);
        let hydraulic_w = WATER_KG_M3 * GRAVITY * self.flow_m3s * self.head_m;
        self.power_w = hydraulic_w / self.design.efficiency + self.design.idle_w * speed * speed * speed;
    }

    /// What it gives to the water, in watts; never more than it takes.
    #[must_use]
    pub fn hydraulic_w(&self) -> f64 {
        WATER_KG_M3 * GRAVITY * self.flow_m3s * self.head_m
    }

    /// The frequency at which it turns.
    #[must_use]
    pub const fn speed_hz(&self) -> f64 {
        self.speed_hz
    }

    /// Without water it loses its prime: what it moves dies away.
    pub fn run_dry(&mut self, dt: f64) {
        let left = self.flow_m3s * (1.0 - share(dt, 1.0));
        self.moved(left);
    }
}
