//! Addresses: which are public, and which belong to the networks of this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address belongs to the internet, and not to a network of somebody's own: not private (RFC 1918, RFC 4193),
/// loopback, link-local, shared (RFC 6598), multicast, or set aside for documentation and tests.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let set_aside = a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (b == 18 || b == 19))
        || (a == 192 && b == 0 && c == 0);
    !(set_aside
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // 2000::/3 is what is given to the internet; 2001:db8::/32 and 3fff::/20 are for documentation.
    (a & 0xE000) == 0x2000 && !(a == 0x2001 && b == 0x0DB8) && !(a == 0x3FFF && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, want: bool) {
        assert_eq!(is_public(address.parse().unwrap()), want, "{address}");
    }

    #[test]
    fn public_addresses_are_told_from_others() {
        for public in
            ["8.8.8.8", "1.1.1.1", "172.32.0.1", "172.15.255.255", "100.63.0.1", "100.128.0.1", "198.20.0.1"]
        {
            check(public, true);
        }
        for own in
            ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "169.254.1.1", "0.0.0.0"]
        {
            check(own, false);
        }
        for set_aside in
            ["100.64.0.1", "198.18.0.1", "203.0.113.7", "224.0.0.1", "255.255.255.255", "192.0.0.8"]
        {
            check(set_aside, false);
        }
        check("::ffff:8.8.8.8", true);
        check("::ffff:10.0.0.1", false);
        check("2606:4700::1111", true);
        for own in ["::1", "::", "fe80::1", "fd00::2", "2001:db8::1", "3fff:1::1", "ff02::1"] {
            check(own, false);
        }
    }
}
