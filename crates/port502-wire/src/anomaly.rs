//! Bytes that break the specification, named. A lenient reading reports them and goes on.

/// One way in which bytes, or a conversation, break the specification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Anomaly {
    /// A PDU without a function code.
    Empty,
    /// Function code 0, or 128 and above in a request.
    Function,
    /// Longer than a PDU may be.
    TooLong,
    /// The PDU ends before its last field does.
    Truncated,
    /// Bytes follow after the last field.
    Trailing,
    /// A byte count that does not fit the quantity, the bytes or its limits.
    ByteCount,
    /// A quantity of 0 or above the function's limit.
    Quantity,
    /// A field with a value that the specification does not allow.
    Value,
    /// Address and quantity reach past 0xFFFF.
    Address,
    /// A file, record or reference type that cannot exist.
    FileReference,
    /// An exception code without a meaning in the specification.
    ExceptionCode,
    /// MBAP protocol id other than 0.
    ProtocolId,
    /// MBAP length outside 2 to 254: what follows cannot be told apart.
    FrameLength,
    /// Bytes that are not Modbus in a Modbus stream.
    NotModbus,
    /// A response to no request that was seen.
    Unsolicited,
    /// A second response to one request.
    Duplicate,
    /// A response whose unit is not the request's.
    UnitMismatch,
    /// A response whose function is not the request's.
    FunctionMismatch,
    /// A response with more or fewer items than were asked for.
    QuantityMismatch,
    /// A response that should repeat the request and does not.
    EchoMismatch,
    /// A request with the transaction id of one that is still open.
    TransactionReused,
    /// More open requests than a connection may have; the oldest is not waited for any more.
    TooManyOpen,
    /// CRC or LRC is wrong.
    Check,
}

/// Every anomaly with the word that reports use for it.
const NAMES: &[(Anomaly, &str)] = &[
    (Anomaly::Empty, "empty"),
    (Anomaly::Function, "function"),
    (Anomaly::TooLong, "too-long"),
    (Anomaly::Truncated, "truncated"),
    (Anomaly::Trailing, "trailing"),
    (Anomaly::ByteCount, "byte-count"),
    (Anomaly::Quantity, "quantity"),
    (Anomaly::Value, "value"),
    (Anomaly::Address, "address"),
    (Anomaly::FileReference, "file-reference"),
    (Anomaly::ExceptionCode, "exception-code"),
    (Anomaly::ProtocolId, "protocol-id"),
    (Anomaly::FrameLength, "frame-length"),
    (Anomaly::NotModbus, "not-modbus"),
    (Anomaly::Unsolicited, "unsolicited"),
    (Anomaly::Duplicate, "duplicate"),
    (Anomaly::UnitMismatch, "unit-mismatch"),
    (Anomaly::FunctionMismatch, "function-mismatch"),
    (Anomaly::QuantityMismatch, "quantity-mismatch"),
    (Anomaly::EchoMismatch, "echo-mismatch"),
    (Anomaly::TransactionReused, "transaction-reused"),
    (Anomaly::TooManyOpen, "too-many-open"),
    (Anomaly::Check, "check"),
];

impl Anomaly {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Anomaly> {
        NAMES.iter().map(|(anomaly, _)| *anomaly)
    }

    /// The word that reports use, stable: scripts rely on it.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(anomaly, _)| *anomaly == self).map_or("", |(_, name)| name)
    }

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl core::fmt::Display for Anomaly {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl From<crate::PduError> for Anomaly {
    fn from(error: crate::PduError) -> Self {
        use crate::PduError;
        match error {
            PduError::Empty => Anomaly::Empty,
            PduError::Function { .. } => Anomaly::Function,
            PduError::TooLong { .. } => Anomaly::TooLong,
            PduError::Truncated { .. } => Anomaly::Truncated,
            PduError::Trailing { .. } => Anomaly::Trailing,
            PduError::ByteCount { .. } => Anomaly::ByteCount,
            PduError::Quantity { .. } => Anomaly::Quantity,
            PduError::Value { .. } => Anomaly::Value,
            PduError::Address { .. } => Anomaly::Address,
            PduError::FileReference { .. } => Anomaly::FileReference,
        }
    }
}

impl From<crate::Mismatch> for Anomaly {
    fn from(mismatch: crate::Mismatch) -> Self {
        match mismatch {
            crate::Mismatch::Function => Anomaly::FunctionMismatch,
            crate::Mismatch::Quantity { .. } => Anomaly::QuantityMismatch,
            crate::Mismatch::Echo => Anomaly::EchoMismatch,
        }
    }
}

/// A set of anomalies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Anomalies(u32);

impl Anomalies {
    /// Without members.
    pub const NONE: Anomalies = Anomalies(0);

    /// Puts `anomaly` in.
    pub const fn add(&mut self, anomaly: Anomaly) {
        self.0 |= anomaly.bit();
    }

    /// The set with `anomaly` in it.
    #[must_use]
    pub const fn with(self, anomaly: Anomaly) -> Self {
        Anomalies(self.0 | anomaly.bit())
    }

    /// The members of both.
    #[must_use]
    pub const fn union(self, other: Anomalies) -> Self {
        Anomalies(self.0 | other.0)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `anomaly` is in the set.
    #[must_use]
    pub const fn contains(self, anomaly: Anomaly) -> bool {
        self.0 & anomaly.bit() != 0
    }

    /// The members.
    pub fn iter(self) -> impl Iterator<Item = Anomaly> {
        Anomaly::all().filter(move |anomaly| self.contains(*anomaly))
    }
}

impl From<Anomaly> for Anomalies {
    fn from(anomaly: Anomaly) -> Self {
        Anomalies::NONE.with(anomaly)
    }
}

impl core::fmt::Debug for Anomalies {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
