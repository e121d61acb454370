//! Floods of records, bounded: the first few of a kind are shown, the rest are counted, and nothing is missing in the
//! counts.
//!
//! A kind is what one client does with one function against one rule for one reason. Of each, [`SHOWN_MAX`] are shown
//! within [`TOLD_AFTER`], of functions that change something [`CHANGES_SHOWN_MAX`], because what would have been written
//! is what people want to know afterwards; what is more is told as one [`Digest`] at the end of that time. [`KINDS_MAX`] kinds are told apart;
//! of further ones, digests say only the reason. Records of all kinds together are shown [`LINES_MAX`] a second at most.
//! So however many a flood has, what is written of it is bounded: in a minute 60 x `LINES_MAX` records and `KINDS_MAX`
//! digests.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use port502_session::Instant;
use port502_wire::FunctionCode;
use port502_wire::function::Access;

use crate::policy::Rate;
use crate::rate::Limiter;
use crate::verdict::{Objection, REASONS};

/// Records of one kind that are shown before they are only counted.
pub const SHOWN_MAX: u64 = 5;

/// The same of functions that do not only read.
pub const CHANGES_SHOWN_MAX: u64 = 100;

/// A kind is told when so much time has passed since its first record.
pub const TOLD_AFTER: Duration = Duration::from_secs(60);

/// The most kinds that are told apart at once.
pub const KINDS_MAX: usize = 1_024;

/// The most records that are shown in a second, of all kinds together.
pub const LINES_MAX: u32 = 200;

/// What records have in common that are counted together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Kind {
    /// Who; `None` for clients that are not told apart.
    pub client: Option<IpAddr>,
    /// Which rule said so.
    pub rule: Option<usize>,
    /// Why, as its place in [`REASONS`].
    pub reason: usize,
    /// With which function, where bytes are a request.
    pub function: Option<FunctionCode>,
}

impl Kind {
    /// That of an objection.
    #[must_use]
    pub fn new(client: IpAddr, objection: &Objection, function: Option<FunctionCode>) -> Self {
        Kind { client: Some(client), rule: objection.rule, reason: objection.reason.index(), function }
    }

    fn shown_max(&self) -> u64 {
        match self.function.map(|function| function.facts().map(|facts| facts.access)) {
            None | Some(Some(Access::Read)) => SHOWN_MAX,
            // What nobody knows may do anything.
            Some(_) => CHANGES_SHOWN_MAX,
        }
    }
}

/// Whether a record is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noted {
    /// It is.
    Show,
    /// It is counted, and told later.
    Count,
}

/// Records that were not shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest {
    /// What they have in common.
    pub kind: Kind,
    /// How many.
    pub count: u64,
    /// When the first of them came.
    pub first: Instant,
    /// When the last of them came.
    pub last: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    shown: u64,
    hidden: u64,
    /// Of those that were hidden.
    first: Instant,
    last: Instant,
}

/// Says which records are shown, and counts.
#[derive(Debug)]
pub struct Suppressor {
    kinds: BTreeMap<Kind, Count>,
    /// When each began, the oldest first.
    began: VecDeque<(Instant, Kind)>,
    lines: Limiter,
    lines_full: Instant,
    /// All there ever were, by reason.
    totals: Vec<u64>,
}

impl Default for Suppressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Suppressor {
    /// Nothing has been noted.
    #[must_use]
    pub fn new() -> Self {
        Suppressor {
            kinds: BTreeMap::new(),
            began: VecDeque::new(),
            lines: Limiter::new(Rate { count: LINES_MAX, per: Duration::from_secs(1) }),
            lines_full: Instant::ZERO,
            totals: alloc::vec![0; REASONS.len()],
        }
    }

