/// The one-byte device address: who on the bus, or behind the gateway, is meant.
///
/// 1 to 247 address a device, 0 is the broadcast on serial lines, 248 to 255 are reserved there. A device that
/// is reached directly over TCP is addressed as 255, and answers 0 too (Messaging on TCP/IP V1.0b, 4.4.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UnitId(pub u8);

impl UnitId {
    /// On a serial line every server obeys and none answers.
    pub const BROADCAST: UnitId = UnitId(0);
    /// What a client should send to a server that is not behind a gateway.
    pub const DIRECT: UnitId = UnitId(0xFF);

    /// The unit id as its byte on the wire.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl From<u8> for UnitId {
    fn from(unit: u8) -> Self {
        UnitId(unit)
    }
}

impl core::fmt::Display for UnitId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}
