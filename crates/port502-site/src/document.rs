//! TOML as a tree in which everything knows its place, so that whoever reads it can say where something is wrong.
//!
//! The grammar is `toml_parser`'s, which goes on after an error; the tree is our own, for three reasons. It gathers all
//! errors, those of names given twice among them, with the place of the first. It is small: a site of half a million
//! tags has to fit into memory beside what is made of it. And it keeps what decides how a value was meant.
//!
//! ```text
//!   [device.intake]          tables[0] = { device -> 1 }
//!   unit = 3                 tables[1] = { intake -> 2 }
//!                            tables[2] = { unit -> 3 at 23..24 }
//! ```

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::lexer::{Token, TokenKind};
use toml_parser::parser::{EventReceiver, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{ErrorSink, Expected, ParseError, Source};

mod plain;

/// Brackets within brackets: no site file needs more, and a file made to exhaust the stack has more.
const DEPTH_MAX: u32 = 16;

/// A table with more names than this finds them by their hash.
const SCANNED_MAX: usize = 12;

/// The bytes of a text from `start` to `end`, `end` not among them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The first byte behind it.
    pub end: u32,
}

impl Span {
    /// From `start` to `end`, as far as a text of a site file can reach.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        let cut = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { start: cut(start), end: cut(end) }
    }
}

/// A place in the text, of a place in a piece that begins at `base`.
fn shifted(span: toml_parser::Span, base: usize) -> Span {
    Span::new(base + span.start(), base + span.end())
}

/// Which table of a [`Document`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TableId(u32);

/// What stands behind `=`, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    stored: Stored,
    pub(crate) span: Span,
}

/// A value as the tree keeps it: small, for there are millions of them.
#[derive(Clone, Copy, Debug)]
enum Stored {
    /// What stands between the quotes is what is meant.
    Plain,
    /// With escapes, or over several lines: which of the decoded texts.
    Decoded(u32),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Date,
    /// The first and the last of its items.
    Array {
        first: u32,
        last: u32,
    },
    Table(TableId),
    Broken,
}

/// A value as it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'d> {
    Text(&'d str),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A date or a time. None of our keys takes one.
    Date,
    Array(List<'d>),
    Table(TableId),
    /// It was wrong, and has been told.
    Broken,
}

impl Value<'_> {
    /// What it is called where something else was wanted.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a text",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Date => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
            Value::Broken => "broken",
        }
    }
}

/// What stands between square brackets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<'d> {
    items: &'d [Item],
    first: u32,
}

impl<'d> List<'d> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.first == NONE
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'d Node> + use<'d> {
        let items = self.items;
        let found = move |at: u32| items.get(index(at));
        std::iter::successors(found(self.first), move |item| found(item.next)).map(|item| &item.node)
    }
}

/// One of a list, and where the next is: elements of `[[tables]]` come later than what follows the first.
#[derive(Clone, Copy, Debug)]
struct Item {
    node: Node,
    next: u32,
}

/// A name and what it stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    key: Key,
    /// The next of the same table: what stands in other tables comes between.
    next: u32,
    pub(crate) node: Node,
}

impl Entry {
    pub(crate) const fn key_span(&self) -> Span {
        self.key.span
    }
}

/// A name where it stands.
#[derive(Clone, Copy, Debug)]
struct Key {
    span: Span,
    /// Which of the decoded texts, when it has quotes.
    decoded: u32,
}

/// No entry, no item, no decoded text.
const NONE: u32 = u32::MAX;

fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// The place of what is added next. A text has fewer bytes than there are numbers, and nothing takes less than one.
fn next_of<T>(all: &[T]) -> u32 {
    u32::try_from(all.len()).unwrap_or(NONE)
}

/// How a table came to be, which decides what may be added to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    /// It stands in front of another in a header.
    Implied,
    /// It has a header.
    Header,
    /// It stands in front of another in a dotted key.
    Dotted,
    /// It stands in braces.
    Inline,
}

#[derive(Clone, Debug)]
struct Table {
    /// A bit for each name that is in it: most questions are about names that are not.
    names: u64,
    /// Of a large table, where each name is.
    slots: Option<Box<Slots>>,
    first: u32,
    /// The name that came last, after which the next comes in a group of headers.
    last: u32,
    len: u32,
    origin: Origin,
}

