//! Link types: what the first bytes of a captured packet are.

/// How a captured packet begins, by its number in the registry of link types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// BSD loopback (0): the address family in the byte order of the machine that captured.
    Null,
    /// Ethernet (1), without preamble and usually without frame check sequence.
    Ethernet,
    /// An IPv4 or IPv6 header comes first (101; 12 and 14 from old systems; 228 and 229 name the version).
    RawIp,
    /// OpenBSD loopback (108): the address family in network byte order.
    Loop,
    /// Linux "cooked" (113): what tcpdump writes for `-i any`.
    LinuxSll,
    /// Linux "cooked", version 2 (276).
    LinuxSll2,
    /// A number this crate does not slice. Kept: the packet is still delivered.
    Other(u16),
}

impl LinkType {
    /// The link type with this number in a file.
    pub const fn from_number(number: u16) -> Self {
        match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            12 | 14 | 101 | 228 | 229 => Self::RawIp,
            108 => Self::Loop,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            other => Self::Other(other),
        }
    }

    /// The number to write into a file.
    pub const fn number(self) -> u16 {
        match self {
            Self::Null => 0,
            Self::Ethernet => 1,
            Self::RawIp => 101,
            Self::Loop => 108,
            Self::LinuxSll => 113,
            Self::LinuxSll2 => 276,
            Self::Other(number) => number,
        }
    }
}
