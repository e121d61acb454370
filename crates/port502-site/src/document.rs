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
use std::collections::HashMap;

use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::lexer::{Token, TokenKind};
use toml_parser::parser::{EventReceiver, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{ErrorSink, Expected, ParseError, Source};

/// Brackets within brackets: no site file needs more, and a file made to exhaust the stack has more.
const DEPTH_MAX: u32 = 16;

/// So many tokens are looked at in one piece, and then as many as there are to the next header.
const PIECE_LEN: usize = 1 << 14;

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

impl From<toml_parser::Span> for Span {
    fn from(span: toml_parser::Span) -> Self {
        Span::new(span.start(), span.end())
    }
}

/// Which table of a [`Document`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TableId(u32);

/// What stands behind `=`, and where.
#[derive(Clone, Debug)]
pub(crate) struct Node<'t> {
    pub(crate) value: Value<'t>,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) enum Value<'t> {
    Text(Cow<'t, str>),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A date or a time. None of our keys takes one.
    Date,
    Array(Vec<Node<'t>>),
    Table(TableId),
    /// It was wrong, and has been told.
    Broken,
}

impl Node<'_> {
    fn into_owned(self) -> Node<'static> {
        let value = match self.value {
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Integer(integer) => Value::Integer(integer),
            Value::Float(float) => Value::Float(float),
            Value::Boolean(on) => Value::Boolean(on),
            Value::Date => Value::Date,
            Value::Array(items) => Value::Array(items.into_iter().map(Node::into_owned).collect()),
            Value::Table(id) => Value::Table(id),
            Value::Broken => Value::Broken,
        };
        Node { value, span: self.span }
    }
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

/// A name and what it stands for.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'t> {
    pub(crate) key: Cow<'t, str>,
    pub(crate) key_span: Span,
    pub(crate) node: Node<'t>,
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
pub(crate) struct Table<'t> {
    pub(crate) entries: Vec<Entry<'t>>,
    /// Of a large table, where each name is.
    #[allow(clippy::box_collection, reason = "nearly all tables are small, and there are very many of them")]
    index: Option<Box<HashMap<Cow<'t, str>, u32>>>,
    /// The name that came last: headers come in groups.
    last: u32,
    origin: Origin,
}

impl<'t> Table<'t> {
    const fn new(origin: Origin) -> Self {
        Table { entries: Vec::new(), index: None, last: 0, origin }
    }

    pub(crate) fn find(&self, key: &str) -> Option<&Entry<'t>> {
        self.entries.get(self.position(key)?)
    }

    fn position(&self, key: &str) -> Option<usize> {
        match &self.index {
            None => self.entries.iter().position(|entry| entry.key == key),
            Some(index) => {
                let last = usize::try_from(self.last).ok()?;
                if self.entries.get(last).is_some_and(|entry| entry.key == key) {
                    return Some(last);
                }
                usize::try_from(*index.get(key)?).ok()
            }
        }
    }

    fn push(&mut self, entry: Entry<'t>) {
        if self.entries.capacity() == 0 {
            // As many keys as most tags have.
            self.entries.reserve_exact(6);
        }
        let at = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        if let Some(index) = &mut self.index {
            self.last = at(self.entries.len());
            index.insert(entry.key.clone(), at(self.entries.len()));
        }
        self.entries.push(entry);
        if self.index.is_none() && self.entries.len() > SCANNED_MAX {
            let keys = self.entries.iter().enumerate();
            self.index = Some(Box::new(keys.map(|(k, entry)| (entry.key.clone(), at(k))).collect()));
        }
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
#[derive(Clone, Debug)]
pub(crate) struct Document<'t> {
    tables: Vec<Table<'t>>,
    /// What a table is that there is not.
    nothing: Table<'t>,
}

impl<'t> Document<'t> {
    /// The tree of a text, and what is wrong with it. Of what is wrong as much is in the tree as can be told.
    pub(crate) fn parse(text: &'t str, wrong_max: usize) -> (Self, Vec<Wrong>) {
        let source = Source::new(text);
        let mut builder = Builder::new(source);
        let mut sink = Sink { wrong: Vec::new(), max: wrong_max };
        let mut pieces = Pieces::default();
        for token in source.lex() {
            if let Some(rest) = pieces.end_before(token.kind()) {
                pieces.read(&mut builder, source, &mut sink);
                rest.into_iter().for_each(|token| pieces.push(token));
            }
            pieces.push(token);
        }
        pieces.read(&mut builder, source, &mut sink);
        let mut wrong = builder.wrong;
        wrong.append(&mut sink.wrong);
        wrong.sort_by_key(|wrong| wrong.span);
        (Document { tables: builder.tables, nothing: Table::new(Origin::Inline) }, wrong)
    }

    /// The same tree, with its texts copied.
    pub(crate) fn into_owned(self) -> Document<'static> {
        let own = |key: Cow<'_, str>| Cow::Owned(key.into_owned());
        let tables = self.tables.into_iter().map(|table| {
            let mut owned = Table::new(table.origin);
            for entry in table.entries {
                let Entry { key, key_span, node } = entry;
                owned.push(Entry { key: own(key), key_span, node: node.into_owned() });
            }
            owned
        });
        Document { tables: tables.collect(), nothing: Table::new(Origin::Inline) }
    }

    /// Takes a name out of the outermost table.
    pub(crate) fn forget(&mut self, key: &str) {
        let Some(root) = self.tables.first_mut() else { return };
        let mut without = Table::new(root.origin);
        for entry in std::mem::take(&mut root.entries) {
            if entry.key != key {
                without.push(entry);
            }
        }
        *root = without;
    }

    pub(crate) const fn root(&self) -> TableId {
        TableId(0)
    }

    pub(crate) fn table(&self, id: TableId) -> &Table<'t> {
        let at = usize::try_from(id.0).unwrap_or(usize::MAX);
        self.tables.get(at).unwrap_or(&self.nothing)
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
    /// Whether what has been gathered is a piece of its own, given what comes; and what of it belongs to the next.
    fn end_before(&mut self, next: TokenKind) -> Option<Vec<Token>> {
        let blank = |token: &Token| token.kind() == TokenKind::Whitespace;
        let line = self.tokens.get(self.line..).unwrap_or_default();
        match (next, self.open.last()) {
            (TokenKind::LeftSquareBracket, open) if line.iter().all(blank) => {
                // In braces no key begins so; in a list a list may follow a comma.
                let may_follow = matches!(self.last, Some(TokenKind::Comma | TokenKind::LeftSquareBracket));
                let ends = match open {
                    None => self.tokens.len() >= PIECE_LEN,
                    Some(false) => true,
                    Some(true) => !may_follow,
                };
                ends.then(Vec::new)
            }
            // A key, and no list has one.
            (TokenKind::Equals, Some(true)) if !line.iter().all(blank) => {
                let key =
                    |token: &Token| !matches!(token.kind(), TokenKind::LeftSquareBracket | TokenKind::Comma);
                line.iter().all(key).then(|| self.tokens.split_off(self.line))
            }
            _ => None,
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

    fn read(&mut self, builder: &mut Builder<'_>, source: Source<'_>, sink: &mut Sink) {
        let mut strict = ValidateWhitespace::new(builder, source);
        let mut guarded = RecursionGuard::new(&mut strict, DEPTH_MAX);
        parse_document(&self.tokens, &mut guarded, sink);
        builder.open.clear();
        self.tokens.clear();
        self.open.clear();
        (self.line, self.last) = (0, None);
    }
}

/// Where the grammar's errors go.
struct Sink {
    wrong: Vec<Wrong>,
    max: usize,
}

impl ErrorSink for Sink {
    fn report_error(&mut self, error: ParseError) {
        if self.wrong.len() >= self.max {
            return;
        }
        let span: Span = error.unexpected().or(error.context()).unwrap_or_default().into();
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
enum Open<'t> {
    /// A key whose value comes.
    Key {
        table: TableId,
        key: Cow<'t, str>,
        span: Span,
    },
    Array {
        items: Vec<Node<'t>>,
        start: Span,
    },
    Inline {
        table: TableId,
        start: Span,
    },
}

struct Builder<'t> {
    source: Source<'t>,
    tables: Vec<Table<'t>>,
    /// A header has begun, and `]` has not come.
    header: Option<Header>,
    /// The names of the header or the dotted key that is being read.
    keys: Vec<(Cow<'t, str>, Span)>,
    /// The table of the last header.
    current: TableId,
    open: Vec<Open<'t>>,
    wrong: Vec<Wrong>,
}

impl<'t> Builder<'t> {
    fn new(source: Source<'t>) -> Self {
        // A table to so many bytes, as where each tag has a header of its own; of what is not used nothing is kept.
        let mut tables = Vec::with_capacity(source.input().len() / 100 + 1);
        tables.push(Table::new(Origin::Header));
        Builder {
            source,
            tables,
            header: None,
            keys: Vec::new(),
            current: TableId(0),
            open: Vec::new(),
            wrong: Vec::new(),
        }
    }

    fn add_table(&mut self, origin: Origin) -> TableId {
        let id = TableId(u32::try_from(self.tables.len()).unwrap_or(u32::MAX));
        self.tables.push(Table::new(origin));
        id
    }

    fn table(&mut self, id: TableId) -> Option<&mut Table<'t>> {
        self.tables.get_mut(usize::try_from(id.0).ok()?)
    }

    fn twice(&mut self, key: &str, span: Span, first: Span) {
        let what = WrongToml::Twice { key: key.to_owned(), first };
        self.wrong.push(Wrong { span, what });
    }

    /// The table that `key` names in `parent`, made if there is none. `None`: it has been told why not.
    #[allow(clippy::ptr_arg, reason = "the key is kept as it is, borrowed where it was borrowed")]
    fn step(&mut self, parent: TableId, key: &Cow<'t, str>, span: Span, origin: Origin) -> Option<TableId> {
        let found =
            self.table(parent)?.find(key).map(|entry| (entry.key_span, last_table(&entry.node.value)));
        match found {
            None => {
                let id = self.add_table(origin);
                let node = Node { value: Value::Table(id), span };
                self.table(parent)?.push(Entry { key: key.clone(), key_span: span, node });
                Some(id)
            }
            Some((first, Some(id))) => {
                let had = self.table(id)?.origin;
                let may = match origin {
                    Origin::Dotted => had == Origin::Dotted,
                    _ => had != Origin::Inline,
                };
                if may {
                    return Some(id);
                }
                let what = WrongToml::Closed { key: key.to_string(), first };
                self.wrong.push(Wrong { span, what });
                None
            }
            Some((first, None)) => {
                self.twice(key, span, first);
                None
            }
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
        self.current = match table {
            Some(table) => table,
            None => self.add_table(Origin::Header),
        };
    }

    fn find_header(
        &mut self,
        keys: &[(Cow<'t, str>, Span)],
        in_array: bool,
        header: Span,
    ) -> Option<TableId> {
        let ((key, span), parents) = keys.split_last()?;
        let mut parent = TableId(0);
        for (key, span) in parents {
            parent = self.step(parent, key, *span, Origin::Implied)?;
        }
        let found =
            self.table(parent)?.find(key).map(|entry| (entry.key_span, entry.node.value.clone_shallow()));
        if in_array {
            let id = self.add_table(Origin::Header);
            let element = Node { value: Value::Table(id), span: header };
            let parent = self.table(parent)?;
            match parent.position(key) {
                None => {
                    let node = Node { value: Value::Array(vec![element]), span: header };
                    parent.push(Entry { key: key.clone(), key_span: *span, node });
                }
                Some(at) => match parent.entries.get_mut(at) {
                    Some(Entry { node: Node { value: Value::Array(items), .. }, .. }) => items.push(element),
                    Some(entry) => {
                        let first = entry.key_span;
                        self.twice(key, *span, first);
                    }
                    None => {}
                },
            }
            return Some(id);
        }
        match found {
            Some((first, Some(id))) => {
                let table = self.table(id)?;
                match table.origin {
                    Origin::Implied => {
                        table.origin = Origin::Header;
                        Some(id)
                    }
                    Origin::Header | Origin::Dotted => {
                        self.twice(key, *span, first);
                        // What is in it belongs to the first all the same, and more errors may be found so.
                        None
                    }
                    Origin::Inline => {
                        let what = WrongToml::Closed { key: key.to_string(), first };
                        self.wrong.push(Wrong { span: *span, what });
                        None
                    }
                }
            }
            Some((first, None)) => {
                self.twice(key, *span, first);
                None
            }
            None => self.step(parent, key, *span, Origin::Header),
        }
    }

    /// Begins the value of the dotted key that has been read.
    fn open_key(&mut self) {
        let mut keys = std::mem::take(&mut self.keys);
        // A key whose value never came.
        if matches!(self.open.last(), Some(Open::Key { .. })) {
            self.open.pop();
        }
        let base = self.open.iter().rev().find_map(|open| match open {
            Open::Inline { table, .. } => Some(*table),
            _ => None,
        });
        let mut table = Some(base.unwrap_or(self.current));
        if let Some((key, span)) = keys.pop() {
            for (key, span) in keys.drain(..) {
                table = table.and_then(|parent| self.step(parent, &key, span, Origin::Dotted));
            }
            // Into nowhere, when there is no table for it.
            let table = match table {
                Some(table) => table,
                None => self.add_table(Origin::Header),
            };
            self.open.push(Open::Key { table, key, span });
        }
        keys.clear();
        self.keys = keys;
    }

    /// Puts a value where it belongs.
    fn place(&mut self, node: Node<'t>) {
        match self.open.last_mut() {
            Some(Open::Array { items, .. }) => items.push(node),
            Some(Open::Key { .. }) => {
                let Some(Open::Key { table, key, span }) = self.open.pop() else { return };
                let Some(into) = self.table(table) else { return };
                match into.find(&key).map(|entry| entry.key_span) {
                    Some(first) => self.twice(&key, span, first),
                    None => into.push(Entry { key, key_span: span, node }),
                }
            }
            Some(Open::Inline { .. }) | None => {} // a value without a key, which has been told
        }
    }
}

/// The table behind a value: that itself, or the last of `[[tables]]`.
fn last_table(value: &Value<'_>) -> Option<TableId> {
    match value {
        Value::Table(id) => Some(*id),
        Value::Array(items) => match items.last()?.value {
            Value::Table(id) => Some(id),
            _ => None,
        },
        _ => None,
    }
}

impl Value<'_> {
    /// Whether it is a table, and which.
    fn clone_shallow(&self) -> Option<TableId> {
        if let Value::Table(id) = self { Some(*id) } else { None }
    }
}

/// What a key may be made of without quotes.
const fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// What nearly all values are, without the detour of the rest: texts without escapes, and integers of digits alone.
fn plain(raw: &str, kind: Option<Encoding>) -> Option<Value<'_>> {
    match kind {
        Some(Encoding::BasicString) => {
            let text = raw.strip_prefix('"')?.strip_suffix('"')?;
            let plain = |byte: u8| byte >= b' ' && !matches!(byte, b'\\' | b'"' | 0x7F);
            text.bytes().all(plain).then_some(Value::Text(Cow::Borrowed(text)))
        }
        None => {
            let digits = raw.len() <= 18 && raw.bytes().all(|byte| byte.is_ascii_digit());
            let plain = digits && (raw.len() == 1 || !raw.starts_with('0'));
            plain.then(|| raw.parse().ok()).flatten().map(Value::Integer)
        }
        Some(_) => None,
    }
}

impl EventReceiver for Builder<'_> {
    fn std_table_open(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.keys.clear();
        self.header = Some(Header { in_array: false, span: span.into() });
    }

    fn std_table_close(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.end_header();
    }

    fn array_table_open(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.keys.clear();
        self.header = Some(Header { in_array: true, span: span.into() });
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
        let table = self.add_table(Origin::Dotted);
        self.open.push(Open::Inline { table, start: span.into() });
        true
    }

    fn inline_table_close(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.keys.clear();
        while let Some(open) = self.open.pop() {
            if let Open::Inline { table, start } = open {
                if let Some(table) = self.table(table) {
                    table.origin = Origin::Inline;
                }
                let span = Span { start: start.start, end: Span::from(span).end };
                self.place(Node { value: Value::Table(table), span });
                return;
            }
        }
    }

    fn array_open(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) -> bool {
        self.open.push(Open::Array { items: Vec::with_capacity(2), start: span.into() });
        true
    }

    fn array_close(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) {
        while let Some(open) = self.open.pop() {
            if let Open::Array { items, start } = open {
                let span = Span { start: start.start, end: Span::from(span).end };
                self.place(Node { value: Value::Array(items), span });
                return;
            }
        }
    }

    fn simple_key(&mut self, span: toml_parser::Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        let text = self.source.input().get(span.start()..span.end()).unwrap_or_default();
        let mut key = Cow::Borrowed("");
        if kind.is_none() && !text.is_empty() && text.bytes().all(is_bare) {
            key = Cow::Borrowed(text);
        } else {
            toml_parser::Raw::new_unchecked(text, kind, span).decode_key(&mut key, error);
        }
        self.keys.push((key, span.into()));
    }

    fn key_val_sep(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.open_key();
    }

    fn scalar(&mut self, span: toml_parser::Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        let raw = self.source.input().get(span.start()..span.end()).unwrap_or_default();
        if let Some(value) = plain(raw, kind) {
            return self.place(Node { value, span: span.into() });
        }
        let raw = toml_parser::Raw::new_unchecked(raw, kind, span);
        let mut text = Cow::Borrowed("");
        let mut told = false;
        let mut tell = |told_error: ParseError| {
            told = true;
            error.report_error(told_error);
        };
        let scalar = raw.decode_scalar(&mut text, &mut tell);
        let value = match scalar {
            _ if told => Value::Broken,
            ScalarKind::String => Value::Text(text),
            ScalarKind::Boolean(on) => Value::Boolean(on),
            ScalarKind::DateTime => Value::Date,
            ScalarKind::Float => text.parse().map_or(Value::Broken, Value::Float),
            ScalarKind::Integer(radix) => match i64::from_str_radix(&text, radix.value()) {
                Ok(integer) => Value::Integer(integer),
                Err(_) => {
                    self.wrong.push(Wrong { span: span.into(), what: WrongToml::TooLarge });
                    Value::Broken
                }
            },
        };
        self.place(Node { value, span: span.into() });
    }
}