/// Open addressing: entries at the place that their hash says or the next that is free; at most half of them are taken.
#[derive(Clone, Debug)]
struct Slots(Vec<u32>);

impl Slots {
    /// Where a search for a hash goes along.
    fn along(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let mask = self.0.len().wrapping_sub(1);
        #[allow(clippy::cast_possible_truncation, reason = "it is cut to the number of places")]
        let start = hash as usize;
        (0..self.0.len()).map(move |step| start.wrapping_add(step) & mask)
    }

    fn put(&mut self, hash: u64, entry: u32) {
        for at in self.along(hash) {
            if let Some(slot) = self.0.get_mut(at)
                && *slot == NONE
            {
                *slot = entry;
                return;
            }
        }
    }
}

/// The bit of a name: by its length, its first letter and its last.
#[inline]
fn bit(key: &str) -> u64 {
    let bytes = key.as_bytes();
    let letter = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or(0));
    let sum =
        letter(bytes.first()) * 7 + letter(bytes.last()) * 31 + u32::try_from(bytes.len()).unwrap_or(0) * 5;
    1 << (sum % 64)
}

impl Table {
    const fn new(origin: Origin) -> Self {
        Table { names: 0, slots: None, first: NONE, last: NONE, len: 0, origin }
    }
}

/// What is wrong with the text as TOML.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wrong {
    pub(crate) span: Span,
    pub(crate) what: WrongToml,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum WrongToml {
    /// The grammar's own message.
    Syntax { message: String },
    /// A name given twice; `first` is where the other stands.
    Twice { key: String, first: Span },
    /// A table in braces is complete as it stands.
    Closed { key: String, first: Span },
    /// An integer above 2^63 - 1.
    TooLarge,
}

/// A file as a tree.
///
/// Everything is in a few long lists, one behind the other as it was read: that takes half the memory, and a third of the
/// time, of a list for each table.
#[derive(Clone, Debug)]
pub(crate) struct Document<'t> {
    text: Cow<'t, str>,
    tables: Vec<Table>,
    entries: Vec<Entry>,
    items: Vec<Item>,
    /// Names and texts that are not meant as they stand.
    decoded: Vec<Box<str>>,
    hasher: RandomState,
}

impl<'t> Document<'t> {
    /// The tree of a text, and what is wrong with it. Of what is wrong as much is in the tree as can be told.
    pub(crate) fn parse(text: &'t str, wrong_max: usize) -> (Self, Vec<Wrong>) {
        let mut builder = Builder::new(text);
        let mut sink = Sink { wrong: Vec::new(), max: wrong_max, base: 0 };
        let mut pieces = Pieces::default();
        let mut at = 0;
        while at < text.len() {
            at = builder.read_plain(at);
            at = pieces.read_from(&mut builder, at, &mut sink, 0);
        }
        builder.finish(sink)
    }

    /// The same by the grammar alone, which says what is right.
    #[cfg(test)]
    fn parse_by_grammar(text: &'t str, wrong_max: usize, piece_min: usize) -> (Self, Vec<Wrong>) {
        let mut builder = Builder::new(text);
        let mut sink = Sink { wrong: Vec::new(), max: wrong_max, base: 0 };
        let mut pieces = Pieces::default();
        let mut at = 0;
        while at < text.len() {
            at = pieces.read_from(&mut builder, at, &mut sink, piece_min);
        }
        builder.finish(sink)
    }

