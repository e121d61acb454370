//! Hexadecimal text in the forms that people paste: bytes apart or together, with prefixes and commas, dumps with
//! offsets in front and text behind, and the ASCII frames of serial lines.

use std::ops::Range;

/// What a text holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Input {
    Bytes(Vec<u8>),
    /// An ASCII frame: it began with a colon.
    Ascii(Vec<u8>),
}

/// What cannot be read, and where: line and column count from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct HexError {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) word: String,
    pub(super) fault: Fault,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    NotHex(char),
    OddDigits,
    /// A Python literal: its `b` is no digit.
    Literal,
    Nothing,
}

impl std::fmt::Display for HexError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let HexError { line, column, word, fault } = self;
        match fault {
            Fault::NotHex(found) => {
                write!(f, "line {line}, column {column}: `{found}` in `{word}` is no hexadecimal digit; ")?;
                f.write_str("write bytes as 00 6b, 0x00 0x6b or 006b")
            }
            Fault::OddDigits => {
                write!(f, "line {line}, column {column}: `{word}` has an odd number of digits; ")?;
                f.write_str("two make a byte")
            }
            Fault::Literal => {
                write!(f, "line {line}, column {column}: `{word}` begins a Python literal; ")?;
                f.write_str("write its bytes as 00 6b, which .hex() prints")
            }
            Fault::Nothing => f.write_str("there are no bytes; write them as 00 6b, 0x00 0x6b or 006b"),
        }
    }
}

/// Reads a text: a dump as one run of bytes, anything else line by line.
///
/// # Errors
/// The first thing that is no byte.
pub(super) fn parse(text: &str) -> Result<Vec<Input>, HexError> {
    if let Some(bytes) = parse_dump(text)? {
        return Ok(vec![Input::Bytes(bytes)]);
    }
    let mut inputs = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let bytes = parse_words(line, index + 1)?;
        inputs.push(if is_ascii_frame(line) { Input::Ascii(bytes) } else { Input::Bytes(bytes) });
    }
    if inputs.is_empty() {
        return Err(HexError { line: 1, column: 1, word: String::new(), fault: Fault::Nothing });
    }
    Ok(inputs)
}

/// `:1103006B00037E`: a colon, and no other.
fn is_ascii_frame(line: &str) -> bool {
    line.trim()
        .strip_prefix(':')
        .is_some_and(|rest| !rest.contains(':') && !rest.contains(char::is_whitespace))
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || ",;:-|[](){}\"'\\".contains(c)
}

/// The words of a line, and where they stand.
fn words(line: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + line.get(rest..)?.find(|c| !is_separator(c))?;
        let len = line.get(start..)?.find(is_separator).unwrap_or(line.len() - start);
        rest = start + len;
        Some((start..rest, line.get(start..rest)?))
    })
}

fn parse_words(line: &str, number: usize) -> Result<Vec<u8>, HexError> {
    let mut bytes = Vec::new();
    for (range, word) in words(line) {
        let quote = line.get(range.end..).and_then(|rest| rest.chars().next()).filter(|c| "'\"".contains(*c));
        if let (true, Some(quote)) = (word.eq_ignore_ascii_case("b"), quote) {
            let column = line.get(..range.start).unwrap_or_default().chars().count() + 1;
            let word = format!("{word}{quote}");
            return Err(HexError { line: number, column, word, fault: Fault::Literal });
        }
        parse_word(line, number, &range, word, &mut bytes)?;
    }
    if bytes.is_empty() {
        return Err(HexError { line: number, column: 1, word: String::new(), fault: Fault::Nothing });
    }
    Ok(bytes)
}

fn parse_word(
    line: &str,
    number: usize,
    range: &Range<usize>,
    word: &str,
    bytes: &mut Vec<u8>,
) -> Result<(), HexError> {
    // `\x03` loses its backslash as a separator.
    let digits = ["0x", "0X", "x"].iter().find_map(|prefix| word.strip_prefix(prefix)).unwrap_or(word);
    let error = |offset: usize, fault| {
        let before = line.get(..range.start).unwrap_or_default().chars().count();
        HexError { line: number, column: before + offset + 1, word: word.to_owned(), fault }
    };
    let skipped = word.chars().count() - digits.chars().count();
    if let Some((index, found)) = digits.chars().enumerate().find(|(_, c)| !c.is_ascii_hexdigit()) {
        return Err(error(skipped + index, Fault::NotHex(found)));
    }
    let values = digits.chars().filter_map(|c| c.to_digit(16)).filter_map(|digit| u8::try_from(digit).ok());
    let values: Vec<u8> = values.collect();
    match *values {
        // A byte that nobody padded: `0x3`, `[1, 3]`.
        [digit] => bytes.push(digit),
        _ if values.len() % 2 == 1 || values.is_empty() => return Err(error(0, Fault::OddDigits)),
        _ => bytes
            .extend(values.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))),
    }
    Ok(())
}

/// The most bytes in a line of a dump.
const DUMP_LINE: usize = 16;

