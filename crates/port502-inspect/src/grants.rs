//! What one client may do, as tables to look up.
//!
//! ```text
//!   unit ──────► one of few classes ─┐
//!                                    ├─► sheet ─► table ─► pieces of the addresses ─► the rules that can be about it
//!   function ──► one of few classes ─┘                     (binary search)            (mostly one)
//! ```
//!
//! Units that the same rules are for are one class, and so are functions. Each piece of a table's addresses has the
//! rules that can be about it, in their order, and none behind the first that fits whatever comes.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use port502_wire::{FunctionCode, Read, Request, Table, UnitId};

use crate::engine::{Compiled, Engine, Spots};
use crate::policy::{Effect, Functions};
use crate::verdict::Reason;

/// The most rules that can be about one item, each of them depending on hours or on the value that is written, or denying
/// in alert; so the cost of a request has a bound. A client for whom there are more is refused everything, with
/// [`Reason::TooComplex`].
pub const CANDIDATES_MAX: usize = 64;

/// The most places of rules in the tables of one client: as above.
pub const PLACES_MAX: usize = 2_097_152;

/// The most comparisons that making the tables may take: as above.
pub const EFFORT_MAX: usize = 33_554_432;

/// What one client may do: an engine's rules without those that are for others.
#[derive(Debug)]
pub struct Grants {
    pub(crate) engine: Arc<Engine>,
    /// Which kinds of clients it is.
    pub(crate) fitting: Vec<u64>,
    tables: Result<Tables, Reason>,
}

#[derive(Debug)]
struct Tables {
    /// The class of each unit; 0 are those that no rule is for.
    units: [u16; 256],
    functions: FunctionClasses,
    /// By class of unit and class of function: the sheet's place in `sheets`, and [`NOTHING`] where no rule is.
    cells: Vec<u32>,
    sheets: Vec<Sheet>,
    candidates: Vec<Candidate>,
    /// Units for which a rule allows something.
    allowed_units: Vec<bool>,
}

const NOTHING: u32 = u32::MAX;
const TABLES: usize = Table::ALL.len();

/// Which functions are the same to the rules.
#[derive(Debug)]
struct FunctionClasses {
    /// By code, for sub-functions that no rule names.
    codes: [u16; 128],
    /// Sorted.
    subs: Vec<(u8, u16, u16)>,
    count: usize,
}

/// The rules for one class of units and one of functions.
#[derive(Debug, Default)]
struct Sheet {
    tables: [Pieces; TABLES],
    /// What may be read whatever else holds.
    plain: [Plain; TABLES],
    /// For requests that name no item.
    bare: List,
    /// Whether one of the rules allows.
    allows: bool,
}

/// So few addresses are searched whole: they lie in two lines of memory, and an index would be larger than they are.
const FEW_EDGES: usize = 64;

/// Addresses at which something begins or ends, sorted.
#[derive(Debug, Default)]
struct Edges {
    all: Vec<u16>,
    /// By the upper byte of an address: how many edges are below all that have it, and behind them how many there are. A
    /// search among many meets little memory so. Empty where they are few.
    blocks: Vec<u32>,
}

impl Edges {
    fn new(all: Vec<u16>) -> Self {
        let below = |upper: u32| all.partition_point(|edge| u32::from(*edge) < upper << 8);
        let uppers = if all.len() <= FEW_EDGES { 0..0 } else { 0..257 };
        let blocks = uppers.map(|upper| u32::try_from(below(upper)).unwrap_or(u32::MAX)).collect();
        Edges { all, blocks }
    }

    /// How many are at an address or before it.
    #[inline]
    fn up_to(&self, address: u16) -> usize {
        if self.blocks.is_empty() {
            return self.all.partition_point(|edge| *edge <= address);
        }
        self.up_to_of_many(address)
    }

    #[inline(never)]
    fn up_to_of_many(&self, address: u16) -> usize {
        let [upper, _] = address.to_be_bytes();
        let Some([from, end, ..]) = self.blocks.get(usize::from(upper)..) else { return 0 };
        let (from, end) = (*from as usize, *end as usize);
        let within = self.all.get(from..end).unwrap_or_default();
        from + within.partition_point(|edge| *edge <= address)
    }
}

