//! Looking at the system: everything here that is not a value.
//!
//! Linux tells what listens in `/proc`, which is read by `linux`; the other systems have calls of their own, behind the
//! crate `listeners`, in `other`.

mod interfaces;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod other;
#[cfg(target_os = "linux")]
mod rules;

use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::service::Scope;
use crate::snapshot::{Snapshot, Unseen};

/// Connections that one snapshot holds; that there are more is told.
pub const PEERS_MAX: usize = 20_000;

/// Other network namespaces that are looked into; that there are more is told.
pub const NAMESPACES_MAX: usize = 64;

/// It was not possible to look at all.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The system's own list of sockets cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system's call for its sockets failed.
    #[error("the list of sockets: {0}")]
    Call(String),
}

/// Takes a snapshot of this machine: what listens on these ports, and everything around it.
///
/// It takes some milliseconds, and runs `nft` and `iptables-save` where they are there and there is something for them to
/// show. What cannot be seen stands in [`Snapshot::unseen`].
///
/// # Errors
///
/// When not even the sockets can be listed.
pub fn look(scope: &Scope) -> Result<Snapshot, LookError> {
    let mut snapshot = sockets(scope)?;
    snapshot.taken = now();
    snapshot.scope = scope.clone();
    match interfaces::all() {
        Ok(all) => snapshot.interfaces = all,
        Err(error) => snapshot
            .unseen
            .push(Unseen::File { path: "the list of interfaces".into(), why: error.to_string() }),
    }
    Ok(snapshot)
}

#[cfg(target_os = "linux")]
fn sockets(scope: &Scope) -> Result<Snapshot, LookError> {
    let mut snapshot = linux::look(std::path::Path::new("/proc"), scope)?;
    rules::read(&mut snapshot);
    Ok(snapshot)
}

#[cfg(not(target_os = "linux"))]
fn sockets(scope: &Scope) -> Result<Snapshot, LookError> {
    other::look(scope)
}

/// Seconds since 1970 in UTC.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;
    use crate::service::Service;

    /// What is there for other systems works here, too.
    #[test]
    fn both_ways_tell_the_same_listeners() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (tcp, udp) = (listener.local_addr().unwrap().port(), socket.local_addr().unwrap().port());
        let scope = Scope::new([(tcp, Service::Modbus), (udp, Service::Modbus)]);
        let told = |snapshot: Snapshot| -> Vec<_> {
            let all = snapshot.endpoints.into_iter().filter(|endpoint| endpoint.namespace.is_none());
            all.map(|endpoint| {
                let pids: Vec<u32> = endpoint.holder.processes().iter().map(|process| process.pid).collect();
                let executables: Vec<_> =
                    endpoint.holder.processes().iter().map(|process| process.executable.clone()).collect();
                (endpoint.port, endpoint.transport, endpoint.addresses, pids, executables)
            })
            .collect()
        };
        let (here, there) = (told(look(&scope).unwrap()), told(other::look(&scope).unwrap()));
        assert_eq!(here, there);
        assert!(here.iter().any(|(port, ..)| *port == tcp) && here.iter().any(|(port, ..)| *port == udp));
    }
}
