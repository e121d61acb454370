//! Typed values: what one or several registers mean together.
//!
//! The specification defines registers of 16 bits, big-endian, and no more. Everything wider is a convention of
//! the device, and conventions differ in two independent ways: which register comes first, and which byte of a
//! register. [`Order`] holds both and is written by letters only, `a` being the most significant byte:
//!
//! ```text
//!                        registers   0       1        words reversed   bytes swapped
//!   0x41C80000 = 25.0   abcd       41C8    0000
//!                       cdab       0000    41C8            x
//!                       badc       C841    0000                              x
//!                       dcba       0000    C841            x                 x
//! ```
//!
//! ```
//! use port502_wire::value::{Order, Value, ValueType};
//!
//! let order: Order = "cdab".parse()?;
//! assert_eq!(ValueType::F32.decode(order, &[0x0000, 0x41C8])?, Value::F32(25.0));
//!
//! let mut room = [0; 4];
//! assert_eq!(ValueType::F32.encode(order, Value::Signed(25), &mut room)?, [0x0000, 0x41C8]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::str::FromStr;

/// How registers, or a bit, are read as a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ValueType {
    /// A coil or discrete input; in a register 0 or 1.
    Bool,
    /// One register.
    U16,
    /// One register, two's complement.
    I16,
    /// Two registers.
    U32,
    /// Two registers, two's complement.
    I32,
    /// Four registers.
    U64,
    /// Four registers, two's complement.
    I64,
    /// Two registers, IEEE 754 binary32.
    F32,
    /// Four registers, IEEE 754 binary64.
    F64,
    /// One register, four decimal digits.
    Bcd16,
    /// Two registers, eight decimal digits.
    Bcd32,
    /// Text, two bytes to a register. Not a [`Value`]: see [`decode_text`].
    Text(TextLength),
    /// One bit of a register.
    Bit(BitNumber),
}

/// The bytes of a text: 1 to 250, which is what one request reads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TextLength(u8);

impl TextLength {
    /// 125 registers of two bytes.
    pub const MAX: u8 = 250;

    /// `None` for 0 and above [`Self::MAX`].
    #[must_use]
    pub const fn new(bytes: u8) -> Option<Self> {
        if bytes == 0 || bytes > Self::MAX { None } else { Some(TextLength(bytes)) }
    }

    /// 1 to [`Self::MAX`].
    #[must_use]
    pub const fn bytes(self) -> u8 {
        self.0
    }

    /// The registers that hold it; of an odd length the last byte is padding.
    #[must_use]
    pub const fn registers(self) -> u16 {
        (self.0 as u16).div_ceil(2)
    }
}

/// A bit of a register: 0 is the least significant, 15 the most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BitNumber(u8);

impl BitNumber {
    /// `None` above 15.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number > 15 { None } else { Some(BitNumber(number)) }
    }

    /// 0 to 15.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The register in which this bit alone is set.
    #[must_use]
    pub const fn mask(self) -> u16 {
        1 << self.0
    }
}

/// In which order bytes stand in registers. The default is the specification's: `abcd`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Order {
    /// The least significant register comes first.
    pub words_reversed: bool,
    /// The least significant byte of each register comes first.
    pub bytes_swapped: bool,
}

/// One typed value; text is apart, because it needs room.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value {
    /// From a bit.
    Bool(bool),
    /// From an unsigned or BCD type.
    Unsigned(u64),
    /// From a signed type.
    Signed(i64),
    /// Kept apart from [`Value::F64`] so that it prints as short as it was meant.
    F32(f32),
    /// From eight bytes.
    F64(f64),
}

/// Why registers are not a value of a type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The type takes another number of registers.
    Registers {
        /// How many were given.
        got: usize,
        /// How many the type takes.
        want: u16,
    },
    /// A BCD digit above 9.
    BcdDigit {
        /// Which, counted from the most significant, 0 first.
        position: u8,
        /// 10 to 15.
        digit: u8,
    },
    /// A register read as `bool` holds neither 0 nor 1.
    NotBool {
        /// What it holds.
        got: u16,
    },
    /// Text is decoded by [`decode_text`].
    Text,
    /// The buffer for a text is smaller than the text.
    Space {
        /// How many bytes it needs.
        want: u8,
    },
}

/// Why a value cannot be written as registers of a type.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum EncodeError {
    /// Outside what the type holds.
    OutOfRange {
        /// The type; [`ValueType::limits`] has its limits.
        value_type: ValueType,
    },
    /// NaN has no integer.
    NotANumber,
    /// A fraction would be lost.
    NotWhole,
    /// A boolean for a number, or a number other than 0 and 1 for a boolean.
    Kind {
        /// The type.
        value_type: ValueType,
    },
    /// More bytes than the text type has.
    TextTooLong {
        /// The bytes given.
        got: usize,
        /// The bytes there are.
        max: u8,
    },
    /// Text is encoded by [`encode_text`].
    Text,
    /// The buffer has fewer registers than the type takes.
    Space {
        /// How many it takes.
        want: u16,
    },
}

