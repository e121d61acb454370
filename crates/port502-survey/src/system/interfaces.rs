//! The interfaces of this machine, on all systems.

use std::io;

use if_addrs::{IfAddr, IfOperStatus, get_if_addrs};

use crate::snapshot::Interface;

/// Every address of every interface.
pub(super) fn all() -> io::Result<Vec<Interface>> {
    let address = |interface: if_addrs::Interface| Interface {
        up: !matches!(interface.oper_status, IfOperStatus::Down | IfOperStatus::NotPresent),
        index: interface.index,
        ip: interface.addr.ip(),
        prefix_len: match &interface.addr {
            IfAddr::V4(v4) => v4.prefixlen,
            IfAddr::V6(v6) => v6.prefixlen,
        },
        name: interface.name,
    };
    Ok(get_if_addrs()?.into_iter().map(address).collect())
}
