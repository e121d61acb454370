//! Electricity: a meter, a breaker, the relay that opens it.

/// The current of a three-phase load, in amperes, from its watts, vars and the voltage between phases.
#[must_use]
pub fn current_a(active_w: f64, reactive_var: f64, volts: f64) -> f64 {
    if volts <= 0.0 {
        return 0.0;
    }
    (active_w * active_w + reactive_var * reactive_var).sqrt() / (3.0_f64.sqrt() * volts)
}

/// What a three-phase meter shows.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Meter {
    /// Between phases.
    pub volts: f64,
    /// Of one phase.
    pub amperes: f64,
    /// Towards the load; below 0 what the load feeds in.
    pub active_w: f64,
    /// Reactive power.
    pub reactive_var: f64,
    /// Taken since the beginning.
    pub import_j: f64,
    /// Given back since the beginning.
    pub export_j: f64,
}

impl Meter {
    /// Lets `dt` seconds pass with this load.
    pub fn step(&mut self, volts: f64, active_w: f64, reactive_var: f64, dt: f64) {
        self.volts = volts;
        (self.active_w, self.reactive_var) = (active_w, reactive_var);
        self.amperes = current_a(active_w, reactive_var, volts);
        self.import_j += active_w.max(0.0) * dt;
        self.export_j += (-active_w).max(0.0) * dt;
    }

    /// Between 0 and 1; 1 without a load.
    #[must_use]
    pub fn power_factor(&self) -> f64 {
        let apparent = (self.active_w * self.active_w + self.reactive_var * self.reactive_var).sqrt();
        if apparent > 0.0 { self.active_w.abs() / apparent } else { 1.0 }
    }
}

/// An overcurrent relay: very inverse by IEC 60255-151, so that twice the pick-up current trips within 13.5 times the time
/// multiplier, and ten times within 1.5 times. At once above the instantaneous stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Relay {
    time_multiplier_s: f64,
    instantaneous: f64,
    /// From 0 to 1, which trips.
    travel: f64,
}

impl Relay {
    /// `instantaneous` is in multiples of the pick-up current.
    #[must_use]
    pub const fn new(time_multiplier_s: f64, instantaneous: f64) -> Self {
        Relay { time_multiplier_s, instantaneous, travel: 0.0 }
    }

    /// Lets `dt` seconds pass with this current; whether it trips now.
    pub fn step(&mut self, amperes: f64, pickup_a: f64, dt: f64) -> bool {
        let multiple = if pickup_a > 0.0 { amperes / pickup_a } else { f64::MAX };
        if multiple > 1.0 {
            self.travel += dt * (multiple - 1.0) / (13.5 * self.time_multiplier_s);
        } else {
            // The disc of the old relays turned back slowly; so does this.
            self.travel = (self.travel - dt / 60.0).max(0.0);
        }
        let trips = self.travel >= 1.0 || multiple >= self.instantaneous;
        if trips {
            self.travel = 0.0;
        }
        trips
    }

    /// How far it is on its way to a trip, 0 to 1.
    #[must_use]
    pub const fn travel(&self) -> f64 {
        self.travel
    }
}

/// A circuit breaker. It opens within a step, and closes only where no trip is latched and its spring is charged.
#[derive(Clone, Debug, PartialEq)]
pub struct Breaker {
    closed: bool,
    charge_s: f64,
    /// How often it has opened.
    pub operations: u32,
}

/// Seconds in which the motor charges the spring for the next closing.
const CHARGE_S: f64 = 15.0;

impl Breaker {
    /// One with a charged spring.
    #[must_use]
    pub const fn new(closed: bool) -> Self {
        Breaker { closed, charge_s: CHARGE_S, operations: 0 }
    }

    /// Lets `dt` seconds pass.
    pub fn step(&mut self, wanted_closed: bool, tripped: bool, dt: f64) {
        self.charge_s = (self.charge_s + dt).min(CHARGE_S);
        if self.closed && (tripped || !wanted_closed) {
            self.closed = false;
            self.operations += 1;
        } else if !self.closed && wanted_closed && !tripped && self.charge_s >= CHARGE_S {
            self.closed = true;
            self.charge_s = 0.0;
        }
    }

    /// Whether current can flow.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether it could be closed.
    #[must_use]
    pub fn is_charged(&self) -> bool {
        self.charge_s >= CHARGE_S
    }
}
