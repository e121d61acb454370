//! What Linux tells in `/proc`.
//!
//! 1. The sockets of our network namespace ([`diag`], or else the tables of `/proc`), and the tables of every other one that a
//!    process we may look into is in.
//! 2. What every process has open: a link `socket:[N]` leads from a process to the row with that number.
//! 3. Of those processes, who they are.
//!
//! Programs end while this goes on. A row whose process has gone is looked up again: when the row has gone, too, it is
//! left out and told; when not, the socket belongs to somebody whom we may not look into, or to the kernel itself.

mod diag;
mod process;
mod table;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use self::process::Users;
use self::table::Row;
use super::{LookError, NAMESPACES_MAX, PEERS_MAX};
use crate::service::Scope;
use crate::snapshot::{
    Address, Chassis, Direction, Endpoint, Holder, Machine, Namespace, Peer, Process, Snapshot, Transport,
    Unseen,
};

/// The tables, and what is in them.
const TABLES: [(&str, Transport); 4] =
    [("tcp", Transport::Tcp), ("tcp6", Transport::Tcp), ("udp", Transport::Udp), ("udp6", Transport::Udp)];

/// A socket of one of the tables, with the namespace that the table is of.
struct Socket {
    row: Row,
    transport: Transport,
    namespace: Option<Namespace>,
}

/// Looks at everything that `proc` tells: that is `/proc`, but in a test.
pub(super) fn look(proc: &Path, scope: &Scope) -> Result<Snapshot, LookError> {
    let mut snapshot = Snapshot { machine: machine(), ..Snapshot::default() };
    let mut sockets = Vec::new();
    read_own(proc, scope, &mut sockets, &mut snapshot.unseen)?;
    let pids = process::pids(proc).map_err(|source| LookError::File { path: proc.to_path_buf(), source })?;
    others(proc, scope, &pids, &mut sockets, &mut snapshot.unseen);
    if sockets.len() > PEERS_MAX {
        // What listens is kept whole.
        let mut room = PEERS_MAX;
        sockets.retain(|socket| {
            socket.row.listens(socket.transport)
                || room.checked_sub(1).is_some_and(|left| {
                    room = left;
                    true
                })
        });
        snapshot.unseen.push(Unseen::TooMany { what: "connections", max: PEERS_MAX });
    }

    let wanted: HashSet<u64> =
        sockets.iter().map(|socket| socket.row.inode).filter(|inode| *inode != 0).collect();
    let owners =
        if wanted.is_empty() { process::Owners::default() } else { process::owners(proc, &pids, &wanted) };
    let gone = gone(proc, scope, &sockets, &owners);
    let mut people =
        People { proc, users: Users::read(proc), boot: process::boot_time(proc), known: BTreeMap::new() };
    let holder = |inode: u64, people: &mut People<'_>| match owners.of.get(&inode) {
        Some(pids) => {
            let processes: Vec<Process> = pids.iter().filter_map(|pid| people.process(*pid)).collect();
            if processes.is_empty() { Holder::Nobody } else { Holder::Processes(processes) }
        }
        None if owners.hidden > 0 => Holder::Hidden,
        None => Holder::Nobody,
    };

    let (mut endpoints, mut ended): (Vec<Endpoint>, usize) = (Vec::new(), 0);
    for Socket { row, transport, namespace } in sockets {
        let listening = scope.service(row.local.port()).filter(|_| row.listens(transport));
        if let Some(service) = listening {
            if gone.contains(&row.inode) {
                ended += 1;
                continue;
            }
            let holder = holder(row.inode, &mut people);
            let address = Address { ip: row.local.ip(), v6_only: row.v6_only };
            let user = Some(people.users.user(row.uid));
            let same = endpoints.iter_mut().find(|endpoint| {
                (endpoint.port, endpoint.transport, &endpoint.holder, &endpoint.namespace, &endpoint.user)
                    == (row.local.port(), transport, &holder, &namespace, &user)
            });
            match same {
                Some(endpoint) if endpoint.addresses.contains(&address) => {}
                Some(endpoint) => endpoint.addresses.push(address),
                None => endpoints.push(Endpoint {
                    port: row.local.port(),
                    transport,
                    service,
                    addresses: vec![address],
                    user,
                    holder,
                    namespace,
                }),
            }
        } else if let Some((direction, service)) = talks(scope, &row) {
            let holder = holder(row.inode, &mut people);
            snapshot.peers.push(Peer {
                direction,
                service,
                local: row.local,
                remote: row.remote,
                holder,
                namespace,
            });
        }
    }
    let hidden = endpoints.iter().filter(|endpoint| endpoint.holder == Holder::Hidden).count()
        + snapshot.peers.iter().filter(|peer| peer.holder == Holder::Hidden).count();
    if hidden > 0 {
        snapshot.unseen.push(Unseen::Holders { sockets: hidden });
    }
    let executables = people.known.values().flatten().filter(|process| process.executable.is_none()).count();
    if executables > 0 {
        snapshot.unseen.push(Unseen::Executables { processes: executables });
    }
    if ended > 0 {
        snapshot.unseen.push(Unseen::Ended { sockets: ended });
    }
    directions(&endpoints, &mut snapshot.peers);
    waiting(&endpoints, &mut snapshot.peers);
    for endpoint in &mut endpoints {
        endpoint.addresses.sort();
    }
    let place = |port: u16| scope.ports().position(|(known, _)| known == port);
    endpoints.sort_by(|a, b| (place(a.port), a).cmp(&(place(b.port), b)));
    snapshot.peers.sort();
    snapshot.endpoints = endpoints;
    Ok(snapshot)
}

