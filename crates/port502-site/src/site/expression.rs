//! Expressions: values made of others, and conditions.
//!
//! ```text
//!   or           lowest        1 where true, 0 where not
//!   and
//!   not
//!   == != < <= > >=
//!   + -
//!   * /
//!   -x
//!   f(..) ( )    highest       min max abs if
//! ```
//!
//! A name is `device.tag` or that of a computed tag. Names may have a `-` in them, so that a minus between two names
//! needs blanks: `a - b`.

use std::fmt;
use std::ops::Range;

use super::SignalId;
use crate::excerpt::excerpt;

/// An expression whose names refer to tags that are there.
#[derive(Clone, PartialEq, Debug)]
pub struct Expression {
    /// Reverse Polish: each step takes what it needs from the stack, and leaves one value. Never empty.
    steps: Vec<Step>,
    /// How deep the stack gets.
    depth: usize,
}

/// One step of an [`Expression`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Step {
    /// A number.
    Number(f64),
    /// The value of a tag; of a bit 1 or 0.
    Signal(SignalId),
    /// Of one value.
    One(OneOf),
    /// Of two values.
    Two(TwoOf),
    /// The second of three values where the first is not 0, and otherwise the third.
    If,
}

/// What is made of one value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OneOf {
    /// `-x`
    Negative,
    /// `not x`
    Not,
    /// `abs(x)`
    Absolute,
}

/// What is made of two values. Comparisons and `and`, `or` make 1 or 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum TwoOf {
    Add,
    Subtract,
    Multiply,
    Divide,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Min,
    Max,
}

/// Parts of one expression: a text that is longer was made by no person.
pub const STEPS_MAX: usize = 1_000;

/// Parentheses within parentheses.
pub const NESTING_MAX: usize = 32;

/// Names of computed tags that would not be read as names.
pub const RESERVED: &[&str] = &["and", "or", "not", "min", "max", "abs", "if", "true", "false"];

/// What is wrong with an expression, and where in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpressionError {
    /// The bytes of the text that are wrong.
    pub range: Range<usize>,
    /// What stands there.
    pub word: String,
    /// What is wrong.
    pub fault: ExpressionFault,
}

/// What can be wrong with an expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExpressionFault {
    /// A value should stand there.
    Value,
    /// Something follows what is complete.
    Extra,
    /// A sign that means nothing.
    Sign,
    /// `=`, `&&`, `||`, `!`, `%` or `^`: other languages have it.
    Foreign {
        /// What it is called here.
        write: &'static str,
    },
    /// Two comparisons in one.
    Chained,
    /// A parenthesis that is not closed.
    Unclosed,
    /// A function with more or fewer values than it takes.
    Arguments {
        /// How many it takes.
        want: usize,
        /// How many there are.
        got: usize,
    },
    /// Not a function.
    UnknownFunction {
        /// The function that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// Not a tag.
    UnknownTag {
        /// The tag that was perhaps meant.
        nearest: Option<String>,
        /// It has a `-`, and what stands on both sides of it may be meant.
        minus: bool,
    },
    /// A text is no number.
    TextTag,
    /// Not a number.
    Number,
    /// Too long.
    TooLong,
    /// Too deep.
    TooDeep,
}

/// What a name in an expression is.
pub enum Named {
    /// A tag.
    Signal(SignalId),
    /// A tag whose value is a text.
    Text,
    /// A tag that is wrong itself, which has been told.
    Broken,
    /// Nothing.
    Unknown {
        /// The tag that was perhaps meant.
        nearest: Option<String>,
    },
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Token {
    Number(f64),
    Name,
    Operator(TwoOf),
    Minus,
    Not,
    Open,
    Close,
    Comma,
}

struct Parser<'t, 'f> {
    text: &'t str,
    at: usize,
    /// The token that comes, and its bytes.
    token: Option<(Token, Range<usize>)>,
    steps: Vec<Step>,
    nesting: usize,
    find: &'f mut dyn FnMut(&str) -> Named,
    /// A name was told to be wrong elsewhere.
    broken: bool,
}

impl Default for Expression {
    /// 0
    fn default() -> Self {
        Expression { steps: vec![Step::Number(0.0)], depth: 1 }
    }
}

impl Expression {
    /// Reads an expression; `find` says what its names are. `Ok(None)`: it uses a tag that is wrong itself.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str, find: &mut dyn FnMut(&str) -> Named) -> Result<Option<Self>, ExpressionError> {
        let mut parser =
            Parser { text, at: 0, token: None, steps: Vec::new(), nesting: 0, find, broken: false };
        parser.next()?;
        parser.or()?;
        if let Some((_, range)) = parser.token.clone() {
            return Err(parser.wrong(range, ExpressionFault::Extra));
        }
        let (steps, broken) = (parser.steps, parser.broken);
        let (mut depth, mut stack) = (0_usize, 0_usize);
        for step in &steps {
            stack = stack.saturating_sub(step.takes()) + 1;
            depth = depth.max(stack);
        }
        Ok((!broken).then_some(Expression { steps, depth }))
    }