impl ValueType {
    /// The types without a number in their name.
    pub const NAMED: [(&'static str, ValueType); 11] = [
        ("bool", ValueType::Bool),
        ("u16", ValueType::U16),
        ("i16", ValueType::I16),
        ("u32", ValueType::U32),
        ("i32", ValueType::I32),
        ("u64", ValueType::U64),
        ("i64", ValueType::I64),
        ("f32", ValueType::F32),
        ("f64", ValueType::F64),
        ("bcd16", ValueType::Bcd16),
        ("bcd32", ValueType::Bcd32),
    ];

    /// How many registers one value takes.
    #[must_use]
    pub const fn registers(self) -> u16 {
        match self {
            ValueType::Bool | ValueType::U16 | ValueType::I16 | ValueType::Bcd16 | ValueType::Bit(_) => 1,
            ValueType::U32 | ValueType::I32 | ValueType::F32 | ValueType::Bcd32 => 2,
            ValueType::U64 | ValueType::I64 | ValueType::F64 => 4,
            ValueType::Text(length) => length.registers(),
        }
    }

    /// The smallest and the largest number it holds; `None` for floats and text.
    #[must_use]
    pub const fn limits(self) -> Option<(i128, i128)> {
        Some(match self {
            ValueType::Bool | ValueType::Bit(_) => (0, 1),
            ValueType::U16 => (0, u16::MAX as i128),
            ValueType::I16 => (i16::MIN as i128, i16::MAX as i128),
            ValueType::U32 => (0, u32::MAX as i128),
            ValueType::I32 => (i32::MIN as i128, i32::MAX as i128),
            ValueType::U64 => (0, u64::MAX as i128),
            ValueType::I64 => (i64::MIN as i128, i64::MAX as i128),
            ValueType::Bcd16 => (0, 9_999),
            ValueType::Bcd32 => (0, 99_999_999),
            ValueType::F32 | ValueType::F64 | ValueType::Text(_) => return None,
        })
    }

    /// Reads a value from exactly as many registers as the type takes.
    ///
    /// # Errors
    /// Registers that are no value of this type, or too few or many of them.
    pub fn decode(self, order: Order, registers: &[u16]) -> Result<Value, DecodeError> {
        let want = self.registers();
        if registers.len() != usize::from(want) {
            return Err(DecodeError::Registers { got: registers.len(), want });
        }
        // Right-aligned: a narrow type has its bytes at the end.
        let raw = order.gather(registers);
        let [a, b, c, d, e, f, g, h] = raw.to_be_bytes();
        let (two, four, eight) = ([g, h], [e, f, g, h], [a, b, c, d, e, f, g, h]);
        Ok(match self {
            ValueType::Bool => match u16::from_be_bytes(two) {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                got => return Err(DecodeError::NotBool { got }),
            },
            ValueType::Bit(bit) => Value::Bool(u16::from_be_bytes(two) & bit.mask() != 0),
            ValueType::U16 | ValueType::U32 | ValueType::U64 => Value::Unsigned(u64::from_be_bytes(eight)),
            ValueType::I16 => Value::Signed(i16::from_be_bytes(two).into()),
            ValueType::I32 => Value::Signed(i32::from_be_bytes(four).into()),
            ValueType::I64 => Value::Signed(i64::from_be_bytes(eight)),
            ValueType::F32 => Value::F32(f32::from_be_bytes(four)),
            ValueType::F64 => Value::F64(f64::from_be_bytes(eight)),
            ValueType::Bcd16 | ValueType::Bcd32 => bcd_decode(raw, want * 4)?,
            ValueType::Text(_) => return Err(DecodeError::Text),
        })
    }

    /// Writes a value to the front of `room` and returns the registers; four are enough for every type.
    ///
    /// Integers and floats stand for each other where nothing is lost but precision: 25 is a float, 25.0 an
    /// integer. A bit gives a register in which the others are 0.
    ///
    /// # Errors
    /// A value that the type does not hold, or too little room.
    pub fn encode(self, order: Order, value: Value, room: &mut [u16]) -> Result<&[u16], EncodeError> {
        let raw = match self {
            ValueType::F32 => u64::from(self.float_bits(value)?),
            ValueType::F64 => match value {
                Value::F64(float) => float.to_bits(),
                other => as_f64(other).ok_or(EncodeError::Kind { value_type: self })?.to_bits(),
            },
            ValueType::Bit(bit) => {
                if self.integer(value)? == 1 {
                    bit.mask().into()
                } else {
                    0
                }
            }
            ValueType::Bcd16 | ValueType::Bcd32 => bcd_encode(self.integer(value)?),
            ValueType::Text(_) => return Err(EncodeError::Text),
            ValueType::Bool
            | ValueType::U16
            | ValueType::I16
            | ValueType::U32
            | ValueType::I32
            | ValueType::U64
            | ValueType::I64 => low_bits(self.integer(value)?),
        };
        let want = self.registers();
        let room = room.get_mut(..usize::from(want)).ok_or(EncodeError::Space { want })?;
        order.scatter(raw, room);
        Ok(room)
    }

    /// The value as an integer within the limits of this type.
    fn integer(self, value: Value) -> Result<i128, EncodeError> {
        let number = match (value, self) {
            (Value::Bool(on), ValueType::Bool | ValueType::Bit(_)) => i128::from(on),
            (Value::Bool(_), _) => return Err(EncodeError::Kind { value_type: self }),
            (Value::Unsigned(number), _) => number.into(),
            (Value::Signed(number), _) => number.into(),
            (Value::F32(float), _) => whole(float.into())?,
            (Value::F64(float), _) => whole(float)?,
        };
        match (self.limits(), self) {
            (Some((min, max)), _) if number >= min && number <= max => Ok(number),
            (_, ValueType::Bool | ValueType::Bit(_)) => Err(EncodeError::Kind { value_type: self }),
            _ => Err(EncodeError::OutOfRange { value_type: self }),
        }
    }

    /// The value as the bits of a binary32, rounded to the nearest.
    fn float_bits(self, value: Value) -> Result<u32, EncodeError> {
        if let Value::F32(float) = value {
            return Ok(float.to_bits());
        }
        let exact = as_f64(value).ok_or(EncodeError::Kind { value_type: self })?;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "rounds to the nearest; overflow is looked for below"
        )]
        let rounded = exact as f32;
        if rounded.is_infinite() && exact.is_finite() {
            return Err(EncodeError::OutOfRange { value_type: self });
        }
        Ok(rounded.to_bits())
    }
}

