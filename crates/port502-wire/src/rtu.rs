//! RTU: binary frames on a serial line, told apart by silence and a CRC (Serial Line V1.02, 2.5.1).
//!
//! ```text
//!   byte    0     1  ..        n-2   n-1
//!        +-----+-------------+-----+-----+
//!        |unit |  PDU        | CRC, low  |     4 to 256 bytes; the CRC covers unit and PDU
//!        |     |             | byte first|
//!        +-----+-------------+-----+-----+
//! ```
//!
//! A frame has no length field, and silence does not survive USB adapters and TCP. So [`Decoder`] takes the length
//! from the function code's rule ([`request_len`], [`response_len`]) and believes nothing without a right CRC; that
//! the line went quiet is a hint that resolves what no rule can.
//!
//! ```
//! use port502_wire::UnitId;
//! use port502_wire::rtu::{Decoder, Frame, Hears, Received, emit};
//!
//! let mut buffer = [0; port502_wire::rtu::ADU_MAX];
//! let adu = emit(&Frame { unit: UnitId(0x11), pdu: &[3, 0, 0x6B, 0, 3] }, &mut buffer)?;
//! assert_eq!(adu, [0x11, 3, 0, 0x6B, 0, 3, 0x76, 0x87]);
//!
//! let mut decoder = Decoder::new(Hears::Requests);
//! let (mut front, mut rest) = adu.split_at(3);
//! assert_eq!(decoder.next(&mut front), None);
//! let Some(Received::Frame(frame)) = decoder.next(&mut rest) else { panic!() };
//! assert_eq!(frame.pdu, [3, 0, 0x6B, 0, 3]);
//! # Ok::<(), port502_wire::EmitError>(())
//! ```

pub use crate::serial::{Frame, Received};

use crate::function::{UnknownLength, request_len, response_len};
use crate::serial::is_pdu_len;
use crate::{EmitError, ExceptionCode, PDU_MAX, Request, Response, UnitId, Writer};

/// The smallest frame: unit, function code, CRC.
pub const ADU_MIN: usize = 4;

/// The largest frame: unit, PDU, CRC.
pub const ADU_MAX: usize = 1 + PDU_MAX + 2;

/// So many bytes in front of a frame and behind it, together, are what a transceiver makes when it turns the line
/// round.
const GLITCH_MAX: usize = 2;

/// What each byte value adds to the CRC: polynomial 0xA001, which is 0x8005 with its bits reversed.
const CRC_TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let (mut rest, mut byte): (&mut [u16], u16) = (&mut table, 0);
    while let Some((entry, tail)) = rest.split_first_mut() {
        let (mut crc, mut bit) = (byte, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 };
            bit += 1;
        }
        *entry = crc;
        (rest, byte) = (tail, byte + 1);
    }
    table
};

/// The CRC of `bytes`, sent low byte first. Of bytes that end with their own CRC it is 0.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc: u16, byte| {
        let [low, _] = crc.to_le_bytes();
        crc >> 8 ^ CRC_TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default()
    })
}

/// Reads a whole frame; `None` when its length or CRC is wrong.
#[must_use]
pub fn split(adu: &[u8]) -> Option<Frame<'_>> {
    if adu.len() > ADU_MAX || crc16(adu) != 0 {
        return None;
    }
    match adu {
        [unit, pdu @ .., _, _] if !pdu.is_empty() => Some(Frame { unit: UnitId(*unit), pdu }),
        _ => None,
    }
}

/// Writes unit, PDU and CRC to the front of `buffer`; [`ADU_MAX`] bytes are always enough.
///
/// # Errors
/// A PDU that is empty or longer than [`PDU_MAX`], or a small buffer.
pub fn emit<'b>(frame: &Frame<'_>, buffer: &'b mut [u8]) -> Result<&'b [u8], EmitError> {
    let len = frame.pdu.len();
    if !is_pdu_len(len) {
        return Err(EmitError::TooLong { len });
    }
    let mut out = Writer::new(buffer);
    out.u8(frame.unit.0)?.bytes(frame.pdu)?;
    let crc = crc16(out.written());
    out.bytes(&crc.to_le_bytes())?;
    Ok(out.finish())
}