    /// Its steps, in the order in which they are carried out.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The tags that it is made of, as often as they stand in it.
    pub fn signals(&self) -> impl Iterator<Item = SignalId> {
        self.steps.iter().filter_map(|step| if let Step::Signal(id) = step { Some(*id) } else { None })
    }

    /// Its value, where `value` says what the tags are. Division by zero, and what is made of NaN, is NaN.
    pub fn evaluate(&self, mut value: impl FnMut(SignalId) -> f64) -> f64 {
        let mut stack = Vec::with_capacity(self.depth);
        for step in &self.steps {
            // There is always something: `parse` made it so.
            let mut pop = || stack.pop().unwrap_or(f64::NAN);
            let result = match step {
                Step::Number(number) => *number,
                Step::Signal(id) => value(*id),
                Step::One(one) => one.of(pop()),
                Step::Two(two) => {
                    let b = pop();
                    two.of(pop(), b)
                }
                Step::If => {
                    let (other, then, condition): (f64, f64, f64) = (pop(), pop(), pop());
                    match condition {
                        c if c.is_nan() => f64::NAN,
                        0.0 => other,
                        _ => then,
                    }
                }
            };
            stack.push(result);
        }
        stack.pop().unwrap_or(f64::NAN)
    }
}

impl Step {
    const fn takes(self) -> usize {
        match self {
            Step::Number(_) | Step::Signal(_) => 0,
            Step::One(_) => 1,
            Step::Two(_) => 2,
            Step::If => 3,
        }
    }
}

