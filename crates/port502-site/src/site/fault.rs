//! What can be wrong with a site file, as facts; the text for people says what to try.

use std::fmt;
use std::ops::Range;

use port502_inspect::network::NetworkError;
use port502_inspect::policy;
use port502_session::TargetError;
use port502_session::duration::DurationError;
use port502_wire::Table;
use port502_wire::value::ValueType;

use super::expression::ExpressionError;
use crate::document::Span;
use crate::excerpt::excerpt;
use crate::{Point, PointError};

/// Bytes of one of the files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Place {
    /// Which of the files, from 0.
    pub file: u32,
    /// Which bytes of it.
    pub span: Span,
}

impl Place {
    /// Some bytes of it, counted from its first; of a text that stands in quotes, from the first quote.
    #[must_use]
    pub(crate) fn part(self, range: Range<usize>) -> Place {
        let start = usize::try_from(self.span.start).unwrap_or(usize::MAX);
        let part = Span::new(start.saturating_add(range.start), start.saturating_add(range.end));
        // Never outside of the whole: where a text has escapes, the count is not the same.
        let inside = part.end <= self.span.end && part.start <= part.end;
        if inside { Place { span: part, ..self } } else { self }
    }
}

/// Everything that is wrong with a site, by file and place; not empty.
#[derive(Clone, PartialEq, Debug)]
pub struct SiteErrors {
    /// The first of them, at most [`ERRORS_MAX`].
    pub errors: Vec<SiteError>,
    /// How many more there are.
    pub omitted: usize,
}

/// Errors of a site that are gathered; the rest is counted.
pub const ERRORS_MAX: usize = 1_000;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Debug)]
pub struct SiteError {
    /// Where.
    pub place: Place,
    /// What.
    pub fault: Fault,
    /// Where the other is, of two that do not go together.
    pub other: Option<Place>,
}

/// What something refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Referred {
    /// A zone.
    Zone,
    /// A role.
    Role,
    /// A scan class.
    Scan,
    /// A link.
    Link,
    /// A device.
    Device,
    /// A device or a link.
    DeviceOrLink,
    /// A tag.
    Tag,
    /// A built-in profile.
    Profile,
}

impl Referred {
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Referred::Zone => ("a zone", "[zone.NAME]"),
            Referred::Role => ("a role", "[role.NAME]"),
            Referred::Scan => ("a scan class", "[scan.NAME]"),
            Referred::Link => ("a link", "[link.NAME]"),
            Referred::Device => ("a device", "[device.NAME]"),
            Referred::DeviceOrLink => ("a device or a link", "[device.NAME] or [link.NAME]"),
            Referred::Tag => ("a tag", "[device.NAME.tag.NAME]"),
            Referred::Profile => ("a profile", ""),
        }
    }
}

