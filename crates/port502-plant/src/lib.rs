//! Simulated plants behind Modbus.
//!
//! ```text
//!   running         servers and a clock                                    drill     an attacker, for one's own plant
//!   service         requests in, answers out, faults as bytes              replay    devices that answer as others did
//!                                                                          record    what is asked and answered, as a capture
//!   ------------------------- below: no sockets, no clock -------------------------
//!   simulation      devices with registers, the process behind them, what goes wrong and when
//!   map, fault      which devices and tags there are; a schedule of faults
//!   plants          six processes with their site files
//!   process         named variables, sensors with noise
//!   equipment       tanks, pumps, boilers, breakers, belts, ...: physics, stepped by hand
//!   random          chance that is the same on every machine
//! ```
//!
//! A person who writes registers sees physics answer:
//!
//! ```
//! use port502_plant::plants;
//!
//! let mut water = plants::find("water").expect("there is one").process(1);
//! let (outlet, _) = water.find("tank.outlet_sp").expect("a set-point of the tank");
//! let (level, _) = water.find("tank.level").expect("a sensor of the tank");
//! let before = water.shown(level);
//! water.command(outlet, 0.0);
//! (0..3000).for_each(|_| water.step()); // five minutes
//! assert!(water.shown(level) > before);
//! ```

mod codec;
pub mod drill;
pub mod equipment;
pub mod fault;
pub mod map;
pub mod plants;
pub mod process;
pub mod random;
pub mod record;
pub mod replay;
pub mod running;
pub mod service;
pub mod simulation;

pub use fault::Schedule;
pub use map::Map;
pub use process::Process;
pub use running::Running;
pub use simulation::Simulation;
