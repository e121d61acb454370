//! What judging comes to: a verdict, the rule that decided, and the reason as a value.
//!
//! Each [`Reason`] has one row in [`REASONS`]: its word, which scripts rely on, and the technique of ATT&CK for ICS that
//! it is a sign of. The ids were noted from memory of the public catalogue: they are labels for the reader, and here is
//! the one place to correct them.

use core::fmt;
use core::time::Duration;

use port502_wire::function::Access;
use port502_wire::value::Value;
use port502_wire::{FunctionCode, Mismatch, PduError, Table};

use crate::policy::Refusal;

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Verdict {
    /// It passes.
    Pass {
        /// The rule of its first item, by its place among the conduit's.
        rule: usize,
    },
    /// It passes because the mode says so, and is recorded.
    Alert {
        /// What is against it.
        objection: Objection,
    },
    /// It is kept back, and recorded.
    Refuse {
        /// What is against it.
        objection: Objection,
        /// What the client sees of that.
        how: Refusal,
    },
}

impl Verdict {
    /// What is against it; `None` for what passes in silence.
    #[must_use]
    pub const fn objection(&self) -> Option<&Objection> {
        match self {
            Verdict::Pass { .. } => None,
            Verdict::Alert { objection } | Verdict::Refuse { objection, .. } => Some(objection),
        }
    }

    /// Whether the request goes on to the device.
    #[must_use]
    pub const fn passes(&self) -> bool {
        !matches!(self, Verdict::Refuse { .. })
    }
}

/// What is against a request, or against bytes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Objection {
    /// Why.
    pub reason: Reason,
    /// Which rule says so, by its place among the conduit's; `None` where no rule fits, or none is needed.
    pub rule: Option<usize>,
    /// Which value of that rule, by its place in [`Engine::tag`](crate::Engine::tag).
    pub tag: Option<usize>,
    /// The first coil or register that it is about.
    pub item: Option<(Table, u16)>,
}

impl Objection {
    /// One that is about the whole request, and no rule's.
    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        Objection { reason, rule: None, tag: None, item: None }
    }
}

/// Why something is refused or recorded.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Reason {
    /// No rule allows this client anything.
    Client,
    /// None of those that allow it something is for this unit.
    Unit,
    /// None of them is for this function, or its sub-function.
    Function,
    /// None of them is for this address.
    Address,
    /// A rule denies it.
    Denied,
    /// The rule holds at other hours.
    Hours,
    /// What would be written there is not known: it is a part of a value, some of its bits, or no value of its type.
    Unknowable,
    /// The value is outside its limits.
    Limits {
        /// What would be written.
        value: Value,
    },
    /// The value is too far from the last one known.
    Step {
        /// What would be written.
        value: Value,
    },
    /// How far the value would move is not known: it has not been read, or a write of it is not answered yet.
    StepUnknown {
        /// What would be written.
        value: Value,
    },
    /// The value is written too often.
    WriteRate,
    /// Another value has to be something else first.
    Sequence,
    /// It became so too long ago.
    SequenceLate {
        /// How long ago.
        ago: Duration,
    },
    /// It is not known what the other value is, or since when where that matters.
    SequenceUnknown,
    /// The client does more of this than the rule allows.
    RuleRate,
    /// The client asks more often than the conduit allows.
    ClientRate,
    /// More clients than [`BUCKETS_MAX`](crate::state::BUCKETS_MAX) would have to be counted.
    TooManyCounted,
    /// The rules of this client are too many at one place to be judged in time; nothing of it passes.
    TooComplex,
    /// The policy was replaced since these grants were made.
    Outdated,
    /// As many connections as the conduit allows are there.
    Connections,
    /// As many as it allows from one address.
    ConnectionsOfClient,

    /// A protocol id other than 0.
    ProtocolId {
        /// Which.
        protocol: u16,
    },
    /// A length that no frame has.
    FrameLength {
        /// The length field.
        length: u16,
    },
    /// A frame did not end in time.
    HalfFrame,
    /// Not a request that the specification allows.
    Malformed(PduError),
    /// The transaction id of a request that is still open.
    TransactionReused,
    /// As many requests as may be are open.
    TooManyOpen,
    /// Nobody answered the request in time.
    Unanswered,
    /// As many requests as may be were never answered: the connection is of no use.
    TooManyUnanswered,
    /// Not a response that the specification allows.
    MalformedResponse(PduError),
    /// A response to no request.
    Unsolicited,
    /// A second response to one request.
    Duplicate,
    /// A response to a request that was given up.
    Late,
    /// A response of another unit than the one that was asked.
    OtherUnit,
    /// A response that does not fit its request.
    Mismatch(Mismatch),
}

