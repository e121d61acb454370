//! The plant behind the demo: a tank that a pump fills and a town empties.
//!
//! The level is the integral of what comes in less what goes out. Who writes the coils or the speed sees it
//! answer: close the outlet and it rises, until the pump trips to keep the tank from flowing over.

/// What operators and their programs set.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Controls {
    pub(super) pump_run: bool,
    pub(super) outlet_open: bool,
    /// 0 to 50.
    pub(super) speed_hz: f64,
}

/// The plant's state.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Tank {
    pub(super) level_m: f64,
    pub(super) inflow_m3h: f64,
    pub(super) outflow_m3h: f64,
    pub(super) power_kw: f64,
    pub(super) pumped_l: f64,
    pub(super) tripped: bool,
    /// Of the day that the town's demand follows.
    seconds: f64,
    random: u64,
}

/// Base area.
const AREA_M2: f64 = 12.0;
/// Where the tank flows over.
pub(super) const HEIGHT_M: f64 = 5.0;
/// The pump trips here, and stays tripped until the level has fallen to [`RESET_M`].
const TRIP_M: f64 = 4.8;
const RESET_M: f64 = 4.0;
pub(super) const HIGH_M: f64 = 4.5;
pub(super) const LOW_M: f64 = 0.8;
/// What the pump brings at 50 Hz.
const PUMP_M3H: f64 = 60.0;
/// What it takes for that, and running idle.
const PUMP_KW: f64 = 11.0;
/// The flow through the open outlet under one metre of water.
const OUTLET_M3H: f64 = 25.0;
/// The pump follows its set speed with this time constant.
const INERTIA_S: f64 = 2.0;
/// A day of the demo's town, in seconds: short, so that a visitor sees it.
const DAY_S: f64 = 600.0;

impl Tank {
    pub(super) fn new(seed: u64) -> Self {
        Tank {
            level_m: 2.5,
            inflow_m3h: 0.0,
            outflow_m3h: 0.0,
            power_kw: 0.0,
            pumped_l: 0.0,
            tripped: false,
            seconds: 0.0,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        }
    }

    /// Noise between -1 and 1, the same for the same seed.
    fn noise(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 40) as f64 / f64::from(1 << 23) - 1.0
    }

    /// Lets `seconds` pass.
    pub(super) fn step(&mut self, controls: Controls, seconds: f64) {
        self.seconds += seconds;
        self.tripped = self.level_m >= TRIP_M || (self.tripped && self.level_m > RESET_M);
        let runs = controls.pump_run && !self.tripped;
        let share = if runs { controls.speed_hz.clamp(0.0, 50.0) / 50.0 } else { 0.0 };
        let follow = (seconds / INERTIA_S).min(1.0);
        let noise = if share > 0.0 { 0.01 * self.noise() } else { 0.0 };
        self.inflow_m3h += (PUMP_M3H * share * (1.0 + noise) - self.inflow_m3h) * follow;
        // By the affinity laws power goes with the third power of the speed.
        self.power_kw += (PUMP_KW * share.powi(3) - self.power_kw) * follow;
        let day = (self.seconds / DAY_S * std::f64::consts::TAU).sin();
        let demand = 1.0 + 0.4 * day + 0.02 * self.noise();
        let wanted =
            if controls.outlet_open { OUTLET_M3H * self.level_m.max(0.0).sqrt() * demand } else { 0.0 };
        self.outflow_m3h = wanted.max(0.0);
        let change_m3 = (self.inflow_m3h - self.outflow_m3h) * seconds / 3600.0;
        self.level_m = (self.level_m + change_m3 / AREA_M2).clamp(0.0, HEIGHT_M);
        self.pumped_l += self.inflow_m3h * seconds / 3.6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMAL: Controls = Controls { pump_run: true, outlet_open: true, speed_hz: 42.0 };

    fn after(controls: Controls, minutes: u32) -> Tank {
        let mut tank = Tank::new(1);
        (0..minutes * 600).for_each(|_| tank.step(controls, 0.1));
        tank
    }

    #[test]
    fn a_closed_outlet_fills_the_tank_until_the_pump_trips() {
        let tank = after(Controls { outlet_open: false, ..NORMAL }, 60);
        assert!(tank.tripped);
        assert!((TRIP_M..HEIGHT_M).contains(&tank.level_m), "{tank:?}");
        assert!(tank.inflow_m3h < 0.1);
    }

    #[test]
    fn without_the_pump_it_runs_empty() {
        let tank = after(Controls { pump_run: false, ..NORMAL }, 240);
        assert!(tank.level_m < LOW_M, "{tank:?}");
        assert!(tank.pumped_l < 1.0);
    }

    #[test]
    fn what_comes_in_and_does_not_go_out_is_in_the_tank() {
        let before = Tank::new(3);
        let mut tank = before;
        let mut balance_m3 = 0.0;
        for _ in 0..6000 {
            tank.step(NORMAL, 0.1);
            balance_m3 += (tank.inflow_m3h - tank.outflow_m3h) * 0.1 / 3600.0;
        }
        assert!((tank.level_m - before.level_m - balance_m3 / AREA_M2).abs() < 1e-6);
    }

    #[test]
    fn one_seed_one_story() {
        assert_eq!(after(NORMAL, 2), after(NORMAL, 2));
    }
}
