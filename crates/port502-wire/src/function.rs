//! What is true of each function code stands in [`FACTS`], and nowhere else: the parser's limits, the framer's
//! lengths, the names in reports and the documents all read it.

use crate::{SubFunction, Table};

/// A function code, 1 to 127 in requests (V1.1b3, 4.1).
///
/// Any byte can be held, so that what came can be reported.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FunctionCode(pub u8);

/// Declares the constants and the table together, so that neither can lack a row.
macro_rules! functions {
    ($($(#[$doc:meta])* $konst:ident = $code:literal $name:literal $section:literal
        $access:ident $table:expr, max $max:literal, request $req:expr, response $resp:expr, serial $serial:literal;)*) => {
        impl FunctionCode {
            $($(#[$doc])* pub const $konst: FunctionCode = FunctionCode($code);)*
        }

        /// Every public function of the specification, by code.
        pub const FACTS: &[Facts] = &[$(Facts {
            code: FunctionCode::$konst, name: $name, section: $section, access: Access::$access,
            table: $table, max: $max, request: $req, response: $resp, serial_only: $serial,
        }),*];
    };
}

functions! {
    /// 01 Read Coils.
    READ_COILS = 1 "ReadCoils" "6.1" Read Some(Table::Coils), max 2000,
        request Length::Fixed(4), response Length::Count8 { at: 0 }, serial false;
    /// 02 Read Discrete Inputs.
    READ_DISCRETE_INPUTS = 2 "ReadDiscreteInputs" "6.2" Read Some(Table::DiscreteInputs), max 2000,
        request Length::Fixed(4), response Length::Count8 { at: 0 }, serial false;
    /// 03 Read Holding Registers.
    READ_HOLDING_REGISTERS = 3 "ReadHoldingRegisters" "6.3" Read Some(Table::HoldingRegisters), max 125,
        request Length::Fixed(4), response Length::Count8 { at: 0 }, serial false;
    /// 04 Read Input Registers.
    READ_INPUT_REGISTERS = 4 "ReadInputRegisters" "6.4" Read Some(Table::InputRegisters), max 125,
        request Length::Fixed(4), response Length::Count8 { at: 0 }, serial false;
    /// 05 Write Single Coil.
    WRITE_SINGLE_COIL = 5 "WriteSingleCoil" "6.5" Write Some(Table::Coils), max 1,
        request Length::Fixed(4), response Length::Fixed(4), serial false;
    /// 06 Write Single Register.
    WRITE_SINGLE_REGISTER = 6 "WriteSingleRegister" "6.6" Write Some(Table::HoldingRegisters), max 1,
        request Length::Fixed(4), response Length::Fixed(4), serial false;
    /// 07 Read Exception Status.
    READ_EXCEPTION_STATUS = 7 "ReadExceptionStatus" "6.7" Diagnose None, max 1,
        request Length::Fixed(0), response Length::Fixed(1), serial true;
    /// 08 Diagnostics.
    DIAGNOSTICS = 8 "Diagnostics" "6.8" Diagnose None, max 1,
        request Length::SubFunction, response Length::SubFunction, serial true;
    /// 11 Get Comm Event Counter.
    GET_COMM_EVENT_COUNTER = 11 "GetCommEventCounter" "6.9" Diagnose None, max 1,
        request Length::Fixed(0), response Length::Fixed(4), serial true;
    /// 12 Get Comm Event Log; at most 64 events in a response.
    GET_COMM_EVENT_LOG = 12 "GetCommEventLog" "6.10" Diagnose None, max 64,
        request Length::Fixed(0), response Length::Count8 { at: 0 }, serial true;
    /// 15 Write Multiple Coils.
    WRITE_MULTIPLE_COILS = 15 "WriteMultipleCoils" "6.11" Write Some(Table::Coils), max 1968,
        request Length::Count8 { at: 4 }, response Length::Fixed(4), serial false;
    /// 16 Write Multiple Registers.
    WRITE_MULTIPLE_REGISTERS = 16 "WriteMultipleRegisters" "6.12" Write Some(Table::HoldingRegisters), max 123,
        request Length::Count8 { at: 4 }, response Length::Fixed(4), serial false;
    /// 17 Report Server ID.
    REPORT_SERVER_ID = 17 "ReportServerId" "6.13" Diagnose None, max 1,
        request Length::Fixed(0), response Length::Count8 { at: 0 }, serial true;
    /// 20 Read File Record; the quantity is registers in one sub-request.
    READ_FILE_RECORD = 20 "ReadFileRecord" "6.14" File None, max 124,
        request Length::Count8 { at: 0 }, response Length::Count8 { at: 0 }, serial false;
    /// 21 Write File Record; the quantity is registers in one sub-request.
    WRITE_FILE_RECORD = 21 "WriteFileRecord" "6.15" File None, max 122,
        request Length::Count8 { at: 0 }, response Length::Count8 { at: 0 }, serial false;
    /// 22 Mask Write Register.
    MASK_WRITE_REGISTER = 22 "MaskWriteRegister" "6.16" Write Some(Table::HoldingRegisters), max 1,
        request Length::Fixed(6), response Length::Fixed(6), serial false;
    /// 23 Read/Write Multiple Registers; the quantity is what is read, 121 are written at most.
    READ_WRITE_MULTIPLE_REGISTERS = 23 "ReadWriteMultipleRegisters" "6.17" ReadWrite Some(Table::HoldingRegisters), max 125,
        request Length::Count8 { at: 8 }, response Length::Count8 { at: 0 }, serial false;
    /// 24 Read FIFO Queue; at most 31 registers in a response.
    READ_FIFO_QUEUE = 24 "ReadFifoQueue" "6.18" Read Some(Table::HoldingRegisters), max 31,
        request Length::Fixed(2), response Length::Count16 { at: 0 }, serial false;
    /// 43 Encapsulated Interface Transport: CANopen (13) and Read Device Identification (14) are public.
    ENCAPSULATED_INTERFACE_TRANSPORT = 43 "EncapsulatedInterfaceTransport" "6.19" Diagnose None, max 1,
        request Length::Mei, response Length::Mei, serial false;
}

/// What a function does to the device, for rules and reports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// Takes values and changes none.
    Read,
    /// Changes values of a table.
    Write,
    /// Both in one request.
    ReadWrite,
    /// Reads or writes file records.
    File,
    /// Asks for, or changes, the state of the device or its communication.
    Diagnose,
}

/// How many bytes follow the function code, and how a framer knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// Always so many.
    Fixed(u8),
    /// A byte at offset `at` of the body counts the bytes after it.
    Count8 {
        /// Offset of the count behind the function code.
        at: u8,
    },
    /// Two bytes at offset `at` of the body count the bytes after them.
    Count16 {
        /// Offset of the count behind the function code.
        at: u8,
    },
    /// As the sub-function says: most carry one word, the echo of 00 and the reserved ones are open.
    SubFunction,
    /// As the MEI type says: a device identification counts its objects, all else is open.
    Mei,
}

/// One row of [`FACTS`].
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The function code.
    pub code: FunctionCode,
    /// The specification's name, without blanks.
    pub name: &'static str,
    /// The section of V1.1b3 that defines it.
    pub section: &'static str,
    /// What it does to the device.
    pub access: Access,
    /// The table it works on, where it is one of the four.
    pub table: Option<Table>,
    /// The largest quantity in one request; 1 where there is no quantity.
    pub max: u16,
    /// The length of a request's body.
    pub request: Length,
    /// The length of a normal response's body. An exception's is always one byte.
    pub response: Length,
    /// Whether the specification means it for serial lines only.
    pub serial_only: bool,
}

