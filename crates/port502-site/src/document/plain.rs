//! Lines that need no grammar: headers, and keys with values on one line, without escapes, dates and the like.
//!
//! Nearly every line of a large site is one of these, and reading it here takes a fraction of what tokens take. What is
//! not one is left to the grammar, which says what is right; a test holds both to the same tree.

use super::{Builder, Key, NONE, Node, Origin, Span, Stored, TableId, is_bare};

/// Brackets within brackets that are read here; the grammar takes more.
const NESTED_MAX: usize = 4;

/// Digits of an integer that surely fits.
const DIGITS_MAX: usize = 18;

/// A place in the bytes of the text.
#[derive(Clone, Copy)]
struct Cursor<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Cursor<'_> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// As long as a byte is as it should be; returns how many were.
    #[inline]
    fn run(&mut self, is: impl Fn(u8) -> bool) -> usize {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.iter().position(|byte| !is(*byte)).unwrap_or(rest.len());
        self.at += count;
        count
    }

    #[inline]
    fn blank(&mut self) {
        self.run(|byte| byte == b' ' || byte == b'\t');
    }

    /// The rest of a line that has nothing but a comment.
    #[inline]
    fn end_line(&mut self) -> Option<()> {
        self.blank();
        if self.peek() == Some(b'#') {
            self.run(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7F));
        }
        match self.peek() {
            None => Some(()),
            Some(b'\n') => self.take(b'\n'),
            Some(b'\r') => {
                self.take(b'\r')?;
                self.take(b'\n')
            }
            Some(_) => None,
        }
    }

    fn span_from(&self, start: usize) -> Span {
        Span::new(start, self.at)
    }

    fn bare_key(&mut self) -> Option<Key> {
        let start = self.at;
        if self.run(is_bare) == 0 {
            return None;
        }
        Some(Key { span: self.span_from(start), decoded: NONE })
    }

    /// What is between two quotes, which are both passed over.
    fn quoted(&mut self, quote: u8) -> Option<()> {
        self.take(quote)?;
        let escapes = quote == b'"';
        self.run(|byte| byte >= b' ' && byte != 0x7F && byte != quote && !(escapes && byte == b'\\'));
        self.take(quote)?;
        // Three quotes are another kind of text.
        (self.peek() != Some(quote)).then_some(())
    }

    /// Whether a number or a word ends here.
    fn ends_word(&self) -> bool {
        matches!(self.peek(), None | Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}' | b'#'))
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(word).then_some(())?;
        self.at += word.len();
        self.ends_word().then_some(())
    }

    /// `-12` or `0.25`.
    fn number(&mut self) -> Option<Stored> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.peek() == Some(b'0');
        let whole = self.run(|byte| byte.is_ascii_digit());
        if whole == 0 || whole > DIGITS_MAX || (zero && whole > 1) {
            return None;
        }
        let float = self.peek() == Some(b'.');
        if float {
            self.at += 1;
            if self.run(|byte| byte.is_ascii_digit()) == 0 {
                return None;
            }
        }
        if !self.ends_word() {
            return None;
        }
        let text = std::str::from_utf8(self.bytes.get(start..self.at)?).ok()?;
        if float { text.parse().ok().map(Stored::Float) } else { text.parse().ok().map(Stored::Integer) }
    }
}

impl<'t> Builder<'t> {
    /// Reads lines from `at` on, which begins one, up to the first that is not plain; returns where that begins.
    pub(super) fn read_plain(&mut self, at: usize) -> usize {
        let mut cursor = Cursor { bytes: self.text.as_bytes(), at };
        while cursor.at < cursor.bytes.len() {
            let line = cursor;
            if self.plain_line(&mut cursor).is_none() {
                self.keys.clear();
                return line.at;
            }
        }
        cursor.at
    }

    /// One line; `None`: it is not plain, and nothing of it is in the tree.
    fn plain_line(&mut self, cursor: &mut Cursor<'t>) -> Option<()> {
        cursor.blank();
        match cursor.peek() {
            Some(b'[') => self.plain_header(cursor),
            Some(byte) if is_bare(byte) => self.plain_key(cursor),
            _ => cursor.end_line(),
        }
    }