/// A technique of ATT&CK for ICS.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Technique {
    /// `T0855`.
    pub id: &'static str,
    /// What it is called there.
    pub name: &'static str,
}

macro_rules! techniques {
    ($($konst:ident = $id:literal $name:literal;)*) => {
        $(const $konst: Technique = Technique { id: $id, name: $name };)*
        /// Every technique that a reason can name.
        pub const TECHNIQUES: &[Technique] = &[$($konst),*];
    };
}

techniques! {
    BRUTE_FORCE_IO = "T0806" "Brute Force I/O";
    DENIAL_OF_SERVICE = "T0814" "Denial of Service";
    RESTART = "T0816" "Device Restart/Shutdown";
    ADVERSARY_IN_THE_MIDDLE = "T0830" "Adversary-in-the-Middle";
    MODIFY_PARAMETER = "T0836" "Modify Parameter";
    PROGRAM_DOWNLOAD = "T0843" "Program Download";
    PROGRAM_UPLOAD = "T0845" "Program Upload";
    ROGUE_MASTER = "T0848" "Rogue Master";
    UNAUTHORIZED_COMMAND = "T0855" "Unauthorized Command Message";
    SPOOF_REPORTING = "T0856" "Spoof Reporting Message";
    OPERATING_MODE = "T0858" "Change Operating Mode";
    POINT_IDENTIFICATION = "T0861" "Point & Tag Identification";
    EXPLOITATION = "T0866" "Exploitation of Remote Services";
    APPLICATION_PROTOCOL = "T0869" "Standard Application Layer Protocol";
    SYSTEM_INFORMATION = "T0888" "Remote System Information Discovery";
}

/// What a reason is a sign of.
#[derive(Clone, Copy, Debug)]
enum Sign {
    /// This, whatever was asked.
    Of(Technique),
    /// What the function is used for: see [`by_function`].
    ByFunction,
}

/// One row of [`REASONS`].
#[derive(Clone, Copy, Debug)]
pub struct ReasonFacts {
    /// The word in reports, stable.
    pub word: &'static str,
    /// What a person reads.
    pub text: &'static str,
    sign: Sign,
}

const fn facts(word: &'static str, text: &'static str, sign: Sign) -> ReasonFacts {
    ReasonFacts { word, text, sign }
}

/// Every reason, by its index.
pub const REASONS: &[ReasonFacts] = &[
    facts("client", "no rule allows this client anything", Sign::Of(ROGUE_MASTER)),
    facts("unit", "no rule allows the client anything of this unit", Sign::ByFunction),
    facts("function", "no rule allows the client this function", Sign::ByFunction),
    facts("address", "no rule allows the client this address", Sign::ByFunction),
    facts("denied", "a rule denies it", Sign::ByFunction),
    facts("hours", "the rule holds at other hours", Sign::ByFunction),
    facts("unknowable", "what would be written is not a whole value", Sign::Of(MODIFY_PARAMETER)),
    facts("limits", "the value is outside its limits", Sign::Of(MODIFY_PARAMETER)),
    facts("step", "the value moves too far at once", Sign::Of(MODIFY_PARAMETER)),
    facts("step-unknown", "how far the value moves is not known", Sign::Of(MODIFY_PARAMETER)),
    facts("write-rate", "the value is written too often", Sign::Of(BRUTE_FORCE_IO)),
    facts("sequence", "another value has to be something else first", Sign::Of(UNAUTHORIZED_COMMAND)),
    facts("sequence-late", "the other value became so too long ago", Sign::Of(UNAUTHORIZED_COMMAND)),
    facts(
        "sequence-unknown",
        "what the other value is, or since when, is not known",
        Sign::Of(UNAUTHORIZED_COMMAND),
    ),
    facts("rule-rate", "the rule does not allow it so often", Sign::Of(BRUTE_FORCE_IO)),
    facts("client-rate", "the client asks too often", Sign::Of(DENIAL_OF_SERVICE)),
    facts("too-many-counted", "too many clients are counted already", Sign::Of(DENIAL_OF_SERVICE)),
    facts("too-complex", "too many of the client's rules are for one place", Sign::ByFunction),
    facts("outdated", "the policy was replaced meanwhile", Sign::ByFunction),
    facts("connections", "the conduit has as many connections as it may", Sign::Of(DENIAL_OF_SERVICE)),
    facts(
        "connections-of-client",
        "the client has as many connections as it may",
        Sign::Of(DENIAL_OF_SERVICE),
    ),
    facts("protocol-id", "the protocol id is not 0", Sign::Of(APPLICATION_PROTOCOL)),
    facts("frame-length", "no frame has this length", Sign::Of(EXPLOITATION)),
    facts("half-frame", "a frame did not end in time", Sign::Of(DENIAL_OF_SERVICE)),
    facts("malformed", "not a request that the specification allows", Sign::Of(EXPLOITATION)),
    facts(
        "transaction-reused",
        "the transaction id is that of an open request",
        Sign::Of(ADVERSARY_IN_THE_MIDDLE),
    ),
    facts("too-many-open", "too many requests are open", Sign::Of(DENIAL_OF_SERVICE)),
    facts("unanswered", "nobody answered in time", Sign::Of(DENIAL_OF_SERVICE)),
    facts("too-many-unanswered", "too many requests were never answered", Sign::Of(DENIAL_OF_SERVICE)),
    facts("malformed-response", "not a response that the specification allows", Sign::Of(SPOOF_REPORTING)),
    facts("unsolicited", "a response to no request", Sign::Of(SPOOF_REPORTING)),
    facts("duplicate", "a second response to one request", Sign::Of(ADVERSARY_IN_THE_MIDDLE)),
    facts("late", "a response to a request that was given up", Sign::Of(DENIAL_OF_SERVICE)),
    facts("other-unit", "the response is of another unit", Sign::Of(SPOOF_REPORTING)),
    facts("mismatch", "the response does not fit its request", Sign::Of(SPOOF_REPORTING)),
];