/// Codes of devices that are seen on real networks, though no specification defines them.
const VENDOR_NAMES: &[(u8, &str)] =
    &[(90, "SchneiderUmas"), (125, "SchneiderFirmware"), (126, "SchneiderProgramming")];

impl FunctionCode {
    /// This code's row of [`FACTS`]; `None` for codes that the specification gives no public meaning.
    #[must_use]
    pub fn facts(self) -> Option<&'static Facts> {
        FACTS.iter().find(|facts| facts.code == self)
    }

    /// The name in the specification, a known vendor's name for it, or what range of codes it is from.
    #[must_use]
    pub fn name(self) -> &'static str {
        if let Some(facts) = self.facts() {
            return facts.name;
        }
        if let Some((_, name)) = VENDOR_NAMES.iter().find(|(code, _)| *code == self.0) {
            return name;
        }
        match self.0 {
            0 => "Invalid",
            65..=72 | 100..=110 => "UserDefined",
            9 | 10 | 13 | 14 | 41 | 42 | 91 | 127 => "Reserved",
            128.. => "Exception",
            _ => "Unassigned",
        }
    }

    /// Whether a request may carry it: 1 to 127.
    #[must_use]
    pub const fn is_request(self) -> bool {
        self.0 != 0 && self.0 < 0x80
    }
}

