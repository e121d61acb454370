/// Why a value could not be written as bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EmitError {
    /// The buffer given is too small for the field at `offset`.
    Space {
        /// Where the field would start.
        offset: usize,
    },
    /// A function code of an `Other` that is not 1 to 127.
    Function {
        /// The code.
        function: u8,
    },
    /// The PDU would be longer than [`PDU_MAX`](crate::PDU_MAX).
    TooLong {
        /// How long it would be.
        len: usize,
    },
}

impl core::fmt::Display for EmitError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            EmitError::Space { offset } => write!(f, "the buffer ends before the field at byte {offset}"),
            EmitError::Function { function } => {
                write!(f, "function code {function} is not within 1 to 127")
            }
            EmitError::TooLong { len } => {
                write!(f, "a PDU of {len} bytes is longer than {}", crate::PDU_MAX)
            }
        }
    }
}

impl core::error::Error for EmitError {}

/// Appends big-endian fields to a borrowed buffer, and says so when they do not fit.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    at: usize,
}

impl<'b> Writer<'b> {
    /// Writes from the start of `buffer`.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Writer { buffer, at: 0 }
    }

    /// # Errors
    /// [`EmitError::Space`] when `bytes` do not fit; nothing is written then.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<&mut Self, EmitError> {
        self.reserve(bytes.len())?.copy_from_slice(bytes);
        Ok(self)
    }

    /// # Errors
    /// [`EmitError::Space`] when there is no room for one byte.
    #[inline]
    pub fn u8(&mut self, byte: u8) -> Result<&mut Self, EmitError> {
        self.bytes(&[byte])
    }

    /// # Errors
    /// [`EmitError::Space`] when there is no room for two bytes.
    #[inline]
    pub fn u16(&mut self, word: u16) -> Result<&mut Self, EmitError> {
        self.bytes(&word.to_be_bytes())
    }

    /// The next `len` bytes, to be filled by the caller.
    ///
    /// # Errors
    /// [`EmitError::Space`] when there is no room for them.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<&mut [u8], EmitError> {
        let at = self.at;
        let field = at.checked_add(len).and_then(|end| self.buffer.get_mut(at..end));
        let field = field.ok_or(EmitError::Space { offset: at })?;
        self.at = at + len;
        Ok(field)
    }

    /// What was written so far.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        self.buffer.get(..self.at).unwrap_or_default()
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> &'b [u8] {
        self.finish_mut()
    }

    pub(crate) fn finish_mut(self) -> &'b mut [u8] {
        let Writer { buffer, at } = self;
        buffer.get_mut(..at).unwrap_or_default()
    }
}
