//! What a point holds: values from coils and registers, and back from the text that people write.

use core::fmt;
use core::ops::Range;

use port502_wire::value::{self, DecodeError, EncodeError, TextLength, Value, ValueType};

use crate::Point;
use crate::excerpt::excerpt;

/// One value of a point.
#[derive(Clone, PartialEq, Debug)]
pub enum Datum {
    /// A coil, a discrete input, or a bit of a register.
    Bool(bool),
    /// An unsigned or BCD number.
    Unsigned(u64),
    /// A signed number.
    Signed(i64),
    /// A number of four bytes.
    F32(f32),
    /// A number of eight bytes.
    F64(f64),
    /// Text. Bytes that are not UTF-8 are read as ISO 8859-1, so that each is seen.
    Text(String),
}

/// What a run of addresses holds, as a device gives and takes it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Cells {
    /// Coils or discrete inputs.
    Bits(Vec<bool>),
    /// Input or holding registers.
    Registers(Vec<u16>),
}

/// Why a text cannot be written to a point, and where in it.
#[derive(Clone, PartialEq, Debug)]
pub struct ValueError {
    /// What is wrong.
    pub fault: ValueFault,
    /// The bytes of the text that are wrong.
    pub range: Range<usize>,
    /// What stands there.
    pub word: String,
}

/// What can be wrong with a value.
#[derive(Clone, PartialEq, Debug)]
pub enum ValueFault {
    /// Not a number.
    Number {
        /// The type that it should be of.
        value_type: ValueType,
    },
    /// Not true or false.
    Bool,
    /// A number, or text, that the type does not hold.
    Encode(EncodeError),
    /// More or fewer values than the point has.
    Count {
        /// How many there are.
        got: usize,
        /// How many the point has.
        want: u32,
    },
    /// A text that ends in zero bytes, which would not come back: they are the padding.
    Zero,
}

impl Cells {
    /// Zeros, for all that `point` takes.
    #[must_use]
    pub fn zeros(point: &Point) -> Self {
        let width = usize::try_from(point.width()).unwrap_or_default();
        if point.table().is_bits() {
            Cells::Bits(vec![false; width])
        } else {
            Cells::Registers(vec![0; width])
        }
    }

    /// How many coils, inputs or registers.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Cells::Bits(bits) => bits.len(),
            Cells::Registers(registers) => registers.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `count` of them from `first` on; `None` when there are fewer.
    #[must_use]
    pub fn part(&self, first: usize, count: usize) -> Option<Cells> {
        let range = first..first.checked_add(count)?;
        Some(match self {
            Cells::Bits(bits) => Cells::Bits(bits.get(range)?.to_vec()),
            Cells::Registers(registers) => Cells::Registers(registers.get(range)?.to_vec()),
        })
    }
}

impl Point {
    /// The values in `cells`, which begin at the point's address: as many as the point has. Where cells are
    /// missing, or are of the wrong kind, the value is a [`DecodeError::Registers`].
    #[must_use]
    pub fn decode(&self, cells: &Cells) -> Vec<Result<Datum, DecodeError>> {
        let count = usize::try_from(self.count()).unwrap_or_default();
        let width = usize::from(self.value_width());
        let missing = DecodeError::Registers { got: 0, want: self.value_width() };
        (0..count)
            .map(|index| match (self.table().is_bits(), cells) {
                (true, Cells::Bits(bits)) => bits.get(index).map(|bit| Datum::Bool(*bit)).ok_or(missing),
                (false, Cells::Registers(registers)) => {
                    let rest = registers.get(index * width..).unwrap_or_default();
                    self.decode_one(rest.get(..width).unwrap_or(rest))
                }
                _ => Err(missing),
            })
            .collect()
    }

    fn decode_one(&self, registers: &[u16]) -> Result<Datum, DecodeError> {
        if let ValueType::Text(length) = self.value_type() {
            let mut room = [0; TextLength::MAX as usize];
            let bytes = value::decode_text(length, self.order(), registers, &mut room)?;
            let latin = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect();
            return Ok(Datum::Text(core::str::from_utf8(bytes).map_or_else(|_| latin(bytes), str::to_owned)));
        }
        Ok(match self.value_type().decode(self.order(), registers)? {
            Value::Bool(on) => Datum::Bool(on),
            Value::Unsigned(number) => Datum::Unsigned(number),
            Value::Signed(number) => Datum::Signed(number),
            Value::F32(float) => Datum::F32(float),
            Value::F64(float) => Datum::F64(float),
        })
    }