    /// The same tree, with its text copied.
    pub(crate) fn into_owned(self) -> Document<'static> {
        let Document { text, tables, entries, items, decoded, hasher } = self;
        Document { text: Cow::Owned(text.into_owned()), tables, entries, items, decoded, hasher }
    }

    /// Takes a name out of the outermost table.
    pub(crate) fn forget(&mut self, key: &str) {
        let Some(root) = self.tables.first_mut() else { return };
        let mut next = root.first;
        *root = Table::new(root.origin);
        while let Some(entry) = self.entries.get(index(next)).copied() {
            next = entry.next;
            if self.key(&entry) != key {
                self.push(TableId(0), entry.key, entry.node);
            }
        }
    }

    pub(crate) const fn root(&self) -> TableId {
        TableId(0)
    }

    fn table(&self, id: TableId) -> Option<&Table> {
        self.tables.get(index(id.0))
    }

    /// How many names there are in a table.
    pub(crate) fn len(&self, id: TableId) -> usize {
        self.table(id).map_or(0, |table| index(table.len))
    }

    /// What is in a table, in the order of the text.
    pub(crate) fn entries(&self, id: TableId) -> impl Iterator<Item = &Entry> {
        let first = self.table(id).map_or(NONE, |table| table.first);
        let found = move |at: u32| self.entries.get(index(at));
        std::iter::successors(found(first), move |entry| found(entry.next))
    }

    #[inline]
    pub(crate) fn find(&self, id: TableId, key: &str) -> Option<&Entry> {
        let table = self.table(id)?;
        if table.names & bit(key) == 0 {
            return None;
        }
        self.entries.get(index(self.position(table, key)?))
    }

    fn position(&self, table: &Table, key: &str) -> Option<u32> {
        let is_key = |at: u32| self.entries.get(index(at)).is_some_and(|entry| self.is_key(entry, key));
        let Some(slots) = &table.slots else {
            let mut at = table.first;
            loop {
                let entry = self.entries.get(index(at))?;
                if self.is_key(entry, key) {
                    return Some(at);
                }
                at = entry.next;
            }
        };
        if is_key(table.last) {
            return Some(table.last);
        }
        for at in slots.along(self.hasher.hash_one(key)) {
            match slots.0.get(at).copied()? {
                NONE => return None,
                entry if is_key(entry) => return Some(entry),
                _ => {}
            }
        }
        None
    }

    /// Whether an entry has this name. Most have not, and then their length says so.
    #[inline]
    fn is_key(&self, entry: &Entry, key: &str) -> bool {
        let length = index(entry.key.span.end.wrapping_sub(entry.key.span.start));
        (length == key.len() || entry.key.decoded != NONE) && self.key(entry) == key
    }

    pub(crate) fn key(&self, entry: &Entry) -> &str {
        self.key_text(entry.key)
    }

    fn key_text(&self, key: Key) -> &str {
        if key.decoded == NONE { self.at(key.span, 0) } else { self.decoded_text(key.decoded) }
    }

    fn decoded_text(&self, at: u32) -> &str {
        self.decoded.get(index(at)).map_or("", |text| text)
    }

    /// What stands there, without `quotes` bytes on both sides.
    fn at(&self, span: Span, quotes: usize) -> &str {
        let range = (index(span.start) + quotes)..index(span.end).saturating_sub(quotes);
        self.text.get(range).unwrap_or_default()
    }

    pub(crate) fn value(&self, node: &Node) -> Value<'_> {
        match node.stored {
            Stored::Plain => Value::Text(self.at(node.span, 1)),
            Stored::Decoded(at) => Value::Text(self.decoded_text(at)),
            Stored::Integer(integer) => Value::Integer(integer),
            Stored::Float(float) => Value::Float(float),
            Stored::Boolean(on) => Value::Boolean(on),
            Stored::Date => Value::Date,
            Stored::Array { first, .. } => Value::Array(List { items: &self.items, first }),
            Stored::Table(id) => Value::Table(id),
            Stored::Broken => Value::Broken,
        }
    }

    fn add_table(&mut self, origin: Origin) -> TableId {
        let id = TableId(next_of(&self.tables));
        self.tables.push(Table::new(origin));
        id
    }

    /// Adds a name to a table that does not have it.
    fn push(&mut self, id: TableId, key: Key, node: Node) {
        let at = next_of(&self.entries);
        self.entries.push(Entry { key, next: NONE, node });
        let text = match key.decoded {
            NONE => self.text.get(index(key.span.start)..index(key.span.end)).unwrap_or_default(),
            decoded => self.decoded.get(index(decoded)).map_or("", |text| text),
        };
        let Some(table) = self.tables.get_mut(index(id.0)) else { return };
        table.names |= bit(text);
        table.len += 1;
        let before = std::mem::replace(&mut table.last, at);
        match self.entries.get_mut(index(before)) {
            Some(before) => before.next = at,
            None => table.first = at,
        }
        let len = index(table.len);
        match &mut table.slots {
            Some(slots) if len * 2 <= slots.0.len() => slots.put(self.hasher.hash_one(text), at),
            _ if len <= SCANNED_MAX => {}
            _ => self.find_by_hash(id),
        }
    }

    /// Gives a table places by hash, four for each name.
    fn find_by_hash(&mut self, id: TableId) {
        let places = (self.len(id) * 4).next_power_of_two();
        let mut slots = Slots(vec![NONE; places]);
        let mut at = self.table(id).map_or(NONE, |table| table.first);
        while let Some(entry) = self.entries.get(index(at)) {
            slots.put(self.hasher.hash_one(self.key(entry)), at);
            at = entry.next;
        }
        if let Some(table) = self.tables.get_mut(index(id.0)) {
            table.slots = Some(Box::new(slots));
        }
    }

    /// Puts a value behind the others of a list, of which `ends` are the first and the last.
    fn append(&mut self, ends: (u32, u32), node: Node) -> (u32, u32) {
        let at = next_of(&self.items);
        self.items.push(Item { node, next: NONE });
        match self.items.get_mut(index(ends.1)) {
            Some(last) => {
                last.next = at;
                (ends.0, at)
            }
            None => (at, at),
        }
    }
}

