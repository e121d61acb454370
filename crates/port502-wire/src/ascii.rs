//! ASCII: frames on a serial line as hexadecimal text (Serial Line V1.02, 2.5.2).
//!
//! ```text
//!   character   0    1  2    3  ..                                 n-2  n-1
//!             +-----+------+----------------------------+--------+-----+-----+
//!             | ':' | unit |  PDU, two digits a byte    |  LRC   | CR  | LF  |     9 to 513 characters
//!             +-----+------+----------------------------+--------+-----+-----+
//! ```
//!
//! The LRC covers unit and PDU. The LF may be another character: a diagnostics request, 08 sub-function 03, changes
//! it. Characters may be up to a second apart.
//!
//! ```
//! use port502_wire::UnitId;
//! use port502_wire::ascii::{Decoder, Frame, LF, Received, emit};
//!
//! let mut buffer = [0; port502_wire::ascii::ADU_MAX];
//! let text = emit(&Frame { unit: UnitId(0x11), pdu: &[3, 0, 0x6B, 0, 3] }, LF, &mut buffer)?;
//! assert_eq!(text, b":1103006B00037E\r\n");
//!
//! let mut decoder = Decoder::new(LF);
//! let (mut front, mut rest) = text.split_at(3);
//! assert_eq!(decoder.next(&mut front), None);
//! let Some(Received::Frame(frame)) = decoder.next(&mut rest) else { panic!() };
//! assert_eq!(frame.pdu, [3, 0, 0x6B, 0, 3]);
//! # Ok::<(), port502_wire::EmitError>(())
//! ```

pub use crate::serial::{Frame, Received};

use crate::serial::is_pdu_len;
use crate::{EmitError, PDU_MAX, UnitId, Writer};
use core::time::Duration;

/// Ends a frame, behind a CR, unless a diagnostics request made it another character.
pub const LF: u8 = b'\n';

/// The largest frame in characters.
pub const ADU_MAX: usize = 1 + 2 * BYTES_MAX + 2;

/// The specification lets characters of one frame be so far apart; with more, the frame is broken.
pub const CHARACTER_TIMEOUT: Duration = Duration::from_secs(1);

/// Unit, PDU and LRC.
const BYTES_MAX: usize = 1 + PDU_MAX + 1;

const START: u8 = b':';
const CR: u8 = b'\r';

/// The two's complement of the sum of `bytes`. Of bytes that end with their own LRC it is 0.
#[must_use]
pub fn lrc(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}

/// Writes a frame as text to the front of `buffer`, ended by CR and `delimiter`; [`ADU_MAX`] bytes are always
/// enough.
///
/// # Errors
/// A PDU that is empty or longer than [`PDU_MAX`], or a small buffer.
pub fn emit<'b>(frame: &Frame<'_>, delimiter: u8, buffer: &'b mut [u8]) -> Result<&'b [u8], EmitError> {
    let (unit, len) = (frame.unit.0, frame.pdu.len());
    if !is_pdu_len(len) {
        return Err(EmitError::TooLong { len });
    }
    let mut out = Writer::new(buffer);
    out.u8(START)?;
    let check = lrc(frame.pdu).wrapping_sub(unit);
    for byte in [unit].iter().chain(frame.pdu).chain(&[check]) {
        out.u8(digit(byte >> 4))?.u8(digit(byte & 0x0F))?;
    }
    out.u8(CR)?.u8(delimiter)?;
    Ok(out.finish())
}

const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'A' + (value - 10) }
}

/// The specification's digits are upper case; devices send both.
const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Where in a frame the line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Outside: a colon is waited for.
    Idle,
    /// At the first digit of a byte.
    High,
    /// At the second.
    Low,
    /// Behind the CR.
    Delimiter,
}

