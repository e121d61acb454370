//! Misbehaviour on request: a server that is slow, loses requests, refuses, mixes up transaction ids or sends
//! byte by byte, to see what a client makes of it.
//!
//! ```
//! use port502_net::fault::Faults;
//!
//! let faults: Faults = "delay=200ms,drop=1%,exception=6@holding:10,wrong-tid=0.1%,dribble".parse()?;
//! # Ok::<(), port502_net::fault::FaultError>(())
//! ```

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use port502_session::duration;
use port502_session::server::{Context, Reply};
use port502_session::target::{Carrier, Framing};
use port502_wire::mbap::{Frame, TransactionId};
use port502_wire::{ExceptionCode, PDU_MAX, Table, UnitId, view};

use crate::server::{Amiss, Late, LineEvent, Outcome, Service};
use crate::{Link, Pdu};

/// Between two bytes of a dribbled answer.
const DRIBBLE_PAUSE: Duration = Duration::from_millis(5);

/// The longest delay that can be asked for.
const DELAY_MAX: Duration = Duration::from_secs(3600);

/// A probability, in parts of a million.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Chance(u32);

const MILLION: u32 = 1_000_000;

/// What goes wrong, and how often.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Every answer is so late.
    pub delay: Duration,
    /// Requests that are carried out and not answered.
    pub drop: Chance,
    /// Refusals: the first that fits a request is sent.
    pub exceptions: Vec<Refuse>,
    /// Answers under a transaction id that nobody used.
    pub wrong_transaction: Chance,
    /// Answers byte by byte.
    pub dribble: bool,
}

/// Which requests are refused, and with what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refuse {
    /// The exception.
    pub code: ExceptionCode,
    /// Requests that touch this address of this table; all when `None`.
    pub at: Option<(Table, u16)>,
}

/// A text that asks for no fault that there is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("fault `{part}`: {want}")]
pub struct FaultError {
    /// The part between commas.
    pub part: String,
    /// What it should look like.
    pub want: &'static str,
}

const KINDS: &str =
    "use delay=200ms, drop=1%, exception=6, exception=6@holding:10, wrong-tid=0.1% or dribble";

fn parse_chance(text: &str) -> Option<Chance> {
    let percent: f64 = text.strip_suffix('%')?.parse().ok()?;
    if !(0.0..=100.0).contains(&percent) {
        return None;
    }
    // Within 0 and a million by the check above.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    Some(Chance((percent * f64::from(MILLION / 100)).round() as u32))
}

fn parse_delay(text: &str) -> Option<Duration> {
    duration::parse(text).ok().filter(|delay| *delay <= DELAY_MAX)
}

fn parse_refuse(text: &str) -> Option<Refuse> {
    let (code, place) = text.split_once('@').map_or((text, None), |(code, place)| (code, Some(place)));
    let code: u8 = code.parse().ok().filter(|code| *code != 0)?;
    let at = match place {
        None => None,
        Some(place) => {
            let (table, address) = place.split_once(':')?;
            let table = Table::ALL.into_iter().find(|t| t.name() == table)?;
            let address = match address.strip_prefix("0x") {
                Some(hex) => u16::from_str_radix(hex, 16).ok()?,
                None => address.parse().ok()?,
            };
            Some((table, address))
        }
    };
    Some(Refuse { code: code.into(), at })
}

impl Faults {
    /// Whether these faults mean something on a link.
    ///
    /// # Errors
    /// The fault that cannot happen there.
    pub fn possible_on(&self, link: Link) -> Result<(), FaultError> {
        let impossible = |part: &str, want| Err(FaultError { part: part.to_owned(), want });
        if self.wrong_transaction != Chance::default() && link.framing() != Framing::Mbap {
            return impossible("wrong-tid", "frames of this link have no transaction ids; leave it out");
        }
        if self.dribble && link.carrier() == Carrier::Udp {
            return impossible("dribble", "a datagram comes as a whole or not at all; leave it out");
        }
        Ok(())
    }
}

impl FromStr for Faults {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let mut faults = Faults::default();
        let mut kinds = Vec::new();
        for part in text.split(',').map(str::trim) {
            let wrong = |want| FaultError { part: part.to_owned(), want };
            let (kind, value) = part.split_once('=').unwrap_or((part, ""));
            // Several refusals make sense, of anything else only one would hold.
            if kind != "exception" && kinds.contains(&kind) {
                return Err(wrong("its kind stands there already; remove one"));
            }
            kinds.push(kind);
            match kind {
                "delay" => {
                    faults.delay =
                        parse_delay(value).ok_or(wrong("want a delay up to an hour, as 200ms or 1.5s"))?;
                }
                "drop" => faults.drop = parse_chance(value).ok_or(wrong("want a share, as 1%"))?,
                "wrong-tid" => {
                    faults.wrong_transaction = parse_chance(value).ok_or(wrong("want a share, as 0.1%"))?;
                }
                "exception" => {
                    let want = "want a code from 1 to 255, and where, as 6 or 6@holding:10";
                    faults.exceptions.push(parse_refuse(value).ok_or(wrong(want))?);
                }
                "dribble" if value.is_empty() => faults.dribble = true,
                _ => return Err(wrong(KINDS)),
            }
        }
        Ok(faults)
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / f64::from(MILLION / 100))
    }
}

