//! What the registers of a site mean: the text that people write becomes values that cannot be wrong.
//!
//! - [`point`][]: `holding:100:f32:cdab`, one place of a device and how to read it;
//! - [`datum`][]: what a point holds, from registers and to registers;
//! - [`register_map`][]: a CSV file with all the points of a device;
//! - [`rights`][]: a CSV file with what clients of each role may do;
//! - [`profiles`][]: devices that are known already, and [`sunspec`][], those that say themselves what they are;
//! - [`proposal`][]: a conduit of a site file, made of what a guard has seen;
//! - [`read_plan`][] and [`write_plan`][]: the requests that read many points, and that write one.
//!
//! ```
//! use port502_site::{Cells, Datum, Point};
//!
//! let level: Point = "h:100:f32:cdab".parse()?;
//! assert_eq!(level.to_string(), "holding:100:f32:cdab");
//! assert_eq!(level.reference(), "40101");
//!
//! let values = level.decode(&Cells::Registers(vec![0x0000, 0x41C8]));
//! assert_eq!(values, [Ok(Datum::F32(25.0))]);
//! assert_eq!(level.parse_values("25")?, Cells::Registers(vec![0x0000, 0x41C8]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod compile;
pub mod datum;
mod document;
mod excerpt;
mod nearest;
pub mod point;
pub mod profiles;
pub mod proposal;
pub mod read_plan;
pub mod register_map;
pub mod rights;
pub mod site;
pub mod sunspec;
pub mod write_plan;

pub use datum::{Cells, Datum, ValueError};
pub use nearest::nearest;
pub use point::{Point, PointError};
pub use register_map::RegisterMap;
pub use rights::Rights;
pub use site::Site;