impl Reason {
    /// Its place in [`REASONS`]; for counters of each.
    #[must_use]
    pub const fn index(&self) -> usize {
        match self {
            Reason::Client => 0,
            Reason::Unit => 1,
            Reason::Function => 2,
            Reason::Address => 3,
            Reason::Denied => 4,
            Reason::Hours => 5,
            Reason::Unknowable => 6,
            Reason::Limits { .. } => 7,
            Reason::Step { .. } => 8,
            Reason::StepUnknown { .. } => 9,
            Reason::WriteRate => 10,
            Reason::Sequence => 11,
            Reason::SequenceLate { .. } => 12,
            Reason::SequenceUnknown => 13,
            Reason::RuleRate => 14,
            Reason::ClientRate => 15,
            Reason::TooManyCounted => 16,
            Reason::TooComplex => 17,
            Reason::Outdated => 18,
            Reason::Connections => 19,
            Reason::ConnectionsOfClient => 20,
            Reason::ProtocolId { .. } => 21,
            Reason::FrameLength { .. } => 22,
            Reason::HalfFrame => 23,
            Reason::Malformed(_) => 24,
            Reason::TransactionReused => 25,
            Reason::TooManyOpen => 26,
            Reason::Unanswered => 27,
            Reason::TooManyUnanswered => 28,
            Reason::MalformedResponse(_) => 29,
            Reason::Unsolicited => 30,
            Reason::Duplicate => 31,
            Reason::Late => 32,
            Reason::OtherUnit => 33,
            Reason::Mismatch(_) => 34,
        }
    }

    fn facts(&self) -> Option<&'static ReasonFacts> {
        REASONS.get(self.index())
    }

    /// The word in reports: `limits`. Stable, scripts rely on it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.facts().map_or("", |facts| facts.word)
    }

    /// What a person reads of every such reason.
    #[must_use]
    pub fn text(&self) -> &'static str {
        self.facts().map_or("", |facts| facts.text)
    }

    /// The value that would have been written, where it is what is refused.
    #[must_use]
    pub const fn value(&self) -> Option<Value> {
        match self {
            Reason::Limits { value } | Reason::Step { value } | Reason::StepUnknown { value } => Some(*value),
            _ => None,
        }
    }

    /// What it is a sign of, asked with this function and sub-function.
    #[must_use]
    pub fn technique(&self, function: Option<FunctionCode>, sub: Option<u16>) -> Technique {
        match self.facts().map(|facts| facts.sign) {
            Some(Sign::Of(technique)) => technique,
            Some(Sign::ByFunction) | None => {
                function.map_or(APPLICATION_PROTOCOL, |function| by_function(function, sub))
            }
        }
    }
}

