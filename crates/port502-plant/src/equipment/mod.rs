//! What plants are made of: a few physical equations each, pure and stepped by hand.
//!
//! Nothing here has a clock: `step(dt)` lets `dt` seconds pass. Units are SI where nothing else is said, and stand last in
//! the name. Every law that a part promises (mass balance, no energy from nothing, levels within the vessel) is a
//! property test in `tests/plant/laws.rs`.

mod air;
mod belt;
mod controller;
mod electric;
mod heat;
mod hydraulic;
mod pipe;

pub use air::{Fan, FanDesign, Filter, Room, RoomAir};
pub use belt::{Belt, Robot, RobotState};
pub use controller::{Latch, Pid};
pub use electric::{Breaker, Meter, Relay, current_a};
pub use heat::{Body, Boiler, Curve, WATER_J_KG_K, exchange_w};
pub use hydraulic::{Flows, Pump, PumpDesign, Tank, Valve};
pub use pipe::{Balance, Line, LineFlows};