/// Which of the two length rules apply: what is heard depends on who listens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hears {
    /// The only server on a line, or the far end of RTU over TCP.
    Requests,
    /// A client whose own requests do not come back to it.
    Responses,
    /// A server among others, a client on a line that echoes, a tap. The rule whose CRC is right is taken; where both
    /// may be, a byte more or silence decides.
    Both,
}

/// What the bytes from one place on can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    /// A frame of so many bytes, with a right CRC.
    Frame(usize),
    /// The front of a frame: so many bytes have to be here to go on.
    Wait(usize),
    /// A frame whose function has no length rule: only silence can end it.
    Open,
    /// No frame starts here.
    Refuted,
}

impl Hears {
    /// What a frame can be that starts with `bytes`; when the line is `quiet` no more of them come.
    fn judge(self, bytes: &[u8], quiet: bool) -> Start {
        let Some((_, pdu)) = bytes.split_first() else { return Start::Wait(2) };
        let (mut open, mut pending, mut lens) = (true, false, [usize::MAX; 2]);
        let [asked, answered] = &mut lens;
        let mut apply = |len: &mut usize, rule: Result<Option<usize>, UnknownLength>| match rule {
            Err(UnknownLength { .. }) => {}
            Ok(None) => (open, pending) = (false, true),
            Ok(Some(pdu)) => (open, *len) = (false, 1 + pdu + 2),
        };
        if self != Hears::Responses {
            apply(asked, request_len(pdu));
        }
        if self != Hears::Requests {
            apply(answered, response_len(pdu));
        }
        if open {
            return Start::Open;
        }
        // The shorter frame is complete first; the other is waited for when this one's CRC is wrong.
        lens.sort_unstable();
        for len in lens.into_iter().filter(|len| *len <= ADU_MAX) {
            match bytes.get(..len) {
                None if pending => return Start::Wait(len.min(bytes.len() + 1)),
                None => return Start::Wait(len),
                Some(adu) if split(adu).is_some() && len == lens[0] => {
                    return self.or_longer(lens, bytes, quiet);
                }
                Some(adu) if split(adu).is_some() => return Start::Frame(len),
                Some(_) => {}
            }
        }
        if pending && bytes.len() < ADU_MAX { Start::Wait(bytes.len() + 1) } else { Start::Refuted }
    }

    /// A zero byte behind a right CRC leaves it right. So of every 256 frames one, whose last byte is 0, has a right
    /// CRC without it too; where the other rule asks for that length, the byte decides.
    fn or_longer(self, [short, long]: [usize; 2], bytes: &[u8], quiet: bool) -> Start {
        if long == short + 1 && long <= ADU_MAX && bytes.get(1..short - 1).is_some_and(|pdu| self.parses(pdu))
        {
            match bytes.get(short) {
                None if !quiet => return Start::Wait(long),
                Some(0) => return Start::Frame(long),
                _ => {}
            }
        }
        Start::Frame(short)
    }

    /// Whether a PDU is more than its length rule asks for: behind noise, where every byte may be taken for the
    /// start of a frame, a right CRC alone comes up by chance too often.
    fn parses(self, pdu: &[u8]) -> bool {
        let response = || match Response::parse(pdu) {
            Ok(Response::Exception { code, .. }) => !matches!(code, ExceptionCode::Other(_)),
            parsed => parsed.is_ok(),
        };
        match self {
            Hears::Requests => Request::parse(pdu).is_ok(),
            Hears::Responses => response(),
            Hears::Both => Request::parse(pdu).is_ok() || response(),
        }
    }
}

/// Finds frames on a line, whose bytes come in pieces.
///
/// It looks for a frame at the first byte that it does not know the meaning of, and gives a start up only once it
/// is refuted: by a wrong CRC, by silence, or because no frame is so long. Until then it looks nowhere else, because
/// what a long frame carries may look like a frame itself. Then it tries one byte further on. So noise that looks
/// like the head of a long frame delays what follows, up to [`ADU_MAX`] bytes or [`Decoder::quiet`], and costs
/// nothing of it.
#[derive(Clone, Debug)]
pub struct Decoder {
    hears: Hears,
    /// What came since the end of the last frame, or silence.
    held: [u8; ADU_MAX],
    len: usize,
    /// The place in `held` where a frame is looked for; none starts before it.
    at: usize,
    /// Bytes that came before `held` without a frame between, and were not reported yet.
    passed: usize,
    /// Whether bytes without a frame came before `held`: then nothing is known to start at its front.
    adrift: bool,
    /// How many bytes at the front of `held` were handed out last.
    spent: usize,
}