    /// Reads what is to be written: one value, or a list with commas for a point of many.
    ///
    /// Numbers are decimal, or hexadecimal after `0x`; bits are `true`, `on`, `1`, `false`, `off` or `0`; text
    /// is taken as it is. A bit of a register gives a register in which the others are 0.
    ///
    /// # Errors
    /// A text that is not a value of the point's type, a number outside its limits, or another count.
    pub fn parse_values(&self, text: &str) -> Result<Cells, ValueError> {
        let one = self.count() == 1;
        // The only value of a text point may hold commas.
        let whole = one && matches!(self.value_type(), ValueType::Text(_));
        let words: Vec<&str> = if whole { vec![text] } else { text.split(',').collect() };
        let count = u32::try_from(words.len()).unwrap_or(u32::MAX);
        if count != self.count() {
            let fault = ValueFault::Count { got: words.len(), want: self.count() };
            return Err(ValueError { fault, range: 0..text.len(), word: text.to_owned() });
        }
        let (mut bits, mut registers, mut start) = (Vec::new(), Vec::new(), 0);
        for word in words {
            let trimmed = if whole { word } else { word.trim() };
            let from = start + (word.len() - word.trim_start().len()) * usize::from(!whole);
            let wrong =
                |fault| ValueError { fault, range: from..from + trimmed.len(), word: trimmed.to_owned() };
            if self.table().is_bits() {
                bits.push(parse_bool(trimmed).ok_or_else(|| wrong(ValueFault::Bool))?);
            } else {
                self.encode_one(trimmed, &mut registers).map_err(wrong)?;
            }
            start += word.len() + 1;
        }
        Ok(if self.table().is_bits() { Cells::Bits(bits) } else { Cells::Registers(registers) })
    }

    /// Appends the registers of one value.
    fn encode_one(&self, word: &str, registers: &mut Vec<u16>) -> Result<(), ValueFault> {
        let (value_type, order) = (self.value_type(), self.order());
        if let ValueType::Text(length) = value_type {
            if word.ends_with('\0') {
                return Err(ValueFault::Zero);
            }
            let mut room = [0; TextLength::MAX as usize];
            let text = value::encode_text(length, order, word.as_bytes(), &mut room);
            registers.extend_from_slice(text.map_err(ValueFault::Encode)?);
            return Ok(());
        }
        let value = match value_type {
            ValueType::Bool | ValueType::Bit(_) => Value::Bool(parse_bool(word).ok_or(ValueFault::Bool)?),
            ValueType::F32 => Value::F32(parse_f32(word)?),
            ValueType::F64 => Value::F64(parse_f64(word)?),
            _ => parse_number(word, value_type)?,
        };
        let mut room = [0; 4];
        registers.extend_from_slice(value_type.encode(order, value, &mut room).map_err(ValueFault::Encode)?);
        Ok(())
    }
}

fn parse_bool(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "on" | "1" => Some(true),
        "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// An integer of any size, as far as it has a [`Value`]; a float that has no fraction is one too.
fn parse_number(word: &str, value_type: ValueType) -> Result<Value, ValueFault> {
    let outside = ValueFault::Encode(EncodeError::OutOfRange { value_type });
    if let Some(number) = parse_integer(word) {
        let number = number.ok_or_else(|| outside.clone())?;
        let signed = i64::try_from(number).map(Value::Signed);
        return signed.or_else(|_| u64::try_from(number).map(Value::Unsigned)).map_err(|_| outside);
    }
    decimal(word).map(Value::F64).ok_or(ValueFault::Number { value_type })
}

/// `None`: not an integer. `Some(None)`: one that does not fit.
fn parse_integer(word: &str) -> Option<Option<i128>> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok();
    Some(number.map(|number| if negative { -number } else { number }))
}

/// A number that Rust reads as a float, which takes `inf` and `nan` too.
fn decimal(word: &str) -> Option<f64> {
    word.parse().ok()
}

