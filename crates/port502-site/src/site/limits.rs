//! Between engineering units and what stands in registers.

use port502_inspect::policy::Envelope;
use port502_wire::value::ValueType;

/// A part of a step that is none: what a decimal fraction loses as a binary one.
const SLIP: f64 = 1e-6;

/// What a type holds, in engineering units, the lower first; `None` for bits, texts and floats, which hold anything.
#[allow(clippy::cast_precision_loss, reason = "the nearest is near enough to say what does not fit")]
pub(super) fn of_type(value_type: ValueType, scale: f64, offset: f64) -> Option<(f64, f64)> {
    match value_type {
        ValueType::Bool | ValueType::Bit(_) | ValueType::Text(_) => None,
        ValueType::F64 => None,
        ValueType::F32 => {
            Some(f64::from(f32::MAX)).map(|max| ordered(-max * scale + offset, max * scale + offset))
        }
        _ => value_type.limits().map(|(low, high)| {
            let (low, high) = ordered(low as f64 * scale + offset, high as f64 * scale + offset);
            (tidy(low, scale), tidy(high, scale))
        }),
    }
}

/// Without the digits that binary fractions leave behind.
fn tidy(value: f64, scale: f64) -> f64 {
    let digits = 1.0 / (scale.abs() * SLIP);
    let tidied = (value * digits).round() / digits;
    if tidied.is_finite() { tidied } else { value }
}

fn ordered(a: f64, b: f64) -> (f64, f64) {
    if a <= b { (a, b) } else { (b, a) }
}

/// What may stand in registers for a value between `min` and `max`; `None` when nothing does.
pub(super) fn raw(value_type: ValueType, scale: f64, offset: f64, min: f64, max: f64) -> Option<Envelope> {
    let (low, high) = ordered((min - offset) / scale, (max - offset) / scale);
    match value_type {
        ValueType::F64 => Some(Envelope::Floats { min: low, max: high }),
        ValueType::F32 => {
            // What is written is the nearest of these, which may lie a hair outside: 0.1 is above 0.1.
            #[allow(clippy::cast_possible_truncation, reason = "the nearest is what is written")]
            let nearest = |limit: f64| f64::from(limit as f32);
            Some(Envelope::Floats { min: nearest(low).min(low), max: nearest(high).max(high) })
        }
        _ => {
            let (min, max) = (integer((low - SLIP).ceil()), integer((high + SLIP).floor()));
            let (least, most) = value_type.limits()?;
            let (min, max) = (min.max(least), max.min(most));
            (min <= max).then_some(Envelope::Integers { min, max })
        }
    }
}

/// The number in the registers that is nearest to a value, and the value that it is.
pub(super) fn nearest(scale: f64, offset: f64, value: f64) -> (i128, f64) {
    let raw = ((value - offset) / scale).round();
    (integer(raw), tidy(raw * scale + offset, scale))
}

/// A whole number as an integer; what is beyond is the largest there is.
#[allow(
    clippy::cast_possible_truncation,
    reason = "what does not fit is cut to what does, and 2^127 is in no register"
)]
fn integer(whole: f64) -> i128 {
    whole as i128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_in_registers() {
        for (value_type, scale, offset, min, max, want) in [
            (ValueType::U16, 0.1, 0.0, 20.0, 50.0, Some((200, 500))),
            (ValueType::U16, 0.1, 0.0, 0.3, 0.7, Some((3, 7))),
            (ValueType::U16, 1.0, 0.0, 0.2, 2.9, Some((1, 2))),
            (ValueType::U16, 1.0, 0.0, 0.2, 0.9, None),
            (ValueType::I16, 1.0, -40.0, -40.0, 120.0, Some((0, 160))),
            (ValueType::I16, -1.0, 0.0, 2.0, 3.0, Some((-3, -2))),
            (ValueType::U16, 1.0, 0.0, -5.0, 7.0, Some((0, 7))),
            (ValueType::U32, 0.001, 0.0, 0.0, 4_294_967.295, Some((0, 4_294_967_295))),
        ] {
            let got = raw(value_type, scale, offset, min, max);
            let want = want.map(|(min, max)| Envelope::Integers { min, max });
            assert_eq!(got, want, "{value_type} {scale} {offset} {min} {max}");
        }
    }

    #[test]
    fn the_nearest_float_is_within() {
        let Some(Envelope::Floats { min, max }) = raw(ValueType::F32, 1.0, 0.0, 0.1, 0.7) else {
            panic!("floats have floats as limits")
        };
        for limit in [0.1_f32, 0.7_f32] {
            assert!((min..=max).contains(&f64::from(limit)), "{limit}");
        }
        assert!(!(min..=max).contains(&f64::from(0.7_f32.next_up())));
    }
}
