//! The laws that the fuzz targets assert. They live beside each crate's tests, which replay `corpus` through them.

#[path = "../../crates/port502-wire/tests/wire/law.rs"]
pub mod wire;

#[path = "../../crates/port502-session/tests/tap/law.rs"]
pub mod tap;

/// The law of an inspected connection, and the small world of its policies.
#[allow(missing_docs, unreachable_pub, reason = "the modules of a test")]
#[path = "."]
pub mod inspect {
    #[path = "../../crates/port502-inspect/tests/inspect/generate.rs"]
    pub mod generate;
    #[path = "../../crates/port502-inspect/tests/inspect/law.rs"]
    pub mod law;
}

#[path = "../../crates/port502-cli/tests/decode/law.rs"]
pub mod capture;