/// All addresses of a table, in pieces: each begins at its edge and ends where the next begins.
#[derive(Debug, Default)]
struct Pieces {
    edges: Edges,
    lists: Vec<List>,
}

impl Pieces {
    /// The piece that an address is in.
    fn of(&self, address: u16) -> usize {
        self.edges.up_to(address).saturating_sub(1)
    }
}

/// Which addresses of a table a rule allows to read that has no other condition, as most do: at one edge they begin, at the
/// next they end, and so on. Pieces that lie side by side are one here, and so a search is short, and one is enough.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    edges: Edges,
}

impl Plain {
    fn of(pieces: &Pieces, candidates: &[Candidate]) -> Self {
        let (mut edges, mut within) = (Vec::new(), false);
        for (first, list) in pieces.edges.all.iter().zip(&pieces.lists) {
            let plain = candidates.get(list.from as usize).is_some_and(|candidate| candidate.is_plain());
            if (plain && list.len != 0) != within {
                within = !within;
                edges.push(*first);
            }
        }
        Plain { edges: Edges::new(edges) }
    }

    /// The first and the last address side by side with these among them.
    fn around(&self, first: u16, last: u16) -> Option<(u16, u16)> {
        let begun = self.edges.up_to(first);
        let begin = self.edges.all.get(begun.checked_sub(1)?)?;
        let end = self.edges.all.get(begun).map_or(u16::MAX, |edge| edge.saturating_sub(1));
        (begun % 2 == 1 && last <= end).then_some((*begin, end))
    }
}

/// Addresses side by side that a client may read whatever else holds, with one function of one unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stretch {
    of: (UnitId, FunctionCode),
    first: u16,
    last: u16,
}

impl Stretch {
    /// Has no read.
    pub(crate) const NONE: Stretch = Stretch { of: (UnitId(0), FunctionCode(0)), first: 0, last: 0 };

    /// Whether each item of a read is among them. Then, where [`State::reads_plainly`] is so, [`State::judge`] says
    /// [`Verdict::Pass`], takes nothing from rates and remembers nothing, and costs several times as much.
    ///
    /// [`State::reads_plainly`]: crate::State::reads_plainly
    /// [`State::judge`]: crate::State::judge
    /// [`Verdict::Pass`]: crate::Verdict::Pass
    #[inline]
    pub(crate) fn has(&self, unit: UnitId, read: &Read) -> bool {
        self.of == (unit, read.function()) && self.first <= read.first() && read.last() <= self.last
    }
}

/// Where in [`Tables::candidates`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct List {
    from: u32,
    len: u32,
}

/// A rule that can be about an item.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Candidate {
    rule: u32,
    tag: u32,
}

impl Candidate {
    const NO_TAG: u32 = u32::MAX;
    /// Neither, and what fits it passes without another look, where nothing is written: said here, so that most requests
    /// touch no rule.
    const PLAIN: u32 = u32::MAX - 1;

    pub(crate) const fn rule(self) -> usize {
        self.rule as usize
    }

    /// The value that has to be written; `None` where the item is enough.
    pub(crate) const fn tag(self) -> Option<usize> {
        if self.tag >= Self::PLAIN { None } else { Some(self.tag as usize) }
    }

    /// Whether a read that fits it passes, whatever else.
    pub(crate) const fn is_plain(self) -> bool {
        self.tag == Self::PLAIN
    }
}

/// The sheet for one request.
#[derive(Clone, Copy)]
pub(crate) struct Found<'g> {
    tables: &'g Tables,
    sheet: &'g Sheet,
}

/// Pieces of a run of addresses, from the first on.
pub(crate) struct Run<'g> {
    found: Found<'g>,
    pieces: &'g Pieces,
    at: usize,
    next: u16,
    last: u16,
    ended: bool,
}

impl Grants {
    pub(crate) fn new(engine: &Arc<Engine>, fitting: Vec<u64>) -> Self {
        let fits =
            |clients: usize| fitting.get(clients / 64).is_some_and(|word| word >> (clients % 64) & 1 == 1);
        let rules = engine.rules.iter().enumerate().filter(|(_, rule)| fits(rule.clients));
        let tables = Maker::default().make(engine, rules);
        Grants { engine: Arc::clone(engine), fitting, tables }
    }