/// The number as a float; `None` for a boolean.
fn as_f64(value: Value) -> Option<f64> {
    #[allow(clippy::cast_precision_loss, reason = "a float holds the nearest number, that is what it is for")]
    Some(match value {
        Value::Bool(_) => return None,
        Value::Unsigned(number) => number as f64,
        Value::Signed(number) => number as f64,
        Value::F32(float) => float.into(),
        Value::F64(float) => float,
    })
}

/// The float as an integer, if it is one.
fn whole(float: f64) -> Result<i128, EncodeError> {
    if float.is_nan() {
        return Err(EncodeError::NotANumber);
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "saturates far outside every type, where limits catch it"
    )]
    let number = float as i128;
    #[allow(clippy::cast_precision_loss, reason = "what came from a float goes back without loss")]
    let back = number as f64;
    // Infinity saturates, and is out of range rather than a fraction.
    if back == float || float.is_infinite() { Ok(number) } else { Err(EncodeError::NotWhole) }
}

/// Two's complement of whatever width the registers have.
fn low_bits(number: i128) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = number.to_be_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn bcd_decode(raw: u64, digits: u16) -> Result<Value, DecodeError> {
    let mut number = 0;
    for position in 0..digits {
        let digit = raw >> (4 * (digits - 1 - position)) & 0xF;
        if digit > 9 {
            let [.., digit] = digit.to_be_bytes();
            let [_, position] = position.to_be_bytes();
            return Err(DecodeError::BcdDigit { position, digit });
        }
        number = number * 10 + digit;
    }
    Ok(Value::Unsigned(number))
}

fn bcd_encode(number: i128) -> u64 {
    let (mut rest, mut raw, mut shift) = (low_bits(number), 0, 0);
    while rest != 0 {
        raw |= (rest % 10) << shift;
        rest /= 10;
        shift += 4;
    }
    raw
}

/// Reads a text into `room` and returns its bytes, without the zeros that pad it; they need not be UTF-8.
///
/// # Errors
/// Too few or many registers, or too little room.
pub fn decode_text<'r>(
    length: TextLength,
    order: Order,
    registers: &[u16],
    room: &'r mut [u8],
) -> Result<&'r [u8], DecodeError> {
    if registers.len() != usize::from(length.registers()) {
        return Err(DecodeError::Registers { got: registers.len(), want: length.registers() });
    }
    let room = room.get_mut(..length.0.into()).ok_or(DecodeError::Space { want: length.0 })?;
    for (index, word) in registers.iter().enumerate() {
        let place = order.place(index, registers.len());
        for (byte, value) in room.iter_mut().skip(2 * place).zip(order.word(*word).to_be_bytes()) {
            *byte = value;
        }
    }
    let end = room.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    Ok(room.get(..end).unwrap_or_default())
}