/// The tokens of a text, in pieces that the grammar reads one after the other. It wants all tokens of what it reads at
/// once, and they take more room than the text and the tree together; a header at the beginning of a line is where a
/// text can be cut.
///
/// It is cut too where a list was never closed, which would swallow the rest of the file: at a line that begins as a
/// header, or with a key, where only a value could stand.
#[derive(Default)]
struct Pieces {
    tokens: Vec<Token>,
    /// The tokens of the line so far are from here on.
    line: usize,
    /// Open brackets, whether each is a square one.
    open: Vec<bool>,
    /// The last token that was not white space, a comment or a line's end.
    last: Option<TokenKind>,
}

impl Pieces {
    /// Whether what has been gathered is a piece of its own, given what comes: it ends where this line begins.
    fn ends_before(&self, next: TokenKind, piece_min: usize) -> bool {
        let blank = |token: &Token| token.kind() == TokenKind::Whitespace;
        let line = self.tokens.get(self.line..).unwrap_or_default();
        match (next, self.open.last()) {
            (TokenKind::LeftSquareBracket, open) if self.line > 0 && line.iter().all(blank) => {
                // In braces no key begins so; in a list a list may follow a comma.
                let may_follow = matches!(self.last, Some(TokenKind::Comma | TokenKind::LeftSquareBracket));
                match open {
                    None => self.tokens.len() >= piece_min,
                    Some(false) => true,
                    Some(true) => !may_follow,
                }
            }
            // A key, and no list has one.
            (TokenKind::Equals, Some(true)) if self.line > 0 && !line.iter().all(blank) => {
                let key =
                    |token: &Token| !matches!(token.kind(), TokenKind::LeftSquareBracket | TokenKind::Comma);
                line.iter().all(key)
            }
            _ => false,
        }
    }

    fn push(&mut self, token: Token) {
        let kind = token.kind();
        match kind {
            TokenKind::LeftSquareBracket => self.open.push(true),
            TokenKind::LeftCurlyBracket => self.open.push(false),
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                self.open.pop();
            }
            _ => {}
        }
        self.tokens.push(token);
        match kind {
            TokenKind::Newline => self.line = self.tokens.len(),
            TokenKind::Whitespace | TokenKind::Comment => {}
            _ => self.last = Some(kind),
        }
    }

    /// Reads one piece, which begins with the line at `at`, and returns where the next begins. A piece that nothing
    /// cuts short has `piece_min` tokens or more.
    fn read_from(
        &mut self,
        builder: &mut Builder<'_>,
        at: usize,
        sink: &mut Sink,
        piece_min: usize,
    ) -> usize {
        // From the end of the line before: only at the beginning of a text may there be a byte order mark.
        let base = at.saturating_sub(1);
        let text = builder.text.get(base..).unwrap_or_default();
        if at >= builder.text.len() {
            return at;
        }
        let source = Source::new(text);
        let mut tokens = source.lex();
        if at > 0 {
            tokens.next();
        }
        let mut line = at;
        for token in tokens {
            if self.ends_before(token.kind(), piece_min) {
                self.tokens.truncate(self.line);
                self.read(builder, source, base, sink);
                return line;
            }
            if token.kind() == TokenKind::Newline {
                line = base + token.span().end();
            }
            self.push(token);
        }
        self.read(builder, source, base, sink);
        builder.text.len()
    }

    fn read(&mut self, builder: &mut Builder<'_>, source: Source<'_>, base: usize, sink: &mut Sink) {
        (builder.base, sink.base) = (base, base);
        let mut strict = ValidateWhitespace::new(builder, source);
        let mut guarded = RecursionGuard::new(&mut strict, DEPTH_MAX);
        parse_document(&self.tokens, &mut guarded, sink);
        builder.open.clear();
        builder.end_header();
        builder.keys.clear();
        self.tokens.clear();
        self.open.clear();
        (self.line, self.last) = (0, None);
    }
}