fn truth(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

impl OneOf {
    fn of(self, x: f64) -> f64 {
        match self {
            OneOf::Negative => -x,
            OneOf::Absolute => x.abs(),
            OneOf::Not if x.is_nan() => x,
            OneOf::Not => truth(x == 0.0),
        }
    }
}

impl TwoOf {
    #[allow(clippy::float_cmp, reason = "that is what == is asked for")]
    fn of(self, a: f64, b: f64) -> f64 {
        if a.is_nan() || b.is_nan() {
            return f64::NAN;
        }
        match self {
            TwoOf::Add => a + b,
            TwoOf::Subtract => a - b,
            TwoOf::Multiply => a * b,
            TwoOf::Divide if b == 0.0 => f64::NAN,
            TwoOf::Divide => a / b,
            TwoOf::Equal => truth(a == b),
            TwoOf::NotEqual => truth(a != b),
            TwoOf::Less => truth(a < b),
            TwoOf::LessOrEqual => truth(a <= b),
            TwoOf::Greater => truth(a > b),
            TwoOf::GreaterOrEqual => truth(a >= b),
            TwoOf::And => truth(a != 0.0 && b != 0.0),
            TwoOf::Or => truth(a != 0.0 || b != 0.0),
            TwoOf::Min => a.min(b),
            TwoOf::Max => a.max(b),
        }
    }
}

const FUNCTIONS: [&str; 4] = ["min", "max", "abs", "if"];

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl Parser<'_, '_> {
    fn wrong(&self, range: Range<usize>, fault: ExpressionFault) -> ExpressionError {
        ExpressionError { word: self.text.get(range.clone()).unwrap_or_default().to_owned(), range, fault }
    }

    /// Where the next token would stand.
    fn here(&self) -> Range<usize> {
        self.token.as_ref().map_or(self.text.len()..self.text.len(), |(_, range)| range.clone())
    }

    fn next(&mut self) -> Result<(), ExpressionError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let start = self.at + (rest.len() - rest.trim_start().len());
        let rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            (self.token, self.at) = (None, self.text.len());
            return Ok(());
        };
        let two = rest.get(..2).unwrap_or_default();
        let foreign = |parser: &Self, len, write| {
            Err(parser.wrong(start..start + len, ExpressionFault::Foreign { write }))
        };
        let (token, len) = match (first, two) {
            (_, "==") => (Token::Operator(TwoOf::Equal), 2),
            (_, "!=") => (Token::Operator(TwoOf::NotEqual), 2),
            (_, "<=") => (Token::Operator(TwoOf::LessOrEqual), 2),
            (_, ">=") => (Token::Operator(TwoOf::GreaterOrEqual), 2),
            (_, "&&") => return foreign(self, 2, "and"),
            (_, "||") => return foreign(self, 2, "or"),
            (_, "**") => return foreign(self, 2, "x * x"),
            ('<', _) => (Token::Operator(TwoOf::Less), 1),
            ('>', _) => (Token::Operator(TwoOf::Greater), 1),
            ('+', _) => (Token::Operator(TwoOf::Add), 1),
            ('*', _) => (Token::Operator(TwoOf::Multiply), 1),
            ('/', _) => (Token::Operator(TwoOf::Divide), 1),
            ('-', _) => (Token::Minus, 1),
            ('(', _) => (Token::Open, 1),
            (')', _) => (Token::Close, 1),
            (',', _) => (Token::Comma, 1),
            ('=', _) => return foreign(self, 1, "=="),
            ('!', _) => return foreign(self, 1, "not"),
            ('?', _) => return foreign(self, 1, "if(condition, then, else)"),
            ('0'..='9' | '.', _) => {
                let len = number_len(rest);
                let number = rest.get(..len).and_then(|number| number.parse().ok());
                match number {
                    Some(number) => (Token::Number(number), len),
                    None => return Err(self.wrong(start..start + len.max(1), ExpressionFault::Number)),
                }
            }
            (c, _) if is_name(c) => {
                let len = name_len(rest);
                let token = match rest.get(..len) {
                    Some("and") => Token::Operator(TwoOf::And),
                    Some("or") => Token::Operator(TwoOf::Or),
                    Some("not") => Token::Not,
                    Some("true") => Token::Number(1.0),
                    Some("false") => Token::Number(0.0),
                    _ => Token::Name,
                };
                (token, len)
            }
            _ => return Err(self.wrong(start..start + first.len_utf8(), ExpressionFault::Sign)),
        };
        self.at = start + len;
        self.token = Some((token, start..self.at));
        Ok(())
    }

    fn push(&mut self, step: Step) -> Result<(), ExpressionError> {
        if self.steps.len() >= STEPS_MAX {
            return Err(self.wrong(self.here(), ExpressionFault::TooLong));
        }
        self.steps.push(step);
        Ok(())
    }

    fn operator(&self, among: &[TwoOf]) -> Option<TwoOf> {
        match self.token {
            Some((Token::Operator(operator), _)) if among.contains(&operator) => Some(operator),
            Some((Token::Minus, _)) if among.contains(&TwoOf::Subtract) => Some(TwoOf::Subtract),
            _ => None,
        }
    }

    fn left(
        &mut self,
        among: &[TwoOf],
        below: fn(&mut Self) -> Result<(), ExpressionError>,
    ) -> Result<(), ExpressionError> {
        below(self)?;
        while let Some(operator) = self.operator(among) {
            self.next()?;
            below(self)?;
            self.push(Step::Two(operator))?;
        }
        Ok(())
    }

    fn or(&mut self) -> Result<(), ExpressionError> {
        self.left(&[TwoOf::Or], Self::and)
    }

    fn and(&mut self) -> Result<(), ExpressionError> {
        self.left(&[TwoOf::And], Self::not)
    }

    fn not(&mut self) -> Result<(), ExpressionError> {
        let mut negations = 0_usize;
        while matches!(self.token, Some((Token::Not, _))) {
            self.next()?;
            negations += 1;
        }
        self.comparison()?;
        (0..negations).try_for_each(|_| self.push(Step::One(OneOf::Not)))
    }

    fn comparison(&mut self) -> Result<(), ExpressionError> {
        const ALL: [TwoOf; 6] = [
            TwoOf::Equal,
            TwoOf::NotEqual,
            TwoOf::Less,
            TwoOf::LessOrEqual,
            TwoOf::Greater,
            TwoOf::GreaterOrEqual,
        ];
        self.sum()?;
        if let Some(operator) = self.operator(&ALL) {
            self.next()?;
            self.sum()?;
            self.push(Step::Two(operator))?;
            if self.operator(&ALL).is_some() {
                return Err(self.wrong(self.here(), ExpressionFault::Chained));
            }
        }
        Ok(())
    }

    fn sum(&mut self) -> Result<(), ExpressionError> {
        self.left(&[TwoOf::Add, TwoOf::Subtract], Self::product)
    }

    fn product(&mut self) -> Result<(), ExpressionError> {
        self.left(&[TwoOf::Multiply, TwoOf::Divide], Self::signed)
    }

    fn signed(&mut self) -> Result<(), ExpressionError> {
        let mut signs = 0_usize;
        while matches!(self.token, Some((Token::Minus, _))) {
            self.next()?;
            signs += 1;
        }
        self.value()?;
        (0..signs).try_for_each(|_| self.push(Step::One(OneOf::Negative)))
    }

    fn value(&mut self) -> Result<(), ExpressionError> {
        let Some((token, range)) = self.token.clone() else {
            return Err(self.wrong(self.here(), ExpressionFault::Value));
        };
        match token {
            Token::Number(number) => {
                self.next()?;
                self.push(Step::Number(number))
            }
            Token::Open => {
                self.next()?;
                self.nested(Self::or)?;
                self.close(range)
            }
            Token::Name => {
                self.next()?;
                match self.token {
                    Some((Token::Open, _)) => self.call(range),
                    _ => self.signal(range),
                }
            }
            _ => Err(self.wrong(range, ExpressionFault::Value)),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<(), ExpressionError>) -> Result<(), ExpressionError> {
        if self.nesting >= NESTING_MAX {
            return Err(self.wrong(self.here(), ExpressionFault::TooDeep));
        }
        self.nesting += 1;
        inner(self)?;
        self.nesting -= 1;
        Ok(())
    }

    fn close(&mut self, open: Range<usize>) -> Result<(), ExpressionError> {
        match self.token {
            Some((Token::Close, _)) => self.next(),
            None => Err(self.wrong(open, ExpressionFault::Unclosed)),
            Some(_) => Err(self.wrong(self.here(), ExpressionFault::Extra)),
        }
    }

    fn call(&mut self, name: Range<usize>) -> Result<(), ExpressionError> {
        let word = self.text.get(name.clone()).unwrap_or_default();
        let want = match word {
            "min" | "max" => 2,
            "abs" => 1,
            "if" => 3,
            other => {
                let nearest = crate::nearest(other, FUNCTIONS);
                return Err(self.wrong(name, ExpressionFault::UnknownFunction { nearest }));
            }
        };
        let open = self.here();
        self.next()?;
        let mut got = 0;
        if !matches!(self.token, Some((Token::Close, _))) {
            self.nested(Self::or)?;
            got = 1;
            while matches!(self.token, Some((Token::Comma, _))) {
                self.next()?;
                self.nested(Self::or)?;
                got += 1;
                // min and max take any number of values, two or more.
                if got > 2 && want == 2 {
                    self.push(Step::Two(if word == "min" { TwoOf::Min } else { TwoOf::Max }))?;
                }
            }
        }
        self.close(open)?;
        if got < want || (got > want && want != 2) {
            return Err(self.wrong(name, ExpressionFault::Arguments { want, got }));
        }
        self.push(match word {
            "min" => Step::Two(TwoOf::Min),
            "max" => Step::Two(TwoOf::Max),
            "abs" => Step::One(OneOf::Absolute),
            _ => Step::If,
        })
    }

    fn signal(&mut self, name: Range<usize>) -> Result<(), ExpressionError> {
        let word = self.text.get(name.clone()).unwrap_or_default();
        match (self.find)(word) {
            Named::Signal(id) => self.push(Step::Signal(id)),
            Named::Text => Err(self.wrong(name, ExpressionFault::TextTag)),
            Named::Broken => {
                self.broken = true;
                self.push(Step::Number(0.0))
            }
            Named::Unknown { nearest } => {
                let minus = word.contains('-');
                Err(self.wrong(name, ExpressionFault::UnknownTag { nearest, minus }))
            }
        }
    }
}

