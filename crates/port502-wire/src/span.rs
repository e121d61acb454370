/// Between 1 and `MAX` items from `start`, never past address 0xFFFF.
///
/// `MAX` is the quantity that the specification allows for the function, so that a span that exists can be
/// asked for in one request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Span<const MAX: u16> {
    start: u16,
    count: u16,
}

/// Why an address and a quantity are not a [`Span`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpanError {
    /// The quantity is 0 or above what the function allows.
    Count {
        /// The quantity asked for.
        got: u16,
        /// The largest one allowed.
        max: u16,
    },
    /// The last item would have an address above 0xFFFF.
    Overflow {
        /// The first address.
        start: u16,
        /// The quantity.
        count: u16,
    },
}

impl<const MAX: u16> Span<MAX> {
    /// `count` items from `start`.
    ///
    /// # Errors
    /// The quantity is looked at first, as the specification's state diagrams do.
    pub const fn new(start: u16, count: u16) -> Result<Self, SpanError> {
        if count == 0 || count > MAX {
            return Err(SpanError::Count { got: count, max: MAX });
        }
        if start.checked_add(count - 1).is_none() {
            return Err(SpanError::Overflow { start, count });
        }
        Ok(Span { start, count })
    }

    /// One item.
    #[must_use]
    pub const fn one(address: u16) -> Self {
        Span { start: address, count: 1 }
    }

    /// The first address, 0-based.
    #[must_use]
    pub const fn start(self) -> u16 {
        self.start
    }

    /// The quantity, 1 to `MAX`.
    #[must_use]
    pub const fn count(self) -> u16 {
        self.count
    }

    /// The last address, which is part of the span.
    #[must_use]
    pub const fn last(self) -> u16 {
        // `new` checked that this does not overflow.
        self.start.wrapping_add(self.count - 1)
    }
}

impl core::fmt::Display for SpanError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SpanError::Count { got, max } => write!(f, "quantity {got} is not within 1 to {max}"),
            SpanError::Overflow { start, count } => {
                write!(f, "{count} items from address {start} reach past 65535")
            }
        }
    }
}

impl core::error::Error for SpanError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(start: u16, count: u16, want: Result<u16, SpanError>) {
        assert_eq!(Span::<125>::new(start, count).map(Span::last), want, "span {start}+{count}");
    }

    #[test]
    fn limits_on_both_sides() {
        check(0, 1, Ok(0));
        check(0, 125, Ok(124));
        check(0, 0, Err(SpanError::Count { got: 0, max: 125 }));
        check(0, 126, Err(SpanError::Count { got: 126, max: 125 }));
        check(0xFFFF, 1, Ok(0xFFFF));
        check(0xFFFF, 2, Err(SpanError::Overflow { start: 0xFFFF, count: 2 }));
        // Both are wrong: the quantity is named.
        check(0xFFFF, 126, Err(SpanError::Count { got: 126, max: 125 }));
    }
}
