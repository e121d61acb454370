//! Air: a fan against a filter, and the air of a room.

use crate::equipment::Body;
use crate::random::share;

/// What a cubic metre of air takes to become a kelvin warmer.
const AIR_J_M3_K: f64 = 1210.0;

/// What fresh air has in CO2.
const OUTSIDE_PPM: f64 = 420.0;

/// A filter: the more dust, the more it resists.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    clean: f64,
    dust: f64,
    /// Seconds at full flow in which it doubles its resistance.
    doubles_s: f64,
}

impl Filter {
    /// `clean` is its resistance when new, in Pa per (m3/s)^2.
    #[must_use]
    pub const fn new(clean: f64, doubles_s: f64) -> Self {
        Filter { clean, dust: 0.0, doubles_s }
    }

    /// Collects dust from a flow, as a share of the design flow.
    pub fn step(&mut self, load: f64, dt: f64) {
        self.dust += load.max(0.0) * dt / self.doubles_s;
    }

    /// A new one.
    pub const fn renew(&mut self) {
        self.dust = 0.0;
    }

    /// In Pa per (m3/s)^2.
    #[must_use]
    pub fn resistance(&self) -> f64 {
        self.clean * (1.0 + self.dust)
    }

    /// What it takes from the pressure at a flow.
    #[must_use]
    pub fn drop_pa(&self, flow_m3s: f64) -> f64 {
        self.resistance() * flow_m3s * flow_m3s
    }
}

/// What a fan was built for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FanDesign {
    /// Pressure against a shut damper at full speed.
    pub shutoff_pa: f64,
    /// The pressure falls by this times the flow squared.
    pub slope: f64,
    /// Time constant of its speed.
    pub inertia_s: f64,
    /// Of the power, what arrives in the air.
    pub efficiency: f64,
}

/// A fan against filter, duct and damper.
#[derive(Clone, Debug, PartialEq)]
pub struct Fan {
    design: FanDesign,
    /// 0 to 1.
    pub speed: f64,
    /// What it moves.
    pub flow_m3s: f64,
    /// What it takes from the grid.
    pub power_w: f64,
}

impl Fan {
    /// One that stands still.
    #[must_use]
    pub const fn new(design: FanDesign) -> Self {
        Fan { design, speed: 0.0, flow_m3s: 0.0, power_w: 0.0 }
    }

    /// Drives it towards `wanted` (0 to 1) against `resistance` (Pa per (m3/s)^2) and a damper, 0 shut to 1 open.
    pub fn step(&mut self, wanted: f64, resistance: f64, damper: f64, dt: f64) {
        self.speed += (wanted.clamp(0.0, 1.0) - self.speed) * share(dt, self.design.inertia_s);
        let pressure = self.design.shutoff_pa * self.speed * self.speed;
        let opening = damper.clamp(0.0, 1.0);
        // A damper that is nearly shut lets nearly nothing through: its resistance goes with 1 / opening^2.
        let flow = (pressure / (self.design.slope + resistance.max(0.0))).sqrt() * opening;
        self.flow_m3s = flow;
        let rise = (pressure - self.design.slope * flow * flow).max(0.0);
        self.power_w = rise * flow / self.design.efficiency + 40.0 * self.speed * self.speed * self.speed;
    }
}

/// What happens to a room in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoomAir {
    /// Fresh air that comes in; as much goes out.
    pub supply_m3s: f64,
    /// Its temperature.
    pub supply_c: f64,
    /// Who breathes and warms.
    pub people: f64,
    /// Outside.
    pub outside_c: f64,
}

/// The air of a room, well mixed, and the walls with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    /// Its temperature.
    pub air: Body,
    volume_m3: f64,
    wall_w_k: f64,
    /// CO2, in parts of a million.
    pub co2_ppm: f64,
}

impl Room {
    /// A room that loses `wall_w_k` watts for a kelvin to the outside.
    #[must_use]
    pub fn new(celsius: f64, volume_m3: f64, wall_w_k: f64) -> Self {
        // Furniture and the face of the walls hold ten times what the air does.
        let air = Body::new(celsius, volume_m3 * AIR_J_M3_K * 10.0);
        Room { air, volume_m3, wall_w_k, co2_ppm: OUTSIDE_PPM }
    }

    /// Lets `dt` seconds pass.
    pub fn step(&mut self, air: RoomAir, dt: f64) {
        // A person gives off some 80 W of heat, and 5 ml of CO2 a second.
        let supply_w_k = air.supply_m3s.max(0.0) * AIR_J_M3_K;
        let conductance = supply_w_k + self.wall_w_k;
        let around = if conductance > 0.0 {
            (supply_w_k * air.supply_c + self.wall_w_k * air.outside_c) / conductance
        } else {
            self.air.celsius
        };
        self.air.step(80.0 * air.people, around, conductance, dt);
        self.co2_ppm += air.people * 5.0e-6 * dt / self.volume_m3 * 1e6;
        // Draughts change the air a little even when the fan stands.
        let change_m3s = air.supply_m3s.max(0.0) + self.volume_m3 * 0.1 / 3600.0;
        self.co2_ppm += (OUTSIDE_PPM - self.co2_ppm) * share(dt, self.volume_m3 / change_m3s);
    }
}