/// Writes a text to the front of `room`, padded with zeros, and returns the registers.
///
/// # Errors
/// A text longer than `length`, or too little room.
pub fn encode_text<'r>(
    length: TextLength,
    order: Order,
    text: &[u8],
    room: &'r mut [u16],
) -> Result<&'r [u16], EncodeError> {
    if text.len() > length.0.into() {
        return Err(EncodeError::TextTooLong { got: text.len(), max: length.0 });
    }
    let want = length.registers();
    let room = room.get_mut(..usize::from(want)).ok_or(EncodeError::Space { want })?;
    let count = room.len();
    for (index, word) in room.iter_mut().enumerate() {
        let mut bytes = text.iter().skip(2 * order.place(index, count)).copied();
        let pair = [bytes.next().unwrap_or(0), bytes.next().unwrap_or(0)];
        *word = order.word(u16::from_be_bytes(pair));
    }
    Ok(room)
}

impl Order {
    /// As the specification: most significant first.
    pub const ABCD: Order = Order { words_reversed: false, bytes_swapped: false };
    /// Words reversed, bytes as specified: the most frequent deviation.
    pub const CDAB: Order = Order { words_reversed: true, bytes_swapped: false };
    /// Bytes swapped in each register.
    pub const BADC: Order = Order { words_reversed: false, bytes_swapped: true };
    /// Least significant first.
    pub const DCBA: Order = Order { words_reversed: true, bytes_swapped: true };

    /// All four.
    pub const ALL: [Order; 4] = [Order::ABCD, Order::CDAB, Order::BADC, Order::DCBA];

    /// The letters for a value of so many registers: two for one register, eight for four, else four.
    #[must_use]
    pub const fn letters(self, registers: u16) -> &'static str {
        let [two, four, eight] = match (self.words_reversed, self.bytes_swapped) {
            (false, false) => ["ab", "abcd", "abcdefgh"],
            (true, false) => ["ab", "cdab", "ghefcdab"],
            (false, true) => ["ba", "badc", "badcfehg"],
            (true, true) => ["ba", "dcba", "hgfedcba"],
        };
        match registers {
            1 => two,
            4 => eight,
            _ => four,
        }
    }

    /// A register as it is meant, or back.
    const fn word(self, word: u16) -> u16 {
        if self.bytes_swapped { word.swap_bytes() } else { word }
    }

    /// Where the register at `index` belongs among `count`, or back.
    const fn place(self, index: usize, count: usize) -> usize {
        if self.words_reversed { count.saturating_sub(1 + index) } else { index }
    }

    /// At most four registers as one number; of more the last four.
    fn gather(self, registers: &[u16]) -> u64 {
        let append = |raw: u64, word: &u16| raw << 16 | u64::from(self.word(*word));
        if self.words_reversed {
            registers.iter().rev().fold(0, append)
        } else {
            registers.iter().fold(0, append)
        }
    }

    /// The low bits of one number in as many registers as there are.
    fn scatter(self, raw: u64, registers: &mut [u16]) {
        let mut rest = raw;
        let mut fill = |word: &mut u16| {
            let [.., high, low] = rest.to_be_bytes();
            *word = self.word(u16::from_be_bytes([high, low]));
            rest >>= 16;
        };
        if self.words_reversed {
            registers.iter_mut().for_each(&mut fill);
        } else {
            registers.iter_mut().rev().for_each(&mut fill);
        }
    }
}

/// Why a word is not a type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnknownType {
    /// No type is called so.
    Name,
    /// `str` with a length that is missing, or not within 1 to 250.
    TextLength,
    /// `bit` with a number that is missing, or not within 0 to 15.
    BitNumber,
}

/// A word that is not a byte order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownOrder;

/// What follows `prefix`, whatever the case of the letters.
fn strip<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (front, rest) = text.split_at_checked(prefix.len())?;
    front.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Decimal digits only: no sign, no leading zero.
fn number(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

impl FromStr for ValueType {
    type Err = UnknownType;

    /// The names of [`ValueType::NAMED`], `str1` to `str250` and `bit0` to `bit15`, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownType> {
        if let Some((_, named)) = Self::NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(*named);
        }
        if let Some(length) = strip(text, "str") {
            let length = number(length).and_then(TextLength::new).ok_or(UnknownType::TextLength)?;
            return Ok(ValueType::Text(length));
        }
        if let Some(bit) = strip(text, "bit") {
            let bit = number(bit).and_then(BitNumber::new).ok_or(UnknownType::BitNumber)?;
            return Ok(ValueType::Bit(bit));
        }
        Err(UnknownType::Name)
    }
}

