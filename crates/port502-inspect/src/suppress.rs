//! Floods of records, bounded: the first few of a kind are shown, the rest are counted, and nothing is missing in the
//! counts.
//!
//! A kind is what one client does with one function against one rule for one reason. Of each, [`SHOWN_MAX`] are shown
//! within [`TOLD_AFTER`], of functions that change something [`CHANGES_SHOWN_MAX`], because what would have been written
//! is what people want to know afterwards; what is more is told as one [`Digest`] at the end of that time. [`KINDS_MAX`] kinds are told apart;
//! of further ones, digests say only the reason. Records of all kinds together are shown [`LINES_MAX`] a second at most.
//!
//! Who floods hides nobody else: of the records that are shown and of the kinds that are told apart, one client has a share
//! ([`LINES_OF_CLIENT_MAX`], [`KINDS_OF_CLIENT_MAX`]), and the first of each kind are always shown
//! ([`ALWAYS_SHOWN_MAX`]). Nor does it hide what it does itself: half of its kinds are for functions that write.
//!
//! So however many a flood has, what is written of it is bounded: in a minute 60 x `LINES_MAX` records,
//! `ALWAYS_SHOWN_MAX` x `KINDS_MAX` more, and `KINDS_MAX` digests.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use port502_session::Instant;
use port502_wire::FunctionCode;
use port502_wire::function::Access;

use crate::policy::Rate;
use crate::rate::Limiter;
use crate::verdict::{Objection, REASONS, Reason};

/// Records of one kind that are shown before they are only counted.
pub const SHOWN_MAX: u64 = 5;

/// The same of functions that are known not only to read; of clients that no rule knows, of those that write. What nobody
/// knows the meaning of has no value that anybody would look for.
pub const CHANGES_SHOWN_MAX: u64 = 100;

/// So many of each kind are shown, however many of other kinds there are.
pub const ALWAYS_SHOWN_MAX: u64 = 3;

/// A kind is told when so much time has passed since its first record.
pub const TOLD_AFTER: Duration = Duration::from_secs(60);

/// The most kinds that are told apart at once.
pub const KINDS_MAX: usize = 1_024;

/// The most kinds of one client that are told apart at once, half of them of functions that do not write; of further ones,
/// digests say only the client and the reason. There are 127 functions.
pub const KINDS_OF_CLIENT_MAX: usize = 256;

/// The most records that are shown in a second, of all kinds together.
pub const LINES_MAX: u32 = 200;

/// The most of them of one client.
pub const LINES_OF_CLIENT_MAX: u32 = 50;

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
        match self.access() {
            None | Some(Access::Read) => SHOWN_MAX,
            // Who scans asks for all there is, and it is all the same.
            Some(Access::File | Access::Diagnose) if self.reason == Reason::Client.index() => SHOWN_MAX,
            Some(Access::Write | Access::ReadWrite | Access::File | Access::Diagnose) => CHANGES_SHOWN_MAX,
        }
    }

    fn access(&self) -> Option<Access> {
        self.function.and_then(FunctionCode::facts).map(|facts| facts.access)
    }

    /// How many kinds of its client may be there beside it.
    fn beside_max(&self) -> usize {
        match self.access() {
            Some(Access::Write | Access::ReadWrite) => KINDS_OF_CLIENT_MAX,
            _ => KINDS_OF_CLIENT_MAX / 2,
        }
    }
}