fn parse_f64(word: &str) -> Result<f64, ValueFault> {
    let value_type = ValueType::F64;
    if let (Some(Some(number)), true) = (parse_integer(word), word.contains(['x', 'X'])) {
        #[allow(
            clippy::cast_precision_loss,
            reason = "a float holds the nearest number, that is what it is for"
        )]
        return Ok(number as f64);
    }
    let float = decimal(word).ok_or(ValueFault::Number { value_type })?;
    if float.is_infinite() && word.contains(|c: char| c.is_ascii_digit()) {
        return Err(ValueFault::Encode(EncodeError::OutOfRange { value_type }));
    }
    Ok(float)
}

fn parse_f32(word: &str) -> Result<f32, ValueFault> {
    let value_type = ValueType::F32;
    if let (Some(Some(number)), true) = (parse_integer(word), word.contains(['x', 'X'])) {
        #[allow(
            clippy::cast_precision_loss,
            reason = "a float holds the nearest number, that is what it is for"
        )]
        return Ok(number as f32);
    }
    // Not by way of f64: that would round twice.
    let float: f32 = word.parse().map_err(|_| ValueFault::Number { value_type })?;
    if float.is_infinite() && word.contains(|c: char| c.is_ascii_digit()) {
        return Err(ValueFault::Encode(EncodeError::OutOfRange { value_type }));
    }
    Ok(float)
}

impl fmt::Display for Datum {
    /// As [`Point::parse_values`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Datum::Bool(on) => on.fmt(f),
            Datum::Unsigned(number) => number.fmt(f),
            Datum::Signed(number) => number.fmt(f),
            Datum::F32(float) => Value::F32(*float).fmt(f),
            Datum::F64(float) => Value::F64(*float).fmt(f),
            Datum::Text(text) => f.pad(text),
        }
    }
}

impl fmt::Display for ValueError {
    /// What is wrong, and what to try.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = excerpt(&self.word);
        match &self.fault {
            ValueFault::Number { value_type } => {
                write!(f, "\"{word}\" is not a number")?;
                match (value_type, word.is_empty()) {
                    (ValueType::F32 | ValueType::F64, _) => f.write_str("; write 3.5, -2 or 1e-3"),
                    (_, true) => f.write_str("; write 1234, or 0x4D2"),
                    _ => write!(f, "; {value_type} takes 1234, or 0x4D2"),
                }
            }
            ValueFault::Bool => write!(f, "\"{word}\" is not a bit; write on or off, true or false, 1 or 0"),
            ValueFault::Encode(EncodeError::OutOfRange { value_type }) => match value_type.limits() {
                Some((min, max)) => {
                    write!(f, "{word} is not within {min} to {max}, which is what {value_type} holds")?;
                    wider(&self.word).map_or(Ok(()), |wider| write!(f, "; {wider} would hold it"))
                }
                None => write!(f, "{word} is too large for {value_type}"),
            },
            ValueFault::Encode(EncodeError::NotWhole) => {
                write!(f, "{word} has a fraction; write an integer, or read the point as f32")
            }
            ValueFault::Encode(EncodeError::NotANumber) => write!(f, "{word} is not an integer"),
            ValueFault::Encode(EncodeError::TextTooLong { got, max }) => {
                write!(
                    f,
                    "\"{word}\" has {got} bytes, and there is room for {max}; write strN with a larger N"
                )
            }
            ValueFault::Encode(other) => write!(f, "\"{word}\": {other}"),
            ValueFault::Count { got: 1, want } => {
                write!(f, "\"{word}\" is one value for {want}; separate them by commas")
            }
            ValueFault::Count { got, want: 1 } => {
                write!(f, "\"{word}\" is {got} values for one; write *{got} behind the point")?;
                f.write_str(if *got == 2 { ", or a point for the decimal comma" } else { "" })
            }
            ValueFault::Count { got, want } => write!(f, "\"{word}\" is {got} values for {want}"),
            ValueFault::Zero => f.write_str("a text ends with its last character, not with zero bytes"),
        }
    }
}

/// The narrowest integer type that holds what another did not.
fn wider(word: &str) -> Option<ValueType> {
    let number = parse_integer(word)??;
    [ValueType::U16, ValueType::I16, ValueType::U32, ValueType::I32, ValueType::U64, ValueType::I64]
        .into_iter()
        .find(|wider| wider.limits().is_some_and(|(min, max)| number >= min && number <= max))
}