    /// `[device.intake.tag.level]`
    fn plain_header(&mut self, cursor: &mut Cursor<'t>) -> Option<()> {
        cursor.take(b'[')?;
        let start = cursor.at;
        let mut key = cursor.bare_key()?;
        self.keys.clear();
        self.keys.push(key);
        while cursor.peek() == Some(b'.') {
            cursor.at += 1;
            key = cursor.bare_key()?;
            self.keys.push(key);
        }
        cursor.take(b']')?;
        cursor.end_line()?;
        // The table in which it is: most often that of the header before.
        let front = Span { start: Span::new(start, start).start, end: key.span.start.saturating_sub(1) };
        if let Some((known, parent)) = self.parent
            && self.keys.len() > 1
            && self.document.at(known, 0) == self.document.at(front, 0)
        {
            self.keys.clear();
            let table = self.find_named(parent, key);
            self.enter(table);
            return Some(());
        }
        self.open_header(false, front);
        Some(())
    }

    /// `scale = 0.1`
    fn plain_key(&mut self, cursor: &mut Cursor<'t>) -> Option<()> {
        let key = cursor.bare_key()?;
        self.keys.clear();
        self.keys.push(key);
        while cursor.peek() == Some(b'.') {
            cursor.at += 1;
            let key = cursor.bare_key()?;
            self.keys.push(key);
        }
        cursor.blank();
        cursor.take(b'=')?;
        cursor.blank();
        let document = &self.document;
        let before = (document.tables.len(), document.entries.len(), document.items.len());
        let node = self.plain_value(cursor, NESTED_MAX);
        let Some(node) = node.filter(|_| cursor.end_line().is_some()) else {
            self.document.tables.truncate(before.0);
            self.document.entries.truncate(before.1);
            self.document.items.truncate(before.2);
            return None;
        };
        if self.keys.len() == 1 {
            self.put(self.current, key, node);
        } else if let Some((table, key)) = self.resolve() {
            self.put(table, key, node);
        }
        Some(())
    }

    fn plain_value(&mut self, cursor: &mut Cursor<'t>, nested: usize) -> Option<Node> {
        let start = cursor.at;
        let stored = match cursor.peek()? {
            quote @ (b'"' | b'\'') => {
                cursor.quoted(quote)?;
                Stored::Plain
            }
            b'-' | b'0'..=b'9' => cursor.number()?,
            b't' => cursor.word(b"true").map(|()| Stored::Boolean(true))?,
            b'f' => cursor.word(b"false").map(|()| Stored::Boolean(false))?,
            b'[' => self.plain_list(cursor, nested.checked_sub(1)?)?,
            b'{' => Stored::Table(self.plain_table(cursor, nested.checked_sub(1)?)?),
            _ => return None,
        };
        Some(Node { stored, span: cursor.span_from(start) })
    }

    /// `[0.0, 6.0]`
    fn plain_list(&mut self, cursor: &mut Cursor<'t>, nested: usize) -> Option<Stored> {
        cursor.take(b'[')?;
        let mut ends = (NONE, NONE);
        loop {
            cursor.blank();
            if ends.0 == NONE && cursor.peek() == Some(b']') {
                break;
            }
            let node = self.plain_value(cursor, nested)?;
            ends = self.document.append(ends, node);
            cursor.blank();
            if cursor.peek() != Some(b',') {
                break;
            }
            cursor.at += 1;
        }
        cursor.take(b']')?;
        Some(Stored::Array { first: ends.0, last: ends.1 })
    }

    /// `{ above = 5.2, priority = 2 }`
    fn plain_table(&mut self, cursor: &mut Cursor<'t>, nested: usize) -> Option<TableId> {
        cursor.take(b'{')?;
        let id = self.document.add_table(Origin::Inline);
        loop {
            cursor.blank();
            if self.document.len(id) == 0 && cursor.peek() == Some(b'}') {
                break;
            }
            let key = cursor.bare_key()?;
            cursor.blank();
            cursor.take(b'=')?;
            cursor.blank();
            let node = self.plain_value(cursor, nested)?;
            // A name given twice is the grammar's to tell.
            if self.find(id, key).is_some() {
                return None;
            }
            self.document.push(id, key, node);
            cursor.blank();
            if cursor.peek() != Some(b',') {
                break;
            }
            cursor.at += 1;
        }
        cursor.take(b'}')?;
        Some(id)
    }
}