impl core::fmt::Display for FunctionCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {}", self.0, self.name())
    }
}

/// A set of function codes, 1 to 127: what a server offers, what a rule allows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FunctionSet {
    /// Codes 0 to 63, then 64 to 127. Two words, because every request is looked up and shifting 128 bits is slow.
    words: [u64; 2],
}

impl FunctionSet {
    /// Without members.
    pub const EMPTY: FunctionSet = FunctionSet { words: [0; 2] };

    /// All public functions of the specification.
    #[must_use]
    pub fn public() -> Self {
        FACTS.iter().fold(Self::EMPTY, |set, facts| set.with(facts.code))
    }

    /// The same set and `function`. A code that no request may carry is not taken in.
    #[must_use]
    pub const fn with(self, function: FunctionCode) -> Self {
        let (bit, [low, high]) = (1 << (function.0 & 63), self.words);
        match function.0 {
            1..64 => FunctionSet { words: [low | bit, high] },
            64..128 => FunctionSet { words: [low, high | bit] },
            _ => self,
        }
    }

    /// The same set without `function`.
    #[must_use]
    pub const fn without(self, function: FunctionCode) -> Self {
        let (bit, [low, high]) = (1 << (function.0 & 63), self.words);
        match function.0 {
            1..64 => FunctionSet { words: [low & !bit, high] },
            64..128 => FunctionSet { words: [low, high & !bit] },
            _ => self,
        }
    }

    /// Whether `function` is in the set.
    #[must_use]
    #[inline]
    pub const fn contains(self, function: FunctionCode) -> bool {
        let [low, high] = self.words;
        let word = if function.0 < 64 { low } else { high };
        function.0 < 128 && word >> (function.0 & 63) & 1 == 1
    }

    /// The members, ascending.
    pub fn iter(self) -> impl Iterator<Item = FunctionCode> {
        (1..0x80).map(FunctionCode).filter(move |function| self.contains(*function))
    }
}

impl core::fmt::Debug for FunctionSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter().map(|function| function.0)).finish()
    }
}

