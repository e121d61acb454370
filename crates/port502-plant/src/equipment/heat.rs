//! Heat: bodies that hold it, a boiler, a heat exchanger, the curve by which a station is run.

use crate::random::share;

/// What a kilogram of water takes to become a kelvin warmer.
pub const WATER_J_KG_K: f64 = 4186.0;

/// Something with one temperature throughout: the water of a boiler, of a circuit, the air and walls of a room.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// In degrees Celsius.
    pub celsius: f64,
    capacity_j_k: f64,
}

impl Body {
    /// A body that takes `capacity_j_k` joules for a kelvin.
    #[must_use]
    pub const fn new(celsius: f64, capacity_j_k: f64) -> Self {
        Body { celsius, capacity_j_k }
    }

    /// Lets `dt` seconds pass with `power_w` coming in, while it touches surroundings of `around` degrees through
    /// `conductance_w_k`. Implicit in the latter: it never goes past them, however long the step. Returns the joules that
    /// came in from the surroundings.
    pub fn step(&mut self, power_w: f64, around: f64, conductance_w_k: f64, dt: f64) -> f64 {
        let heated = self.celsius + power_w * dt / self.capacity_j_k;
        let tau = if conductance_w_k > 0.0 { self.capacity_j_k / conductance_w_k } else { f64::MAX };
        let after = heated + (around - heated) * share(dt, tau);
        self.celsius = after;
        (after - heated) * self.capacity_j_k
    }

    /// The heat in it above 0 degrees.
    #[must_use]
    pub fn heat_j(&self) -> f64 {
        self.celsius * self.capacity_j_k
    }
}

/// The heat that goes over in a counter-flow exchanger of fixed effectiveness, in watts: never more than would bring the
/// weaker stream to the inlet temperature of the other, and never from cold to warm.
#[must_use]
pub fn exchange_w(effectiveness: f64, hot_kg_s: f64, hot_c: f64, cold_kg_s: f64, cold_c: f64) -> f64 {
    let weaker_w_k = hot_kg_s.min(cold_kg_s).max(0.0) * WATER_J_KG_K;
    effectiveness.clamp(0.0, 1.0) * weaker_w_k * (hot_c - cold_c).max(0.0)
}

/// A gas boiler: a burner that modulates, water that it heats, a limiter that locks it out.
#[derive(Clone, Debug, PartialEq)]
pub struct Boiler {
    /// Its water; the supply temperature.
    pub water: Body,
    rated_w: f64,
    efficiency: f64,
    /// 0 to 1.
    pub firing: f64,
    /// What the gas brings, in watts.
    pub fuel_w: f64,
    /// Joules of gas since the beginning.
    pub fuel_j: f64,
}

impl Boiler {
    /// A boiler for `rated_w`, of which `efficiency` arrives in the water.
    #[must_use]
    pub const fn new(celsius: f64, capacity_j_k: f64, rated_w: f64, efficiency: f64) -> Self {
        let water = Body::new(celsius, capacity_j_k);
        Boiler { water, rated_w, efficiency, firing: 0.0, fuel_w: 0.0, fuel_j: 0.0 }
    }

    /// Fires at `wanted` (0 to 1; below a fifth it cannot burn) for `dt` seconds, while `flow_kg_s` of water comes back at
    /// `return_c`. Returns the watts that the stream took with it.
    pub fn step(&mut self, wanted: f64, flow_kg_s: f64, return_c: f64, dt: f64) -> f64 {
        let wanted = if wanted < 0.2 { 0.0 } else { wanted.min(1.0) };
        self.firing += (wanted - self.firing) * share(dt, 5.0);
        self.fuel_w = self.rated_w * self.firing;
        self.fuel_j += self.fuel_w * dt;
        let into_stream = flow_kg_s.max(0.0) * WATER_J_KG_K;
        let from_stream_j = self.water.step(self.fuel_w * self.efficiency, return_c, into_stream, dt);
        if dt > 0.0 { -from_stream_j / dt } else { 0.0 }
    }
}

/// A heating curve: the colder outside, the hotter the supply; straight between its points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curve {
    /// Outside and supply temperature of the cold end.
    pub cold: (f64, f64),
    /// Of the mild end.
    pub mild: (f64, f64),
}

impl Curve {
    /// The supply temperature for an outside temperature, never beyond the ends'.
    #[must_use]
    pub fn supply(&self, outside: f64) -> f64 {
        let ((cold, hot), (mild, warm)) = (self.cold, self.mild);
        let share = ((outside - cold) / (mild - cold)).clamp(0.0, 1.0);
        hot + (warm - hot) * share
    }
}