/// The rows of our own namespace that are about our ports: of the kernel, or of its tables where it does not answer.
fn read_own(
    proc: &Path,
    scope: &Scope,
    sockets: &mut Vec<Socket>,
    unseen: &mut Vec<Unseen>,
) -> Result<(), LookError> {
    // A folder of our own making has tables only.
    if proc == Path::new("/proc") && ask_kernel(scope, sockets).is_ok() {
        return Ok(());
    }
    sockets.clear();
    read_tables(&proc.join("self/net"), scope, None, sockets, unseen)
}

fn ask_kernel(scope: &Scope, sockets: &mut Vec<Socket>) -> io::Result<()> {
    let wanted = |port: u16| scope.service(port).is_some();
    for (name, transport) in TABLES {
        let mut rows = Vec::new();
        match diag::sockets(transport, name.ends_with('6'), &wanted, &mut rows) {
            Ok(()) => {}
            // A system without IPv6 knows nothing of it.
            Err(_) if name.ends_with('6') && !Path::new("/proc/net").join(name).exists() => continue,
            Err(error) => return Err(error),
        }
        sockets.extend(rows.into_iter().map(|row| Socket { row, transport, namespace: None }));
    }
    Ok(())
}

/// The rows of one namespace's tables that are about our ports.
fn read_tables(
    net: &Path,
    scope: &Scope,
    namespace: Option<&Namespace>,
    sockets: &mut Vec<Socket>,
    unseen: &mut Vec<Unseen>,
) -> Result<(), LookError> {
    for (name, transport) in TABLES {
        let path = net.join(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // A system without IPv6 has no table of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name != "tcp" => continue,
            Err(source) if namespace.is_none() && name == "tcp" => {
                return Err(LookError::File { path, source });
            }
            Err(error) => {
                if namespace.is_none() {
                    unseen.push(Unseen::File { path, why: error.to_string() });
                }
                continue;
            }
        };
        let ours = |port: u16| scope.service(port).is_some();
        sockets.extend(
            table::rows(&text, ours)
                .filter(|row| row.listens(transport) || row.is_established())
                .map(|row| Socket { row, transport, namespace: namespace.cloned() }),
        );
    }
    Ok(())
}