impl FromIterator<FunctionCode> for FunctionSet {
    fn from_iter<I: IntoIterator<Item = FunctionCode>>(functions: I) -> Self {
        functions.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// A PDU whose length cannot be told from its own bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownLength {
    /// No PDU of this function is shorter.
    pub least: usize,
}

/// How long the request is that starts with `pdu`, function code included.
///
/// `Ok(None)`: more bytes are needed to tell.
///
/// # Errors
/// [`UnknownLength`] for a function without a rule: a framer needs the end of the frame, or its check.
pub fn request_len(pdu: &[u8]) -> Result<Option<usize>, UnknownLength> {
    let Some((&function, body)) = pdu.split_first() else { return Ok(None) };
    match FunctionCode(function).facts() {
        None => Err(UnknownLength { least: 1 }),
        Some(Facts { request: Length::Mei, .. }) => match body.first() {
            None => Ok(None),
            Some(&crate::device_identification::MEI) => Ok(Some(4)),
            Some(_) => Err(UnknownLength { least: 2 }),
        },
        Some(facts) => body_len(facts.request, body),
    }
}

/// How long the response is that starts with `pdu`, function code included; as [`request_len`].
///
/// # Errors
/// [`UnknownLength`] for a function without a rule.
pub fn response_len(pdu: &[u8]) -> Result<Option<usize>, UnknownLength> {
    let Some((&function, body)) = pdu.split_first() else { return Ok(None) };
    if function >= 0x80 {
        return Ok(Some(2));
    }
    match FunctionCode(function).facts() {
        None => Err(UnknownLength { least: 1 }),
        Some(Facts { response: Length::Mei, .. }) => match body.first() {
            None => Ok(None),
            Some(&crate::device_identification::MEI) => {
                Ok(crate::device_identification::response_body_len(body).map(|len| 1 + len))
            }
            Some(_) => Err(UnknownLength { least: 2 }),
        },
        Some(facts) => body_len(facts.response, body),
    }
}

fn body_len(rule: Length, body: &[u8]) -> Result<Option<usize>, UnknownLength> {
    Ok(match rule {
        Length::Fixed(len) => Some(1 + usize::from(len)),
        Length::Count8 { at } => {
            let at = usize::from(at);
            body.get(at).map(|&count| 2 + at + usize::from(count))
        }
        Length::Count16 { at } => {
            let at = usize::from(at);
            match body.get(at..at + 2) {
                Some(&[high, low]) => Some(3 + at + usize::from(u16::from_be_bytes([high, low]))),
                _ => None,
            }
        }
        Length::SubFunction => match *body {
            [high, low, ..] if !SubFunction(u16::from_be_bytes([high, low])).is_one_word() => {
                return Err(UnknownLength { least: 3 });
            }
            [_, _, ..] => Some(5),
            _ => None,
        },
        // Both callers have dealt with it.
        Length::Mei => return Err(UnknownLength { least: 2 }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], want: Result<Option<usize>, UnknownLength>) {
        assert_eq!(request_len(bytes), want, "request {bytes:02x?}");
    }

    #[track_caller]
    fn check_response(bytes: &[u8], want: Result<Option<usize>, UnknownLength>) {
        assert_eq!(response_len(bytes), want, "response {bytes:02x?}");
    }

    #[test]
    fn request_lengths() {
        check(&[], Ok(None));
        check(&[0x03], Ok(Some(5)));
        check(&[0x07], Ok(Some(1)));
        check(&[0x10, 0x00, 0x01, 0x00, 0x02], Ok(None)); // byte count not here yet
        check(&[0x10, 0x00, 0x01, 0x00, 0x02, 0x04], Ok(Some(10)));
        check(&[0x17, 0, 0, 0, 1, 0, 0, 0, 1], Ok(None));
        check(&[0x17, 0, 0, 0, 1, 0, 0, 0, 1, 2], Ok(Some(12)));
        check(&[0x16], Ok(Some(7)));
        check(&[0x18], Ok(Some(3)));
        check(&[0x2B], Ok(None));
        check(&[0x2B, 0x0E], Ok(Some(4)));
        check(&[0x2B, 0x0D], Err(UnknownLength { least: 2 }));
        check(&[0x08, 0], Ok(None));
        check(&[0x08, 0, 0], Err(UnknownLength { least: 3 }));
        check(&[0x08, 0, 1], Ok(Some(5)));
        check(&[0x08, 0, 20], Ok(Some(5)));
        check(&[0x08, 0, 21], Err(UnknownLength { least: 3 }));
        check(&[0x41], Err(UnknownLength { least: 1 }));
    }

    #[test]
    fn response_lengths() {
        check_response(&[0x83], Ok(Some(2)));
        check_response(&[0x03], Ok(None));
        check_response(&[0x03, 4], Ok(Some(6)));
        check_response(&[0x18, 0], Ok(None));
        check_response(&[0x18, 0, 6], Ok(Some(9)));
        check_response(&[0x2B, 0x0E, 1, 1, 0, 0], Ok(None));
        check_response(&[0x2B, 0x0E, 1, 1, 0, 0, 0], Ok(Some(7)));
        check_response(&[0x2B, 0x0E, 1, 1, 0, 0, 1, 0], Ok(None));
        check_response(&[0x2B, 0x0E, 1, 1, 0, 0, 1, 0, 3], Ok(Some(12)));
    }

    #[test]
    fn codes_ascend_and_sets_hold_them() {
        assert!(FACTS.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert_eq!(FunctionSet::public().iter().count(), FACTS.len());
        let set = FunctionSet::EMPTY.with(FunctionCode(0)).with(FunctionCode(0x83)).with(FunctionCode(0x41));
        assert_eq!(set.iter().map(|f| f.0).collect::<std::vec::Vec<_>>(), [0x41]);
        assert!(!set.contains(FunctionCode(0xC1)));
    }
}
