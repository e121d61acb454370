//! A process: named variables that devices show and set, and the physics between them.
//!
//! A variable is called as a tag of the site is: `intake.level` is the tag `level` of the device `intake`. So a plant
//! needs no other binding than its site file, and a device that the process does not know is simulated on its own.

use crate::random::Random;

/// One variable of a process `P`: a row of its table.
pub struct Variable<P> {
    /// As in the site file: `device.tag`.
    pub name: &'static str,
    /// What it is measured in; empty for states and counts.
    pub unit: &'static str,
    /// What the sensor can show, or what the actuator takes.
    pub range: (f64, f64),
    /// The standard deviation of the sensor's noise, in its unit.
    pub noise: f64,
    /// Its true value.
    pub read: fn(&P) -> f64,
    /// How it is set; `None` for what is only measured.
    pub write: Option<fn(&mut P, f64)>,
}

/// A measured variable.
pub(crate) const fn sensor<P>(
    name: &'static str,
    unit: &'static str,
    range: (f64, f64),
    noise: f64,
    read: fn(&P) -> f64,
) -> Variable<P> {
    Variable { name, unit, range, noise, read, write: None }
}

/// A state that is on or off.
pub(crate) const fn state<P>(name: &'static str, read: fn(&P) -> f64) -> Variable<P> {
    sensor(name, "", (0.0, 1.0), 0.0, read)
}

/// A count that only rises.
pub(crate) const fn count<P>(name: &'static str, unit: &'static str, read: fn(&P) -> f64) -> Variable<P> {
    sensor(name, unit, (0.0, 9_007_199_254_740_992.0), 0.0, read)
}

/// A set-point.
pub(crate) const fn command<P>(
    name: &'static str,
    unit: &'static str,
    range: (f64, f64),
    read: fn(&P) -> f64,
    write: fn(&mut P, f64),
) -> Variable<P> {
    Variable { name, unit, range, noise: 0.0, read, write: Some(write) }
}

/// A switch.
pub(crate) const fn switch<P>(
    name: &'static str,
    read: fn(&P) -> f64,
    write: fn(&mut P, f64),
) -> Variable<P> {
    command(name, "", (0.0, 1.0), read, write)
}

/// 1 for on.
pub(crate) const fn flag(on: bool) -> f64 {
    if on { 1.0 } else { 0.0 }
}

/// Whether a switch is on.
pub(crate) const fn is_on(value: f64) -> bool {
    value >= 0.5
}

/// The physics of a plant, as its author writes it: a state, a table of variables, a step.
pub(crate) trait Model: Send + Sized + 'static {
    /// Every variable.
    const VARIABLES: &'static [Variable<Self>];

    /// The plant as it is found; the same seed brings the same weather and demand.
    fn new(seed: u64) -> Self;

    /// Lets `dt` seconds pass.
    fn step(&mut self, dt: f64);
}

/// What is known of a variable without its process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// As in the site file: `device.tag`.
    pub name: &'static str,
    /// What it is measured in.
    pub unit: &'static str,
    /// What the sensor can show, or what the actuator takes.
    pub range: (f64, f64),
    /// The standard deviation of the sensor's noise.
    pub noise: f64,
    /// Whether it can be set.
    pub is_command: bool,
}

/// Any process.
trait Erased: Send {
    fn facts(&self, variable: usize) -> Option<Facts>;
    fn read(&self, variable: usize) -> f64;
    fn write(&mut self, variable: usize, value: f64);
    fn step(&mut self, dt: f64);
}

impl<M: Model> Erased for M {
    fn facts(&self, variable: usize) -> Option<Facts> {
        M::VARIABLES.get(variable).map(|row| Facts {
            name: row.name,
            unit: row.unit,
            range: row.range,
            noise: row.noise,
            is_command: row.write.is_some(),
        })
    }

    fn read(&self, variable: usize) -> f64 {
        M::VARIABLES.get(variable).map_or(0.0, |row| (row.read)(self))
    }

    fn write(&mut self, variable: usize, value: f64) {
        if let Some(row) = M::VARIABLES.get(variable)
            && let Some(write) = row.write
        {
            write(self, value);
        }
    }

    fn step(&mut self, dt: f64) {
        Model::step(self, dt);
    }
}

/// Which variable of a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VariableId(usize);

/// A sensor: what it shows is what is true, with noise, within its range.
#[derive(Clone, Debug)]
struct Sensor {
    random: Random,
    shown: f64,
}

/// A running process.
pub struct Process {
    model: Box<dyn Erased>,
    sensors: Vec<(Facts, Sensor)>,
    /// Steps taken.
    steps: u64,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").field("steps", &self.steps).finish_non_exhaustive()
    }
}

/// The step of every process: a tenth of a second, whatever the speed. Fixed, so that a trace depends on nothing else.
pub const STEP_S: f64 = 0.1;

/// Ten minutes that have passed when a plant is found.
const WARM_UP_STEPS: u32 = 6_000;

impl Process {
    pub(crate) fn new<M: Model>(seed: u64) -> Self {
        let model: Box<dyn Erased> = Box::new(M::new(seed));
        let sensors = (0..)
            .map_while(|at| model.facts(at))
            .enumerate()
            .map(|(at, facts)| {
                let shown = model.read(at);
                (facts, Sensor { random: Random::named(seed, facts.name), shown })
            })
            .collect();
        let mut process = Process { model, sensors, steps: 0 };
        // Pumps run up, controllers settle: a plant is found in operation.
        (0..WARM_UP_STEPS).for_each(|_| process.step());
        process.steps = 0;
        process
    }

    /// Every variable.
    pub fn variables(&self) -> impl ExactSizeIterator<Item = (VariableId, Facts)> + '_ {
        self.sensors.iter().enumerate().map(|(at, (facts, _))| (VariableId(at), *facts))
    }

    /// The variable of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(VariableId, Facts)> {
        self.variables().find(|(_, facts)| facts.name == name)
    }

    /// What its sensor shows.
    #[must_use]
    pub fn shown(&self, variable: VariableId) -> f64 {
        self.sensors.get(variable.0).map_or(0.0, |(_, sensor)| sensor.shown)
    }

    /// What is true.
    #[must_use]
    pub fn truth(&self, variable: VariableId) -> f64 {
        self.model.read(variable.0)
    }

    /// Sets a variable, within what its actuator takes. Not a number, and what is only measured, changes nothing.
    pub fn command(&mut self, variable: VariableId, value: f64) {
        if let Some((facts, sensor)) = self.sensors.get_mut(variable.0)
            && facts.is_command
            && !value.is_nan()
        {
            self.model.write(variable.0, value.clamp(facts.range.0, facts.range.1));
            // A set-point is shown as it stands, without waiting for a step.
            sensor.shown = self.model.read(variable.0);
        }
    }

    /// Lets one step of [`STEP_S`] pass.
    pub fn step(&mut self) {
        self.model.step(STEP_S);
        self.steps += 1;
        for (at, (facts, sensor)) in self.sensors.iter_mut().enumerate() {
            let (low, high) = facts.range;
            let noise = if facts.noise > 0.0 { facts.noise * sensor.random.gauss() } else { 0.0 };
            sensor.shown = (self.model.read(at) + noise).clamp(low, high);
        }
    }

    /// Seconds that have passed.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        // Counted, not summed: a sum of tenths drifts.
        self.steps as f64 * STEP_S
    }
}
