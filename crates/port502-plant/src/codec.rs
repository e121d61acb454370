//! Values and registers: scaled, encoded and back, as a device does it.

use port502_net::memory::MemoryDevice;
use port502_site::Point;
use port502_wire::Table;
use port502_wire::value::{self, Value, ValueType};

/// A number in its unit as it stands in the registers: scaled, rounded to what the type can show, and cut to what it
/// holds. A float of 32 bits keeps three digits behind the point: a sensor has a resolution.
pub(crate) fn to_value(value_type: ValueType, number: f64, scale: f64, offset: f64) -> Value {
    let raw = (number - offset) / scale;
    match value_type.limits() {
        None => Value::F64((raw * 1000.0).round() / 1000.0),
        Some((low, high)) => {
            // Every limit is a float or next to one; `as` saturates.
            let (low_f, high_f) = (low as f64, high as f64);
            let whole = if raw.is_nan() { 0.0 } else { raw.round().clamp(low_f, high_f) };
            if whole < 0.0 {
                Value::Signed(saturated(whole))
            } else {
                Value::Unsigned(saturated_unsigned(whole, high))
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a cast from a float saturates, which is meant")]
const fn saturated(whole: f64) -> i64 {
    whole as i64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from a float saturates, which is meant; the limit is positive"
)]
fn saturated_unsigned(whole: f64, high: i128) -> u64 {
    (whole as u64).min(high as u64)
}

/// What registers say, in the tag's unit; `None` where they are no number.
pub(crate) fn to_number(point: &Point, registers: &[u16], scale: f64, offset: f64) -> Option<f64> {
    let raw = match point.value_type().decode(point.order(), registers).ok()? {
        Value::Bool(on) => return Some(if on { 1.0 } else { 0.0 }),
        Value::Unsigned(number) => number as f64,
        Value::Signed(number) => number as f64,
        Value::F32(float) => f64::from(float),
        Value::F64(float) => float,
    };
    let number = raw * scale + offset;
    number.is_finite().then_some(number)
}

/// Puts a number where a point is. Bits beside it in the same register stay as they are.
pub(crate) fn put(memory: &MemoryDevice, point: &Point, number: f64, scale: f64, offset: f64) {
    let (table, address) = (point.table(), point.address());
    if table.is_bits() {
        memory.set_bits(table, address, &[number >= 0.5]);
        return;
    }
    if let ValueType::Bit(bit) = point.value_type() {
        let mask = if point.order().bytes_swapped { bit.mask().swap_bytes() } else { bit.mask() };
        let old = memory.register(table, address).unwrap_or_default();
        let new = if number >= 0.5 { old | mask } else { old & !mask };
        memory.set_registers(table, address, &[new]);
        return;
    }
    if point.value_type() == ValueType::Bool {
        memory.set_registers(table, address, &[u16::from(number >= 0.5)]);
        return;
    }
    let mut room = [0; 4];
    let value = to_value(point.value_type(), number, scale, offset);
    if let Ok(registers) = point.value_type().encode(point.order(), value, &mut room) {
        memory.set_registers(table, address, registers);
    }
}

/// Puts a text where a point is, cut to its length.
pub(crate) fn put_text(memory: &MemoryDevice, point: &Point, text: &str) {
    let ValueType::Text(length) = point.value_type() else { return };
    let bytes = text.as_bytes();
    let bytes = bytes.get(..usize::from(length.bytes()).min(bytes.len())).unwrap_or_default();
    let mut room = [0; value::TextLength::MAX as usize];
    if let Ok(registers) = value::encode_text(length, point.order(), bytes, &mut room) {
        memory.set_registers(point.table(), point.address(), registers);
    }
}

/// What stands where a point is; `None` where that is no number.
pub(crate) fn get(memory: &MemoryDevice, point: &Point, scale: f64, offset: f64) -> Option<f64> {
    let (table, address) = (point.table(), point.address());
    if table.is_bits() {
        return memory.bit(table, address).map(|on| if on { 1.0 } else { 0.0 });
    }
    let mut registers = Vec::with_capacity(4);
    for at in 0..point.value_width() {
        registers.push(memory.register(table, address.checked_add(at)?)?);
    }
    to_number(point, &registers, scale, offset)
}

/// The addresses of a point: its table, the first and the last.
pub(crate) fn addresses(point: &Point) -> (Table, u16, u16) {
    (point.table(), point.address(), point.last())
}