/// What a function is used for by one who should not.
fn by_function(function: FunctionCode, sub: Option<u16>) -> Technique {
    /// Functions that say more than their access does; `None` is every sub-function that has no row before.
    const PARTICULAR: &[(FunctionCode, Option<u16>, Technique)] = &[
        (FunctionCode::DIAGNOSTICS, Some(1), RESTART),
        (FunctionCode::DIAGNOSTICS, Some(4), RESTART),
        (FunctionCode::REPORT_SERVER_ID, None, SYSTEM_INFORMATION),
        (FunctionCode::WRITE_FILE_RECORD, None, PROGRAM_DOWNLOAD),
        (FunctionCode::READ_FILE_RECORD, None, PROGRAM_UPLOAD),
        (FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT, Some(14), SYSTEM_INFORMATION),
        (FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT, None, UNAUTHORIZED_COMMAND),
        // The vendor's functions for engineering: they stop a controller and load programs.
        (FunctionCode(90), None, OPERATING_MODE),
        (FunctionCode(125), None, OPERATING_MODE),
        (FunctionCode(126), None, OPERATING_MODE),
    ];
    let fits = |row: &&(FunctionCode, Option<u16>, Technique)| {
        row.0 == function && (row.1.is_none() || row.1 == sub)
    };
    if let Some((.., technique)) = PARTICULAR.iter().find(fits) {
        return *technique;
    }
    match function.facts().map(|facts| facts.access) {
        Some(Access::Read) => POINT_IDENTIFICATION,
        Some(Access::Diagnose) => SYSTEM_INFORMATION,
        Some(Access::Write | Access::ReadWrite | Access::File) | None => UNAUTHORIZED_COMMAND,
    }
}

impl fmt::Display for Reason {
    /// For people; the word is [`Reason::word`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.facts().map_or("", |facts| facts.text))?;
        match self {
            Reason::ProtocolId { protocol } => write!(f, ": {protocol}"),
            Reason::FrameLength { length } => write!(f, ": {length}"),
            Reason::Malformed(error) | Reason::MalformedResponse(error) => write!(f, ": {error}"),
            Reason::Mismatch(mismatch) => write!(f, ": {mismatch}"),
            Reason::SequenceLate { ago } => write!(f, ": {} s", ago.as_secs()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_row() {
        let error = PduError::Empty;
        let all = [
            (Reason::Client, "client"),
            (Reason::Unit, "unit"),
            (Reason::Function, "function"),
            (Reason::Address, "address"),
            (Reason::Denied, "denied"),
            (Reason::Hours, "hours"),
            (Reason::Unknowable, "unknowable"),
            (Reason::Limits { value: Value::Unsigned(1) }, "limits"),
            (Reason::Step { value: Value::Unsigned(1) }, "step"),
            (Reason::StepUnknown { value: Value::Unsigned(1) }, "step-unknown"),
            (Reason::WriteRate, "write-rate"),
            (Reason::Sequence, "sequence"),
            (Reason::SequenceLate { ago: Duration::ZERO }, "sequence-late"),
            (Reason::SequenceUnknown, "sequence-unknown"),
            (Reason::RuleRate, "rule-rate"),
            (Reason::ClientRate, "client-rate"),
            (Reason::TooManyCounted, "too-many-counted"),
            (Reason::TooComplex, "too-complex"),
            (Reason::Outdated, "outdated"),
            (Reason::Connections, "connections"),
            (Reason::ConnectionsOfClient, "connections-of-client"),
            (Reason::ProtocolId { protocol: 1 }, "protocol-id"),
            (Reason::FrameLength { length: 1 }, "frame-length"),
            (Reason::HalfFrame, "half-frame"),
            (Reason::Malformed(error), "malformed"),
            (Reason::TransactionReused, "transaction-reused"),
            (Reason::TooManyOpen, "too-many-open"),
            (Reason::Unanswered, "unanswered"),
            (Reason::TooManyUnanswered, "too-many-unanswered"),
            (Reason::MalformedResponse(error), "malformed-response"),
            (Reason::Unsolicited, "unsolicited"),
            (Reason::Duplicate, "duplicate"),
            (Reason::Late, "late"),
            (Reason::OtherUnit, "other-unit"),
            (Reason::Mismatch(Mismatch::Echo), "mismatch"),
        ];
        assert_eq!(all.len(), REASONS.len());
        for (index, (reason, word)) in all.into_iter().enumerate() {
            assert_eq!((reason.index(), reason.word()), (index, word));
        }
    }

    #[test]
    fn techniques_by_function() {
        for (function, sub, id) in [
            (3, None, "T0861"),
            (6, None, "T0855"),
            (23, None, "T0855"),
            (8, Some(4), "T0816"),
            (8, Some(0), "T0888"),
            (17, None, "T0888"),
            (20, None, "T0845"),
            (21, None, "T0843"),
            (43, Some(13), "T0855"),
            (43, Some(14), "T0888"),
            (90, None, "T0858"),
            (100, None, "T0855"),
        ] {
            let technique = Reason::Function.technique(Some(FunctionCode(function)), sub);
            assert_eq!(technique.id, id, "function {function} {sub:?}");
            assert!(TECHNIQUES.contains(&technique));
        }
    }
}