impl Decoder {
    /// For a line that was quiet until now.
    #[must_use]
    pub const fn new(hears: Hears) -> Self {
        Decoder { hears, held: [0; ADU_MAX], len: 0, at: 0, passed: 0, adrift: false, spent: 0 }
    }

    /// Whether bytes are held that are no frame yet: [`Decoder::quiet`] has to be called when nothing follows.
    #[must_use]
    pub const fn is_midway(&self) -> bool {
        self.len > self.spent || self.passed != 0
    }

    /// The next frame, or how much had to be dropped to find it. Takes what it uses off the front of `input`; at
    /// `None` it has taken all, and holds what may still become a frame.
    #[inline]
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Option<Received<'s>> {
        self.release();
        if self.len == 0
            && !self.adrift
            && let Start::Frame(len) = self.hears.judge(input, false)
            && let Some((adu, rest)) = input.split_at_checked(len)
        {
            *input = rest;
            return split(adu).map(Received::Frame);
        }
        self.next_held(input)
    }

    /// The line went quiet: what is held will not grow. Call it until it returns `None`.
    ///
    /// What has a right CRC from silence to silence is a frame then, whatever its function: this is how frames are
    /// found that have no length rule, or break theirs. Everything else that is held is dropped.
    ///
    /// On a serial line silence is [`t3_5`](crate::serial::t3_5) or, where an adapter or a network cuts frames into
    /// bursts, as much more as that takes; on a client's line also the end of its patience.
    pub fn quiet(&mut self) -> Option<Received<'_>> {
        self.release();
        // The rule first: it tells more than silence does.
        if self.at == 0
            && let Start::Frame(len) = self.judge(true)
        {
            return self.found(len);
        }
        if let Some((start, end)) = self.whole() {
            return if start == 0 { self.hand_out(end) } else { self.drop_front(start) };
        }
        while self.at < self.len {
            if let Start::Frame(len) = self.judge(true) {
                return self.found(len);
            }
            self.at += 1;
        }
        self.drop_front(self.len)
    }

    fn next_held<'s>(&'s mut self, input: &mut &[u8]) -> Option<Received<'s>> {
        loop {
            // Only a byte too many refutes a start: silence may still prove the longest of frames.
            let overflows = self.len == ADU_MAX && !input.is_empty();
            let want = match self.judge(false) {
                Start::Frame(len) => return self.found(len),
                Start::Wait(want) if !overflows => self.at + want,
                Start::Open if !overflows => ADU_MAX,
                Start::Wait(_) => {
                    // No frame is longer than the buffer, so there is something to drop in front of this one.
                    if self.drop_passed() {
                        return self.report();
                    }
                    continue;
                }
                Start::Open | Start::Refuted => {
                    self.at += 1;
                    continue;
                }
            };
            if input.is_empty() {
                return None;
            }
            let take = input.len().min(want.min(ADU_MAX).saturating_sub(self.len));
            let (piece, rest) = input.split_at(take);
            if let Some(free) = self.held.get_mut(self.len..self.len + take) {
                free.copy_from_slice(piece);
            }
            self.len += take;
            *input = rest;
        }
    }

    /// Whether what is held has a right CRC as a whole, but for a glitch before or behind it.
    fn whole(&self) -> Option<(usize, usize)> {
        let held = self.held()?;
        let mut glitches = (0..=GLITCH_MAX).flat_map(|sum| (0..=sum).map(move |front| (front, sum - front)));
        glitches.find_map(|(front, back)| {
            let end = held.len().checked_sub(back)?;
            held.get(front..end).and_then(split).map(|_| (front, end))
        })
    }

    /// What is held, where it is all that came since the last frame or silence.
    fn held(&self) -> Option<&[u8]> {
        if self.adrift { None } else { self.held.get(..self.len) }
    }

    /// What can start at `at`.
    fn judge(&self, quiet: bool) -> Start {
        let bytes = self.held.get(self.at..self.len).unwrap_or_default();
        match self.hears.judge(bytes, quiet) {
            // Only where a frame has to start is its function believed, should no rule support it.
            Start::Open if self.at != 0 || self.adrift => Start::Refuted,
            Start::Frame(len) if self.adrift || self.at > GLITCH_MAX => {
                let pdu = bytes.get(1..len.saturating_sub(2)).unwrap_or_default();
                if self.hears.parses(pdu) { Start::Frame(len) } else { Start::Refuted }
            }
            start => start,
        }
    }

    /// A frame stands at `at`: first comes what stands before it.
    fn found(&mut self, len: usize) -> Option<Received<'_>> {
        let at = self.at;
        if at == 0 && self.passed == 0 {
            return self.hand_out(len);
        }
        // What lies between two frames and has a right CRC is one too: of a function without a length rule.
        if self.held().and_then(|held| held.get(..at)).is_some_and(|gap| split(gap).is_some()) {
            return self.hand_out(at);
        }
        self.drop_front(at)
    }

    fn hand_out(&mut self, len: usize) -> Option<Received<'_>> {
        (self.spent, self.adrift) = (len, false);
        self.held.get(..len).and_then(split).map(Received::Frame)
    }

    /// Drops what the last call handed out.
    #[inline]
    fn release(&mut self) {
        if self.spent != 0 {
            self.shift(self.spent);
            self.spent = 0;
        }
    }

    /// Drops `len` bytes, behind which a frame stands, and all that was passed before them.
    fn drop_front(&mut self, len: usize) -> Option<Received<'static>> {
        self.shift(len);
        self.passed += len;
        self.adrift = false;
        self.report()
    }

    /// Drops what stands before `at`, though nothing is known of what stands there. Whether it is time to report.
    fn drop_passed(&mut self) -> bool {
        self.passed += self.at;
        self.shift(self.at);
        self.adrift = true;
        self.passed >= ADU_MAX
    }

    fn report(&mut self) -> Option<Received<'static>> {
        match core::mem::take(&mut self.passed) {
            0 => None,
            bytes @ ADU_MIN.. => Some(Received::CheckError { bytes }),
            bytes => Some(Received::Noise { bytes }),
        }
    }

    fn shift(&mut self, len: usize) {
        let len = len.min(self.len);
        self.held.copy_within(len..self.len, 0);
        self.len -= len;
        self.at = self.at.saturating_sub(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn adu(unit: u8, pdu: &[u8]) -> Vec<u8> {
        emit(&Frame { unit: UnitId(unit), pdu }, &mut [0; ADU_MAX]).unwrap().to_vec()
    }

    /// What is heard, in short: a frame's function code and length, or `-` and the bytes dropped.
    fn hear(hears: Hears, bursts: &[&[u8]]) -> Vec<std::string::String> {
        let mut decoder = Decoder::new(hears);
        let mut heard = Vec::new();
        let text = |received: Received<'_>| match received {
            Received::Frame(f) => std::format!("{}:{}", f.pdu[0], f.pdu.len()),
            Received::CheckError { bytes } => std::format!("-{bytes}"),
            Received::Noise { bytes } => std::format!("~{bytes}"),
        };
        for mut burst in bursts.iter().copied() {
            while let Some(received) = decoder.next(&mut burst) {
                heard.push(text(received));
            }
            heard.push("|".into());
            while let Some(received) = decoder.quiet() {
                heard.push(text(received));
            }
        }
        assert!(!decoder.is_midway());
        heard
    }

    #[track_caller]
    fn check(hears: Hears, bytes: &[&[u8]], want: &str) {
        assert_eq!(hear(hears, &[&bytes.concat()]).join(" "), want);
    }

    #[test]
    fn crc_of_the_specification() {
        // Serial Line V1.02, 6.2.2: unit 2, function 7 has the CRC 0x1241.
        assert_eq!(crc16(&[2, 7]), 0x1241);
        assert_eq!(crc16(&[2, 7, 0x41, 0x12]), 0);
        assert_eq!(crc16(&[]), 0xFFFF);
    }

    #[test]
    fn crc_equals_the_oracle() {
        let oracle = crc::Crc::<u16>::new(&crc::CRC_16_MODBUS);
        let bytes: Vec<u8> = (0..512u32).map(|i| (i * 167 % 251).to_le_bytes()[0]).collect();
        for len in 0..bytes.len() {
            assert_eq!(crc16(&bytes[..len]), oracle.checksum(&bytes[..len]), "of {len} bytes");
        }
    }

    #[test]
    fn frames_on_both_sides_of_the_limits() {
        let mut buffer = [0; ADU_MAX];
        let unit = UnitId(1);
        assert_eq!(emit(&Frame { unit, pdu: &[] }, &mut buffer), Err(EmitError::TooLong { len: 0 }));
        assert_eq!(emit(&Frame { unit, pdu: &[7; 254] }, &mut buffer), Err(EmitError::TooLong { len: 254 }));
        assert_eq!(emit(&Frame { unit, pdu: &[7; 253] }, &mut buffer).map(<[u8]>::len), Ok(256));
        assert_eq!(
            emit(&Frame { unit, pdu: &[7; 253] }, &mut buffer[..255]),
            Err(EmitError::Space { offset: 254 })
        );
        assert_eq!(split(&adu(1, &[7])), Some(Frame { unit, pdu: &[7] }));
        assert_eq!(split(&[]), None);
        assert_eq!(split(&adu(1, &[7])[..3]), None);
    }

    #[test]
    fn each_listener_takes_its_own_rule() {
        let (ask, answer) = (adu(1, &[3, 0, 0, 0, 2]), adu(1, &[3, 4, 1, 2, 3, 4]));
        let refused = adu(1, &[0x83, 2]);
        check(Hears::Requests, &[&ask, &ask], "3:5 3:5 |");
        check(Hears::Responses, &[&answer, &refused, &answer], "3:6 131:2 3:6 |");
        check(Hears::Both, &[&ask, &answer, &ask, &refused, &ask], "3:5 3:6 3:5 131:2 3:5 |");
        // A server that stands alone does not know what others answer; silence tells it all the same.
        check(Hears::Requests, &[&answer], "| 3:6");
    }

    #[test]
    fn a_good_frame_behind_noise_is_found() {
        let good = adu(1, &[3, 0, 0, 0, 2]);
        let mut bad = good.clone();
        bad[4] ^= 0x10;
        check(Hears::Requests, &[&bad, &good, &good], "-8 3:5 3:5 |");
        check(Hears::Requests, &[&good[..5], &good, &good], "-5 3:5 3:5 |");
        check(Hears::Requests, &[&[3], &good, &good], "~1 3:5 3:5 |");
        // 0x41 has no length rule: only silence tells that it is no frame.
        check(Hears::Requests, &[&[0xFF, 0x41], &good, &good], "| ~2 3:5 3:5");
        check(Hears::Requests, &[&bad[..7]], "| -7");
    }

    #[test]
    fn noise_like_a_long_frame_delays_and_costs_nothing() {
        let good = adu(1, &[6, 0, 0, 0, 2]);
        // A write of 123 registers is announced, 255 bytes long.
        let head: &[u8] = &[9, 16, 0, 0, 0, 123, 246];
        let goods = good.repeat(40);
        let want = std::format!("-7{} |", " 6:5".repeat(40));
        check(Hears::Requests, &[head, &goods], &want);
        check(Hears::Requests, &[head, &good, &good], "| -7 6:5 6:5");
        // What cannot be a frame at all is not waited for: it would have 262 bytes.
        check(Hears::Requests, &[&[9, 16, 0, 0, 0, 123, 253], &good, &good], "-7 6:5 6:5 |");
        // A function without a length rule.
        let open = std::format!("-7{} |", " 6:5".repeat(40));
        check(Hears::Requests, &[&[9, 0x41, 0, 0, 0, 123, 246], &goods], &open);
    }

    #[test]
    fn silence_resolves_what_has_no_length() {
        let (open, good) = (adu(1, &[0x41, 1, 2, 3]), adu(1, &[3, 0, 0, 0, 2]));
        check(Hears::Requests, &[&open], "| 65:4");
        check(Hears::Requests, &[&adu(1, &[0])], "| 0:1");
        check(Hears::Requests, &[&adu(1, &[0x83, 1])], "| 131:2");
        check(Hears::Both, &[&adu(7, &[0x41; 253])], "| 65:253");
        // Glitches before and behind.
        check(Hears::Requests, &[&[0xFF], &open, &[0xFF]], "| ~1 65:4 ~1");
        check(Hears::Requests, &[&[0xFF, 0], &open], "| ~2 65:4");
        check(Hears::Requests, &[&open, &[0xFF, 0]], "| 65:4 ~2");
        check(Hears::Requests, &[&[0xFF, 0], &open, &[0xFF]], "| -10");
        // A zero byte behind leaves the CRC right: nobody can tell that it is no part of the frame.
        check(Hears::Requests, &[&open, &[0]], "| 65:5");
        // A good frame behind it marks its end.
        check(Hears::Requests, &[&open, &good], "| 65:4 3:5");
        check(Hears::Requests, &[&good, &open], "3:5 | 65:4");
        // What breaks its function's rule is the server's to refuse, not the framer's to lose.
        check(Hears::Requests, &[&adu(1, &[3, 0, 0, 0])], "| 3:4");
        check(Hears::Requests, &[&adu(1, &[3, 0, 0, 0, 1, 9])], "| 3:6");
        check(Hears::Requests, &[&adu(1, &[3, 0, 0, 0, 1, 9]), &good], "3:6 3:5 |");
        check(Hears::Requests, &[&adu(1, &[16, 0, 0, 0, 1, 249, 1, 2])], "| 16:8");
    }

    /// Both rules may hold where a frame's last byte is 0: the longer frame's CRC is right without it.
    #[test]
    fn a_last_byte_of_zero_belongs_to_the_frame() {
        let mut found = [0; 2];
        for (unit, low) in (0..=255).flat_map(|unit| (1..=125).map(move |low| (unit, low))) {
            // A request to an address 0x02xx is an answer of one register and a byte; an answer of two registers is
            // a request to 0x04xx and a byte.
            for (kind, pdu) in [&[3, 2, 0x10, 0, low][..], &[3, 4, 1, 0, 7, low]].iter().enumerate() {
                let adu = adu(unit, pdu);
                let Some((0, front)) = adu.split_last() else { continue };
                found[kind] += 1;
                let len = pdu.len();
                check(Hears::Both, &[&adu, &adu], &std::format!("3:{len} 3:{len} |"));
                // Without it, and with silence instead, it is the shorter frame.
                check(Hears::Both, &[front], &std::format!("| 3:{}", len - 1));
            }
        }
        assert!(found.iter().all(|count| *count > 20), "{found:?}");
    }

    #[test]
    fn what_a_frame_carries_is_not_a_frame() {
        let inner = adu(1, &[6, 0, 0, 0, 2]);
        let mut pdu = std::vec![16, 0, 0, 0, 8, 16];
        pdu.extend(inner.repeat(2));
        let outer = adu(1, &pdu);
        check(Hears::Requests, &[&outer], "16:22 |");
        let bytes: Vec<&[u8]> = outer.chunks(1).collect();
        let mut decoder = Decoder::new(Hears::Requests);
        for (i, mut byte) in bytes.into_iter().enumerate() {
            assert_eq!(decoder.next(&mut byte).is_some(), i + 1 == outer.len(), "at byte {i}");
        }
        let mut open = std::vec![0x41];
        open.extend(inner.repeat(2));
        check(Hears::Requests, &[&adu(1, &open)], "| 65:17");
    }

    #[test]
    fn endless_noise_is_reported_as_it_comes() {
        let heard = hear(Hears::Both, &[&[0x55; 5000]]);
        assert!(heard.len() > 10, "{heard:?}");
        let dropped: usize = heard.iter().filter_map(|text| text[1..].parse::<usize>().ok()).sum();
        assert_eq!(dropped, 5000, "{heard:?}");
        // However much it was, and just reported or not: behind a good frame nothing of it is left.
        let (good, open) = (adu(1, &[3, 0, 0, 0, 2]), adu(1, &[0x41, 1, 2, 3]));
        for len in 200..900 {
            let mut heard = hear(Hears::Requests, &[&[&[0x55; 900][..len], &good, &open].concat()]);
            heard.retain(|text| text != "|");
            assert_eq!(heard[heard.len() - 2..], ["3:5", "65:4"], "behind {len} bytes of noise");
        }
    }
}