/// The network namespaces of processes other than ours, and their sockets.
fn others(proc: &Path, scope: &Scope, pids: &[u32], sockets: &mut Vec<Socket>, unseen: &mut Vec<Unseen>) {
    let Some(ours) = process::namespace(&proc.join("self")).ok().flatten() else { return };
    let (mut found, mut hidden): (BTreeMap<u64, u32>, usize) = (BTreeMap::new(), 0);
    for pid in pids {
        match process::namespace(&proc.join(pid.to_string())) {
            Ok(Some(id)) if id != ours => {
                found.entry(id).or_insert(*pid);
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => hidden += 1,
            _ => {}
        }
    }
    if hidden > 0 {
        unseen.push(Unseen::Namespaces { processes: hidden });
    }
    if found.len() > NAMESPACES_MAX {
        unseen.push(Unseen::TooMany { what: "network namespaces", max: NAMESPACES_MAX });
    }
    for (id, pid) in found.into_iter().take(NAMESPACES_MAX) {
        let net: PathBuf = proc.join(pid.to_string()).join("net");
        let namespace = Namespace { id, pid, interfaces: table::interfaces(&net.join("dev")) };
        // One that has gone by now has no tables, and that is no error.
        let _ = read_tables(&net, scope, Some(&namespace), sockets, unseen);
    }
}

/// Listening rows without a process that are not there any more.
fn gone(proc: &Path, scope: &Scope, sockets: &[Socket], owners: &process::Owners) -> HashSet<u64> {
    let lost: HashSet<u64> = sockets
        .iter()
        .filter(|socket| socket.namespace.is_none() && socket.row.listens(socket.transport))
        .map(|socket| socket.row.inode)
        .filter(|inode| !owners.of.contains_key(inode))
        .collect();
    if lost.is_empty() {
        return lost;
    }
    let mut again = Vec::new();
    if read_own(proc, scope, &mut again, &mut Vec::new()).is_err() {
        return HashSet::new();
    }
    let there: HashSet<u64> = again.iter().map(|socket| socket.row.inode).collect();
    lost.into_iter().filter(|inode| !there.contains(inode)).collect()
}

/// By its ports, who opened a connection. A port of ours comes first: [`directions`] looks again.
fn talks(scope: &Scope, row: &Row) -> Option<(Direction, crate::service::Service)> {
    match (scope.service(row.local.port()), scope.service(row.remote.port())) {
        (Some(service), _) => Some((Direction::In, service)),
        (None, Some(service)) => Some((Direction::Out, service)),
        (None, None) => None,
    }
}

/// A program may use a port of ours as the client's, by chance or by will: where nothing listens on it and the other
/// end's is one, too, the other end is the server.
fn directions(endpoints: &[Endpoint], peers: &mut [Peer]) {
    for peer in peers.iter_mut().filter(|peer| peer.direction == Direction::In) {
        let listens = endpoints.iter().any(|endpoint| {
            endpoint.transport == Transport::Tcp
                && endpoint.port == peer.local.port()
                && endpoint.namespace == peer.namespace
        });
        let usual =
            crate::service::Service::ALL.into_iter().find(|service| service.port() == peer.remote.port());
        if let (false, Some(service)) = (listens, usual) {
            (peer.direction, peer.service) = (Direction::Out, service);
        }
    }
}

/// A connection that its program has not yet accepted is held by nobody. It waits for the one that listens.
fn waiting(endpoints: &[Endpoint], peers: &mut [Peer]) {
    for peer in
        peers.iter_mut().filter(|peer| peer.direction == Direction::In && peer.holder == Holder::Nobody)
    {
        let listens = endpoints.iter().find(|endpoint| {
            endpoint.transport == Transport::Tcp
                && endpoint.port == peer.local.port()
                && endpoint.namespace == peer.namespace
                && endpoint.takes(peer.local.ip())
        });
        if let Some(endpoint) = listens {
            peer.holder = endpoint.holder.clone();
        }
    }
}

/// Who processes are, each asked once.
struct People<'p> {
    proc: &'p Path,
    users: Users,
    boot: Option<i64>,
    known: BTreeMap<u32, Option<Process>>,
}

impl People<'_> {
    fn process(&mut self, pid: u32) -> Option<Process> {
        let People { proc, users, boot, known } = self;
        known.entry(pid).or_insert_with(|| process::read(proc, pid, users, *boot)).clone()
    }
}

/// What kind of machine the firmware says it is (SMBIOS, table 17).
fn machine() -> Machine {
    let chassis = fs::read_to_string("/sys/class/dmi/id/chassis_type").ok();
    let chassis = chassis.and_then(|text| text.trim().parse::<u8>().ok()).map(|kind| match kind {
        8..=11 | 14 | 30..=32 => Chassis::Portable,
        3..=7 | 13 | 15 => Chassis::Desktop,
        _ => Chassis::Other,
    });
    Machine { chassis }
}

#[cfg(test)]
mod tests;
