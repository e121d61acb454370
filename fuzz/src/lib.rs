//! The laws that the fuzz targets assert. They live beside each crate's tests, which replay `corpus` through them.

#[path = "../../crates/port502-wire/tests/wire/law.rs"]
pub mod wire;

#[path = "../../crates/port502-session/tests/tap/law.rs"]
pub mod tap;

#[path = "../../crates/port502-cli/tests/decode/law.rs"]
pub mod capture;