/// Where the grammar's errors go.
struct Sink {
    wrong: Vec<Wrong>,
    max: usize,
    /// Where the piece begins that is read.
    base: usize,
}

impl ErrorSink for Sink {
    fn report_error(&mut self, error: ParseError) {
        if self.wrong.len() >= self.max {
            return;
        }
        let span = shifted(error.unexpected().or(error.context()).unwrap_or_default(), self.base);
        let mut message = error.description().to_owned();
        if let Some((_, ours)) = MESSAGES.iter().find(|(theirs, _)| *theirs == message) {
            let empty = span.start == span.end && *ours == UNQUOTED;
            message = (if empty { "a value is missing; write it behind =" } else { *ours }).to_owned();
        } else {
            let expected = error.expected().unwrap_or_default();
            for (at, one) in expected.iter().enumerate() {
                message.push_str(match at {
                    0 => "; write ",
                    _ if at + 1 == expected.len() => " or ",
                    _ => ", ",
                });
                message.push_str(match one {
                    Expected::Literal("\n") => "a new line",
                    Expected::Literal(text) | Expected::Description(text) => text,
                    _ => "something else",
                });
            }
        }
        let what = WrongToml::Syntax { message };
        // One slip can be told from two sides.
        if self.wrong.last().is_none_or(|last| last.span != span) {
            self.wrong.push(Wrong { span, what });
        }
    }
}

const UNQUOTED: &str =
    "this is no value; texts stand in quotes, and there are numbers, true, false, [ ] and { }";

/// What the grammar says, and what people understand and can do something about.
const MESSAGES: &[(&str, &str)] = &[
    ("string values must be quoted", UNQUOTED),
    ("invalid boolean", UNQUOTED),
    ("invalid integer", UNQUOTED),
    ("invalid float", UNQUOTED),
    ("invalid datetime", UNQUOTED),
    ("unexpected leading zero", "a number does not begin with 0; remove it"),
    (
        "invalid basic string",
        "the text is not closed, or has something in it that cannot be; write \" behind it",
    ),
    ("invalid literal string", "the text is not closed; write ' behind it"),
    ("key with no value", "the key has no value; write key = value"),
    ("unclosed table", "the header is not closed; write ] behind it"),
    ("unclosed array", "the list is not closed; write ] behind its last value"),
    ("unclosed inline table", "the braces are not closed; write } behind the last value"),
    (
        "missing comma between array elements",
        "a comma is missing in front of this, or ] behind what is before it",
    ),
    (
        "cannot recurse further; max recursion depth met",
        "brackets within brackets within brackets: no key takes that",
    ),
];

#[derive(Clone, Copy)]
struct Header {
    in_array: bool,
    span: Span,
}

/// What has been begun and not ended.
enum Open {
    /// A key whose value comes.
    Key {
        table: TableId,
        key: Key,
    },
    /// The first and the last of the items so far, and where it begins.
    Array {
        ends: (u32, u32),
        start: Span,
    },
    Inline {
        table: TableId,
        start: Span,
    },
}