/// A service whose answers go wrong.
#[derive(Debug)]
pub struct Faulty<S> {
    service: S,
    faults: Faults,
    /// State of a xorshift generator; the same seed brings the same faults.
    random: Mutex<u64>,
}

impl<S: Service> Faulty<S> {
    /// `service` with `faults`; the same `seed` and the same requests bring the same faults.
    pub fn new(service: S, faults: Faults, seed: u64) -> Self {
        Faulty { service, faults, random: Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1) }
    }

    fn happens(&self, chance: Chance) -> bool {
        if chance.0 == 0 {
            return false;
        }
        let mut random = self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        (*random >> 20) % u64::from(MILLION) < u64::from(chance.0)
    }
}

/// Whether a request touches an address of a table.
fn touches(pdu: &[u8], table: Table, address: u16) -> bool {
    let seen = view::request(pdu);
    let within = |range: Option<view::Range>| {
        range.is_some_and(|r| {
            (u32::from(r.start)..u32::from(r.start) + u32::from(r.count)).contains(&address.into())
        })
    };
    seen.table() == Some(table) && (within(seen.read) || within(seen.write))
}

impl<S: Service> Service for Faulty<S> {
    fn serves(&self, unit: UnitId) -> bool {
        self.service.serves(unit)
    }

    fn call(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        let refuse = self
            .faults
            .exceptions
            .iter()
            .find(|refuse| refuse.at.is_none_or(|(table, address)| touches(frame.pdu, table, address)));
        let outcome = match refuse {
            Some(refuse) => Outcome::Now(Reply::Exception(refuse.code)),
            None => self.service.call(cx, frame, out),
        };
        let Outcome::Now(reply) = outcome else { return outcome };
        if self.happens(self.faults.drop) {
            return Outcome::Now(Reply::Silence);
        }
        let wrong_transaction = self.happens(self.faults.wrong_transaction);
        let Faults { delay, dribble, .. } = self.faults;
        if delay.is_zero() && !dribble && !wrong_transaction {
            return Outcome::Now(reply);
        }
        let function = frame.pdu.first().copied().unwrap_or_default();
        let Some(pdu) = reply.emit(function, out).and_then(Pdu::new) else {
            return Outcome::Now(Reply::Silence);
        };
        let transaction = wrong_transaction.then_some(TransactionId(frame.transaction.0 ^ 0x8000));
        let pause = if dribble { DRIBBLE_PAUSE } else { Duration::ZERO };
        Outcome::Later(Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            Late::Amiss(Amiss { pdu, transaction, pause })
        }))
    }

    // What is broadcast nobody answers: nothing can go wrong with it.
    fn broadcast(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        self.service.broadcast(cx, frame, out)
    }

    fn overheard(&self, event: LineEvent) {
        self.service.overheard(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_means_what_it_says() {
        let faults: Faults =
            "delay=200ms,drop=1%,exception=6@holding:10,wrong-tid=0.1%,dribble".parse().unwrap();
        let refuse =
            Refuse { code: ExceptionCode::ServerDeviceBusy, at: Some((Table::HoldingRegisters, 10)) };
        let want = Faults {
            delay: Duration::from_millis(200),
            drop: Chance(10_000),
            exceptions: vec![refuse],
            wrong_transaction: Chance(1_000),
            dribble: true,
        };
        assert_eq!(faults, want);
        assert_eq!("exception=6@holding:10,exception=5".parse::<Faults>().unwrap().exceptions.len(), 2);
    }

    #[test]
    fn what_is_no_fault_is_refused_with_its_place() {
        for text in [
            "",
            "delay",
            "delay=5",
            "delay=-1s",
            "delay=2h",
            "drop=1",
            "drop=101%",
            "drop=-1%",
            "drop=NaN%",
            "exception=",
            "exception=0",
            "exception=256",
            "exception=6@coils:1",
            "exception=6@holding:70000",
            "wrong-tid",
            "dribble=1",
            "delay=1s,,drop=1%",
            "melt",
            "wrong-tid=1%,wrong-tid=2%",
            "delay=1s,exception=6,delay=1s",
            "dribble,dribble",
        ] {
            let error = text.parse::<Faults>().expect_err(text);
            assert!(text.split(',').any(|part| part == error.part), "{text}: {error}");
        }
    }

    #[test]
    fn chances_come_as_often_as_they_should() {
        let faulty = Faulty::new(crate::memory::MemoryDevice::full(), Faults::default(), 7);
        let hits = (0..100_000).filter(|_| faulty.happens(Chance(10_000))).count();
        assert!((800..1200).contains(&hits), "{hits} of 100,000 at 1 % with seed 7");
        assert!(!faulty.happens(Chance(0)));
        assert!(faulty.happens(Chance(MILLION)));
    }

    #[test]
    fn a_request_touches_what_it_reads_or_writes() {
        let read = [3, 0, 8, 0, 3]; // 8 to 10
        assert!(touches(&read, Table::HoldingRegisters, 10));
        assert!(!touches(&read, Table::HoldingRegisters, 11));
        assert!(!touches(&read, Table::InputRegisters, 10));
        assert!(!touches(&[3, 0], Table::HoldingRegisters, 0));
    }
}
