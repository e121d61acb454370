//! TOML, YAML and JSON as one kind of tree, in which everything knows its place.

use granit_parser::{Event, Parser, ScalarStyle};
use port502_site::nearest;
use toml::de::{DeTable, DeValue};

use crate::note::Place;

/// Things within things; no configuration has more, and a file made to exhaust the stack has.
const DEPTH_MAX: usize = 64;

/// Nodes of one file, those that stand for an alias among them.
const NODES_MAX: usize = 2_000_000;

/// Why a text is not what it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// The line, from 1; 0: the file as a whole.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong, and what to try.
    pub message: String,
}

impl std::error::Error for Malformed {}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "{line}:{}: {}", self.column, self.message),
        }
    }
}

impl Malformed {
    /// Of the file as a whole.
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Malformed { line: 0, column: 0, message: message.into() }
    }
}

/// A value and its line.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    line: u32,
    value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    /// Something with a tag of its own: `!secret modbus_host`.
    Special(String),
}

/// A node and the way to it.
#[derive(Clone, Debug)]
pub(crate) struct View<'n> {
    node: &'n Node,
    path: String,
    /// The line of the nearest node that has one.
    line: u32,
}

impl Node {
    pub(crate) fn view(&self) -> View<'_> {
        View { node: self, path: String::new(), line: self.line }
    }
}

impl<'n> View<'n> {
    pub(crate) fn place(&self) -> Place {
        Place { line: self.line, path: self.path.clone() }
    }

    fn child(&self, node: &'n Node, path: String) -> View<'n> {
        View { node, path, line: if node.line == 0 { self.line } else { node.line } }
    }

    pub(crate) fn get(&self, key: &str) -> Option<View<'n>> {
        let Value::Map(entries) = &self.node.value else { return None };
        let (_, node) = entries.iter().find(|(name, _)| name == key)?;
        if matches!(node.value, Value::Null) {
            return None;
        }
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Some(self.child(node, path))
    }

    /// The first of these keys that is there.
    pub(crate) fn any(&self, keys: &[&str]) -> Option<View<'n>> {
        keys.iter().find_map(|key| self.get(key))
    }

    pub(crate) fn entries(&self) -> Vec<(&'n str, View<'n>)> {
        let Value::Map(entries) = &self.node.value else { return Vec::new() };
        let path = |key: &str| {
            if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
        };
        entries.iter().map(|(key, node)| (key.as_str(), self.child(node, path(key)))).collect()
    }

    /// The elements of a list; of anything else, itself alone.
    pub(crate) fn items(&self) -> Vec<View<'n>> {
        match &self.node.value {
            Value::List(nodes) => nodes
                .iter()
                .enumerate()
                .map(|(at, node)| self.child(node, format!("{}[{at}]", self.path)))
                .collect(),
            Value::Null => Vec::new(),
            _ => vec![self.clone()],
        }
    }

    pub(crate) fn list(&self, key: &str) -> Vec<View<'n>> {
        self.get(key).map(|view| view.items()).unwrap_or_default()
    }

    pub(crate) const fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    pub(crate) const fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    pub(crate) fn special(&self) -> Option<&'n str> {
        if let Value::Special(tag) = &self.node.value { Some(tag) } else { None }
    }

    pub(crate) fn as_text(&self) -> Option<String> {
        Some(match &self.node.value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Bool(on) => on.to_string(),
            _ => return None,
        })
    }

    pub(crate) fn as_integer(&self) -> Option<i64> {
        match &self.node.value {
            Value::Integer(number) => Some(*number),
            Value::Text(text) => crate::words::integer(text),
            _ => None,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "the nearest is what is meant")]
    pub(crate) fn as_number(&self) -> Option<f64> {
        match &self.node.value {
            Value::Integer(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(on) = self.node.value { Some(on) } else { None }
    }

    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.get(key)?.as_text()
    }

    pub(crate) fn integer(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_integer()
    }

    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_number()
    }
}

/// A JSON text. Its nodes have no lines: the way to them says where they are.
pub(crate) fn json(text: &str) -> Result<Node, Malformed> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        // It ends in its own way of saying where.
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        Malformed { line: error.line(), column: error.column(), message: format!("not JSON: {message}") }
    })?;
    Ok(from_json(value))
}

fn from_json(value: serde_json::Value) -> Node {
    let value = match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(on) => Value::Bool(on),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(float)) => Value::Float(float),
            (None, None) => Value::Text(number.to_string()),
        },
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(from_json).collect()),
        serde_json::Value::Object(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (key, from_json(value))).collect())
        }
    };
    Node { line: 0, value }
}

/// A TOML text.
pub(crate) fn toml(text: &str) -> Result<Node, Malformed> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let (line, column) = line_column(text, at);
        Malformed { line, column, message: format!("not TOML: {}", error.message()) }
    })?;
    let lines =
        Lines(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect());
    Ok(Node { line: 0, value: Value::Map(from_toml(table.into_inner(), &lines)) })
}

struct Lines(Vec<usize>);

impl Lines {
    fn of(&self, at: usize) -> u32 {
        u32::try_from(self.0.partition_point(|end| *end < at) + 1).unwrap_or(u32::MAX)
    }
}

fn line_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    (before.matches('\n').count() + 1, column + 1)
}