    /// Why nothing of this client can pass, whatever it asks for; `None` when something may.
    #[must_use]
    pub fn hopeless(&self) -> Option<Reason> {
        match &self.tables {
            Err(reason) => Some(*reason),
            Ok(tables) => (!tables.allowed_units.contains(&true)).then_some(Reason::Client),
        }
    }

    /// Where the rules for a request are; `None` when there is none.
    pub(crate) fn find_for(&self, unit: UnitId, request: &Request<'_>) -> Option<Found<'_>> {
        self.find(unit, request.function(), sub_function(request))
    }

    /// The same for a function, and its sub-function where it has one.
    #[inline]
    pub(crate) fn find(&self, unit: UnitId, function: FunctionCode, sub: Option<u16>) -> Option<Found<'_>> {
        let tables = self.tables.as_ref().ok()?;
        let unit = tables.units.get(usize::from(unit.0)).copied().unwrap_or(0);
        let function = tables.functions.of(function, sub);
        let cell = usize::from(unit) * tables.functions.count + usize::from(function);
        let sheet = tables.cells.get(cell).and_then(|at| tables.sheets.get(*at as usize))?;
        Some(Found { tables, sheet })
    }

    /// The stretch that has a read; `None` when more matters to it, or it may not pass.
    // The loop that asks has what it needs in registers as long as it does not.
    #[cold]
    #[inline(never)]
    pub(crate) fn plain_reads(&self, unit: UnitId, read: Read) -> Option<Stretch> {
        let sheet = self.find(unit, read.function(), None)?.sheet;
        let (first, last) = of_table(&sheet.plain, read.table()).around(read.first(), read.last())?;
        Some(Stretch { of: (unit, read.function()), first, last })
    }

    /// Which condition of all rules that allow does not hold first, for a request that none fits.
    #[cold]
    pub(crate) fn lacking(&self, unit: UnitId, request: &Request<'_>) -> Reason {
        let tables = match &self.tables {
            Err(reason) => return *reason,
            Ok(tables) => tables,
        };
        match self.find_for(unit, request) {
            Some(found) if found.sheet.allows => Reason::Address,
            _ if tables.allowed_units.get(usize::from(unit.0)) == Some(&true) => Reason::Function,
            _ if tables.allowed_units.contains(&true) => Reason::Unit,
            _ => Reason::Client,
        }
    }
}

/// The sub-function of 08 and the MEI type of 43, of a request.
pub(crate) fn sub_function(request: &Request<'_>) -> Option<u16> {
    match request {
        Request::Diagnostics { sub_function, .. } => Some(sub_function.0),
        Request::ReadDeviceIdentification { .. } => Some(14),
        Request::EncapsulatedInterface { mei, .. } => Some(u16::from(*mei)),
        _ => None,
    }
}

impl FunctionClasses {
    #[inline]
    fn of(&self, function: FunctionCode, sub: Option<u16>) -> u16 {
        if let Some(sub) = sub
            && let Ok(at) = self.subs.binary_search_by_key(&(function.0, sub), |(code, sub, _)| (*code, *sub))
        {
            return self.subs.get(at).map_or(0, |(.., class)| *class);
        }
        self.codes.get(usize::from(function.0)).copied().unwrap_or(0)
    }
}

impl<'g> Found<'g> {
    /// The rules for what names no item.
    pub(crate) fn bare(self) -> &'g [Candidate] {
        self.candidates(self.sheet.bare)
    }

    fn candidates(self, list: List) -> &'g [Candidate] {
        let (from, len) = (list.from as usize, list.len as usize);
        self.tables.candidates.get(from..from + len).unwrap_or_default()
    }

    /// The rules for the items from `first` to `last`.
    pub(crate) fn run(self, table: Table, first: u16, last: u16) -> Run<'g> {
        let pieces = of_table(&self.sheet.tables, table);
        let at = pieces.of(first);
        Run { found: self, pieces, at, next: first, last, ended: false }
    }
}

