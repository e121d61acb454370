//! What steers: a PID controller, and the latch of a protection.

/// A PID controller with limits. The integral stands still while the output is at a limit (no wind-up), the derivative
/// is of the measurement (no kick when the set-point is changed), and it takes over from a hand without a jump.
#[derive(Clone, Debug, PartialEq)]
pub struct Pid {
    gain: f64,
    integral_s: f64,
    derivative_s: f64,
    low: f64,
    high: f64,
    integral: f64,
    last: Option<f64>,
    output: f64,
}

impl Pid {
    /// `gain` is output per unit of error, negative where more output brings the measurement down; `integral_s` the reset
    /// time; the output stays within `low` and `high`.
    #[must_use]
    pub const fn new(gain: f64, integral_s: f64, low: f64, high: f64) -> Self {
        Pid { gain, integral_s, derivative_s: 0.0, low, high, integral: low, last: None, output: low }
    }

    /// The same with a derivative time.
    #[must_use]
    pub const fn with_derivative(self, derivative_s: f64) -> Self {
        Pid { derivative_s, ..self }
    }

    /// Starts as if the output had been `output` for long.
    #[must_use]
    pub const fn from(self, output: f64) -> Self {
        Pid { integral: output, output, ..self }
    }

    /// Other limits from now on.
    pub const fn limit(&mut self, low: f64, high: f64) {
        self.low = low;
        self.high = if high < low { low } else { high };
    }

    /// The output for the next `dt` seconds.
    pub fn step(&mut self, set_point: f64, measured: f64, dt: f64) -> f64 {
        let error = set_point - measured;
        let change = self.last.map_or(0.0, |last| if dt > 0.0 { (measured - last) / dt } else { 0.0 });
        self.last = Some(measured);
        let proportional = self.gain * (error - self.derivative_s * change);
        let step = if self.integral_s > 0.0 { self.gain * error * dt / self.integral_s } else { 0.0 };
        let wanted = self.integral + step + proportional;
        let pushes_out = (wanted > self.high && step > 0.0) || (wanted < self.low && step < 0.0);
        if !pushes_out {
            self.integral += step;
        }
        // However the limits moved meanwhile, it is not further away than the whole range.
        let range = self.high - self.low;
        self.integral = self.integral.clamp(self.low - range, self.high + range);
        self.output = (self.integral + proportional).clamp(self.low, self.high);
        self.output
    }

    /// Somebody else steers: follows `output`, so that nothing jumps when it takes over again.
    pub fn follow(&mut self, output: f64, measured: f64) {
        self.integral = output;
        self.output = output.clamp(self.low, self.high);
        self.last = Some(measured);
    }

    /// What it last said.
    #[must_use]
    pub const fn output(&self) -> f64 {
        self.output
    }
}

/// A protection that stays tripped until somebody resets it, and cannot be reset while its cause is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Latch {
    tripped: bool,
}

impl Latch {
    /// `cause` trips it; `reset` clears it where there is no cause. Returns whether it is tripped.
    pub const fn step(&mut self, cause: bool, reset: bool) -> bool {
        if cause {
            self.tripped = true;
        } else if reset {
            self.tripped = false;
        }
        self.tripped
    }

    /// Whether it is tripped.
    #[must_use]
    pub const fn is_tripped(self) -> bool {
        self.tripped
    }
}