/// A dump has offsets in front, beginning at 0, and perhaps text behind: `hexdump -C`, `xxd`, `od -t x1`, Wireshark.
fn parse_dump(text: &str) -> Result<Option<Vec<u8>>, HexError> {
    let Some(first) = text.lines().find(|line| !line.trim().is_empty()) else { return Ok(None) };
    let Some((offset, behind)) = split_offset(first) else { return Ok(None) };
    let marked = behind.starts_with(':') || behind.starts_with("  ") || behind.starts_with('\t');
    if offset.trim_start_matches("0x").chars().any(|digit| digit != '0') || !(marked || offset.len() % 2 == 1)
    {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((_, behind)) = split_offset(line) else { continue };
        let column = line.len() - behind.len();
        let (mut end, mut taken) = (column, 0);
        for (range, word) in words(behind) {
            let range = column + range.start..column + range.end;
            let between = line.get(end..range.start).unwrap_or_default();
            // The text column: behind a full line, a bar, or more blanks than divide bytes.
            if taken >= DUMP_LINE
                || (taken > 0 && (between.contains('|') || between.contains("   ")))
                || !word.chars().all(|c| c.is_ascii_hexdigit())
            {
                break;
            }
            let before = bytes.len();
            parse_word(line, index + 1, &range, word, &mut bytes)?;
            taken += bytes.len() - before;
            end = range.end;
        }
    }
    if bytes.is_empty() { Ok(None) } else { Ok(Some(bytes)) }
}

/// The offset in front of a line of a dump, and what follows it.
fn split_offset(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let digits = line.strip_prefix("0x").unwrap_or(line);
    let len = digits.find(|c: char| !c.is_ascii_hexdigit())?;
    let at = line.len() - digits.len() + len;
    let (offset, behind) = line.split_at_checked(at)?;
    ((4..=8).contains(&len) && behind.starts_with([':', ' ', '\t'])).then_some((offset, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &[&[u8]]) {
        let got = parse(text).map_err(|error| error.to_string());
        let want = want.iter().map(|bytes| Input::Bytes(bytes.to_vec())).collect();
        assert_eq!(got, Ok(want), "{text}");
    }

    #[track_caller]
    fn fails(text: &str, line: usize, column: usize, fault: Fault) {
        let error = parse(text).unwrap_err();
        assert_eq!((error.line, error.column, error.fault), (line, column, fault), "{text}");
    }

    #[test]
    fn forms() {
        let read: &[u8] = &[0x03, 0x00, 0x6B, 0x00, 0x03];
        check("03 00 6b 00 03", &[read]);
        check("03006B0003", &[read]);
        check("0300 6b00 03", &[read]);
        check("0x03,0x00, 0x6B,0X00,0x3", &[read]);
        check("[3, 0, 0x6b, 0, 3]", &[read]);
        check("03:00:6b:00:03", &[read]);
        check("03-00-6b-00-03", &[read]);
        check("\\x03\\x00\\x6b\\x00\\x03", &[read]);
        check("\"0300\" '6b0003'", &[read]);
        check("03 00 6b 00 03\n\n 07\r\n", &[read, &[7]]);
        check("0000 0006 0103", &[&[0, 0, 0, 6, 1, 3]]);
    }

    #[test]
    fn ascii_frames_begin_with_a_colon() {
        let frame = vec![0x11, 0x03, 0x00, 0x6B, 0x00, 0x03, 0x7E];
        assert_eq!(parse(":1103006B00037E\r\n"), Ok(vec![Input::Ascii(frame)]));
    }

    #[test]
    fn dumps() {
        let long: Vec<u8> = (0..18).chain([0x61]).collect();
        check(
            "00000000  00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f  |................|\n\
             00000010  10 11 61                                          |..a|\n00000013\n",
            &[&long],
        );
        check(
            "00000000: 0001 0203 0405 0607 0809 0a0b 0c0d 0e0f  ................\n\
             00000010: 1011 61                                  ..a\n",
            &[&long],
        );
        check("0000000 00 01 02 03 04 05\n0000006\n", &[&[0, 1, 2, 3, 4, 5]]);
        check("0000   00 01 02 61   ab\n", &[&[0, 1, 2, 0x61]]);
        check("\t0x0000:  0001 0203\n", &[&[0, 1, 2, 3]]);
    }

    #[test]
    fn what_is_no_byte_is_shown_where_it_stands() {
        fails("03 0g", 1, 5, Fault::NotHex('g'));
        fails("03\n 0xzz", 2, 4, Fault::NotHex('z'));
        fails("03 123", 1, 4, Fault::OddDigits);
        fails("0x", 1, 1, Fault::OddDigits);
        fails("", 1, 1, Fault::Nothing);
        fails(" ,", 1, 1, Fault::Nothing);
        fails("03 é", 1, 4, Fault::NotHex('é'));
        fails("b'000100000006'", 1, 1, Fault::Literal);
        fails("03 b\"\\x00\\x01\"", 1, 4, Fault::Literal);
        check("b, 0b", &[&[0x0B, 0x0B]]);
    }
}