impl FromStr for Order {
    type Err = UnknownOrder;

    /// Two, four or eight letters, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownOrder> {
        let spelled =
            |order: &Order| [1, 2, 4].iter().any(|width| order.letters(*width).eq_ignore_ascii_case(text));
        Self::ALL.into_iter().find(spelled).ok_or(UnknownOrder)
    }
}

impl core::fmt::Display for ValueType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ValueType::Text(length) => write!(f, "str{}", length.0),
            ValueType::Bit(bit) => write!(f, "bit{}", bit.0),
            named => f.pad(Self::NAMED.iter().find(|(_, t)| t == named).map_or("", |(name, _)| name)),
        }
    }
}

/// Four letters; [`Order::letters`] has those of a width.
impl core::fmt::Display for Order {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.letters(2))
    }
}

impl core::fmt::Display for Value {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Value::Bool(on) => on.fmt(f),
            Value::Unsigned(number) => number.fmt(f),
            Value::Signed(number) => number.fmt(f),
            Value::F32(float) => fmt_float(float, f64::from(*float), f),
            Value::F64(float) => fmt_float(float, *float, f),
        }
    }
}

/// Digits where a person reads them, an exponent where there would be a row of zeros: that is what registers in
/// a wrong order mostly are.
fn fmt_float<F: core::fmt::Display + core::fmt::LowerExp>(
    float: &F,
    size: f64,
    f: &mut core::fmt::Formatter<'_>,
) -> core::fmt::Result {
    let plain = size == 0.0 || !size.is_finite() || (1e-5..1e16).contains(&size.abs());
    // Who asks for so many digits behind the point gets them.
    if plain || f.precision().is_some() {
        core::fmt::Display::fmt(float, f)
    } else {
        core::fmt::LowerExp::fmt(float, f)
    }
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            DecodeError::Registers { got, want } => {
                let s = if *got == 1 { "" } else { "s" };
                write!(f, "{got} register{s} where the type takes {want}")
            }
            DecodeError::BcdDigit { position, digit } => {
                write!(f, "digit {} is 0x{digit:X}, which is not decimal", position + 1)
            }
            DecodeError::NotBool { got } => write!(f, "the register holds {got}, neither 0 nor 1"),
            DecodeError::Text => f.write_str("text is not a number"),
            DecodeError::Space { want } => write!(f, "no room for {want} bytes"),
        }
    }
}

impl core::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            EncodeError::OutOfRange { value_type } => match value_type.limits() {
                Some((min, max)) => write!(f, "{value_type} holds {min} to {max}"),
                None => write!(f, "too large for {value_type}"),
            },
            EncodeError::NotANumber => f.write_str("NaN is not an integer"),
            EncodeError::NotWhole => f.write_str("an integer has no fraction"),
            EncodeError::Kind { value_type: value_type @ (ValueType::Bool | ValueType::Bit(_)) } => {
                write!(f, "{value_type} is true or false")
            }
            EncodeError::Kind { value_type } => write!(f, "{value_type} is a number"),
            EncodeError::TextTooLong { got, max } => write!(f, "{got} bytes where there are {max}"),
            EncodeError::Text => f.write_str("text is not a number"),
            EncodeError::Space { want } => write!(f, "no room for {want} registers"),
        }
    }
}

impl core::fmt::Display for UnknownType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            UnknownType::Name => "not a type",
            UnknownType::TextLength => "a text has 1 to 250 bytes: str1 to str250",
            UnknownType::BitNumber => "a register has bits 0 to 15: bit0 to bit15",
        })
    }
}

impl core::fmt::Display for UnknownOrder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("not a byte order")
    }
}

impl core::error::Error for DecodeError {}
impl core::error::Error for EncodeError {}
impl core::error::Error for UnknownType {}
impl core::error::Error for UnknownOrder {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{string::ToString, vec::Vec};

    const NAMED_TYPES: [ValueType; 11] = {
        let mut types = [ValueType::Bool; 11];
        let mut at = 0;
        while at < types.len() {
            types[at] = ValueType::NAMED[at].1;
            at += 1;
        }
        types
    };

    #[track_caller]
    fn both_ways(value_type: ValueType, order: &str, registers: &[u16], value: Value) {
        let order: Order = order.parse().unwrap();
        assert_eq!(value_type.decode(order, registers), Ok(value), "{value_type} {order} {registers:04x?}");
        let mut room = [0xAAAA; 4];
        assert_eq!(value_type.encode(order, value, &mut room), Ok(registers), "{value_type} {order} {value}");
    }