fn of_table<T>(
    [coils, discrete_inputs, input_registers, holding_registers]: &[T; TABLES],
    table: Table,
) -> &T {
    match table {
        Table::Coils => coils,
        Table::DiscreteInputs => discrete_inputs,
        Table::InputRegisters => input_registers,
        Table::HoldingRegisters => holding_registers,
    }
}

impl<'g> Iterator for Run<'g> {
    /// The first and the last item of the piece, and its rules.
    type Item = (u16, u16, &'g [Candidate]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let first = self.next;
        let list = self.pieces.lists.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        match self.pieces.edges.all.get(self.at) {
            Some(next) if *next <= self.last => {
                self.next = *next;
                Some((first, next.saturating_sub(1), self.found.candidates(list)))
            }
            _ => {
                self.ended = true;
                Some((first, self.last, self.found.candidates(list)))
            }
        }
    }
}

/// A place's rules are kept once, however many pieces have them one after the other.
#[derive(Default)]
struct Maker {
    candidates: Vec<Candidate>,
    sheets: Vec<Sheet>,
    effort: usize,
}

type Rules<'e> = Vec<(u32, &'e Compiled)>;

impl Maker {
    fn make<'e>(
        mut self,
        engine: &'e Engine,
        rules: impl Iterator<Item = (usize, &'e Compiled)>,
    ) -> Result<Tables, Reason> {
        let rules: Rules<'e> =
            rules.map(|(at, rule)| (u32::try_from(at).unwrap_or(u32::MAX), rule)).collect();
        let functions = FunctionClasses::classify(&rules, &mut self.effort)?;
        let mut by_unit: Vec<Vec<u32>> = alloc::vec![Vec::new(); 256];
        let mut allowed_units = alloc::vec![false; 256];
        for (at, (_, rule)) in (0_u32..).zip(&rules) {
            for unit in rule_units(rule) {
                self.spend(1)?;
                if let Some(of_unit) = by_unit.get_mut(usize::from(unit)) {
                    of_unit.push(at);
                }
                if let (Some(allowed), Effect::Allow) =
                    (allowed_units.get_mut(usize::from(unit)), rule.effect)
                {
                    *allowed = true;
                }
            }
        }
        let mut classes: BTreeMap<&[u32], u16> = BTreeMap::new();
        let nobody: &[u32] = &[];
        classes.insert(nobody, 0);
        let mut units = [0_u16; 256];
        let mut cells = alloc::vec![NOTHING; functions.count];
        let mut seen: BTreeMap<Vec<u32>, u32> = BTreeMap::new();
        for (unit, of_unit) in units.iter_mut().zip(&by_unit) {
            if let Some(class) = classes.get(of_unit.as_slice()) {
                *unit = *class;
                continue;
            }
            *unit = u16::try_from(classes.len()).unwrap_or(0);
            classes.insert(of_unit, *unit);
            for representative in functions.representatives() {
                self.spend(of_unit.len())?;
                let of_cell: Vec<u32> = of_unit
                    .iter()
                    .copied()
                    .filter(|at| rules.get(*at as usize).is_some_and(|(_, rule)| has(rule, representative)))
                    .collect();
                let sheet = match (of_cell.is_empty(), seen.get(&of_cell)) {
                    (true, _) => NOTHING,
                    (false, Some(sheet)) => *sheet,
                    (false, None) => {
                        let sheet = u32::try_from(self.sheets.len()).unwrap_or(NOTHING);
                        let of_sheet: Rules<'e> =
                            of_cell.iter().filter_map(|at| rules.get(*at as usize)).copied().collect();
                        let made = self.sheet(engine, &of_sheet)?;
                        self.sheets.push(made);
                        seen.insert(of_cell, sheet);
                        sheet
                    }
                };
                cells.push(sheet);
            }
        }
        Ok(Tables {
            units,
            functions: functions.classes,
            cells,
            sheets: self.sheets,
            candidates: self.candidates,
            allowed_units,
        })
    }

    fn spend(&mut self, effort: usize) -> Result<(), Reason> {
        self.effort += effort;
        if self.effort > EFFORT_MAX { Err(Reason::TooComplex) } else { Ok(()) }
    }

