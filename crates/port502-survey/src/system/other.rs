//! macOS, Windows and the BSDs, by the crate `listeners`: what listens, and which program it is.
//!
//! There is no call there, without a driver or another program's output, for who is connected, and the packet filters have
//! formats of their own: both are told as unseen.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::LookError;
use crate::service::Scope;
use crate::snapshot::{Address, Endpoint, Holder, Process, Snapshot, Transport, Unseen, Why};

/// Looks at everything that the system's calls tell.
pub(super) fn look(scope: &Scope) -> Result<Snapshot, LookError> {
    let all = listeners::get_all().map_err(|error| LookError::Call(error.to_string()))?;
    let mut found: BTreeMap<(u16, Transport, SocketAddr), Vec<Process>> = BTreeMap::new();
    for listener in all {
        let transport = match listener.protocol {
            listeners::Protocol::TCP if listener.state == listeners::SocketState::Listen => Transport::Tcp,
            listeners::Protocol::TCP => continue,
            listeners::Protocol::UDP => Transport::Udp,
        };
        let local = listener.socket;
        if scope.service(local.port()).is_none() {
            continue;
        }
        let process = Process {
            pid: listener.process.pid,
            name: listener.process.name,
            executable: Some(PathBuf::from(listener.process.path))
                .filter(|path| !path.as_os_str().is_empty()),
            executable_deleted: false,
            user: None,
            started: None,
        };
        let processes = found.entry((local.port(), transport, local)).or_default();
        if !processes.contains(&process) {
            processes.push(process);
        }
    }
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for ((port, transport, local), mut processes) in found {
        let Some(service) = scope.service(port) else { continue };
        processes.sort();
        let holder = Holder::Processes(processes);
        let address = Address { ip: local.ip().to_canonical(), v6_only: None };
        let same = endpoints
            .iter_mut()
            .find(|known| (known.port, known.transport, &known.holder) == (port, transport, &holder));
        match same {
            Some(endpoint) => endpoint.addresses.push(address),
            None => endpoints.push(Endpoint {
                port,
                transport,
                service,
                addresses: vec![address],
                user: None,
                holder,
                namespace: None,
            }),
        }
    }
    let place = |port: u16| scope.ports().position(|(known, _)| known == port);
    endpoints.sort_by(|a, b| (place(a.port), a).cmp(&(place(b.port), b)));
    let (tool, rules) = if cfg!(windows) { ("netsh", "Windows Firewall") } else { ("pfctl", "pf") };
    let filter = Unseen::Filter { tool, rules, why: Why::NoWay };
    Ok(Snapshot { endpoints, unseen: vec![Unseen::Peers, Unseen::Users, filter], ..Snapshot::default() })
}