    #[test]
    fn floats_as_a_person_reads_them() {
        for (value, text) in [
            (Value::F32(2.355e-41), "2.355e-41"),
            (Value::F32(9e-6), "9e-6"),
            (Value::F32(0.000_02), "0.00002"),
            (Value::F32(-20.75), "-20.75"),
            (Value::F32(1e16), "1e16"),
            (Value::F32(f32::NAN), "NaN"),
            (Value::F64(0.0), "0"),
            (Value::F64(-0.0), "-0"),
            (Value::F64(1e-5), "0.00001"),
            (Value::F64(9_999_999_999_999_998.0), "9999999999999998"),
            (Value::F64(-1.5e300), "-1.5e300"),
            (Value::F64(f64::NEG_INFINITY), "-inf"),
        ] {
            assert_eq!(value.to_string(), text);
        }
        assert_eq!(std::format!("{:.1}", Value::F64(1e-9)), "0.0");
    }

    #[test]
    fn known_values_in_each_order() {
        both_ways(ValueType::F32, "abcd", &[0x41C8, 0x0000], Value::F32(25.0));
        both_ways(ValueType::F32, "cdab", &[0x0000, 0x41C8], Value::F32(25.0));
        both_ways(ValueType::F32, "badc", &[0xC841, 0x0000], Value::F32(25.0));
        both_ways(ValueType::F32, "dcba", &[0x0000, 0xC841], Value::F32(25.0));
        both_ways(ValueType::F32, "abcd", &[0x42F6, 0xE979], Value::F32(123.456));
        both_ways(ValueType::F64, "abcdefgh", &[0x405E, 0xDD2F, 0x1A9F, 0xBE77], Value::F64(123.456));
        both_ways(ValueType::F64, "ghefcdab", &[0xBE77, 0x1A9F, 0xDD2F, 0x405E], Value::F64(123.456));
        both_ways(ValueType::F64, "badcfehg", &[0x5E40, 0x2FDD, 0x9F1A, 0x77BE], Value::F64(123.456));
        both_ways(ValueType::F64, "hgfedcba", &[0x77BE, 0x9F1A, 0x2FDD, 0x5E40], Value::F64(123.456));
        both_ways(ValueType::U32, "abcd", &[0x0102, 0x0304], Value::Unsigned(0x0102_0304));
        both_ways(ValueType::U32, "cdab", &[0x0304, 0x0102], Value::Unsigned(0x0102_0304));
        both_ways(ValueType::U32, "badc", &[0x0201, 0x0403], Value::Unsigned(0x0102_0304));
        both_ways(ValueType::U32, "dcba", &[0x0403, 0x0201], Value::Unsigned(0x0102_0304));
        both_ways(ValueType::U16, "ab", &[0x0102], Value::Unsigned(0x0102));
        both_ways(ValueType::U16, "ba", &[0x0201], Value::Unsigned(0x0102));
        both_ways(ValueType::I16, "ab", &[0xFFFE], Value::Signed(-2));
        both_ways(ValueType::I32, "cdab", &[0xFFFE, 0xFFFF], Value::Signed(-2));
        both_ways(ValueType::I64, "abcd", &[0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE], Value::Signed(-2));
        both_ways(ValueType::U64, "ghefcdab", &[2, 0, 0, 1], Value::Unsigned(0x0001_0000_0000_0002));
        both_ways(ValueType::Bcd16, "ab", &[0x1234], Value::Unsigned(1234));
        both_ways(ValueType::Bcd32, "abcd", &[0x1234, 0x5678], Value::Unsigned(12_345_678));
        both_ways(ValueType::Bcd32, "cdab", &[0x5678, 0x1234], Value::Unsigned(12_345_678));
        both_ways(ValueType::Bool, "ab", &[1], Value::Bool(true));
        both_ways(ValueType::Bit(BitNumber(15)), "ab", &[0x8000], Value::Bool(true));
        both_ways(ValueType::Bit(BitNumber(0)), "ba", &[0x0100], Value::Bool(true));
    }

    #[test]
    fn what_registers_cannot_mean() {
        let order = Order::ABCD;
        let wrong = |got, want| Err(DecodeError::Registers { got, want });
        assert_eq!(ValueType::F32.decode(order, &[1]), wrong(1, 2));
        assert_eq!(ValueType::F32.decode(order, &[1, 2, 3]), wrong(3, 2));
        assert_eq!(ValueType::U16.decode(order, &[]), wrong(0, 1));
        assert_eq!(
            ValueType::Bcd16.decode(order, &[0x12A4]),
            Err(DecodeError::BcdDigit { position: 2, digit: 10 })
        );
        assert_eq!(
            ValueType::Bcd32.decode(Order::CDAB, &[0x0000, 0xF000]),
            Err(DecodeError::BcdDigit { position: 0, digit: 15 })
        );
        assert_eq!(ValueType::Bool.decode(order, &[2]), Err(DecodeError::NotBool { got: 2 }));
        let text = ValueType::Text(TextLength(2));
        assert_eq!(text.decode(order, &[2]), Err(DecodeError::Text));
    }

