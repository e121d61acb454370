//! Words that several formats have in common: numbers, types, byte orders, tables.

use port502_wire::Table;
use port502_wire::value::{BitNumber, Order, TextLength, ValueType};

/// Decimal, or hexadecimal after `0x`, with a sign.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => digits.parse::<i64>().ok()?,
    };
    number.checked_mul(sign)
}

/// An address, as a number that is one.
pub(crate) fn address(number: i64) -> Option<u16> {
    u16::try_from(number).ok()
}

/// A type by one of the names that tools have for it. `words` are the registers that the source gives it.
pub(crate) fn value_type(word: &str, words: Option<u16>) -> Option<ValueType> {
    let lower: String = word.trim().to_ascii_lowercase().chars().filter(|c| !" _-".contains(*c)).collect();
    let plain = match lower.as_str() {
        "bool" | "boolean" | "bit" | "digital" | "binary" => Some(ValueType::Bool),
        "u16" | "uint16" | "ushort" | "word" | "unsigned16" | "uint16be" | "unsignedshort" | "enum16"
        | "bitfield16" | "ui16" | "uword" => Some(ValueType::U16),
        "i16" | "int16" | "s16" | "sint16" | "short" | "signed16" | "integer16" | "sword" | "sunssf" => {
            Some(ValueType::I16)
        }
        "u32" | "uint32" | "dword" | "udint" | "ulong" | "unsigned32" | "acc32" | "bitfield32" | "ui32"
        | "udword" => Some(ValueType::U32),
        "i32" | "int32" | "s32" | "sint32" | "dint" | "long" | "signed32" | "sdword" => Some(ValueType::I32),
        "u64" | "uint64" | "ulint" | "lword" | "qword" | "unsigned64" | "acc64" | "bitfield64" => {
            Some(ValueType::U64)
        }
        "i64" | "int64" | "s64" | "lint" | "signed64" => Some(ValueType::I64),
        "f32" | "float32" | "real" | "single" | "real32" | "float32ieee" | "ieee754" => Some(ValueType::F32),
        "f64" | "float64" | "double" | "lreal" | "real64" | "float64ieee" => Some(ValueType::F64),
        "bcd16" | "bcd" => Some(ValueType::Bcd16),
        "bcd32" => Some(ValueType::Bcd32),
        // Of these the registers say how wide they are.
        "uint" | "unsigned" | "ufixed" | "enum" | "bitfield" | "usint" | "bitmap" | "unsignedinteger" => {
            Some(by_width(words, [ValueType::U16, ValueType::U32, ValueType::U64])?)
        }
        "int" | "signed" | "fixed" | "integer" | "signedinteger" => {
            Some(by_width(words, [ValueType::I16, ValueType::I32, ValueType::I64])?)
        }
        "float" | "floatingpoint" | "floating" => match words {
            None | Some(2) => Some(ValueType::F32),
            Some(4) => Some(ValueType::F64),
            Some(_) => None,
        },
        _ => None,
    };
    if plain.is_some() {
        return plain;
    }
    if let Some(number) = lower.strip_prefix("bit").and_then(|number| number.parse().ok()) {
        return BitNumber::new(number).map(ValueType::Bit);
    }
    let lower = lower.replace("asciistring", "string");
    // str16, string(16), char[16], ascii
    for (name, per) in [("string", 1), ("str", 1), ("char", 1), ("ascii", 1), ("utf8", 1), ("text", 1)] {
        let Some(rest) = lower.strip_prefix(name) else { continue };
        let digits = rest.trim_matches(|c: char| "()[]".contains(c));
        let bytes = match (digits.is_empty(), words) {
            (true, Some(words)) => words.checked_mul(2)?,
            (true, None) => return None,
            (false, _) => digits.parse::<u16>().ok()?.checked_mul(per)?,
        };
        return TextLength::new(u8::try_from(bytes).ok()?).map(ValueType::Text);
    }
    None
}

fn by_width(words: Option<u16>, types: [ValueType; 3]) -> Option<ValueType> {
    let [one, two, four] = types;
    match words {
        None | Some(1) => Some(one),
        Some(2) => Some(two),
        Some(4) => Some(four),
        Some(_) => None,
    }
}