/// How long the name at the front is; a point or a minus belongs to it when letters stand on both sides.
fn name_len(text: &str) -> usize {
    let mut len = 0;
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let joins = (c == '.' || c == '-') && at > 0 && rest.peek().is_some_and(|(_, next)| is_name(*next));
        if !is_name(c) && !joins {
            break;
        }
        len = at + c.len_utf8();
    }
    len
}

/// How long the number at the front is: digits, a point, an exponent with its sign.
fn number_len(text: &str) -> usize {
    let mut before = ' ';
    let belongs = |c: char| {
        let exponent_sign = (c == '+' || c == '-') && (before == 'e' || before == 'E');
        before = c;
        c.is_ascii_alphanumeric() || c == '.' || c == '_' || exponent_sign
    };
    let mut belongs = belongs;
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

impl fmt::Display for ExpressionError {
    /// What is wrong, and what to try.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = excerpt(&self.word);
        match &self.fault {
            ExpressionFault::Value if word.is_empty() => {
                f.write_str("the expression ends where a value should stand")
            }
            ExpressionFault::Value => write!(f, "a value should stand where \"{word}\" is"),
            ExpressionFault::Extra => {
                write!(f, "\"{word}\" follows what is complete; an operator is missing, or a parenthesis")
            }
            ExpressionFault::Sign => {
                write!(f, "\"{word}\" means nothing in an expression; quotes and units are not needed")
            }
            ExpressionFault::Foreign { write } => write!(f, "\"{word}\" is written {write} here"),
            ExpressionFault::Chained => f.write_str("one comparison at a time; write a < b and b < c"),
            ExpressionFault::Unclosed => f.write_str("the parenthesis is not closed"),
            ExpressionFault::Arguments { want, got } => {
                let least = if *want == 2 {
                    "two or more values"
                } else if *want == 1 {
                    "one value"
                } else {
                    "three values: a condition, then, else"
                };
                write!(f, "{word} takes {least}, and this is {got}")
            }
            ExpressionFault::UnknownFunction { nearest: Some(nearest) } => {
                write!(f, "\"{word}\" is not a function; did you mean {nearest}?")
            }
            ExpressionFault::UnknownFunction { nearest: None } => {
                write!(f, "\"{word}\" is not a function; there are min, max, abs and if")
            }
            ExpressionFault::UnknownTag { nearest: Some(nearest), .. } => {
                write!(f, "\"{word}\" is not a tag; did you mean {nearest}?")
            }
            ExpressionFault::UnknownTag { minus: true, .. } => {
                write!(f, "\"{word}\" is not a tag; if it is a difference, put blanks around the minus")
            }
            ExpressionFault::UnknownTag { .. } => {
                write!(f, "\"{word}\" is not a tag; write device.tag, or the name of a computed tag")
            }
            ExpressionFault::TextTag => write!(f, "\"{word}\" is a text, which is no number"),
            ExpressionFault::Number => write!(f, "\"{word}\" is not a number"),
            ExpressionFault::TooLong => {
                write!(f, "more than {STEPS_MAX} parts; make several computed tags of it")
            }
            ExpressionFault::TooDeep => write!(
                f,
                "more than {NESTING_MAX} parentheses within each other; make several computed tags of it"
            ),
        }
    }
}

