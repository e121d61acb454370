use crate::{Span, SpanError};

/// Registers as they stand in a PDU: big-endian words, borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Registers<'a> {
    /// Always an even number.
    bytes: &'a [u8],
}

impl<'a> Registers<'a> {
    /// The words in `bytes`; `None` when a byte is left over.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len().is_multiple_of(2) { Some(Registers { bytes }) } else { None }
    }

    /// Writes `values` into `scratch` as they stand in a PDU; `None` when they do not fit.
    #[must_use]
    pub fn encode(values: &[u16], scratch: &'a mut [u8]) -> Option<Self> {
        let bytes = scratch.get_mut(..values.len().checked_mul(2)?)?;
        RegistersMut { bytes: &mut *bytes }.copy_from(values);
        Some(Registers { bytes })
    }

    /// How many registers.
    #[must_use]
    pub const fn len(self) -> usize {
        self.bytes.len() / 2
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// The register at `index`, counted from the first of these.
    #[must_use]
    pub fn get(self, index: usize) -> Option<u16> {
        let at = index.checked_mul(2)?;
        match self.bytes.get(at..at.checked_add(2)?) {
            Some(&[high, low]) => Some(u16::from_be_bytes([high, low])),
            _ => None,
        }
    }

    /// The values, first to last.
    pub fn iter(self) -> impl ExactSizeIterator<Item = u16> + Clone + 'a {
        self.bytes.chunks_exact(2).map(|word| match *word {
            [high, low] => u16::from_be_bytes([high, low]),
            _ => 0, // a chunk of two has two bytes
        })
    }

    /// The bytes as they stand in the PDU.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Copies as many as both hold into `values`.
    pub fn copy_to(self, values: &mut [u16]) {
        for (value, word) in values.iter_mut().zip(self.iter()) {
            *value = word;
        }
    }
}

impl core::fmt::Debug for Registers<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Room for registers in a response that is being written; zero until set.
#[derive(Debug)]
pub struct RegistersMut<'a> {
    bytes: &'a mut [u8],
}

impl<'a> RegistersMut<'a> {
    /// Room for `bytes.len() / 2` registers; a byte left over is not used.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        RegistersMut { bytes }
    }

    /// How many registers there is room for.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() / 2
    }

    /// Whether there is room for none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets one register; an index outside is ignored.
    #[inline]
    pub fn set(&mut self, index: usize, value: u16) {
        if let Some(word) = self.bytes.chunks_exact_mut(2).nth(index) {
            word.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Sets as many registers as both hold, from the first on.
    #[inline]
    pub fn copy_from(&mut self, values: &[u16]) {
        for (word, value) in self.bytes.chunks_exact_mut(2).zip(values) {
            word.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Sets as many registers as `values` yields and there is room for.
    pub fn fill(&mut self, values: impl IntoIterator<Item = u16>) {
        for (word, value) in self.bytes.chunks_exact_mut(2).zip(values) {
            word.copy_from_slice(&value.to_be_bytes());
        }
    }
}

/// Registers with the address of the first: what a request writes. Between 1 and `MAX`, never past 0xFFFF.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RegisterBlock<'a, const MAX: u16> {
    span: Span<MAX>,
    values: Registers<'a>,
}

impl<'a, const MAX: u16> RegisterBlock<'a, MAX> {
    /// `values` from address `start` on.
    ///
    /// # Errors
    /// None, or more than `MAX` values, or values past address 0xFFFF.
    pub fn new(start: u16, values: Registers<'a>) -> Result<Self, SpanError> {
        let count = u16::try_from(values.len()).unwrap_or(u16::MAX);
        Ok(RegisterBlock { span: Span::new(start, count)?, values })
    }

    /// Where they go.
    #[must_use]
    pub const fn span(self) -> Span<MAX> {
        self.span
    }

    /// What is written there.
    #[must_use]
    pub const fn values(self) -> Registers<'a> {
        self.values
    }
}
