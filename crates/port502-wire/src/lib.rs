//! Modbus bytes and values: the grammar under everything else.
//!
//! Bytes become values by [`Request::parse`] and [`Response::parse`], which are strict: what they accept is
//! whole and within the limits of the specification (Modbus Application Protocol V1.1b3), and `emit` gives the
//! same bytes back. [`view`] is the lenient reading of the same bytes: it never fails, and names what is wrong.
//! Frames come from the incremental decoders in [`mbap`], [`rtu`] and [`ascii`]; the timing of a serial line is in
//! [`serial`].
//!
//! ```
//! use port502_wire::{Request, Span};
//!
//! let request = Request::parse(&[0x03, 0x00, 0x6B, 0x00, 0x03])?;
//! assert_eq!(request, Request::ReadHoldingRegisters { span: Span::new(0x6B, 3)? });
//!
//! let mut pdu = [0; port502_wire::PDU_MAX];
//! assert_eq!(request.emit(&mut pdu)?, [0x03, 0x00, 0x6B, 0x00, 0x03]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate has no dependencies, allocates nothing, holds no `unsafe` and panics on no input.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(test)]
extern crate std;

pub mod anomaly;
pub mod ascii;
mod bits;
mod device_identification;
mod diagnostics;
mod emit;
mod error;
mod exception;
mod file_record;
pub mod function;
pub mod mbap;
mod read;
mod registers;
mod request;
mod response;
pub mod rtu;
pub mod serial;
mod span;
mod table;
mod unit;
pub mod value;
pub mod view;

pub use anomaly::{Anomalies, Anomaly};
pub use bits::{Bits, BitsMut, CoilBlock};
pub use device_identification::{
    DEVICE_OBJECT_NAMES, DeviceIdentification, DeviceObject, DeviceObjects, ReadDeviceIdCode,
};
pub use diagnostics::{DIAGNOSTIC_FACTS, DiagnosticFacts, SubFunction};
pub use emit::{EmitError, Writer};
pub use error::PduError;
pub use exception::ExceptionCode;
pub use file_record::{FileRead, FileReads, FileWrite, FileWrites, RECORDS_PER_FILE, RecordsRead};
pub use function::{Facts, FunctionCode, FunctionSet};
pub use read::Read;
pub use registers::{RegisterBlock, Registers, RegistersMut};
pub use request::Request;
pub use response::{Mismatch, Response};
pub use span::{Span, SpanError};
pub use table::Table;
pub use unit::UnitId;

/// The largest PDU: function code and data (V1.1b3, section 4.1).
pub const PDU_MAX: usize = 253;
