use crate::{Span, SpanError};

/// Coils or discrete inputs as they stand in a PDU: eight to a byte, the first in the lowest bit, borrowed.
#[derive(Clone, Copy)]
pub struct Bits<'a> {
    /// As many bytes as `count` bits take.
    bytes: &'a [u8],
    count: usize,
}

/// How many bytes hold `count` bits.
pub(crate) const fn bytes_for(count: u16) -> usize {
    (count as usize).div_ceil(8)
}

impl<'a> Bits<'a> {
    /// The first `count` bits of `bytes`; `None` when there are fewer.
    #[must_use]
    pub const fn new(bytes: &'a [u8], count: usize) -> Option<Self> {
        match bytes.split_at_checked(count.div_ceil(8)) {
            Some((bytes, _)) => Some(Bits { bytes, count }),
            None => None,
        }
    }

    /// Writes `values` into `scratch` as they stand in a PDU; `None` when they do not fit.
    #[must_use]
    pub fn encode(values: &[bool], scratch: &'a mut [u8]) -> Option<Self> {
        let bytes = scratch.get_mut(..values.len().div_ceil(8))?;
        bytes.fill(0);
        BitsMut { bytes: &mut *bytes, count: values.len() }.fill(values.iter().copied());
        Some(Bits { bytes, count: values.len() })
    }

    /// How many bits.
    #[must_use]
    pub const fn len(self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The bit at `index`, counted from the first of these.
    #[must_use]
    pub fn get(self, index: usize) -> Option<bool> {
        if index >= self.count {
            return None;
        }
        self.bytes.get(index / 8).map(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// The values, first to last.
    pub fn iter(self) -> impl Iterator<Item = bool> + Clone + 'a {
        self.bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).take(self.count)
    }

    /// The bytes as they stand in the PDU, the bits that pad the last one included.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }
}

/// The same bits, whatever pads the last byte.
impl PartialEq for Bits<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.iter().eq(other.iter())
    }
}

impl Eq for Bits<'_> {}

impl core::fmt::Debug for Bits<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter().map(u8::from)).finish()
    }
}

/// Room for bits in a response that is being written; zero until set.
#[derive(Debug)]
pub struct BitsMut<'a> {
    bytes: &'a mut [u8],
    count: usize,
}

impl<'a> BitsMut<'a> {
    /// Room for `count` bits, or as many as `bytes` holds.
    pub fn new(bytes: &'a mut [u8], count: usize) -> Self {
        let count = count.min(bytes.len().saturating_mul(8));
        BitsMut { bytes, count }
    }

    /// How many bits there is room for.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is room for none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sets one bit; an index outside is ignored.
    #[inline]
    pub fn set(&mut self, index: usize, value: bool) {
        if index >= self.count {
            return;
        }
        if let Some(byte) = self.bytes.get_mut(index / 8) {
            let bit = 1 << (index % 8);
            *byte = if value { *byte | bit } else { *byte & !bit };
        }
    }

    /// Sets as many bits as `values` yields and there is room for, from the first on.
    #[inline]
    pub fn fill(&mut self, values: impl IntoIterator<Item = bool>) {
        for (index, value) in (0..self.count).zip(values) {
            self.set(index, value);
        }
    }
}

/// Coils with the address of the first: what a request writes. Between 1 and 1968, never past 0xFFFF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoilBlock<'a> {
    span: Span<1968>,
    values: Bits<'a>,
}

impl<'a> CoilBlock<'a> {
    /// `values` from address `start` on.
    ///
    /// # Errors
    /// None, or more than 1968 values, or values past address 0xFFFF.
    pub fn new(start: u16, values: Bits<'a>) -> Result<Self, SpanError> {
        let count = u16::try_from(values.len()).unwrap_or(u16::MAX);
        Ok(CoilBlock { span: Span::new(start, count)?, values })
    }

    /// Where they go.
    #[must_use]
    pub const fn span(self) -> Span<1968> {
        self.span
    }

    /// What is written there.
    #[must_use]
    pub const fn values(self) -> Bits<'a> {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_bytes_are_kept_than_the_bits_take() {
        // A byte too many would be written behind a byte count that does not fit the quantity.
        assert_eq!(Bits::new(&[1, 2, 3], 9).map(Bits::bytes), Some(&[1, 2][..]));
        assert_eq!(Bits::new(&[1, 2, 3], 0).map(Bits::bytes), Some(&[][..]));
        assert_eq!(Bits::new(&[1, 2, 3], 24).map(Bits::bytes), Some(&[1, 2, 3][..]));
        assert_eq!(Bits::new(&[1, 2, 3], 25), None);
    }
}