    fn sheet(&mut self, engine: &Engine, rules: &Rules<'_>) -> Result<Sheet, Reason> {
        // What begins and ends where, by table; 65536 is behind the last address.
        let mut edges: [Vec<(u32, bool, Candidate)>; TABLES] = Default::default();
        let mut add = |table: Table, first: u16, last: u16, candidate| {
            let at = Table::ALL.iter().position(|t| *t == table).unwrap_or_default();
            if let Some(edges) = edges.get_mut(at) {
                edges.push((first.into(), true, candidate));
                edges.push((u32::from(last) + 1, false, candidate));
            }
        };
        let mut bare = Vec::new();
        for (number, rule) in rules {
            let here = |tag| Candidate { rule: *number, tag };
            let whole = if rule.plain { Candidate::PLAIN } else { Candidate::NO_TAG };
            match &rule.spots {
                Spots::Any => {
                    bare.push(here(whole));
                    Table::ALL.iter().for_each(|table| add(*table, 0, u16::MAX, here(whole)));
                }
                Spots::Of(ranges) => {
                    for range in ranges {
                        add(range.table, range.first, range.last, here(whole));
                    }
                }
                Spots::Tags(tags) => {
                    for (at, tag) in tags.clone().zip(engine.tags.get(tags.clone()).unwrap_or_default()) {
                        let at = u32::try_from(at).unwrap_or(Candidate::NO_TAG);
                        add(tag.writable.table, tag.writable.address, tag.writable.last(), here(at));
                    }
                }
            }
        }
        let allows = rules.iter().any(|(_, rule)| rule.effect == Effect::Allow);
        let mut sheet = Sheet { bare: self.list(engine, bare.iter())?, allows, ..Sheet::default() };
        for ((pieces, plain), edges) in sheet.tables.iter_mut().zip(&mut sheet.plain).zip(edges) {
            *pieces = self.pieces(engine, edges)?;
            *plain = Plain::of(pieces, &self.candidates);
        }
        Ok(sheet)
    }

    fn pieces(&mut self, engine: &Engine, mut edges: Vec<(u32, bool, Candidate)>) -> Result<Pieces, Reason> {
        edges.sort_unstable();
        let (mut firsts, mut lists) = (alloc::vec![0], alloc::vec![List::default()]);
        // The same range may be in a rule twice.
        let mut here: BTreeMap<Candidate, u32> = BTreeMap::new();
        let mut edges = edges.into_iter().peekable();
        while let Some((address, begins, candidate)) = edges.next() {
            self.spend(1)?;
            if begins {
                *here.entry(candidate).or_default() += 1;
            } else if let Some(times) = here.get_mut(&candidate) {
                *times -= 1;
                if *times == 0 {
                    here.remove(&candidate);
                }
            }
            if edges.peek().is_some_and(|(next, ..)| *next == address) {
                continue;
            }
            let Ok(first) = u16::try_from(address) else { continue };
            let list = self.list(engine, here.keys())?;
            match (firsts.last(), lists.last_mut()) {
                (_, Some(last)) if self.same(*last, list) => self.candidates.truncate(list.from as usize),
                (Some(0), Some(last)) if first == 0 => *last = list,
                _ => {
                    firsts.push(first);
                    lists.push(list);
                }
            }
        }
        Ok(Pieces { edges: Edges::new(firsts), lists })
    }

    fn same(&self, a: List, b: List) -> bool {
        let slice = |list: List| self.candidates.get(list.from as usize..(list.from + list.len) as usize);
        slice(a) == slice(b)
    }

    /// Keeps candidates up to the first that fits whatever comes.
    fn list<'c>(
        &mut self,
        engine: &Engine,
        candidates: impl Iterator<Item = &'c Candidate>,
    ) -> Result<List, Reason> {
        let from = self.candidates.len();
        for candidate in candidates {
            self.spend(1)?;
            if self.candidates.len() - from == CANDIDATES_MAX || self.candidates.len() == PLACES_MAX {
                return Err(Reason::TooComplex);
            }
            self.candidates.push(*candidate);
            // Behind a rule that only tells of what it denies another has to allow it.
            let always =
                |rule: &Compiled| rule.hours.is_none() && rule.values.is_none() && !rule.only_tells();
            if candidate.tag().is_none() && engine.rules.get(candidate.rule()).is_some_and(always) {
                break;
            }
        }
        let number = |n: usize| u32::try_from(n).unwrap_or_default();
        Ok(List { from: number(from), len: number(self.candidates.len() - from) })
    }
}