impl core::error::Error for ValueError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::any_point;
    use proptest::prelude::*;

    #[track_caller]
    fn check(point: &str, text: &str, registers: &[u16], shown: &str) {
        let point: Point = point.parse().unwrap();
        let cells = point.parse_values(text).unwrap_or_else(|e| panic!("{point}={text}: {e}"));
        assert_eq!(cells, Cells::Registers(registers.to_vec()), "{point}={text}");
        assert_eq!(show(&point, &cells), shown, "{point}={text}");
    }

    fn show(point: &Point, cells: &Cells) -> String {
        let shown =
            |datum: Result<Datum, DecodeError>| datum.map_or_else(|e| e.to_string(), |d| d.to_string());
        point.decode(cells).into_iter().map(shown).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn values() {
        check("h:0", "1234", &[1234], "1234");
        check("h:0", " 0x10 ", &[16], "16");
        check("h:0", "+7", &[7], "7");
        check("h:0", "1e3", &[1000], "1000");
        check("h:0", "65535", &[65535], "65535");
        check("h:0:i16", "-5", &[0xFFFB], "-5");
        check("h:0:i16", "-0x10", &[0xFFF0], "-16");
        check("h:0:u32:cdab", "70000", &[0x1170, 1], "70000");
        check("h:0:u64", "18446744073709551615", &[0xFFFF; 4], "18446744073709551615");
        check("h:0:i64", "-9223372036854775808", &[0x8000, 0, 0, 0], "-9223372036854775808");
        check("h:0:f32", "3.5", &[0x4060, 0], "3.5");
        check("h:0:f32", "25", &[0x41C8, 0], "25");
        check("h:0:f32", "0x19", &[0x41C8, 0], "25");
        check("h:0:f32", "0.1", &[0x3DCC, 0xCCCD], "0.1");
        check("h:0:f32", "inf", &[0x7F80, 0], "inf");
        check("h:0:f32", "nan", &[0x7FC0, 0], "NaN");
        check("h:0:f64", "1e-3", &[0x3F50, 0x624D, 0xD2F1, 0xA9FC], "0.001");
        check("h:0:bcd16", "1234", &[0x1234], "1234");
        check("h:0:bit3", "on", &[8], "true");
        check("h:0:bit3", "off", &[0], "false");
        check("h:0:bool", "true", &[1], "true");
        check("h:0:str4", "ab,c", &[0x6162, 0x2C63], "ab,c");
        check("h:0:str4", "ü", &[0xC3BC, 0], "ü");
        check("h:0:str4", "", &[0, 0], "");
        check("h:0:str2*2", "ab, c", &[0x6162, 0x6300], "ab,c");
        check("h:0*3", "1, 2,0x3", &[1, 2, 3], "1,2,3");
        let coils: Point = "c:0*4".parse().unwrap();
        let cells = coils.parse_values("1,off,TRUE,false").unwrap();
        assert_eq!(cells, Cells::Bits(vec![true, false, true, false]));
        assert_eq!(show(&coils, &cells), "true,false,true,false");
    }

    #[test]
    fn what_registers_hold() {
        let shown = |point: &str, registers: &[u16]| {
            show(&point.parse().unwrap(), &Cells::Registers(registers.to_vec()))
        };
        assert_eq!(shown("h:0:str4", &[0xFC41, 0]), "üA"); // not UTF-8
        assert_eq!(shown("h:0:bcd16*2", &[0x12A4, 0x0042]), "digit 3 is 0xA, which is not decimal,42");
        assert_eq!(shown("h:0:bool", &[7]), "the register holds 7, neither 0 nor 1");
        assert_eq!(shown("h:0*2", &[7]), "7,0 registers where the type takes 1");
        assert_eq!(shown("h:0:f32", &[7]), "1 register where the type takes 2");
        assert_eq!(shown("c:0", &[7]), "0 registers where the type takes 1");
    }

    #[track_caller]
    fn refuse(point: &str, text: &str, range: Range<usize>, message: &str) {
        let point: Point = point.parse().unwrap();
        let error = point.parse_values(text).expect_err(text);
        assert_eq!((error.range.clone(), error.to_string().as_str()), (range, message), "{point}={text}");
    }

    #[test]
    fn broken_values_say_what_to_try() {
        refuse("h:0", "", 0..0, "\"\" is not a number; write 1234, or 0x4D2");
        refuse("h:0", "abc", 0..3, "\"abc\" is not a number; u16 takes 1234, or 0x4D2");
        refuse("h:0", "0x", 0..2, "\"0x\" is not a number; u16 takes 1234, or 0x4D2");
        refuse(
            "h:0",
            "70000",
            0..5,
            "70000 is not within 0 to 65535, which is what u16 holds; u32 would hold it",
        );
        refuse("h:0", "-1", 0..2, "-1 is not within 0 to 65535, which is what u16 holds; i16 would hold it");
        refuse(
            "h:0:i16",
            "32768",
            0..5,
            "32768 is not within -32768 to 32767, which is what i16 holds; u16 would hold it",
        );
        refuse(
            "h:0:bcd16",
            "10000",
            0..5,
            "10000 is not within 0 to 9999, which is what bcd16 holds; u16 would hold it",
        );
        refuse(
            "h:0:u64",
            "99999999999999999999999999999999999999999999",
            0..44,
            "99999999999999999999999999999999999999999999 is not within 0 to 18446744073709551615, which is what u64 holds",
        );
        refuse("h:0", "inf", 0..3, "inf is not within 0 to 65535, which is what u16 holds");
        refuse("h:0", "nan", 0..3, "nan is not an integer");
        refuse("h:0", "3.5", 0..3, "3.5 has a fraction; write an integer, or read the point as f32");
        refuse("h:0:f32", "x", 0..1, "\"x\" is not a number; write 3.5, -2 or 1e-3");
        refuse("h:0:f32", "1e39", 0..4, "1e39 is too large for f32");
        refuse("h:0:f64", "1e309", 0..5, "1e309 is too large for f64");
        refuse(
            "h:0:f32",
            "3,5",
            0..3,
            "\"3,5\" is 2 values for one; write *2 behind the point, or a point for the decimal comma",
        );
        refuse("h:0", "1,2,3", 0..5, "\"1,2,3\" is 3 values for one; write *3 behind the point");
        refuse("h:0*3", "1", 0..1, "\"1\" is one value for 3; separate them by commas");
        refuse("h:0*3", "1,2", 0..3, "\"1,2\" is 2 values for 3");
        refuse("h:0*3", "1, x,3", 3..4, "\"x\" is not a number; u16 takes 1234, or 0x4D2");
        refuse("c:0", "2", 0..1, "\"2\" is not a bit; write on or off, true or false, 1 or 0");
        refuse("h:0:bit3", "x", 0..1, "\"x\" is not a bit; write on or off, true or false, 1 or 0");
        refuse(
            "h:0:str4",
            "pumps",
            0..5,
            "\"pumps\" has 5 bytes, and there is room for 4; write strN with a larger N",
        );
    }

    proptest! {
        #[test]
        fn parse_undoes_display(point in any_point(), seed: Vec<u16>) {
            let width = usize::try_from(point.width()).unwrap();
            let cells = if point.table().is_bits() {
                Cells::Bits((0..width).map(|i| seed.get(i).is_some_and(|word| word % 2 == 1)).collect())
            } else {
                Cells::Registers((0..width).map(|i| seed.get(i).copied().unwrap_or(7)).collect())
            };
            let values = point.decode(&cells);
            prop_assert_eq!(values.len(), usize::try_from(point.count()).unwrap());
            // One by one: a text in a list must not hold a comma.
            for (one, value) in point.each().zip(values).take(20) {
                let Ok(value) = value else { continue };
                match one.parse_values(&value.to_string()) {
                    Ok(cells) => {
                        let again = one.decode(&cells).remove(0).unwrap();
                        prop_assert!(again == value || again.to_string() == "NaN", "{} {:?} {:?}", one, value, again);
                    }
                    // What was read as ISO 8859-1 is longer as UTF-8.
                    Err(error) => prop_assert!(matches!(value, Datum::Text(_)), "{}", error),
                }
            }
        }

        #[test]
        fn no_text_panics(point in any_point(), text: String) {
            if let Err(error) = point.parse_values(&text) {
                prop_assert!(text.get(error.range.clone()) == Some(error.word.as_str()));
            }
        }
    }
}