impl std::error::Error for ExpressionError {}

#[cfg(test)]
mod tests {
    use super::super::{ComputedId, SignalId};
    use super::*;

    fn find(name: &str) -> Named {
        match name {
            "a.x" => Named::Signal(SignalId::Computed(ComputedId::new(3))),
            "pump-1.flow" => Named::Signal(SignalId::Computed(ComputedId::new(5))),
            "b" => Named::Signal(SignalId::Computed(ComputedId::new(7))),
            "a.text" => Named::Text,
            _ => Named::Unknown { nearest: None },
        }
    }

    fn value(id: SignalId) -> f64 {
        match id {
            SignalId::Computed(id) => id.index() as f64,
            SignalId::Tag(_) => f64::NAN,
        }
    }

    #[test]
    fn values() {
        for (text, want) in [
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("10 - 4 - 3", 3.0),
            ("16 / 4 / 2", 2.0),
            ("-2 * -3", 6.0),
            ("--2", 2.0),
            ("1.5e-1 * 2", 0.3),
            ("a.x", 3.0),
            ("a.x*b", 21.0),
            ("pump-1.flow - b", -2.0),
            ("b -1", 6.0),
            ("min(4, a.x)", 3.0),
            ("max(1, 2, b, 3)", 7.0),
            ("abs(a.x - b)", 4.0),
            ("if(a.x < b, 1, 2)", 1.0),
            ("if(not (a.x < b), 1, 2)", 2.0),
            ("a.x < b and b == 7 or 0", 1.0),
            ("not 1 or 1", 1.0),
            ("1 or 0 and 0", 1.0),
            ("3 >= 3", 1.0),
            ("3 != 3", 0.0),
            ("true and false", 0.0),
        ] {
            let expression =
                Expression::parse(text, &mut find).unwrap_or_else(|e| panic!("{text}: {e}")).unwrap();
            assert!((expression.evaluate(value) - want).abs() < 1e-12, "{text}");
        }
        for bad in ["1 / 0", "0 / 0 + 1", "if(1/0, 1, 2)", "min(1/0, 2)", "not (1/0)"] {
            assert!(Expression::parse(bad, &mut find).unwrap().unwrap().evaluate(value).is_nan(), "{bad}");
        }
    }

