//! Read Device Identification, 43/14 (V1.1b3, 6.21): who made the device, in up to 256 named objects.

use crate::{EmitError, PduError, Writer};

/// The MEI type of a device identification.
pub(crate) const MEI: u8 = 0x0E;

const FUNCTION: u8 = crate::FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT.0;

/// The objects with a name in the specification, by id: 0 to 2 are mandatory.
pub const DEVICE_OBJECT_NAMES: [&str; 7] = [
    "VendorName",
    "ProductCode",
    "MajorMinorRevision",
    "VendorUrl",
    "ProductName",
    "ModelName",
    "UserApplicationName",
];

/// Which objects are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReadDeviceIdCode {
    /// 01: objects 0 to 2, as a stream.
    Basic,
    /// 02: objects 0 to 0x7F, as a stream.
    Regular,
    /// 03: all objects, as a stream.
    Extended,
    /// 04: one object.
    Specific,
}

impl ReadDeviceIdCode {
    /// The byte on the wire, 1 to 4.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            ReadDeviceIdCode::Basic => 1,
            ReadDeviceIdCode::Regular => 2,
            ReadDeviceIdCode::Extended => 3,
            ReadDeviceIdCode::Specific => 4,
        }
    }

    /// The code of a byte; `None` for all but 1 to 4.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => ReadDeviceIdCode::Basic,
            2 => ReadDeviceIdCode::Regular,
            3 => ReadDeviceIdCode::Extended,
            4 => ReadDeviceIdCode::Specific,
            _ => return None,
        })
    }
}

/// A response: objects, and whether more follow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DeviceIdentification<'a> {
    /// The code of the request.
    pub code: ReadDeviceIdCode,
    /// The device's own level: 1 to 3 for streams only, with 0x80 also for single objects.
    pub conformity: u8,
    /// The first object of the next transaction, where not all fitted in this one.
    pub next: Option<u8>,
    /// The objects.
    pub objects: DeviceObjects<'a>,
}

/// One object of a device identification.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DeviceObject<'a> {
    /// 0 to 0x7F have meanings of the specification, 0x80 and above are the vendor's.
    pub id: u8,
    /// ASCII for the named ones; whatever the vendor likes for its own.
    pub value: &'a [u8],
}

/// Objects as they stand in a response.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceObjects<'a> {
    count: u8,
    bytes: &'a [u8],
}

impl<'a> DeviceObjects<'a> {
    /// `count` objects as they stand in a response; `None` when `bytes` hold another number.
    #[must_use]
    pub fn new(count: usize, bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        for _ in 0..count {
            (_, rest) = split_object(rest)?;
        }
        if rest.is_empty() { Some(DeviceObjects { count: u8::try_from(count).ok()?, bytes }) } else { None }
    }

    /// Writes `objects` into `scratch` as they stand in a response; `None` when they do not fit.
    #[must_use]
    pub fn encode<'o>(
        objects: impl IntoIterator<Item = DeviceObject<'o>>,
        scratch: &'a mut [u8],
    ) -> Option<Self> {
        let (mut out, mut count) = (Writer::new(scratch), 0u8);
        for object in objects {
            let len = u8::try_from(object.value.len()).ok()?;
            out.u8(object.id).ok()?.u8(len).ok()?.bytes(object.value).ok()?;
            count = count.checked_add(1)?;
        }
        Some(DeviceObjects { count, bytes: out.finish() })
    }

    /// The objects, in the order of the response.
    pub fn iter(self) -> impl Iterator<Item = DeviceObject<'a>> + Clone {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (object, tail) = split_object(rest)?;
            rest = tail;
            Some(object)
        })
    }

    /// How many.
    #[must_use]
    pub const fn len(self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }
}

impl core::fmt::Debug for DeviceObjects<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

pub(crate) fn split_object(bytes: &[u8]) -> Option<(DeviceObject<'_>, &[u8])> {
    match bytes {
        [id, len, rest @ ..] => {
            let (value, tail) = rest.split_at_checked(usize::from(*len))?;
            Some((DeviceObject { id: *id, value }, tail))
        }
        _ => None,
    }
}

/// How long the body of a response is that starts with `body`; `None` when more bytes are needed to tell.
pub(crate) fn response_body_len(body: &[u8]) -> Option<usize> {
    let mut len = 6;
    for _ in 0..*body.get(5)? {
        // The value itself need not be here yet.
        len += 2 + usize::from(*body.get(len + 1)?);
    }
    Some(len)
}

impl<'a> DeviceIdentification<'a> {
    /// From the body of a response, MEI type included.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, PduError> {
        let function = FUNCTION;
        let &[_mei, code, conformity, more, next, count, ref bytes @ ..] = body else {
            return Err(PduError::Truncated { function, offset: 1 + body.len() });
        };
        let wrong = |offset, got: u8| PduError::Value { function, offset, got: got.into() };
        let code = ReadDeviceIdCode::from_code(code).ok_or(wrong(2, code))?;
        if !matches!(conformity, 1..=3 | 0x81..=0x83) {
            return Err(wrong(3, conformity));
        }
        let next = match (more, next) {
            (0xFF, next) => Some(next),
            (0, 0) => None,
            (0, next) => return Err(wrong(5, next)),
            (more, _) => return Err(wrong(4, more)),
        };
        let mut rest = bytes;
        for _ in 0..count {
            let offset = 1 + body.len() - rest.len();
            (_, rest) = split_object(rest).ok_or(PduError::Truncated { function, offset })?;
        }
        if !rest.is_empty() {
            return Err(PduError::Trailing { function, offset: 1 + body.len() - rest.len() });
        }
        Ok(DeviceIdentification { code, conformity, next, objects: DeviceObjects { count, bytes } })
    }

    pub(crate) fn emit(&self, out: &mut Writer<'_>) -> Result<(), EmitError> {
        let (more, next) = self.next.map_or((0, 0), |next| (0xFF, next));
        out.u8(MEI)?.u8(self.code.code())?.u8(self.conformity)?.u8(more)?.u8(next)?;
        out.u8(self.objects.count)?.bytes(self.objects.bytes)?;
        Ok(())
    }
}