/// What can be wrong.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The text is not TOML.
    Syntax {
        /// The grammar's message.
        message: String,
    },
    /// A name twice.
    Twice {
        /// The name.
        key: String,
    },
    /// A table that is complete, and is added to.
    Closed {
        /// Its name.
        key: String,
    },
    /// An integer that no register holds.
    IntegerTooLarge,
    /// A file of more bytes than can be counted.
    FileTooLarge,
    /// More of something than there may be.
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// A key that is not known.
    UnknownKey {
        /// The key.
        word: String,
        /// What has no such key.
        section: &'static str,
        /// The key that was perhaps meant.
        nearest: Option<&'static str>,
        /// Where the key belongs, if it is known elsewhere.
        belongs: Option<&'static str>,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// Not registers in hexadecimal.
    Hex {
        /// What stands there.
        word: String,
    },
    /// A vector of a profile that has more or fewer registers than its tag.
    VectorWidth {
        /// The tag.
        tag: String,
        /// How many registers it has.
        got: usize,
        /// How many the tag has.
        want: u16,
    },
    /// `shift` without a profile whose tags it could move.
    ShiftOfNothing,
    /// A tag of the profile that `shift` moves out of its table.
    ShiftedOut {
        /// The tag.
        tag: String,
        /// Where it is in the profile.
        point: Point,
    },
    /// A key that has to be there.
    Missing {
        /// The key.
        key: &'static str,
        /// What lacks it.
        section: &'static str,
        /// How it may look.
        example: &'static str,
    },
    /// A value of another kind than the key takes.
    Kind {
        /// The key.
        key: String,
        /// What it takes.
        want: &'static str,
        /// What stands there.
        got: &'static str,
    },
    /// A name that tags, expressions or patterns could not refer to.
    Name {
        /// The name.
        word: String,
    },
    /// The name of a computed tag that means something in expressions.
    ReservedName {
        /// The name.
        word: String,
    },
    /// A text without anything in it.
    Empty {
        /// The key.
        key: String,
    },
    /// Not a duration.
    Duration {
        /// What stands there.
        word: String,
        /// Why.
        error: DurationError,
    },
    /// A number outside of what it may be.
    Outside {
        /// The key.
        key: String,
        /// What stands there.
        value: String,
        /// The smallest that may.
        min: String,
        /// The largest that may.
        max: String,
    },
    /// A number that has to be above 0.
    NotPositive {
        /// The key.
        key: String,
    },
    /// Not a number, or not a finite one.
    NotFinite {
        /// The key.
        key: String,
    },
    /// A word that is none of those there are.
    Word {
        /// The word.
        word: String,
        /// What it should be.
        what: &'static str,
        /// The word that was perhaps meant.
        nearest: Option<&'static str>,
        /// What there is.
        known: &'static [&'static str],
    },
    /// Not a target.
    Target {
        /// Why.
        error: TargetError,
    },
    /// A place to listen that is neither tcp nor tls, or port 0.
    Listen {
        /// What stands there.
        word: String,
    },
    /// Two conduits listen at the same place.
    ListenTwice {
        /// The other conduit.
        other: String,
    },
    /// tls without the files that it needs.
    TlsFiles {
        /// The key that is missing.
        key: &'static str,
    },
    /// Files for tls where there is none.
    NoTls {
        /// The key.
        key: &'static str,
    },
    /// A secret where only its path may stand.
    Secret,
    /// A reference to what is not there.
    Unknown {
        /// What it should be.
        what: Referred,
        /// What stands there.
        word: String,
        /// What was perhaps meant.
        nearest: Option<String>,
    },
    /// A name that a device and a link have.
    DeviceAndLink {
        /// The name.
        word: String,
    },
    /// Neither `link` nor `connect`.
    NoLink,
    /// Both `link` and `connect`.
    LinkAndConnect,
    /// A key that belongs to the link.
    KeyOfLink {
        /// The key.
        key: &'static str,
        /// The link.
        link: String,
    },
    /// Two devices of a link with one unit id.
    UnitTwice {
        /// The unit id.
        unit: u8,
        /// The other device.
        other: String,
        /// The link.
        lane: String,
    },
    /// Unit 0 where it means everyone.
    UnitBroadcast,
    /// Two lanes to one place.
    TargetTwice {
        /// The other lane.
        other: String,
        /// Whether it is a link that the device could be on.
        link: bool,
    },
    /// Not a point.
    Point {
        /// Why.
        error: PointError,
    },
    /// An address without a table.
    BareNumber {
        /// The number.
        number: i64,
    },
    /// A tag that is several values.
    SeveralValues {
        /// How many.
        count: u32,
    },
    /// A type in `at` and another in `type`.
    TypeTwice,
    /// Not a type.
    Type {
        /// Why.
        error: PointError,
    },
    /// A tag that is wider than what its device takes in one request.
    TooWide {
        /// How wide it is.
        width: u16,
        /// What the device takes.
        max: u16,
        /// The key that says so.
        key: &'static str,
    },
    /// A tag in a hole.
    InHole {
        /// The hole.
        hole: policy::Range,
    },
    /// A bit that no request from address 0 on reaches.
    FromZero {
        /// What the device takes in one request.
        max: u16,
    },
    /// Not addresses of a table.
    Range {
        /// What stands there.
        word: String,
        /// What is wrong with it.
        fault: RangeFault,
    },
    /// Not two numbers, or not the lower first.
    LowHigh {
        /// The key.
        key: String,
    },
    /// Something that only numbers have.
    NotNumber {
        /// The key.
        key: &'static str,
        /// The tag's type.
        value_type: ValueType,
    },
    /// A value beyond the tag's range.
    OutOfRange {
        /// The key.
        key: String,
        /// The value.
        value: f64,
        /// The range.
        range: (f64, f64),
    },
    /// A value that the type cannot hold.
    OutOfType {
        /// The key.
        key: String,
        /// The value, in engineering units.
        value: f64,
        /// The type.
        value_type: ValueType,
        /// What it holds, in engineering units.
        limits: (f64, f64),
    },
    /// A percentage of no range.
    PercentOfNothing,
    /// Not a deadband.
    Deadband {
        /// What stands there.
        word: String,
    },
    /// A write to a table that the protocol cannot write.
    NotWritable {
        /// The table.
        table: Table,
    },
    /// A write without limits.
    NoLimits {
        /// The limit that is missing.
        key: &'static str,
    },
    /// Limits beside a list of values.
    LimitsAndValues,
    /// Limits of a bit or a text.
    LimitsOfBit {
        /// The key.
        key: &'static str,
        /// The type.
        value_type: ValueType,
    },
    /// A scale that makes one value of all.
    ScaleZero,
    /// Something may be written whose scale is only known when it is read.
    WriteOfExponent,
    /// `min` above `max`.
    MinAboveMax {
        /// `min`
        min: f64,
        /// `max`
        max: f64,
    },
    /// No value of the registers lies between the limits.
    NothingBetween {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
        /// From one value to the next.
        step: f64,
    },
    /// A value that no registers have.
    BetweenSteps {
        /// The value.
        value: f64,
        /// The nearest that they have.
        nearest: f64,
    },
    /// Registers that two tags write.
    WritableOverlap {
        /// The other tag.
        other: String,
        /// Where it is.
        point: Point,
    },
    /// Where a write is read back is wider or of another kind than the tag.
    Readback {
        /// The tag's type.
        value_type: ValueType,
    },
    /// A tag that is read back in another unit.
    ReadbackUnit {
        /// Of the tag.
        unit: String,
        /// Of the other.
        other: String,
        /// The other.
        tag: String,
    },
    /// An exponent in a tag of another kind.
    Exponent,
    /// `values` or `initial` of a kind that the tag is not.
    ValueKind {
        /// The key.
        key: &'static str,
        /// The tag's type.
        value_type: ValueType,
        /// What it takes.
        want: &'static str,
    },
    /// A label of what is no number.
    Label {
        /// What stands there.
        word: String,
    },
    /// An alarm without a condition.
    NoCondition,
    /// An alarm with two conditions.
    TwoConditions {
        /// The first.
        first: &'static str,
        /// The second.
        second: &'static str,
    },
    /// A condition that a tag of this type cannot have.
    ConditionOfType {
        /// The condition.
        key: &'static str,
        /// The type.
        value_type: ValueType,
    },
    /// A key that only another has a use for.
    OnlyWith {
        /// The key.
        key: &'static str,
        /// What it goes with.
        with: &'static str,
    },
    /// Limits of alarms that are in the wrong order, as `high` above `hihi`.
    AlarmOrder {
        /// The outer alarm.
        outer: &'static str,
        /// Its limit.
        outer_limit: f64,
        /// The inner alarm.
        inner: &'static str,
        /// Its limit.
        inner_limit: f64,
    },
    /// Not an expression.
    Expression {
        /// Why.
        error: ExpressionError,
    },
    /// A computed tag that is made of itself.
    Cycle {
        /// The way round, from the tag to itself.
        path: Vec<String>,
    },
    /// Not a network.
    Network {
        /// What stands there.
        word: String,
        /// Why.
        error: NetworkError,
    },
    /// An address in two zones.
    ZonesOverlap {
        /// The other zone.
        other: String,
    },
    /// Not a rate.
    Rate {
        /// What stands there.
        word: String,
    },
    /// Not a time window.
    TimeWindow {
        /// What stands there.
        word: String,
    },
    /// Not a function.
    Function {
        /// What stands there.
        word: String,
        /// The function that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// Not unit ids.
    Units {
        /// What stands there.
        word: String,
    },
    /// A unit that is not behind the conduit.
    UnitNotThere {
        /// The unit.
        unit: u8,
    },
    /// Not a zone, nor a network.
    From {
        /// What stands there.
        word: String,
        /// The zone that was perhaps meant.
        nearest: Option<String>,
    },
    /// A rule that allows nothing by name.
    EmptyRule,
    /// `do = "derived"` beside something that says otherwise.
    DerivedWith {
        /// The other key.
        key: &'static str,
    },
    /// `do = "derived"` among what is denied.
    DerivedDenied,
    /// Devices of one conduit on several lanes.
    SeveralLanes {
        /// The first.
        first: String,
        /// Another.
        second: String,
    },
    /// A link without devices.
    NoDevices {
        /// The link.
        link: String,
    },
    /// An outlet that is nothing.
    NoOutlet,
    /// An outlet that is two things.
    TwoOutlets {
        /// The first.
        first: &'static str,
        /// The second.
        second: &'static str,
    },
    /// Not a permission.
    Permission {
        /// What stands there.
        word: String,
        /// The one that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// A time zone that has no such name.
    Timezone {
        /// What stands there.
        word: String,
    },
}

/// What is wrong with `holding:120-127`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeFault {
    /// Not a table and addresses.
    Syntax,
    /// Not a table.
    Table {
        /// The table that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// A number without a table.
    BareNumber,
    /// Not 0 to 65535.
    Address,
    /// The last before the first.
    Backwards,
}

fn meant(f: &mut fmt::Formatter<'_>, nearest: Option<&str>) -> fmt::Result {
    match nearest {
        Some(nearest) => write!(f, "; did you mean {nearest}?"),
        None => Ok(()),
    }
}

fn or_list(f: &mut fmt::Formatter<'_>, words: &[&str]) -> fmt::Result {
    for (at, word) in words.iter().enumerate() {
        let before = match at {
            0 => "",
            _ if at + 1 == words.len() => " or ",
            _ => ", ",
        };
        write!(f, "{before}{word}")?;
    }
    Ok(())
}

impl fmt::Display for Fault {
    /// What is wrong, and what to try.
    #[allow(clippy::too_many_lines, reason = "one arm a message, beside each other")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Syntax { message } => f.write_str(message),
            Fault::Twice { key } => write!(f, "\"{}\" stands there twice; remove one", excerpt(key)),
            Fault::Closed { key } => {
                write!(f, "\"{}\" is complete where it stands first; add it there", excerpt(key))
            }
            Fault::IntegerTooLarge => f.write_str("the number is larger than any register holds"),
            Fault::FileTooLarge => f.write_str("the file is too large; spread the site over several files of a folder"),
            Fault::TooMany { what, max } => write!(f, "more than {max} {what}; make two sites of it"),
            Fault::UnknownKey { word, section, nearest, belongs, known } => {
                write!(f, "{section} has no key \"{}\"", excerpt(word))?;
                match (nearest, belongs) {
                    (Some(nearest), _) => write!(f, "; did you mean {nearest}?"),
                    (None, Some(belongs)) => write!(f, "; it belongs to {belongs}"),
                    (None, None) => {
                        f.write_str("; it takes ")?;
                        or_list(f, known)
                    }
                }
            }
            Fault::Hex { word } => {
                write!(f, "\"{}\" is not hexadecimal; write four digits for each register", excerpt(word))
            }
            Fault::VectorWidth { tag, got, want } => {
                write!(f, "the vector of {tag} has {got} registers; the tag has {want}")
            }
            Fault::ShiftOfNothing => {
                f.write_str("shift moves the tags of a profile, and there is none; add profile = \"...\", or leave shift out")
            }
            Fault::ShiftedOut { tag, point } => {
                write!(f, "shift moves {tag} of the profile, which is at {point}, out of its table; choose a smaller one")
            }
            Fault::Missing { key, section, example } => {
                write!(f, "{section} needs {key}; write {example}")
            }
            Fault::Kind { key, want, got } => write!(f, "{key} is {got}; it takes {want}"),
            Fault::Name { word } if word.is_empty() => f.write_str("a name is missing; write letters, digits, - and _"),
            Fault::Name { word } => {
                write!(f, "\"{}\" cannot be a name; write up to 64 letters, digits, - and _, ", excerpt(word))?;
                f.write_str("the first a letter")
            }
            Fault::ReservedName { word } => {
                write!(f, "\"{word}\" means something in expressions; choose another name")
            }
            Fault::Empty { key } => write!(f, "{key} is empty; write something"),
            Fault::Duration { word, error } => write!(f, "\"{}\": {error}", excerpt(word)),
            Fault::Outside { key, value, min, max } => {
                write!(f, "{key} is {}; it may be {min} to {max}", excerpt(value))
            }
            Fault::NotPositive { key } => write!(f, "{key} has to be more than 0"),
            Fault::NotFinite { key } => write!(f, "{key} has to be a finite number"),
            Fault::Word { word, what, nearest, known } => {
                write!(f, "\"{}\" is not {what}", excerpt(word))?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean {nearest}?"),
                    None => {
                        f.write_str("; write ")?;
                        or_list(f, known)
                    }
                }
            }
            Fault::Target { error } => error.fmt(f),
            Fault::Listen { word } => {
                write!(f, "\"{}\" is no place to listen; write tcp://0.0.0.0:502 or tls://0.0.0.0:802", excerpt(word))
            }
            Fault::ListenTwice { other } => {
                write!(f, "the conduit \"{other}\" listens there already; choose another address or port")
            }
            Fault::TlsFiles { key } => write!(f, "tls:// needs {key}; write {key} = \"/etc/port502/{key}.pem\""),
            Fault::NoTls { key } => write!(f, "{key} is for tls://, and nothing here listens so; remove it, or listen on tls://"),
            Fault::Secret => {
                f.write_str("a password does not belong into a site file; remove it, and name a file with creds")
            }
            Fault::Unknown { what: Referred::Profile, word, nearest } => {
                write!(f, "\"{}\" is not a profile", excerpt(word))?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean {nearest}?"),
                    None => f.write_str("; leave it out, and write the tags"),
                }
            }
            Fault::Unknown { what, word, nearest } => {
                let (called, header) = what.names();
                write!(f, "\"{}\" is not {called}", excerpt(word))?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean {nearest}?"),
                    None => write!(f, "; add {header}"),
                }
            }
            Fault::DeviceAndLink { word } => {
                write!(f, "\"{word}\" is a device and a link; rename one of them")
            }
            Fault::NoLink => {
                f.write_str("the device is nowhere; write link = \"NAME\", or connect = \"tcp://10.20.1.11:502\"")
            }
            Fault::LinkAndConnect => f.write_str("link and connect exclude each other; remove one"),
            Fault::KeyOfLink { key, link } => {
                write!(f, "{key} is the link's, which other devices share; write it in [link.{link}]")
            }
            Fault::UnitTwice { unit, other, lane } => {
                write!(f, "unit {unit} is \"{other}\" on \"{lane}\" already; give one of them another unit")
            }
            Fault::UnitBroadcast => {
                f.write_str("unit 0 means every device on a bus, and nobody answers; write 1 to 247")
            }
            Fault::TargetTwice { other, link: true } => {
                write!(f, "the link \"{other}\" goes there already; write link = \"{other}\"")
            }
            Fault::TargetTwice { other, link: false } => {
                write!(f, "\"{other}\" is reached there already; make a [link.NAME] that both name")
            }
            Fault::Point { error } => error.fmt(f),
            Fault::BareNumber { number } => {
                write!(f, "{number} does not say which table, nor whether it counts from 0 or 1; write ")?;
                let reference = number.to_string();
                match (reference.parse::<Point>(), u16::try_from(*number)) {
                    (Ok(point), _) => {
                        write!(f, "\"{reference}\" in quotes for {}:{}", point.table(), point.address())?;
                        write!(f, ", or \"holding:{reference}\", 0-based")
                    }
                    (_, Ok(address)) => {
                        let reference = crate::point::reference(Table::HoldingRegisters, address);
                        write!(f, "\"holding:{address}\", 0-based, or \"{reference}\" as manuals count")
                    }
                    _ => f.write_str("\"holding:100\", or \"40101\" as manuals count"),
                }
            }
            Fault::SeveralValues { count } => {
                write!(f, "a tag is one value, and this is {count}; write a tag for each")
            }
            Fault::TypeTwice => f.write_str("at names a type already; remove one of them"),
            Fault::Type { error } => error.fmt(f),
            Fault::TooWide { width, max, key } => {
                write!(f, "the tag takes {width} registers, and the device {max} in one request ({key}); ")?;
                f.write_str("it could only be read torn")
            }
            Fault::InHole { hole } => write!(f, "the tag lies in the hole {hole}; move one of them"),
            Fault::FromZero { max } => {
                write!(f, "reads of bits begin at address 0 here (coils-from-zero), and this is beyond the ")?;
                write!(f, "{max} bits of one request, or behind a hole")
            }
            Fault::Range { word, fault } => {
                let word = excerpt(word);
                match fault {
                    RangeFault::Syntax => write!(f, "\"{word}\" is no range of addresses; write holding:120-127"),
                    RangeFault::Table { nearest } => {
                        write!(f, "\"{word}\" is not a table")?;
                        match nearest {
                            Some(nearest) => write!(f, "; did you mean {nearest}?"),
                            None => f.write_str("; write coil, discrete, input or holding, as in holding:120-127"),
                        }
                    }
                    RangeFault::BareNumber => {
                        write!(f, "\"{word}\" names no table; write holding:{word}")
                    }
                    RangeFault::Address => write!(f, "\"{word}\" is not an address; they are 0 to 65535"),
                    RangeFault::Backwards => write!(f, "\"{word}\" ends before it begins; exchange the two"),
                }
            }
            Fault::LowHigh { key } => {
                write!(f, "{key} is [low, high], the lower first and both different; write [0.0, 6.0]")
            }
            Fault::NotNumber { key, value_type } => {
                let what = if matches!(value_type, ValueType::Text(_)) { "a text" } else { "a bit" };
                write!(f, "{key} is for numbers, and {value_type} is {what}; remove it")
            }
            Fault::OutOfRange { key, value, range: (low, high) } => {
                write!(f, "{key} is {value}, outside the tag's range of {low} to {high}; change one of them")
            }
            Fault::OutOfType { key, value, value_type, limits: (low, high) } => {
                write!(f, "{key} is {value}, and {value_type} with this scale holds {low} to {high}; ")?;
                f.write_str("change the type or the scale")
            }
            Fault::PercentOfNothing => f.write_str("a percentage is of the range; write range = [low, high], or a number"),
            Fault::Deadband { word } => {
                write!(f, "\"{}\" is no deadband; write a number that is not negative, or \"0.2%\"", excerpt(word))
            }
            Fault::NotWritable { table } => {
                write!(f, "no function writes the table {table}; remove write, or put the tag into ")?;
                f.write_str(if table.is_bits() { "coil" } else { "holding" })
            }
            Fault::NoLimits { key } => {
                write!(f, "what may be written has no limit; write {key} here, or a range for the tag")
            }
            Fault::LimitsAndValues => f.write_str("values say it all; remove min and max"),
            Fault::LimitsOfBit { key, value_type } => write!(f, "{value_type} has no {key}; remove it"),
            Fault::ScaleZero => f.write_str("with a scale of 0 every value is the same; write another, or leave it out"),
            Fault::WriteOfExponent => f.write_str(
                "how far a write may go cannot be told where the scale is another tag; write a scale instead, or remove write",
            ),
            Fault::MinAboveMax { min, max } => write!(f, "min at {min} is above max at {max}; exchange them"),
            Fault::NothingBetween { min, max, step } => {
                write!(f, "nothing that the registers hold lies between {min} and {max}, they go in steps of {step}; ")?;
                f.write_str("widen the limits")
            }
            Fault::BetweenSteps { value, nearest } => {
                write!(f, "the registers do not hold {value}; the nearest is {nearest}")
            }
            Fault::WritableOverlap { other, point } => {
                write!(f, "\"{other}\" at {point} writes the same registers; only one of them may have write")
            }
            Fault::Readback { value_type } => {
                write!(f, "readback is read as the tag is, as {value_type}, and there it cannot be")
            }
            Fault::ReadbackUnit { unit, other, tag } => {
                write!(f, "this is in {unit}, and \"{tag}\", where it is read back, in {other}; use one unit for both")
            }
            Fault::Exponent => f.write_str("exponent names a tag that is an integer, as i16, without a scale"),
            Fault::ValueKind { key, value_type, want } => {
                write!(f, "{key} does not fit {value_type}, which takes {want}")
            }
            Fault::Label { word } => {
                write!(f, "\"{}\" is no integer; labels are for integers: {{ \"0\" = \"off\" }}", excerpt(word))
            }
            Fault::NoCondition => f.write_str(
                "the alarm has no condition; write above, below, is, rises, falls or deviates",
            ),
            Fault::TwoConditions { first, second } => {
                write!(f, "{first} and {second} are two alarms; give the other a name of its own")
            }
            Fault::ConditionOfType { key, value_type } => match value_type {
                ValueType::Text(_) => write!(f, "a text has no alarms; remove it"),
                _ if *key == "is" => write!(f, "is compares integers and bits, and {value_type} is neither; write above or below"),
                _ => write!(f, "{key} is for numbers, and {value_type} is a bit; write is = true"),
            },
            Fault::OnlyWith { key, with } => write!(f, "{key} is only of use with {with}; remove it, or write {with}"),
            Fault::AlarmOrder { outer, outer_limit, inner, inner_limit } => {
                let side = if outer.starts_with("hi") { "above" } else { "below" };
                write!(f, "{outer} at {outer_limit} is not {side} {inner} at {inner_limit}; exchange them")
            }
            Fault::Expression { error } => error.fmt(f),
            Fault::Cycle { path } => write!(f, "the tag is made of itself: {}", path.join(" <- ")),
            Fault::Network { word, error } => write!(f, "\"{}\": {error}", excerpt(word)),
            Fault::ZonesOverlap { other } => {
                write!(f, "the zone \"{other}\" has addresses of this one; an address belongs to one zone")
            }
            Fault::Rate { word } => write!(f, "\"{}\" is no rate; write 50/s, 10/min or 100/h", excerpt(word)),
            Fault::TimeWindow { word } => {
                write!(f, "\"{}\" is no time window; write mon-fri 06:00-18:00", excerpt(word))
            }
            Fault::Function { word, nearest } => {
                write!(f, "\"{}\" is not a function", excerpt(word))?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean {nearest}?"),
                    None => f.write_str("; write its code of 1 to 127, 43/14, or its name as ReadCoils"),
                }
            }
            Fault::Units { word } => write!(f, "\"{}\" is no unit; write 0 to 255, or \"3-9\"", excerpt(word)),
            Fault::UnitNotThere { unit } => {
                write!(f, "no device behind this conduit has unit {unit}; name one that has, or leave units out")
            }
            Fault::From { word, nearest } => {
                write!(f, "\"{}\" is neither a zone nor a network", excerpt(word))?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean {nearest}?"),
                    None => f.write_str("; add [zone.NAME], or write 10.20.0.0/24"),
                }
            }
            Fault::EmptyRule => f.write_str("the rule does not say what passes; write do = \"derived\", functions or at"),
            Fault::DerivedWith { key } => {
                write!(f, "derived says it all; remove {key}, or write a rule of its own")
            }
            Fault::DerivedDenied => f.write_str("derived is for allow; write functions or at, or leave do out"),
            Fault::SeveralLanes { first, second } => {
                write!(f, "\"{first}\" and \"{second}\" are on different links; write a conduit for each")
            }
            Fault::NoDevices { link } => write!(f, "the link \"{link}\" has no devices; there is nothing to protect"),
            Fault::NoOutlet => f.write_str("the outlet goes nowhere; write one of nats, mqtt, postgres, opcua or prometheus"),
            Fault::TwoOutlets { first, second } => {
                write!(f, "{first} and {second} are two outlets; give the other a name of its own")
            }
            Fault::Permission { word, nearest } => {
                write!(f, "\"{}\" is not a permission", excerpt(word))?;
                match nearest {
                    Some(_) => meant(f, *nearest),
                    None => f.write_str("; write ack, shelve, shelve<=8h, write or configure"),
                }
            }
            Fault::Timezone { word } => {
                write!(f, "\"{}\" is no time zone; write UTC, or a name as Europe/Vienna", excerpt(word))
            }
        }
    }
}

impl fmt::Display for SiteErrors {
    /// How many; [`super::render`] shows them with the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.len() + self.omitted {
            1 => f.write_str("1 error"),
            many => write!(f, "{many} errors"),
        }
    }
}

impl std::error::Error for SiteErrors {}
