/// The sub-function of a diagnostics request, 08 (V1.1b3, 6.8.1). Any number can be held.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SubFunction(pub u16);

/// What the data field of a diagnostics request must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Data {
    /// Any number of whole words, echoed.
    Words,
    /// 0x0000 keeps the event log, 0xFF00 clears it.
    ClearLog,
    /// A character and a zero byte.
    Delimiter,
    /// 0x0000.
    Zero,
}

/// One row of [`DIAGNOSTIC_FACTS`].
#[derive(Clone, Copy, Debug)]
pub struct DiagnosticFacts {
    /// The sub-function's number.
    pub code: SubFunction,
    /// The specification's name, without blanks.
    pub name: &'static str,
    data: Data,
}

macro_rules! sub_functions {
    ($($(#[$doc:meta])* $konst:ident = $code:literal $name:literal $data:ident;)*) => {
        impl SubFunction {
            $($(#[$doc])* pub const $konst: SubFunction = SubFunction($code);)*
        }

        /// Every sub-function of 08 that the specification defines.
        pub const DIAGNOSTIC_FACTS: &[DiagnosticFacts] = &[$(DiagnosticFacts {
            code: SubFunction::$konst, name: $name, data: Data::$data,
        }),*];
    };
}

sub_functions! {
    /// 00: the data comes back as it is.
    RETURN_QUERY_DATA = 0 "ReturnQueryData" Words;
    /// 01: the only way out of listen-only mode.
    RESTART_COMMUNICATIONS = 1 "RestartCommunications" ClearLog;
    /// 02: 16 bits whose meaning is the vendor's.
    RETURN_DIAGNOSTIC_REGISTER = 2 "ReturnDiagnosticRegister" Zero;
    /// 03: the character that ends an ASCII frame in the place of LF.
    CHANGE_ASCII_DELIMITER = 3 "ChangeAsciiInputDelimiter" Delimiter;
    /// 04: the server acts on no request and answers none until restarted.
    FORCE_LISTEN_ONLY = 4 "ForceListenOnlyMode" Zero;
    /// 10: counters and diagnostic register to zero.
    CLEAR_COUNTERS = 10 "ClearCounters" Zero;
    /// 11: messages seen on the line.
    BUS_MESSAGE_COUNT = 11 "ReturnBusMessageCount" Zero;
    /// 12: CRC errors.
    BUS_COMMUNICATION_ERROR_COUNT = 12 "ReturnBusCommunicationErrorCount" Zero;
    /// 13: exceptions sent.
    BUS_EXCEPTION_COUNT = 13 "ReturnBusExceptionErrorCount" Zero;
    /// 14: messages for this server.
    SERVER_MESSAGE_COUNT = 14 "ReturnServerMessageCount" Zero;
    /// 15: messages left without an answer.
    SERVER_NO_RESPONSE_COUNT = 15 "ReturnServerNoResponseCount" Zero;
    /// 16: negative acknowledges sent.
    SERVER_NAK_COUNT = 16 "ReturnServerNakCount" Zero;
    /// 17: busy exceptions sent.
    SERVER_BUSY_COUNT = 17 "ReturnServerBusyCount" Zero;
    /// 18: characters lost on the line.
    BUS_CHARACTER_OVERRUN_COUNT = 18 "ReturnBusCharacterOverrunCount" Zero;
    /// 20: the overrun counter to zero.
    CLEAR_OVERRUN_COUNTER = 20 "ClearOverrunCounterAndFlag" Zero;
}

impl SubFunction {
    /// This number's row; `None` for those the specification reserves.
    #[must_use]
    pub fn facts(self) -> Option<&'static DiagnosticFacts> {
        DIAGNOSTIC_FACTS.iter().find(|facts| facts.code == self)
    }

    /// The specification's name, or `Reserved`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().map_or("Reserved", |facts| facts.name)
    }

    /// Whether the data field is one word, in request and response.
    pub(crate) fn is_one_word(self) -> bool {
        self.facts().is_some_and(|facts| facts.data != Data::Words)
    }

    /// Whether `data` is what a request of this sub-function carries. Of a reserved one nothing is known, so
    /// nothing is refused.
    pub(crate) fn takes(self, data: &[u8]) -> bool {
        match (self.facts().map(|facts| facts.data), data) {
            (None, _) | (Some(Data::Zero), [0, 0]) => true,
            (Some(Data::ClearLog), [0 | 0xFF, 0]) | (Some(Data::Delimiter), [_, 0]) => true,
            (Some(Data::Words), data) => !data.is_empty() && data.len().is_multiple_of(2),
            _ => false,
        }
    }
}
