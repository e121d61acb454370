//! Networks in the notation of RFC 4632, `10.20.0.0/24`.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Network {
    /// The first of them: what is behind the prefix is 0.
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not a [`Network`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetworkError {
    /// Neither an address nor an address with a prefix.
    Syntax,
    /// More bits than the address has.
    Prefix {
        /// How many it has.
        max: u8,
    },
    /// There are bits behind the prefix: `10.20.0.7/24` may mean one host or its network.
    HostBits {
        /// The network of this address.
        network: Network,
    },
}

/// The address as a number whose first bit is the address's first, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl Network {
    /// The network of an address.
    ///
    /// # Errors
    /// A prefix longer than the address, or bits behind it.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, NetworkError> {
        let (number, max) = bits(address);
        if prefix > max {
            return Err(NetworkError::Prefix { max });
        }
        let masked = number & mask(prefix);
        if masked != number {
            let address = match address {
                IpAddr::V4(v4) => {
                    let shift = 32 - u32::from(prefix);
                    IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(shift).unwrap_or(0)).into())
                }
                IpAddr::V6(_) => IpAddr::V6(masked.into()),
            };
            return Err(NetworkError::HostBits { network: Network { address, prefix } });
        }
        Ok(Network { address, prefix })
    }

    /// Whether an address is one of them. An IPv4 address that came as IPv6 (`::ffff:10.0.0.1`) is that IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let ((own, width), (other, other_width)) = (bits(self.address), bits(address.to_canonical()));
        width == other_width && own == other & mask(self.prefix)
    }

    /// Whether both have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Network) -> bool {
        let shorter = if self.prefix <= other.prefix { (self, other) } else { (other, self) };
        shorter.0.contains(shorter.1.address)
    }

    /// The first address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits all of them share.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// `10.20.0.0/24`, `fd00::/8`, or one address alone.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Syntax)?;
        let (_, max) = bits(address);
        let prefix = match prefix {
            None => max,
            // u8::from_str would take a sign.
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| NetworkError::Prefix { max })?
            }
            Some(_) => return Err(NetworkError::Syntax),
        };
        Network::new(address, prefix)
    }
}

impl fmt::Display for Network {
    /// One host without its prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, max) = bits(self.address);
        if self.prefix == max { self.address.fmt(f) } else { write!(f, "{}/{}", self.address, self.prefix) }
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkError::Syntax => f.write_str("want an address or a network, as 10.20.0.0/24"),
            NetworkError::Prefix { max } => write!(f, "a prefix is 0 to {max} bits"),
            NetworkError::HostBits { network } => {
                write!(
                    f,
                    "there are bits behind the prefix; write {network}, or the address without a prefix"
                )
            }
        }
    }
}

impl core::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn texts() {
        for text in ["10.20.0.0/24", "0.0.0.0/0", "fd00::/8", "::/0", "10.0.0.7", "fe80::1"] {
            assert_eq!(network(text).to_string(), text);
        }
        for (text, want) in [
            ("", NetworkError::Syntax),
            ("10.0.0", NetworkError::Syntax),
            ("10.0.0.0/", NetworkError::Syntax),
            ("10.0.0.0/+8", NetworkError::Syntax),
            ("10.0.0.0/33", NetworkError::Prefix { max: 32 }),
            ("::/129", NetworkError::Prefix { max: 128 }),
            ("10.20.0.7/24", NetworkError::HostBits { network: network("10.20.0.0/24") }),
            ("fd00::1/8", NetworkError::HostBits { network: network("fd00::/8") }),
        ] {
            assert_eq!(text.parse::<Network>(), Err(want), "{text}");
        }
    }

    #[test]
    fn both_ends_belong_and_no_more() {
        for (net, inside, outside) in [
            ("10.20.0.0/24", ["10.20.0.0", "10.20.0.255"], ["10.19.255.255", "10.20.1.0"]),
            ("10.20.0.7", ["10.20.0.7", "::ffff:10.20.0.7"], ["10.20.0.6", "10.20.0.8"]),
            ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "::1"]),
            ("fd00::/8", ["fd00::", "fdff::1"], ["fc00::", "fe00::"]),
        ] {
            for address in inside {
                assert!(network(net).contains(address.parse().unwrap()), "{address} in {net}");
            }
            for address in outside {
                assert!(!network(net).contains(address.parse().unwrap()), "{address} not in {net}");
            }
        }
    }

    #[test]
    fn overlaps() {
        for (a, b, want) in [
            ("10.0.0.0/8", "10.20.0.0/24", true),
            ("10.20.0.0/24", "10.20.1.0/24", false),
            ("::/0", "10.0.0.0/8", false),
            ("10.0.0.1", "10.0.0.1", true),
        ] {
            assert_eq!(network(a).overlaps(&network(b)), want, "{a} {b}");
            assert_eq!(network(b).overlaps(&network(a)), want, "{b} {a}");
        }
    }
}
