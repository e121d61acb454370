//! The plain reader against the grammar, which says what is right.

use std::fmt::Write;

use proptest::prelude::*;

use super::{Document, Node, TableId, Value};

/// A tree as text, with the place of everything.
fn shown(document: &Document<'_>) -> String {
    let mut text = String::new();
    show_table(document, document.root(), &mut text);
    text
}

fn show_table(document: &Document<'_>, id: TableId, text: &mut String) {
    write!(text, "{:?}{{", document.table(id).expect("it is there").origin).expect("a string takes all");
    let mut count = 0;
    for entry in document.entries(id) {
        let key = document.key(entry);
        write!(text, "{key:?}@{:?}=", entry.key_span()).expect("a string takes all");
        show(document, &entry.node, text);
        let found = document.find(id, key).expect("a name in the table is found");
        assert_eq!(found.key_span(), entry.key_span(), "{key} is found where it stands");
        count += 1;
    }
    assert_eq!(document.len(id), count);
    text.push('}');
}

fn show(document: &Document<'_>, node: &Node, text: &mut String) {
    match document.value(node) {
        Value::Table(id) => show_table(document, id, text),
        Value::Array(list) => {
            text.push('[');
            list.iter().for_each(|node| show(document, node, text));
            text.push(']');
        }
        other => write!(text, "{other:?}").expect("a string takes all"),
    }
    write!(text, "@{:?};", node.span).expect("a string takes all");
}

#[track_caller]
fn check(text: &str) {
    let (plain, wrong) = Document::parse(text, 1_000);
    // In pieces that are cut at the same headers, each line read by the grammar.
    let (by_grammar, wrong_by_grammar) = Document::parse_by_grammar(text, 1_000, 0);
    assert_eq!(shown(&plain), shown(&by_grammar), "{text:?}");
    assert_eq!(wrong, wrong_by_grammar, "{text:?}");
    // In one piece, where a bracket that is not closed may swallow more.
    let (whole, wrong_of_whole) = Document::parse_by_grammar(text, 1_000, usize::MAX);
    assert_eq!(wrong.is_empty(), wrong_of_whole.is_empty(), "{text:?}");
    if wrong.is_empty() {
        assert_eq!(shown(&plain), shown(&whole), "{text:?}");
    }
}

#[test]
fn the_plain_reader_and_the_grammar_make_the_same_tree() {
    for text in LINES {
        check(text);
        check(&format!("{text}\n"));
        check(&format!("\u{FEFF}{text}\r\n[b]\r\n{text}\n"));
    }
    check(&LINES.concat());
    check(&LINES.join("\n"));
}

#[test]
fn many_names_are_found() {
    let names: String = (0..1_000).map(|k| format!("[device.d{k}]\nunit = {k}\n\"q {k}\" = 1\n")).collect();
    check(&names);
    let wide: String = (0..100).map(|k| format!("k{k} = {k}\n")).collect();
    check(&wide);
    check(&format!("{wide}k7 = 1\n"));
}

/// Each kind of line, and each that comes near one.
const LINES: &[&str] = &[
    "[a]",
    "[a.b]",
    "[a.b.c]",
    "[a . b]",
    "[\"a\".b]",
    "[[a]]",
    "[[a.b]]",
    "[a",
    "[a]]",
    "[]",
    "[a..b]",
    "[a.b] # why",
    " [a]",
    "[a] x",
    "[a.x]",
    "[a.y.z]",
    "[a.t]",
    "[a.t.u]",
    "[a.l]",
    "# a comment",
    "# \u{1} control",
    "# \u{e9}",
    "",
    "   ",
    "\t",
    "x = 1",
    "x = 01",
    "x = -0",
    "x = -1.5",
    "x = 1.",
    "x = .5",
    "x = 1e3",
    "x = 1_000",
    "x = 0x10",
    "x = 1.25 # half",
    "x = 123456789012345678",
    "x = 1234567890123456789",
    "x = 12345678901234567890",
    "x = +1",
    "x = nan",
    "x = 1 2",
    "x = true",
    "x = false",
    "x = truely",
    "x = 2024-01-01",
    "x =",
    "x",
    "= 1",
    "x = \"a\"",
    "x = \"a\\n\"",
    "x = \"a",
    "x = \"\"",
    "x = \"\"\"",
    "x = \"\"\"a\nb\"\"\"",
    "x = 'a'",
    "x = ''",
    "x = '''a\nb'''",
    "x = 'a",
    "x = \"a\tb\"",
    "x = 'a\tb'",
    "x = \"\u{e9}\"",
    "x.y = 1",
    "x . y = 1",
    "y.z = 2",
    "\"x\" = 1",
    "'x' = 1",
    "x = [1, 2]",
    "x = []",
    "x = [1,]",
    "x = [,]",
    "x = [1 2]",
    "x = [",
    "x = [1,\n2]",
    "x = [\n[1],\n[2],\n]",
    "x = [[[[[[1]]]]]]",
    "x = [{ a = 1 }, { b = 2 }]",
    "t = { a = 1, b = \"c\" }",
    "t = {}",
    "t = { a = 1, }",
    "t = { a = 1, a = 2 }",
    "t = { a.b = 1 }",
    "t = { a = { b = { c = { d = { e = 1 } } } } }",
    "t = { a = 1",
    "t = {",
    "t.u = 1",
    "l = [{ a = 1 }]",
    "x = 1\r",
    "x = 1\r\r",
    "\r",
    "x = \"a\" \"b\"",
    "x = ]",
    "x = }",
    "] x",
    "} x",
    "x = 1, y = 2",
    "x = [true, false, \"a\", 'b', 1.5, -2]",
    "x = [ 1 , 2 ] # both",
    "\u{e9} = 1",
    "x = \u{e9}",
    "-= 1",
    "1 = 2",
    "1.5 = 2",
];

proptest! {
    #[test]
    fn the_plain_reader_agrees_with_the_grammar(
        lines in proptest::collection::vec((0..LINES.len(), 0_usize..40, 0_usize..200), 0..20),
    ) {
        let mut text = String::new();
        for (line, at, slip) in lines {
            let mut line = LINES[line].to_owned();
            // Now and then a slip: a letter too many, or one too few.
            if let Some(letter) = "[]{}=,.#\"'\\\n\r \tx1\u{1}".chars().nth(slip) {
                let at = (0..=at.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
                line.insert(at, letter);
            } else if slip < 30 && line.chars().nth(at).is_some() {
                line = line.chars().enumerate().filter(|(k, _)| *k != at).map(|(_, letter)| letter).collect();
            }
            text.push_str(&line);
            text.push('\n');
        }
        check(&text);
    }
}