    #[test]
    fn errors() {
        for (text, range, want) in [
            ("", 0..0, "the expression ends where a value should stand"),
            ("1 +", 3..3, "the expression ends where a value should stand"),
            ("* 2", 0..1, "a value should stand where \"*\" is"),
            ("1 2", 2..3, "\"2\" follows what is complete; an operator is missing, or a parenthesis"),
            ("(1 + 2", 0..1, "the parenthesis is not closed"),
            ("1)", 1..2, "\")\" follows what is complete; an operator is missing, or a parenthesis"),
            ("a.x = 1", 4..5, "\"=\" is written == here"),
            ("b && 1", 2..4, "\"&&\" is written and here"),
            ("!b", 0..1, "\"!\" is written not here"),
            ("1 < 2 < 3", 6..7, "one comparison at a time; write a < b and b < c"),
            (
                "b \u{b7} 2",
                2..4,
                "\"\u{b7}\" means nothing in an expression; quotes and units are not needed",
            ),
            ("mni(1, 2)", 0..3, "\"mni\" is not a function; did you mean min?"),
            ("sqrt(1)", 0..4, "\"sqrt\" is not a function; there are min, max, abs and if"),
            ("min(1)", 0..3, "min takes two or more values, and this is 1"),
            ("abs()", 0..3, "abs takes one value, and this is 0"),
            ("if(1, 2)", 0..2, "if takes three values: a condition, then, else, and this is 2"),
            ("a.text + 1", 0..6, "\"a.text\" is a text, which is no number"),
            ("a.y", 0..3, "\"a.y\" is not a tag; write device.tag, or the name of a computed tag"),
            ("a.x-b", 0..5, "\"a.x-b\" is not a tag; if it is a difference, put blanks around the minus"),
            ("1.2.3", 0..5, "\"1.2.3\" is not a number"),
            ("3m", 0..2, "\"3m\" is not a number"),
        ] {
            let error = Expression::parse(text, &mut find).expect_err(text);
            assert_eq!((error.range.clone(), error.to_string().as_str()), (range, want), "{text}");
        }
        let deep = format!("{}1{}", "(".repeat(NESTING_MAX + 1), ")".repeat(NESTING_MAX + 1));
        assert_eq!(Expression::parse(&deep, &mut find).unwrap_err().fault, ExpressionFault::TooDeep);
        let long = format!("1{}", " + 1".repeat(STEPS_MAX));
        assert_eq!(Expression::parse(&long, &mut find).unwrap_err().fault, ExpressionFault::TooLong);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text: String) {
            if let Err(error) = Expression::parse(&text, &mut find) {
                proptest::prop_assert_eq!(text.get(error.range.clone()), Some(error.word.as_str()));
            }
        }

        #[test]
        fn no_text_of_its_signs_panics(text in "[-+*/()<>=,. a-b0-9]{0,40}") {
            if let Ok(Some(expression)) = Expression::parse(&text, &mut find) {
                let _ = expression.evaluate(value);
            }
        }
    }
}
