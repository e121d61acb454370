//! What a tag's registers mean: a value in engineering units, or that there is none.

use port502_wire::value::{DecodeError, ValueType};

use super::Tag;
use crate::{Cells, Datum};

/// One value of a tag.
#[derive(Clone, PartialEq, Debug)]
pub enum Reading {
    /// The registers say that there is no value: one of the tag's `nan`, or a float that is not a number.
    Absent,
    /// Of a bit.
    Bool(bool),
    /// In engineering units.
    Number(f64),
    /// Of a text.
    Text(String),
}

/// Powers of ten that a device can mean; SunSpec allows -10 to 10.
pub const EXPONENT_MAX: i16 = 18;

impl Tag {
    /// What stands in `cells`, which begin at the tag's address. `exponent` is what the tag's own
    /// [`exponent`](super::TagMore::exponent) holds, where it has one: without it, or beyond [`EXPONENT_MAX`], there
    /// is no value.
    ///
    /// # Errors
    /// Registers that are no value of the tag's type, or too few of them.
    pub fn reading(&self, cells: &Cells, exponent: Option<i16>) -> Result<Reading, DecodeError> {
        let missing = DecodeError::Registers { got: 0, want: self.point.value_width() };
        let datum = self.point.decode(cells).into_iter().next().unwrap_or(Err(missing))?;
        #[allow(clippy::cast_precision_loss, reason = "the nearest is what a number is here")]
        let raw = match datum {
            Datum::Bool(on) => return Ok(Reading::Bool(on)),
            Datum::Text(text) => return Ok(Reading::Text(text)),
            Datum::Unsigned(number) if self.is_absent(number.into()) => return Ok(Reading::Absent),
            Datum::Signed(number) if self.is_absent(number.into()) => return Ok(Reading::Absent),
            Datum::Unsigned(number) => number as f64,
            Datum::Signed(number) => number as f64,
            Datum::F32(float) => float.into(),
            Datum::F64(float) => float,
        };
        if raw.is_nan() {
            return Ok(Reading::Absent);
        }
        let raw = match (self.more().exponent, exponent) {
            (None, _) => raw,
            (Some(_), Some(power)) if power.unsigned_abs() <= EXPONENT_MAX.unsigned_abs() => {
                // To divide by 10 is exact where to multiply by 0.1 is not.
                let factor = 10_f64.powi(power.unsigned_abs().into());
                if power < 0 { raw / factor } else { raw * factor }
            }
            (Some(_), _) => return Ok(Reading::Absent),
        };
        Ok(Reading::Number(self.scaled(raw)))
    }

    /// Whether a number in the registers says that there is none. A `nan` is written as the number, or as the bits:
    /// -32768 and 0x8000 mean the same of an `i16`.
    #[must_use]
    pub fn is_absent(&self, raw: i128) -> bool {
        let bits = 16 * u32::from(self.point.value_width());
        let modulus = 1_i128 << bits;
        let same = |nan: &i128| *nan == raw || nan.rem_euclid(modulus) == raw.rem_euclid(modulus);
        let integer = !matches!(self.point.value_type(), ValueType::Bcd16 | ValueType::Bcd32);
        let nan = &self.more().nan;
        if integer { nan.iter().any(same) } else { nan.contains(&raw) }
    }
}
