use port502_wire::{PDU_MAX, PduError, Response};

/// A PDU that owns its bytes, so that it can travel between tasks.
#[derive(Clone, Copy)]
pub struct Pdu {
    len: usize,
    bytes: [u8; PDU_MAX],
}

impl Pdu {
    /// A copy of `bytes`; `None` when they are more than [`PDU_MAX`], or none.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut pdu = Pdu { len: bytes.len(), bytes: [0; PDU_MAX] };
        pdu.bytes.get_mut(..bytes.len()).filter(|room| !room.is_empty())?.copy_from_slice(bytes);
        Some(pdu)
    }

    /// The bytes, function code first.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
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

impl PartialEq for Pdu {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Pdu {}
