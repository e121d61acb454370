/// Why a server refuses a request: the byte after `function | 0x80` (V1.1b3, section 7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExceptionCode {
    /// 01: the function is not offered, or not in the state that the server is in.
    IllegalFunction,
    /// 02: an address, or address and quantity together, is not one of the server's.
    IllegalDataAddress,
    /// 03: the request's structure or a quantity in it is wrong. It does not mean that a register was given a
    /// value outside its range.
    IllegalDataValue,
    /// 04: the server failed while it carried the request out.
    ServerDeviceFailure,
    /// 05: accepted, and it takes long: ask again later.
    Acknowledge,
    /// 06: busy, or no transaction slot is free: send it again later.
    ServerDeviceBusy,
    /// 07: refused by the program function. No longer in the specification's table, still sent by old devices.
    NegativeAcknowledge,
    /// 08: the extended memory of a file failed its parity check.
    MemoryParityError,
    /// 0A: the gateway has no path to the unit: misconfigured or overloaded.
    GatewayPathUnavailable,
    /// 0B: the unit behind the gateway did not answer.
    GatewayTargetFailedToRespond,
    /// A code without a meaning in the specification, kept as it came.
    Other(u8),
}

/// The codes that have a name: one row each, read by every conversion.
const NAMED: [(ExceptionCode, u8, &str); 10] = [
    (ExceptionCode::IllegalFunction, 1, "illegal function"),
    (ExceptionCode::IllegalDataAddress, 2, "illegal data address"),
    (ExceptionCode::IllegalDataValue, 3, "illegal data value"),
    (ExceptionCode::ServerDeviceFailure, 4, "server device failure"),
    (ExceptionCode::Acknowledge, 5, "acknowledge"),
    (ExceptionCode::ServerDeviceBusy, 6, "server device busy"),
    (ExceptionCode::NegativeAcknowledge, 7, "negative acknowledge"),
    (ExceptionCode::MemoryParityError, 8, "memory parity error"),
    (ExceptionCode::GatewayPathUnavailable, 0x0A, "gateway path unavailable"),
    (ExceptionCode::GatewayTargetFailedToRespond, 0x0B, "gateway target device failed to respond"),
];

impl ExceptionCode {
    /// The byte on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            ExceptionCode::Other(code) => code,
            named => NAMED.iter().find(|(e, ..)| *e == named).map_or(0, |(_, code, _)| *code),
        }
    }

    /// The specification's name, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMED.iter().find(|(e, ..)| *e == self).map_or("undefined exception", |(.., name)| name)
    }
}

impl From<u8> for ExceptionCode {
    fn from(code: u8) -> Self {
        NAMED.iter().find(|(_, c, _)| *c == code).map_or(ExceptionCode::Other(code), |(e, ..)| *e)
    }
}

impl core::fmt::Display for ExceptionCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:02X} {}", self.code(), self.name())
    }
}

impl core::error::Error for ExceptionCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives() {
        for code in 0..=255 {
            assert_eq!(ExceptionCode::from(code).code(), code);
        }
    }
}
