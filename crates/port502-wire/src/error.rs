use crate::{ExceptionCode, SpanError};

/// What keeps bytes from being a PDU that the specification allows. Offsets count from the function code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PduError {
    /// There is not even a function code.
    Empty,
    /// Not a function code that a request, or a response, may carry: 0, or 128 and above in a request.
    Function {
        /// The byte in the place of the function code.
        function: u8,
    },
    /// The PDU is longer than [`PDU_MAX`](crate::PDU_MAX).
    TooLong {
        /// Its function code.
        function: u8,
        /// Its length.
        len: usize,
    },
    /// The PDU ends before its fields do.
    Truncated {
        /// The function code.
        function: u8,
        /// Where it ends, or where the item starts that is cut.
        offset: usize,
    },
    /// Bytes follow after the last field, which ends at `offset`.
    Trailing {
        /// The function code.
        function: u8,
        /// Where the PDU should have ended.
        offset: usize,
    },
    /// A byte count differs from what the quantity implies, or is outside its limits.
    ByteCount {
        /// The function code.
        function: u8,
        /// The byte count that came.
        got: u16,
        /// What the rest of the PDU implies; the nearest limit where the count itself is out of range.
        implied: u16,
    },
    /// A quantity is outside what the specification allows for this function.
    Quantity {
        /// The function code.
        function: u8,
        /// The quantity that came.
        got: u16,
        /// The largest that is allowed; the smallest is 1.
        max: u16,
    },
    /// A field holds a value that the specification does not allow, as 0x1234 for a coil.
    Value {
        /// The function code.
        function: u8,
        /// Where the field starts.
        offset: usize,
        /// What it holds.
        got: u16,
    },
    /// Start and quantity together reach past address 0xFFFF.
    Address {
        /// The function code.
        function: u8,
        /// The first address.
        start: u16,
        /// The quantity.
        count: u16,
    },
    /// A file sub-request names something that cannot exist: a reference type other than 6, file 0, or a
    /// record above 9999.
    FileReference {
        /// The function code.
        function: u8,
        /// Where the sub-request starts.
        offset: usize,
    },
}

impl PduError {
    /// The exception that a server owes for a request with this error (checklist of section 6's state
    /// diagrams: structure and quantity are 03, addresses 02, function codes 01).
    #[must_use]
    pub fn exception(self) -> ExceptionCode {
        match self {
            PduError::Empty | PduError::Function { .. } => ExceptionCode::IllegalFunction,
            PduError::Address { .. } | PduError::FileReference { .. } => ExceptionCode::IllegalDataAddress,
            PduError::TooLong { .. }
            | PduError::Truncated { .. }
            | PduError::Trailing { .. }
            | PduError::ByteCount { .. }
            | PduError::Quantity { .. }
            | PduError::Value { .. } => ExceptionCode::IllegalDataValue,
        }
    }

    pub(crate) const fn span(function: u8, error: SpanError) -> Self {
        match error {
            SpanError::Count { got, max } => PduError::Quantity { function, got, max },
            SpanError::Overflow { start, count } => PduError::Address { function, start, count },
        }
    }
}

impl core::fmt::Display for PduError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            PduError::Empty => f.write_str("the PDU is empty"),
            PduError::Function { function } => write!(f, "function code {function} is not allowed here"),
            PduError::TooLong { function, len } => {
                write!(f, "function {function}: {len} bytes are more than {}", crate::PDU_MAX)
            }
            PduError::Truncated { function, offset } => {
                write!(f, "function {function}: the PDU is cut at byte {offset}")
            }
            PduError::Trailing { function, offset } => {
                write!(f, "function {function}: bytes follow after byte {offset}, where the PDU ends")
            }
            PduError::ByteCount { function, got, implied } => {
                write!(f, "function {function}: byte count is {got}, not {implied}")
            }
            PduError::Quantity { function, got, max } => {
                write!(f, "function {function}: quantity {got} is not within 1 to {max}")
            }
            PduError::Value { function, offset, got } => {
                write!(f, "function {function}: 0x{got:04X} is not allowed at byte {offset}")
            }
            PduError::Address { function, start, count } => {
                write!(f, "function {function}: {count} items from address {start} reach past 65535")
            }
            PduError::FileReference { function, offset } => {
                write!(
                    f,
                    "function {function}: the file sub-request at byte {offset} names what cannot exist"
                )
            }
        }
    }
}

impl core::error::Error for PduError {}