fn from_toml(table: DeTable<'_>, lines: &Lines) -> Vec<(String, Node)> {
    let mut entries: Vec<(usize, String, Node)> = Vec::new();
    for (key, value) in table {
        let at = key.span().start;
        let line = lines.of(value.span().start);
        entries.push((at, key.into_inner().into_owned(), toml_node(value.into_inner(), line, lines)));
    }
    // As they stand in the file.
    entries.sort_by_key(|(at, _, _)| *at);
    entries.into_iter().map(|(_, key, node)| (key, node)).collect()
}

fn toml_node(value: DeValue<'_>, line: u32, lines: &Lines) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => {
            match i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Text(integer.as_str().to_owned()),
            }
        }
        DeValue::Float(float) => float.as_str().replace('_', "").parse().map_or(Value::Null, Value::Float),
        DeValue::Boolean(on) => Value::Bool(on),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| {
                    let line = lines.of(item.span().start);
                    toml_node(item.into_inner(), line, lines)
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Map(from_toml(table, lines)),
    };
    Node { line, value }
}

/// A YAML text; its first document.
pub(crate) fn yaml(text: &str) -> Result<Node, Malformed> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let mark = error.marker();
            let message = format!("not YAML: {}", error.info());
            Malformed { line: mark.line(), column: mark.col() + 1, message }
        })?;
        let (line, column) = (span.start.line(), span.start.col() + 1);
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        builder.take(event, u32::try_from(line).unwrap_or(0)).map_err(|message| Malformed {
            line,
            column,
            message: format!("not YAML: {message}"),
        })?;
    }
    Ok(builder.root.unwrap_or(Node { line: 0, value: Value::Null }))
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: Vec<(usize, Node)>,
    nodes: usize,
    root: Option<Node>,
}

struct Open {
    line: u32,
    anchor: usize,
    kind: OpenKind,
    tag: Option<String>,
}

enum OpenKind {
    List(Vec<Node>),
    Map(Vec<(String, Node)>, Option<String>),
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: u32) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = match tag.filter(|tag| tag.is_custom()) {
                    Some(tag) => Value::Special(format!("{} {text}", tag.original())),
                    None if style == ScalarStyle::Plain => plain(&text),
                    None => Value::Text(text.into_owned()),
                };
                self.put(Node { line, value }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => self.open(line, anchor, OpenKind::List(Vec::new()), tag),
            Event::MappingStart(_, anchor, tag) => {
                self.open(line, anchor, OpenKind::Map(Vec::new(), None), tag)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let value = match (open.tag, open.kind) {
                    (Some(tag), _) => Value::Special(tag),
                    (None, OpenKind::List(nodes)) => Value::List(nodes),
                    (None, OpenKind::Map(entries, _)) => Value::Map(entries),
                };
                self.put(Node { line: open.line, value }, open.anchor)
            }
            Event::Alias(anchor) => {
                let found =
                    self.anchors.iter().rev().find(|(id, _)| *id == anchor).map(|(_, node)| node.clone());
                let node = found.ok_or("an alias within what it stands for")?;
                self.nodes += count(&node);
                self.put(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        line: u32,
        anchor: usize,
        kind: OpenKind,
        tag: Option<std::borrow::Cow<'_, granit_parser::Tag>>,
    ) -> Result<(), String> {
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} levels"));
        }
        let tag = tag.filter(|tag| tag.is_custom()).map(|tag| tag.original());
        self.open.push(Open { line, anchor, kind, tag });
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(format!("more than {NODES_MAX} values"));
        }
        if anchor != 0 {
            self.anchors.push((anchor, node.clone()));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { kind: OpenKind::List(nodes), .. }) => nodes.push(node),
            Some(Open { kind: OpenKind::Map(entries, key), .. }) => match key.take() {
                None => {
                    *key = Some(match &node.value {
                        Value::Text(text) | Value::Special(text) => text.clone(),
                        Value::Integer(number) => number.to_string(),
                        Value::Float(number) => number.to_string(),
                        Value::Bool(on) => on.to_string(),
                        Value::Null => String::new(),
                        Value::List(_) | Value::Map(_) => {
                            return Err("a key that is a list or a mapping".to_owned());
                        }
                    });
                }
                // What is merged holds where the mapping itself says nothing.
                Some(key) if key == "<<" => match node.value {
                    Value::Map(merged) => entries.extend(merged),
                    Value::List(all) => {
                        for node in all {
                            if let Value::Map(merged) = node.value {
                                entries.extend(merged);
                            }
                        }
                    }
                    _ => return Err("<< takes a mapping".to_owned()),
                },
                Some(key) => {
                    // Merged ones stand behind what is written here, and lose.
                    match entries.iter().position(|(name, _)| *name == key) {
                        Some(at) => entries.insert(at, (key, node)),
                        None => entries.push((key, node)),
                    }
                }
            },
        }
        Ok(())
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(nodes) => nodes.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|(_, node)| count(node)).sum(),
        _ => 0,
    }
}

/// What a scalar without quotes is. Home Assistant and the programs in Go read the older YAML 1.1, in which `on` is true.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "on" | "On" | "ON" | "yes" | "Yes" | "YES" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "off" | "Off" | "OFF" | "no" | "No" | "NO" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let octal =
        digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(integer) = crate::words::integer(text).filter(|_| !octal) {
        return Value::Integer(integer);
    }
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    match text.parse::<f64>() {
        Ok(float) if numeric && !octal => Value::Float(float),
        _ => Value::Text(text.to_owned()),
    }
}

/// The key that was perhaps meant, of those that a format has.
pub(crate) fn nearest_key(word: &str, known: &[&'static str]) -> Option<&'static str> {
    nearest(word, known.iter().copied())
}
