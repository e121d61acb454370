//! Errors as people want to see them: file, line and column, the line with what is wrong underlined, and what to try.
//!
//! ```text
//! site.toml:9:8: "bus-b" is not a link; did you mean bus-a?
//!    9 | link = "bus-b"
//!      |        ^^^^^^^
//! ```

use std::fmt::Write as _;

use super::SourceFile;
use super::fault::{Fault, Place, SiteError, SiteErrors};

/// Characters of a line that are shown.
const LINE_MAX: usize = 120;

/// One error, in the parts that it is shown in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The file.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong, and what to try.
    pub message: String,
    /// The line, and carets below what is wrong.
    pub excerpt: Vec<String>,
    /// Of two things that do not go together, where the other is: `site.toml:4:7`.
    pub other: Option<String>,
}

/// Each error with its lines. To tell the lines of a long file from its bytes takes a while: it is done once.
#[must_use]
pub fn shown(files: &[SourceFile<'_>], errors: &SiteErrors) -> Vec<Shown> {
    let lines: Vec<Lines<'_>> = files.iter().map(Lines::new).collect();
    errors.errors.iter().map(|error| show(&lines, error)).collect()
}

/// All errors as one text, the first `max` of them with their lines.
#[must_use]
pub fn text(files: &[SourceFile<'_>], errors: &SiteErrors, max: usize) -> String {
    let mut text = String::new();
    let all = shown(files, errors);
    let more = all.len().saturating_sub(max) + errors.omitted;
    for error in all.into_iter().take(max) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{error}");
    }
    if more > 0 {
        let _ = writeln!(text, "... and {more} more");
    }
    text
}

struct Lines<'t> {
    name: &'t str,
    text: &'t str,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(file: &SourceFile<'t>) -> Self {
        let breaks = file.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Lines { name: file.name, text: file.text, starts }
    }

    /// The number of the line from 1, the column from 1, and the line itself.
    fn find(&self, at: usize) -> (usize, usize, &'t str) {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let end = self.starts.get(line).map_or(self.text.len(), |next| next - 1);
        let text = self.text.get(start..end.max(start)).unwrap_or_default();
        let before = self.text.get(start..at.clamp(start, end.max(start))).unwrap_or_default();
        let text = text.strip_suffix('\r').unwrap_or(text);
        let mark = if line == 1 && text.starts_with('\u{FEFF}') && !before.is_empty() { 1 } else { 0 };
        (line, before.chars().count() + 1 - mark, text.trim_start_matches('\u{FEFF}'))
    }
}

fn show(lines: &[Lines<'_>], error: &SiteError) -> Shown {
    let source = |place: Place| usize::try_from(place.file).ok().and_then(|file| lines.get(file));
    let start = |place: Place| usize::try_from(place.span.start).unwrap_or(usize::MAX);
    let message = error.fault.to_string();
    let Some(source_lines) = source(error.place) else {
        let file = String::new();
        return Shown { file, line: 1, column: 1, message, excerpt: Vec::new(), other: None };
    };
    let (line, column, text) = source_lines.find(start(error.place));
    let len = {
        let (from, to) = (start(error.place), usize::try_from(error.place.span.end).unwrap_or(usize::MAX));
        source_lines
            .text
            .get(from..to)
            .map_or(1, |marked| marked.lines().next().unwrap_or_default().chars().count())
    };
    let other = error.other.and_then(|place| {
        let lines = source(place)?;
        let (line, column, _) = lines.find(start(place));
        Some(format!("{}:{line}:{column}", lines.name))
    });
    // A secret is not repeated: what is shown here is kept in logs.
    let excerpt = if error.fault == Fault::Secret { Vec::new() } else { excerpt(line, column, text, len) };
    Shown { file: source_lines.name.to_owned(), line, column, message, excerpt, other }
}

fn excerpt(line: usize, column: usize, text: &str, len: usize) -> Vec<String> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    // Of a very long line the part around what is wrong.
    let skip = if column + len > LINE_MAX { (column - 1).saturating_sub(LINE_MAX / 3) } else { 0 };
    let mut shown: String = if skip == 0 { String::new() } else { "...".to_owned() };
    let dots = shown.chars().count();
    shown.extend(text.chars().skip(skip).take(LINE_MAX).map(|c| if c.is_control() { ' ' } else { c }));
    let at = column - 1 - skip + dots;
    let room = shown.chars().count().saturating_sub(at).max(1);
    let number = line.to_string();
    let blank = " ".repeat(number.len());
    vec![
        format!("  {number} | {}", shown.trim_end()),
        format!("  {blank} | {}{}", " ".repeat(at), "^".repeat(len.clamp(1, room))),
    ]
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if let Some(other) = &self.other {
            write!(f, " (the other is at {other})")?;
        }
        self.excerpt.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}