    /// A record has come.
    pub fn note(&mut self, now: Instant, mut kind: Kind) -> Noted {
        if let Some(total) = self.totals.get_mut(kind.reason) {
            *total += 1;
        }
        // Kinds without a client come in addition: one for each reason.
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&kind) {
            kind = Kind { client: None, rule: None, reason: kind.reason, function: None };
        }
        let began = &mut self.began;
        let count = self.kinds.entry(kind).or_insert_with(|| {
            began.push_back((now, kind));
            Count { shown: 0, hidden: 0, first: now, last: now }
        });
        if count.shown < kind.shown_max()
            && let Some(full) = self.lines.take(self.lines_full, now)
        {
            self.lines_full = full;
            count.shown += 1;
            return Noted::Show;
        }
        if count.hidden == 0 {
            count.first = now;
        }
        count.hidden += 1;
        count.last = now;
        Noted::Count
    }

    /// When to ask for a [`digest`](Self::digest); `None` while nothing is counted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.began.front().map(|(began, _)| *began + TOLD_AFTER)
    }

    /// The next kind whose time is over and of which records were not shown. To be called until there is none.
    pub fn digest(&mut self, now: Instant) -> Option<Digest> {
        while self.poll_timeout().is_some_and(|at| at <= now) {
            if let Some(digest) = self.oldest() {
                return Some(digest);
            }
        }
        None
    }

    /// What has not been told yet, at the end. To be called until there is none.
    pub fn finish(&mut self) -> Option<Digest> {
        while !self.began.is_empty() {
            if let Some(digest) = self.oldest() {
                return Some(digest);
            }
        }
        None
    }

    fn oldest(&mut self) -> Option<Digest> {
        let (_, kind) = self.began.pop_front()?;
        let count = self.kinds.remove(&kind)?;
        let Count { hidden, first, last, .. } = count;
        (hidden > 0).then_some(Digest { kind, count: hidden, first, last })
    }

    /// All records there ever were, by the reason's place in [`REASONS`]: shown, told or still counted.
    #[must_use]
    pub fn totals(&self) -> &[u64] {
        &self.totals
    }

    /// How many kinds are told apart now; those without a client, one for each reason at most, included.
    #[must_use]
    pub fn kinds(&self) -> usize {
        self.kinds.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;

    fn kind(client: u32) -> Kind {
        Kind::new(IpAddr::V4(client.into()), &Objection::of(Reason::Function), None)
    }

    #[test]
    fn a_few_are_shown_and_the_rest_is_told() {
        let mut suppressor = Suppressor::new();
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let shown = (0..100).filter(|_| suppressor.note(at(1), kind(1)) == Noted::Show).count();
        assert_eq!(shown, 5);
        assert_eq!(suppressor.note(at(30), kind(1)), Noted::Count);
        assert_eq!(suppressor.note(at(30), kind(2)), Noted::Show);
        assert_eq!(suppressor.poll_timeout(), Some(at(61)));
        assert_eq!(suppressor.digest(at(60)), None);
        let digest = Digest { kind: kind(1), count: 96, first: at(1), last: at(30) };
        assert_eq!(suppressor.digest(at(61)), Some(digest));
        assert_eq!(suppressor.digest(at(61)), None);
        // The next minute begins anew.
        assert_eq!(suppressor.note(at(62), kind(1)), Noted::Show);
        // A write is worth more lines than a read.
        let with = |function| Kind { function: Some(function), ..kind(3) };
        let mut shown = |function| {
            (0..500).filter(|n| suppressor.note(at(62 + n / 50), with(function)) == Noted::Show).count()
        };
        assert_eq!(shown(FunctionCode::READ_HOLDING_REGISTERS), 5);
        assert_eq!(shown(FunctionCode::WRITE_SINGLE_REGISTER), 100);
        assert_eq!(shown(FunctionCode(90)), 100);
        while suppressor.digest(at(200)).is_some() {}
        // What was all shown needs no digest.
        assert_eq!(suppressor.digest(at(500)), None);
        assert_eq!((suppressor.kinds(), suppressor.poll_timeout()), (0, None));
    }

    #[test]
    fn nothing_is_missing_in_the_counts_of_a_flood() {
        let mut suppressor = Suppressor::new();
        let (mut shown, mut told, mut noted, mut nanos) = (0, 0, 0, 0);
        for round in 0..200_000_u32 {
            // From ever more clients, in five minutes.
            nanos += 1_500_000;
            let now = Instant::from_nanos(nanos);
            noted += 1;
            if suppressor.note(now, kind(round.wrapping_mul(2_654_435_761) >> (round % 32))) == Noted::Show {
                shown += 1;
            }
            while let Some(digest) = suppressor.digest(now) {
                told += digest.count;
            }
            assert!(suppressor.kinds() <= KINDS_MAX + REASONS.len());
        }
        while let Some(digest) = suppressor.finish() {
            told += digest.count;
        }
        assert_eq!(shown + told, noted);
        assert_eq!(suppressor.totals().iter().sum::<u64>(), noted);
        assert!(shown <= 301 * u64::from(LINES_MAX), "{shown} lines in five minutes");
    }
}