struct Builder<'t> {
    text: &'t str,
    /// Where the piece begins that the grammar reads; its places are counted from there.
    base: usize,
    document: Document<'t>,
    /// A header has begun, and `]` has not come.
    header: Option<Header>,
    /// The names of the header or the dotted key that is being read.
    keys: Vec<Key>,
    /// The table of the last header.
    current: TableId,
    /// What stands in front of the last name of the last header, and which table that is: headers come in groups.
    parent: Option<(Span, TableId)>,
    open: Vec<Open>,
    wrong: Vec<Wrong>,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str) -> Self {
        // A table to so many bytes, as where each tag has a header of its own; of what is not used nothing is kept.
        let mut tables = Vec::with_capacity(text.len() / 100 + 1);
        tables.push(Table::new(Origin::Header));
        let document = Document {
            text: Cow::Borrowed(text),
            tables,
            entries: Vec::with_capacity(text.len() / 20 + 1),
            items: Vec::new(),
            decoded: Vec::new(),
            hasher: RandomState::new(),
        };
        Builder {
            text,
            base: 0,
            document,
            header: None,
            keys: Vec::new(),
            current: TableId(0),
            parent: None,
            open: Vec::new(),
            wrong: Vec::new(),
        }
    }

    fn finish(self, mut sink: Sink) -> (Document<'t>, Vec<Wrong>) {
        let mut wrong = self.wrong;
        wrong.append(&mut sink.wrong);
        wrong.sort_by_key(|wrong| wrong.span);
        (self.document, wrong)
    }

    fn table(&mut self, id: TableId) -> Option<&mut Table> {
        self.document.tables.get_mut(index(id.0))
    }

    fn decode(&mut self, text: Cow<'_, str>) -> u32 {
        let at = next_of(&self.document.decoded);
        self.document.decoded.push(text.into());
        at
    }

    /// The bytes of the text at a place of a piece.
    fn raw(&self, span: toml_parser::Span) -> &'t str {
        self.text.get(self.base + span.start()..self.base + span.end()).unwrap_or_default()
    }

    fn span(&self, span: toml_parser::Span) -> Span {
        shifted(span, self.base)
    }

    /// The place and the value of a name.
    fn find(&self, table: TableId, key: Key) -> Option<(Span, Stored)> {
        let entry = self.document.find(table, self.document.key_text(key))?;
        Some((entry.key.span, entry.node.stored))
    }

    fn twice(&mut self, key: Key, first: Span) {
        let what = WrongToml::Twice { key: self.document.key_text(key).to_owned(), first };
        self.wrong.push(Wrong { span: key.span, what });
    }

    fn closed(&mut self, key: Key, first: Span) {
        let what = WrongToml::Closed { key: self.document.key_text(key).to_owned(), first };
        self.wrong.push(Wrong { span: key.span, what });
    }

    /// The table that `key` names in `parent`, made if there is none. `None`: it has been told why not.
    fn step(&mut self, parent: TableId, key: Key, origin: Origin) -> Option<TableId> {
        let Some((first, stored)) = self.find(parent, key) else {
            let id = self.document.add_table(origin);
            self.document.push(parent, key, Node { stored: Stored::Table(id), span: key.span });
            return Some(id);
        };
        let Some(id) = self.last_table(stored) else {
            self.twice(key, first);
            return None;
        };
        let had = self.table(id)?.origin;
        let may = match origin {
            Origin::Dotted => had == Origin::Dotted,
            _ => had != Origin::Inline,
        };
        if may {
            return Some(id);
        }
        self.closed(key, first);
        None
    }

    /// The table behind a value: that itself, or the last of `[[tables]]`.
    fn last_table(&self, stored: Stored) -> Option<TableId> {
        match stored {
            Stored::Table(id) => Some(id),
            Stored::Array { last, .. } => match self.document.items.get(index(last))?.node.stored {
                Stored::Table(id) => Some(id),
                _ => None,
            },
            _ => None,
        }
    }

    fn end_header(&mut self) {
        if let Some(Header { in_array, span }) = self.header.take() {
            self.open_header(in_array, span);
        }
    }

    /// Opens the table that a header names; what cannot be opened gets a table that belongs to nothing, so that what
    /// stands in it is read, and its own errors told.
    fn open_header(&mut self, in_array: bool, header: Span) {
        self.open.clear();
        let mut keys = std::mem::take(&mut self.keys);
        let table = self.find_header(&keys, in_array, header);
        keys.clear();
        self.keys = keys;
        self.enter(table);
    }

    /// What comes now belongs to this table, or to none.
    fn enter(&mut self, table: Option<TableId>) {
        self.current = match table {
            Some(table) => table,
            None => self.document.add_table(Origin::Header),
        };
    }

    fn find_header(&mut self, keys: &[Key], in_array: bool, header: Span) -> Option<TableId> {
        self.parent = None;
        let (key, parents) = keys.split_last()?;
        let mut parent = TableId(0);
        for key in parents {
            parent = self.step(parent, *key, Origin::Implied)?;
        }
        if in_array {
            return self.add_element(parent, *key, header);
        }
        if let (Some(first), Some(last)) = (parents.first(), parents.last()) {
            self.parent = Some((Span { start: first.span.start, end: last.span.end }, parent));
        }
        self.find_named(parent, *key)
    }

    /// The table of `[[parent.key]]`.
    fn add_element(&mut self, parent: TableId, key: Key, header: Span) -> Option<TableId> {
        let id = self.document.add_table(Origin::Header);
        let element = Node { stored: Stored::Table(id), span: header };
        match self.find(parent, key) {
            None => {
                let (first, last) = self.document.append((NONE, NONE), element);
                self.document.push(parent, key, Node { stored: Stored::Array { first, last }, span: header });
            }
            Some((_, Stored::Array { first, last })) => {
                let (first, last) = self.document.append((first, last), element);
                let name = self.document.key_text(key);
                let at = self.document.table(parent).and_then(|table| self.document.position(table, name));
                if let Some(entry) = at.and_then(|at| self.document.entries.get_mut(index(at))) {
                    entry.node.stored = Stored::Array { first, last };
                }
            }
            Some((first, _)) => self.twice(key, first),
        }
        Some(id)
    }

    /// The table of `[parent.key]`.
    fn find_named(&mut self, parent: TableId, key: Key) -> Option<TableId> {
        match self.find(parent, key) {
            Some((first, Stored::Table(id))) => {
                let table = self.table(id)?;
                match table.origin {
                    Origin::Implied => {
                        table.origin = Origin::Header;
                        Some(id)
                    }
                    Origin::Header | Origin::Dotted => {
                        self.twice(key, first);
                        // What is in it belongs to the first all the same, and more errors may be found so.
                        None
                    }
                    Origin::Inline => {
                        self.closed(key, first);
                        None
                    }
                }
            }
            Some((first, _)) => {
                self.twice(key, first);
                None
            }
            None => self.step(parent, key, Origin::Header),
        }
    }

    /// The table and the last name of the dotted key that has been read, which may be in one in braces.
    fn resolve(&mut self) -> Option<(TableId, Key)> {
        let mut keys = std::mem::take(&mut self.keys);
        let base = self.open.iter().rev().find_map(|open| match open {
            Open::Inline { table, .. } => Some(*table),
            _ => None,
        });
        let mut table = Some(base.unwrap_or(self.current));
        let found = keys.pop().map(|key| {
            for key in keys.drain(..) {
                table = table.and_then(|parent| self.step(parent, key, Origin::Dotted));
            }
            // Into nowhere, when there is no table for it.
            let table = match table {
                Some(table) => table,
                None => self.document.add_table(Origin::Header),
            };
            (table, key)
        });
        keys.clear();
        self.keys = keys;
        found
    }

    /// Begins the value of the dotted key that has been read.
    fn open_key(&mut self) {
        // A key whose value never came.
        if matches!(self.open.last(), Some(Open::Key { .. })) {
            self.open.pop();
        }
        if let Some((table, key)) = self.resolve() {
            self.open.push(Open::Key { table, key });
        }
    }

    /// Puts a value where it belongs.
    fn place(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(Open::Array { ends, .. }) => *ends = self.document.append(*ends, node),
            Some(Open::Key { table, key }) => {
                let (table, key) = (*table, *key);
                self.open.pop();
                self.put(table, key, node);
            }
            Some(Open::Inline { .. }) | None => {} // a value without a key, which has been told
        }
    }

    fn put(&mut self, table: TableId, key: Key, node: Node) {
        match self.find(table, key) {
            Some((first, _)) => self.twice(key, first),
            None => self.document.push(table, key, node),
        }
    }

    /// What stands there as a value without an escape or a sign, if it is one; of most it is.
    fn plain(raw: &str, kind: Option<Encoding>) -> Option<Stored> {
        match kind {
            Some(Encoding::BasicString) => {
                let text = raw.strip_prefix('"')?.strip_suffix('"')?;
                let plain = |byte: u8| byte >= b' ' && !matches!(byte, b'\\' | b'"' | 0x7F);
                text.bytes().all(plain).then_some(Stored::Plain)
            }
            None => {
                let digits = raw.len() <= 18 && raw.bytes().all(|byte| byte.is_ascii_digit());
                let plain = digits && (raw.len() == 1 || !raw.starts_with('0'));
                plain.then(|| raw.parse().ok()).flatten().map(Stored::Integer)
            }
            Some(_) => None,
        }
    }
}