    #[test]
    fn limits_on_both_sides() {
        let fits = |value_type: ValueType, value| {
            let mut room = [0; 4];
            value_type.encode(Order::ABCD, value, &mut room).map(<[u16]>::to_vec)
        };
        for value_type in NAMED_TYPES {
            let Some((min, max)) = value_type.limits() else { continue };
            let outside = match value_type {
                ValueType::Bool => EncodeError::Kind { value_type },
                _ => EncodeError::OutOfRange { value_type },
            };
            let value = |number: i128| {
                i64::try_from(number).map(Value::Signed).or(u64::try_from(number).map(Value::Unsigned))
            };
            assert!(fits(value_type, value(min).unwrap()).is_ok(), "{value_type} {min}");
            assert!(fits(value_type, value(max).unwrap()).is_ok(), "{value_type} {max}");
            for number in [min - 1, max + 1] {
                if let Ok(value) = value(number) {
                    assert_eq!(fits(value_type, value), Err(outside), "{value_type} {number}");
                }
            }
            assert_eq!(fits(value_type, Value::F64(f64::INFINITY)), Err(outside));
            assert_eq!(fits(value_type, Value::F64(f64::NAN)), Err(EncodeError::NotANumber));
            assert_eq!(fits(value_type, Value::F32(0.5)), Err(EncodeError::NotWhole));
            assert!(fits(value_type, Value::F64(1.0)).is_ok());
            if value_type != ValueType::Bool {
                assert_eq!(fits(value_type, Value::Bool(true)), Err(EncodeError::Kind { value_type }));
            }
        }
        let too_large = Err(EncodeError::OutOfRange { value_type: ValueType::F32 });
        assert_eq!(fits(ValueType::F32, Value::F64(1e39)), too_large);
        assert_eq!(fits(ValueType::F32, Value::F64(-1e39)), too_large);
        assert_eq!(fits(ValueType::F32, Value::F64(f64::INFINITY)), Ok(std::vec![0x7F80, 0]));
        assert_eq!(fits(ValueType::F32, Value::Unsigned(25)), Ok(std::vec![0x41C8, 0]));
        assert_eq!(
            ValueType::U32.encode(Order::ABCD, Value::Unsigned(1), &mut [0]),
            Err(EncodeError::Space { want: 2 })
        );
    }

    #[track_caller]
    fn text_both_ways(length: u8, order: Order, text: &[u8], registers: &[u16]) {
        let length = TextLength::new(length).unwrap();
        let (mut words, mut bytes) = ([0xAAAA; 125], [0xAA; 250]);
        assert_eq!(encode_text(length, order, text, &mut words), Ok(registers));
        assert_eq!(decode_text(length, order, registers, &mut bytes), Ok(text));
    }

    #[test]
    fn texts() {
        text_both_ways(4, Order::ABCD, b"PUMP", &[0x5055, 0x4D50]);
        text_both_ways(4, Order::BADC, b"PUMP", &[0x5550, 0x504D]);
        text_both_ways(4, Order::CDAB, b"PUMP", &[0x4D50, 0x5055]);
        text_both_ways(4, Order::ABCD, b"P", &[0x5000, 0]);
        text_both_ways(4, Order::ABCD, b"", &[0, 0]);
        text_both_ways(3, Order::ABCD, b"PUM", &[0x5055, 0x4D00]);
        text_both_ways(3, Order::DCBA, b"PUM", &[0x004D, 0x5550]);
        text_both_ways(1, Order::ABCD, b"P", &[0x5000]);
        text_both_ways(4, Order::ABCD, b"a\0b", &[0x6100, 0x6200]);
        let four = TextLength(4);
        assert_eq!(
            encode_text(four, Order::ABCD, b"PUMPS", &mut [0; 9]),
            Err(EncodeError::TextTooLong { got: 5, max: 4 })
        );
        assert_eq!(encode_text(four, Order::ABCD, b"P", &mut [0]), Err(EncodeError::Space { want: 2 }));
        assert_eq!(decode_text(four, Order::ABCD, &[0, 0], &mut [0; 3]), Err(DecodeError::Space { want: 4 }));
        assert_eq!(
            decode_text(four, Order::ABCD, &[0], &mut [0; 9]),
            Err(DecodeError::Registers { got: 1, want: 2 })
        );
    }