/// Of one client, as long as there is a kind of it.
#[derive(Clone, Copy, Debug, Default)]
struct OfClient {
    kinds: usize,
    lines_full: Instant,
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
    clients: BTreeMap<IpAddr, OfClient>,
    lines: Limiter,
    lines_of_client: Limiter,
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
            clients: BTreeMap::new(),
            lines: Limiter::new(Rate { count: LINES_MAX, per: Duration::from_secs(1) }),
            lines_of_client: Limiter::new(Rate { count: LINES_OF_CLIENT_MAX, per: Duration::from_secs(1) }),
            lines_full: Instant::ZERO,
            totals: alloc::vec![0; REASONS.len()],
        }
    }

    /// A record has come.
    pub fn note(&mut self, now: Instant, kind: Kind) -> Noted {
        if let Some(total) = self.totals.get_mut(kind.reason) {
            *total += 1;
        }
        let kind = self.told_apart(kind);
        let (began, clients) = (&mut self.began, &mut self.clients);
        let count = self.kinds.entry(kind).or_insert_with(|| {
            began.push_back((now, kind));
            if let Some(client) = kind.client {
                clients.entry(client).or_default().kinds += 1;
            }
            Count { shown: 0, hidden: 0, first: now, last: now }
        });
        if count.shown < kind.shown_max() {
            let full = self.lines.take(self.lines_full, now);
            let client = kind.client.and_then(|client| self.clients.get_mut(&client));
            let of_client = client.map(|client| (self.lines_of_client.take(client.lines_full, now), client));
            let has_room = full.is_some() && of_client.as_ref().is_none_or(|(full, _)| full.is_some());
            if has_room || count.shown < ALWAYS_SHOWN_MAX {
                self.lines_full = full.unwrap_or(self.lines_full);
                if let Some((Some(full), client)) = of_client {
                    client.lines_full = full;
                }
                count.shown += 1;
                return Noted::Show;
            }
        }
        if count.hidden == 0 {
            count.first = now;
        }
        count.hidden += 1;
        count.last = now;
        Noted::Count
    }

    /// The kind that a record counts as.
    fn told_apart(&self, kind: Kind) -> Kind {
        if self.kinds.contains_key(&kind) {
            return kind;
        }
        let of_client = kind.client.and_then(|client| self.clients.get(&client)).map_or(0, |of| of.kinds);
        let kind =
            if of_client < kind.beside_max() { kind } else { Kind { rule: None, function: None, ..kind } };
        // Kinds without a client come in addition: one for each reason.
        if self.kinds.len() < KINDS_MAX || self.kinds.contains_key(&kind) {
            kind
        } else {
            Kind { client: None, rule: None, function: None, ..kind }
        }
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
        if let Some(client) = kind.client
            && let Some(of) = self.clients.get_mut(&client)
        {
            of.kinds = of.kinds.saturating_sub(1);
            if of.kinds == 0 {
                self.clients.remove(&client);
            }
        }
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
        assert_eq!(shown(FunctionCode::DIAGNOSTICS), 100);
        // Nobody knows what this one would have done.
        assert_eq!(shown(FunctionCode(90)), 5);
        // Of who is not known at all, what it would have written.
        let mut shown = |function| {
            let kind = Kind { reason: Reason::Client.index(), ..with(function) };
            (0..500).filter(|n| suppressor.note(at(72 + n / 50), kind) == Noted::Show).count()
        };
        assert_eq!(shown(FunctionCode::DIAGNOSTICS), 5);
        assert_eq!(shown(FunctionCode::WRITE_SINGLE_REGISTER), 100);
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
        let always = 6 * ALWAYS_SHOWN_MAX * (KINDS_MAX + REASONS.len()) as u64;
        assert!(shown <= 301 * u64::from(LINES_MAX) + always, "{shown} lines in five minutes");
    }

    #[test]
    fn who_floods_hides_nobody_else() {
        let mut suppressor = Suppressor::new();
        let of = |client: u32, function, reason: Reason| {
            let objection = Objection::of(reason);
            Kind::new(IpAddr::V4(client.into()), &objection, Some(FunctionCode(function)))
        };
        let (mut nanos, mut flood, mut quiet, mut own) = (0, 0, 0, 0);
        // Ten thousand a second, of every function and for more reasons than there are.
        for round in 0..300_000_u32 {
            nanos += 100_000;
            let now = Instant::from_nanos(nanos);
            let reason =
                [Reason::Client, Reason::Function, Reason::Address, Reason::Denied][round as usize / 128 % 4];
            let function = u8::try_from(round % 128).unwrap();
            if !matches!(function, 5 | 6 | 15 | 16 | 22 | 23) {
                flood += u64::from(suppressor.note(now, of(1, function, reason)) == Noted::Show);
            }
            // Now and then somebody else, and the same, writes something.
            if round % 10_000 == 0 {
                quiet += u64::from(suppressor.note(now, of(2, 6, Reason::Function)) == Noted::Show);
                own += u64::from(suppressor.note(now, of(1, 6, Reason::Hours)) == Noted::Show);
            }
            assert!(suppressor.kinds() <= KINDS_OF_CLIENT_MAX);
        }
        // In thirty seconds.
        let most = 31 * u64::from(LINES_OF_CLIENT_MAX) + ALWAYS_SHOWN_MAX * KINDS_OF_CLIENT_MAX as u64;
        assert!(flood <= most, "{flood}");
        assert_eq!(quiet, 30);
        assert!(own >= ALWAYS_SHOWN_MAX, "{own}");
        while suppressor.finish().is_some() {}
        assert!(suppressor.clients.is_empty());
    }
}