/// A byte order by its letters or by one of its other names.
pub(crate) fn order(word: &str) -> Option<Order> {
    let lower: String = word.trim().to_ascii_lowercase().chars().filter(|c| !" _-".contains(*c)).collect();
    Some(match lower.as_str() {
        "big" | "bigendian" | "be" | "msb" | "msbfirst" | "highfirst" | "none" | "bigbig" => Order::default(),
        "little" | "littleendian" | "le" | "lsbbyte" => Order { words_reversed: true, bytes_swapped: true },
        "wordswap"
        | "wordswapped"
        | "swapped"
        | "midlittle"
        | "littleendianbyteswap"
        | "lowfirst"
        | "lswfirst"
        | "lsw"
        | "littleword"
        | "bigendianwordswap"
        | "word" => Order { words_reversed: true, bytes_swapped: false },
        "byteswap" | "byteswapped" | "midbig" | "bigendianbyteswap" | "byte" => {
            Order { words_reversed: false, bytes_swapped: true }
        }
        letters => letters.parse().ok()?,
    })
}

/// A table by its name, the digit of its references, or the function that reads it.
pub(crate) fn table(word: &str) -> Option<Table> {
    let lower: String = word.trim().to_ascii_lowercase().chars().filter(|c| !" _-".contains(*c)).collect();
    let function = lower.trim_start_matches("fc").trim_start_matches("0x").trim_start_matches('0');
    Some(match lower.as_str() {
        "coil" | "coils" | "c" | "co" | "output" | "outputcoil" | "0x" | "digitaloutput" | "do"
        | "coilstatus" => Table::Coils,
        "discrete" | "discreteinput" | "discreteinputs" | "d" | "di" | "1x" | "digitalinput"
        | "inputstatus" | "contact" => Table::DiscreteInputs,
        "input" | "inputs" | "inputregister" | "inputregisters" | "i" | "ir" | "3x" | "analoginput"
        | "inputreg" => Table::InputRegisters,
        "holding" | "holdings" | "holdingregister" | "holdingregisters" | "h" | "hr" | "4x"
        | "holdingreg" | "register" => Table::HoldingRegisters,
        _ => match function {
            "1" | "5" | "15" | "f" => Table::Coils,
            "2" => Table::DiscreteInputs,
            "3" | "6" | "16" | "3/6" | "3/16" | "3,6" | "3,16" | "3/6/16" => Table::HoldingRegisters,
            "4" => Table::InputRegisters,
            _ => return None,
        },
    })
}

/// A number of seconds, or `10s`, `1m30s`, `500ms`, as our own duration; `None`: it is none, or nothing.
pub(crate) fn duration(text: &str) -> Option<std::time::Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return std::time::Duration::try_from_secs_f64(seconds).ok();
    }
    if let Ok(duration) = port502_session::duration::parse(text) {
        return Some(duration);
    }
    // Go writes 1m30s.
    let (mut rest, mut sum) = (text, std::time::Duration::ZERO);
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, behind) = rest.split_at(number);
        let unit = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit);
        let seconds = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = std::time::Duration::try_from_secs_f64(digits.parse::<f64>().ok()? * seconds).ok()?;
        sum = sum.checked_add(part)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        for (word, words, want) in [
            ("UINT16", None, "u16"),
            ("Int", Some(2), "i32"),
            ("int", None, "i16"),
            ("FLOAT32-IEEE", None, "f32"),
            ("Float", Some(4), "f64"),
            ("unsigned 32", None, "u32"),
            ("string(16)", None, "str16"),
            ("char[8]", None, "str8"),
            ("STR", Some(8), "str16"),
            ("Bit 3", None, "bit3"),
            ("S16", None, "i16"),
        ] {
            let got = value_type(word, words).map(|found| found.to_string());
            assert_eq!(got.as_deref(), Some(want), "{word} {words:?}");
        }
        for (word, words) in [
            ("int", Some(3)),
            ("string", None),
            ("bit16", None),
            ("float16", None),
            ("str251", None),
            ("", None),
        ] {
            assert_eq!(value_type(word, words), None, "{word}");
        }
    }

    #[test]
    fn durations() {
        for (text, want) in
            [("10s", 10_000), ("1m30s", 90_000), ("0.5", 500), ("150ms", 150), ("1h0m0s", 3_600_000)]
        {
            assert_eq!(duration(text).map(|duration| duration.as_millis()), Some(want), "{text}");
        }
        for text in ["", "x", "1x", "-1", "s", "1e400"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn tables() {
        use Table::{Coils, DiscreteInputs, HoldingRegisters, InputRegisters};
        for (word, want) in [
            ("Holding Register", Some(HoldingRegisters)),
            ("03", Some(HoldingRegisters)),
            ("0x04", Some(InputRegisters)),
            ("FC01", Some(Coils)),
            ("4x", Some(HoldingRegisters)),
            ("0x", Some(Coils)),
            ("Discrete Inputs", Some(DiscreteInputs)),
            ("3/16", Some(HoldingRegisters)),
            ("7", None),
            ("", None),
        ] {
            assert_eq!(table(word), want, "{word}");
        }
    }
}