    #[test]
    fn names() {
        for (name, value_type) in ValueType::NAMED {
            assert_eq!(name.parse(), Ok(value_type));
            assert_eq!(value_type.to_string(), name);
        }
        for (text, want) in [
            ("str1", Ok(ValueType::Text(TextLength(1)))),
            ("str250", Ok(ValueType::Text(TextLength(250)))),
            ("STR8", Ok(ValueType::Text(TextLength(8)))),
            ("F32", Ok(ValueType::F32)),
            ("bit0", Ok(ValueType::Bit(BitNumber(0)))),
            ("bit15", Ok(ValueType::Bit(BitNumber(15)))),
            ("str", Err(UnknownType::TextLength)),
            ("str0", Err(UnknownType::TextLength)),
            ("str251", Err(UnknownType::TextLength)),
            ("str+8", Err(UnknownType::TextLength)),
            ("str08", Err(UnknownType::TextLength)),
            ("string", Err(UnknownType::TextLength)),
            ("bit", Err(UnknownType::BitNumber)),
            ("bit16", Err(UnknownType::BitNumber)),
            ("", Err(UnknownType::Name)),
            ("f31", Err(UnknownType::Name)),
            ("é", Err(UnknownType::Name)),
        ] {
            assert_eq!(text.parse::<ValueType>(), want, "{text:?}");
        }
    }

    #[test]
    fn orders() {
        for order in Order::ALL {
            assert_eq!(order.to_string().parse(), Ok(order));
            for registers in [2, 4, 125] {
                assert_eq!(order.letters(registers).parse(), Ok(order));
            }
        }
        assert_eq!("ba".parse(), Ok(Order::BADC));
        assert_eq!("CDAB".parse(), Ok(Order::CDAB));
        for word in ["", "a", "abc", "acbd", "abcdef", "big"] {
            assert_eq!(word.parse::<Order>(), Err(UnknownOrder), "{word:?}");
        }
    }

    fn any_order() -> impl Strategy<Value = Order> {
        prop::sample::select(&Order::ALL[..])
    }

    fn any_type() -> impl Strategy<Value = ValueType> {
        prop_oneof![
            prop::sample::select(&NAMED_TYPES[..]),
            (0..16u8).prop_map(|bit| ValueType::Bit(BitNumber(bit))),
        ]
    }

    proptest! {
        #[test]
        fn encode_undoes_decode(value_type in any_type(), order in any_order(), registers: [u16; 4]) {
            let registers = &registers[..usize::from(value_type.registers())];
            if let Ok(value) = value_type.decode(order, registers) {
                let mut room = [0xAAAA; 4];
                let back = value_type.encode(order, value, &mut room).unwrap();
                if let ValueType::Bit(bit) = value_type {
                    prop_assert_eq!(back[0], registers[0] & order.word(bit.mask()));
                } else {
                    prop_assert_eq!(back, registers);
                }
            }
        }

        #[test]
        fn decode_undoes_encode(value_type in any_type(), order in any_order(), number: i64) {
            let mut room = [0; 4];
            // Small types see small numbers often enough.
            for value in [number, number >> 32, number >> 48, number & 1].map(Value::Signed) {
                if let Ok(registers) = value_type.encode(order, value, &mut room) {
                    let back = value_type.decode(order, registers).unwrap();
                    let again: Vec<u16> = registers.to_vec();
                    let mut room = [0; 4];
                    prop_assert_eq!(value_type.encode(order, back, &mut room).unwrap(), &again[..]);
                    if value_type.limits().is_some() {
                        let same = matches!((back, value), (Value::Bool(a), Value::Signed(b)) if i64::from(a) == b);
                        prop_assert!(same || back.to_string() == value.to_string());
                    }
                }
            }
        }

        #[test]
        fn text_survives(length in 1..=250u8, order in any_order(), text: Vec<u8>) {
            let length = TextLength::new(length).unwrap();
            let mut text = text;
            text.truncate(length.bytes().into());
            while text.last() == Some(&0) {
                text.pop();
            }
            let (mut words, mut bytes) = ([0xAAAA; 125], [0xAA; 250]);
            let registers = encode_text(length, order, &text, &mut words).unwrap();
            prop_assert_eq!(decode_text(length, order, registers, &mut bytes).unwrap(), &text[..]);
        }

        #[test]
        fn names_are_undone_by_parse(value_type in any_type(), length in 1..=250u8) {
            prop_assert_eq!(value_type.to_string().parse(), Ok(value_type));
            let text = ValueType::Text(TextLength(length));
            prop_assert_eq!(text.to_string().parse(), Ok(text));
        }

        #[test]
        fn no_input_panics(order in any_order(), registers: Vec<u16>, float: f64, text: std::string::String) {
            for value_type in NAMED_TYPES {
                let _ = value_type.decode(order, &registers);
                let _ = value_type.encode(order, Value::F64(float), &mut [0; 4]);
            }
            let _ = text.parse::<ValueType>();
            let _ = text.parse::<Order>();
        }
    }
}