/// Each unit of a rule but once.
fn rule_units(rule: &Compiled) -> impl Iterator<Item = u8> {
    let mut units = [false; 256];
    for (first, last) in &rule.units {
        if let Some(range) = units.get_mut(usize::from(*first)..=usize::from(*last)) {
            range.fill(true);
        }
    }
    (0..=u8::MAX).zip(units).filter(|(_, there)| *there).map(|(unit, _)| unit)
}

/// Whether a rule is for a function, with a sub-function or with one that no rule names.
fn has(rule: &Compiled, (function, sub): (u8, Option<u16>)) -> bool {
    match &rule.functions {
        Functions::Any => true,
        Functions::Of(all) => all.iter().any(|operation| {
            operation.function.0 == function && (operation.sub.is_none() || operation.sub == sub)
        }),
    }
}

/// The classes, and a function that stands for each.
struct Classified {
    classes: FunctionClasses,
    count: usize,
    stand_for: Vec<(u8, Option<u16>)>,
}

impl Classified {
    fn representatives(&self) -> impl Iterator<Item = (u8, Option<u16>)> + use<> {
        self.stand_for.clone().into_iter()
    }
}

impl FunctionClasses {
    fn classify(rules: &Rules<'_>, effort: &mut usize) -> Result<Classified, Reason> {
        let mut subs: BTreeSet<(u8, u16)> = BTreeSet::new();
        for (_, rule) in rules {
            if let Functions::Of(all) = &rule.functions {
                let named = all.iter().filter_map(|operation| Some((operation.function.0, operation.sub?)));
                // Of other functions a sub-function is never told.
                let known = [FunctionCode::DIAGNOSTICS, FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT];
                subs.extend(named.filter(|(function, _)| known.contains(&FunctionCode(*function))));
            }
        }
        // The rules that are for each code with a sub-function that no rule names, and behind those for each that one does.
        let subs: Vec<(u8, u16)> = subs.into_iter().collect();
        let mut lists: Vec<Vec<u32>> = alloc::vec![Vec::new(); 128 + subs.len()];
        let mut add = |at: usize, number: u32| {
            *effort += 1;
            if let Some(list) = lists.get_mut(at).filter(|list| list.last() != Some(&number)) {
                list.push(number);
            }
            if *effort > EFFORT_MAX { Err(Reason::TooComplex) } else { Ok(()) }
        };
        for (number, rule) in rules {
            match &rule.functions {
                Functions::Any => (0..128 + subs.len()).try_for_each(|at| add(at, *number))?,
                Functions::Of(all) => {
                    for operation in all.iter().filter(|operation| operation.function.0 < 128) {
                        if operation.sub.is_none() {
                            add(usize::from(operation.function.0), *number)?;
                        }
                        for (at, (function, sub)) in subs.iter().enumerate() {
                            if *function == operation.function.0
                                && operation.sub.is_none_or(|only| only == *sub)
                            {
                                add(128 + at, *number)?;
                            }
                        }
                    }
                }
            }
        }
        let mut classes: BTreeMap<&[u32], u16> = BTreeMap::new();
        let mut stand_for = Vec::new();
        let mut class = |at: usize, function: u8, sub: Option<u16>| {
            let list = lists.get(at).map(Vec::as_slice).unwrap_or_default();
            let next = u16::try_from(classes.len()).unwrap_or(0);
            *classes.entry(list).or_insert_with(|| {
                stand_for.push((function, sub));
                next
            })
        };
        let mut codes = [0; 128];
        for (function, code) in (0..).zip(&mut codes) {
            *code = class(usize::from(function), function, None);
        }
        let with_class = |(at, (function, sub)): (usize, &(u8, u16))| {
            (*function, *sub, class(128 + at, *function, Some(*sub)))
        };
        let of_subs = subs.iter().enumerate().map(with_class).collect();
        let count = stand_for.len();
        Ok(Classified { classes: FunctionClasses { codes, subs: of_subs, count }, count, stand_for })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where edges are does not matter to what is found, nor how many there are.
    #[track_caller]
    fn check(all: Vec<u16>) {
        let edges = Edges::new(all);
        assert_eq!(edges.blocks.is_empty(), edges.all.len() <= FEW_EDGES);
        for address in 0..=u16::MAX {
            let want = edges.all.iter().filter(|edge| **edge <= address).count();
            assert_eq!(edges.up_to(address), want, "address {address} in {:?}", edges.all);
        }
    }

    #[test]
    fn the_edges_up_to_an_address_are_counted() {
        check(Vec::new());
        check(alloc::vec![0]);
        check((0..64).map(|at| at * 0x0400).collect());
        check((0..65).map(|at| at * 0x03F0).collect());
        check((0..300).collect());
        check([0].into_iter().chain(0xFF80..=0xFFFF).collect());
        check([0].into_iter().chain(0x12C0..0x1340).chain([0x8000, 0x80FF, 0x8100, 0x8101]).collect());
    }

    /// Pieces with these rules, the first of which is plain or not, or of which there is none.
    fn plain(pieces: &[(u16, Option<bool>)]) -> Plain {
        let (mut firsts, mut lists, mut candidates) = (Vec::new(), Vec::new(), Vec::new());
        for (first, rule) in pieces {
            let at = u32::try_from(candidates.len()).unwrap();
            firsts.push(*first);
            lists.push(List { from: at, len: u32::from(rule.is_some()) });
            if let Some(plain) = rule {
                let tag = if *plain { Candidate::PLAIN } else { Candidate::NO_TAG };
                candidates.push(Candidate { rule: at, tag });
            }
        }
        Plain::of(&Pieces { edges: Edges::new(firsts), lists }, &candidates)
    }

    #[test]
    fn what_is_read_plainly_lies_within_pieces_side_by_side() {
        let all = plain(&[(0, Some(true)), (100, Some(true)), (0xFF00, Some(true))]);
        assert_eq!(all.edges.all, [0]);
        for (first, last) in [(0, 0), (0, 0xFFFF), (0xFFFF, 0xFFFF)] {
            assert_eq!(all.around(first, last), Some((0, 0xFFFF)));
        }

        let some = plain(&[
            (0, None),
            (10, Some(true)),
            (20, Some(true)),
            (30, Some(false)),
            (40, Some(true)),
            (50, None),
            (60, Some(true)),
        ]);
        assert_eq!(some.edges.all, [10, 30, 40, 50, 60]);
        for first in 0..100 {
            for last in first..100 {
                let stretches = [(10, 29), (40, 49), (60, 0xFFFF)];
                let want = stretches.into_iter().find(|(from, to)| *from <= first && last <= *to);
                assert_eq!(some.around(first, last), want, "{first} to {last}");
            }
        }
        let none = plain(&[(0, None)]);
        for (first, last) in [(0, 0), (0, 0xFFFF), (0xFFFF, 0xFFFF)] {
            assert_eq!(none.around(first, last), None);
        }
    }

    #[test]
    fn a_stretch_has_reads_of_its_unit_and_function_only() {
        let read = |pdu: [u8; 5]| Read::parse(&pdu).unwrap();
        let stretch = Stretch { of: (UnitId(1), FunctionCode(3)), first: 0x0100, last: 0x0180 };
        let has = |unit, pdu| stretch.has(UnitId(unit), &read(pdu));
        assert!(has(1, [3, 1, 0, 0, 1]) && has(1, [3, 1, 0x80, 0, 1]) && has(1, [3, 1, 4, 0, 0x7D]));
        assert!(!has(1, [3, 0, 0xFF, 0, 2]) && !has(1, [3, 1, 0x80, 0, 2]) && !has(1, [3, 1, 5, 0, 0x7D]));
        assert!(!has(2, [3, 1, 0, 0, 1]) && !has(1, [4, 1, 0, 0, 1]) && !has(1, [1, 1, 0, 0, 1]));
    }
}
