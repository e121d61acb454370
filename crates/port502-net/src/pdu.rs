use port502_wire::{PDU_MAX, PduError, Response};

/// A PDU that owns its bytes, so that it can travel between tasks.
#[derive(Clone, PartialEq, Eq)]
pub struct Pdu {
    /// On the heap: most PDUs are far shorter than the longest, and all of them are moved several times.
    bytes: Box<[u8]>,
}

impl Pdu {
    /// A copy of `bytes`; `None` when they are more than [`PDU_MAX`], or none.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=PDU_MAX).contains(&bytes.len()).then(|| Pdu { bytes: bytes.into() })
    }

    /// The bytes, function code first.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The response that this is.
    ///
    /// # Errors
    /// What the strict parser finds. An answer that [`Unit::call`](crate::client::Unit::call) returned has
    /// been parsed already, and parses again.
    pub fn response(&self) -> Result<Response<'_>, PduError> {
        Response::parse(self.as_bytes())
    }
}

impl core::fmt::Debug for Pdu {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Pdu({:02x?})", self.as_bytes())
    }
}