/// What a key may be made of without quotes.
const fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

impl EventReceiver for Builder<'_> {
    fn std_table_open(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.keys.clear();
        self.header = Some(Header { in_array: false, span: self.span(span) });
    }

    fn std_table_close(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.end_header();
    }

    fn array_table_open(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.keys.clear();
        self.header = Some(Header { in_array: true, span: self.span(span) });
    }

    fn array_table_close(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.end_header();
    }

    fn newline(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        // What was not closed, and has been told, ends with its line.
        self.end_header();
    }

    fn inline_table_open(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) -> bool {
        // Dotted keys may add to it until it is closed.
        let table = self.document.add_table(Origin::Dotted);
        self.open.push(Open::Inline { table, start: self.span(span) });
        true
    }

    fn inline_table_close(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.keys.clear();
        while let Some(open) = self.open.pop() {
            if let Open::Inline { table, start } = open {
                if let Some(table) = self.table(table) {
                    table.origin = Origin::Inline;
                }
                let span = Span { start: start.start, end: self.span(span).end };
                self.place(Node { stored: Stored::Table(table), span });
                return;
            }
        }
    }

    fn array_open(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) -> bool {
        self.open.push(Open::Array { ends: (NONE, NONE), start: self.span(span) });
        true
    }

    fn array_close(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) {
        while let Some(open) = self.open.pop() {
            if let Open::Array { ends: (first, last), start } = open {
                let span = Span { start: start.start, end: self.span(span).end };
                self.place(Node { stored: Stored::Array { first, last }, span });
                return;
            }
        }
    }

    fn simple_key(&mut self, span: toml_parser::Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        let text = self.raw(span);
        let mut key = Key { span: self.span(span), decoded: NONE };
        if kind.is_some() || text.is_empty() || !text.bytes().all(is_bare) {
            let mut decoded = Cow::Borrowed("");
            toml_parser::Raw::new_unchecked(text, kind, span).decode_key(&mut decoded, error);
            key.decoded = self.decode(decoded);
        }
        self.keys.push(key);
    }

    fn key_val_sep(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.open_key();
    }

    fn scalar(&mut self, span: toml_parser::Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        let raw = self.raw(span);
        let at = self.span(span);
        if let Some(stored) = Self::plain(raw, kind) {
            return self.place(Node { stored, span: at });
        }
        let raw = toml_parser::Raw::new_unchecked(raw, kind, span);
        let mut text = Cow::Borrowed("");
        let mut told = false;
        let mut tell = |told_error: ParseError| {
            told = true;
            error.report_error(told_error);
        };
        let scalar = raw.decode_scalar(&mut text, &mut tell);
        let stored = match scalar {
            _ if told => Stored::Broken,
            ScalarKind::String => Stored::Decoded(self.decode(text)),
            ScalarKind::Boolean(on) => Stored::Boolean(on),
            ScalarKind::DateTime => Stored::Date,
            ScalarKind::Float => text.parse().map_or(Stored::Broken, Stored::Float),
            ScalarKind::Integer(radix) => match i64::from_str_radix(&text, radix.value()) {
                Ok(integer) => Stored::Integer(integer),
                Err(_) => {
                    self.wrong.push(Wrong { span: at, what: WrongToml::TooLarge });
                    Stored::Broken
                }
            },
        };
        self.place(Node { stored, span: at });
    }
}

#[cfg(test)]
mod tests;