/// Finds frames on a line, whose characters come in pieces.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    delimiter: u8,
    /// The bytes of the frame so far, out of their digits; or those of the frame that was handed out last.
    bytes: [u8; BYTES_MAX],
    len: usize,
    /// Characters since the last report, the colon of the frame included.
    characters: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(LF)
    }
}

impl Decoder {
    /// For a line between two frames; `delimiter` is [`LF`] unless the device was told otherwise.
    #[must_use]
    pub const fn new(delimiter: u8) -> Self {
        Decoder { state: State::Idle, delimiter, bytes: [0; BYTES_MAX], len: 0, characters: 0 }
    }

    /// From now on `delimiter` ends a frame in the place of LF (V1.1b3, 6.8.1, sub-function 03).
    pub const fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
    }

    /// Whether characters came that are not reported yet: [`Decoder::quiet`] has to be called when nothing
    /// follows within [`CHARACTER_TIMEOUT`].
    #[must_use]
    pub const fn is_midway(&self) -> bool {
        self.characters != 0
    }

    /// The next frame, or how many characters were none. Takes what it uses off the front of `input`; at `None` it
    /// has taken all.
    pub fn next<'s>(&'s mut self, input: &mut &[u8]) -> Option<Received<'s>> {
        while let Some((&character, rest)) = input.split_first() {
            // A colon always starts a frame: the one before it, or the noise, ends here. Only behind a CR may it be
            // the delimiter.
            let ends = self.state == State::Delimiter && character == self.delimiter;
            if character == START && !ends {
                if self.characters != 0 {
                    return self.give_up();
                }
                (self.state, self.len) = (State::High, 0);
            } else {
                self.state = self.after(character);
            }
            self.characters += 1;
            *input = rest;
            if ends {
                return self.end();
            }
            // Nothing without a colon is ever a frame, nor so long.
            if self.characters == ADU_MAX {
                return self.give_up();
            }
        }
        None
    }

    /// Nothing came for [`CHARACTER_TIMEOUT`]: the frame that was under way is broken. Says what was dropped.
    pub fn quiet(&mut self) -> Option<Received<'static>> {
        if self.characters == 0 { None } else { self.give_up() }
    }

    /// The state that `character`, not a colon, leads to; broken frames lead outside.
    fn after(&mut self, character: u8) -> State {
        match (self.state, value(character), self.bytes.get_mut(self.len)) {
            (State::High, Some(digit), Some(byte)) => {
                *byte = digit << 4;
                State::Low
            }
            (State::Low, Some(digit), Some(byte)) => {
                *byte |= digit;
                self.len += 1;
                State::High
            }
            (State::High, None, _) if character == CR => State::Delimiter,
            _ => State::Idle,
        }
    }

    /// The delimiter came.
    fn end(&mut self) -> Option<Received<'_>> {
        self.state = State::Idle;
        let bytes = core::mem::take(&mut self.characters);
        Some(match self.bytes.get(..self.len) {
            Some(all @ &[unit, ref pdu @ .., _check]) if !pdu.is_empty() => match lrc(all) {
                0 => Received::Frame(Frame { unit: UnitId(unit), pdu }),
                _ => Received::CheckError { bytes },
            },
            _ => Received::Noise { bytes },
        })
    }

    fn give_up(&mut self) -> Option<Received<'static>> {
        self.state = State::Idle;
        Some(Received::Noise { bytes: core::mem::take(&mut self.characters) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    /// What is heard, in short: a frame's function code and length, or what was dropped.
    fn hear(delimiter: u8, pieces: &[&[u8]]) -> String {
        let mut decoder = Decoder::new(delimiter);
        let mut heard = Vec::new();
        let text = |received: Received<'_>| match received {
            Received::Frame(f) => std::format!("{}:{}", f.pdu[0], f.pdu.len()),
            Received::CheckError { bytes } => std::format!("-{bytes}"),
            Received::Noise { bytes } => std::format!("~{bytes}"),
        };
        for mut piece in pieces.iter().copied() {
            while let Some(received) = decoder.next(&mut piece) {
                heard.push(text(received));
            }
        }
        heard.extend(decoder.quiet().map(text));
        heard.join(" ")
    }

    #[track_caller]
    fn check(text: &str, want: &str) {
        let text = text.as_bytes();
        let shown = String::from_utf8_lossy(text);
        assert_eq!(hear(LF, &[text]), want, "{shown:?}");
        assert_eq!(hear(LF, &text.chunks(1).collect::<Vec<_>>()), want, "{shown:?} byte by byte");
    }

    #[test]
    fn frames_and_what_is_none() {
        check(":1103006B00037E\r\n", "3:5");
        check(":1103006b00037e\r\n", "3:5");
        check(":1103006B00037E\r\n:1103006B00037E\r\n", "3:5 3:5");
        check(":01817e\r\n", "129:1");
        // The LRC is wrong; half a byte; a byte short of a frame; a digit that is none; no CR; no LF behind it.
        check(":1103006B00037F\r\n", "-17");
        check(":1103006B00037\r\n", "~16");
        check(":11EF\r\n", "~7");
        check(":\r\n", "~3");
        check(":1103G06B00037E\r\n", "~17");
        check(":1103006B00037E\n", "~16");
        check(":1103006B00037E\r\r\n", "~18");
        check(":1103006B00037E\r", "~16");
        // A colon starts anew, wherever it stands.
        check("\r\n?:1103006B00037E\r\n", "~3 3:5");
        check(":1103006B:1103006B00037E\r\n", "~9 3:5");
        check(":1103006B0:1103006B00037E\r\n", "~10 3:5");
        check(":1103006B00037E\r:1103006B00037E\r\n", "~16 3:5");
        check("::1103006B00037E\r\n", "~1 3:5");
    }

    #[test]
    fn frames_on_both_sides_of_the_limits() {
        let mut buffer = [0; ADU_MAX];
        let unit = UnitId(1);
        assert_eq!(emit(&Frame { unit, pdu: &[] }, LF, &mut buffer), Err(EmitError::TooLong { len: 0 }));
        assert_eq!(
            emit(&Frame { unit, pdu: &[7; 254] }, LF, &mut buffer),
            Err(EmitError::TooLong { len: 254 })
        );
        assert_eq!(
            emit(&Frame { unit, pdu: &[7; 253] }, LF, &mut buffer[..512]),
            Err(EmitError::Space { offset: 512 })
        );
        let longest = emit(&Frame { unit, pdu: &[7; 253] }, LF, &mut buffer).unwrap().to_vec();
        assert_eq!(longest.len(), 513);
        assert_eq!(hear(LF, &[&longest]), "7:253");
        let shortest = emit(&Frame { unit, pdu: &[7] }, LF, &mut buffer).unwrap();
        assert_eq!(shortest, b":0107F8\r\n");
        // Two digits more than a frame may have.
        let mut long = longest.clone();
        long.splice(1..1, *b"00");
        assert_eq!(hear(LF, &[&long]), "~513 ~2");
    }

    #[test]
    fn the_delimiter_is_configurable() {
        assert_eq!(hear(b'!', &[b":1103006B00037E\r!"]), "3:5");
        assert_eq!(hear(b':', &[b":1103006B00037E\r::1103006B00037E\r:"]), "3:5 3:5");
        assert_eq!(hear(b'A', &[b":1103006B00037E\r\n"]), "~17");
        let mut decoder = Decoder::default();
        decoder.set_delimiter(b'#');
        assert!(decoder.next(&mut &b":0107F8\r#"[..]).is_some());
        assert!(!decoder.is_midway());
    }

    #[test]
    fn endless_noise_is_reported_as_it_comes() {
        assert_eq!(hear(LF, &[&[b'x'; 1100]]), "~513 ~513 ~74");
        assert_eq!(hear(LF, &[&[b':'; 4]]), "~1 ~1 ~1 ~1");
    }
}
