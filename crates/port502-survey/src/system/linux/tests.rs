//! A `/proc` of our own making: what is rare on a machine can be had at will.

use super::*;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::service::Service;
use crate::snapshot::User;

/// A `/proc` of our own making, so that what is rare on a machine can be had at will.
struct Proc(PathBuf);

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Proc {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("port502-proc-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let proc = Proc(std::env::temp_dir().join(name));
        let _ = fs::remove_dir_all(&proc.0);
        proc.file("proc/stat", "cpu 1 2 3\nbtime 1700000000\n");
        proc.file("etc/passwd", "root:x:0:0::/root:/bin/sh\nplc:x:998:998::/nonexistent:/bin/false\n");
        proc.link("proc/self/ns/net", "net:[1]");
        proc.table("self", "tcp", &[]);
        proc
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, to: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    /// Rows as `(local, remote, state, uid, inode)`.
    fn table(&self, of: &str, name: &str, rows: &[(&str, &str, &str, u32, u64)]) {
        let mut text = "  sl  local_address rem_address   st ...\n".to_owned();
        for (local, remote, state, uid, inode) in rows {
            text += &format!(
                "   0: {} {} {state} 0:0 00:0 0 {uid} 0 {inode} 1 0\n",
                Self::address(local),
                Self::address(remote)
            );
        }
        self.file(&format!("proc/{of}/net/{name}"), &text);
    }

    fn address(text: &str) -> String {
        let address: SocketAddr = text.parse().unwrap();
        let IpAddr::V4(ip) = address.ip() else { panic!("{text}") };
        format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port())
    }

    fn process(&self, pid: u32, uid: u32, exe: Option<&str>, namespace: u64, sockets: &[u64]) {
        let stat = format!("{pid} (plc run) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 100 1 2");
        self.file(&format!("proc/{pid}/stat"), &stat);
        self.file(
            &format!("proc/{pid}/status"),
            &format!("Name:\tplc run\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n"),
        );
        self.link(&format!("proc/{pid}/ns/net"), &format!("net:[{namespace}]"));
        if let Some(exe) = exe {
            self.link(&format!("proc/{pid}/exe"), exe);
        }
        fs::create_dir_all(self.0.join(format!("proc/{pid}/fd"))).unwrap();
        for (number, inode) in sockets.iter().enumerate() {
            self.link(&format!("proc/{pid}/fd/{number}"), &format!("socket:[{inode}]"));
        }
    }

    fn look(&self) -> Snapshot {
        look(&self.0.join("proc"), &Scope::default()).unwrap()
    }
}

const ANY: &str = "0.0.0.0:0";

#[test]
fn a_program_and_its_clients_are_found() {
    let proc = Proc::new();
    proc.table(
        "self",
        "tcp",
        &[
            ("10.0.0.1:502", ANY, "0A", 998, 70),
            // A second socket on the same address, for a second thread.
            ("10.0.0.1:502", ANY, "0A", 998, 71),
            ("10.0.0.1:502", "203.0.113.7:40000", "01", 998, 72),
            ("10.0.0.1:40001", "10.0.0.9:502", "01", 0, 73),
            ("10.0.0.1:22", ANY, "0A", 0, 74),
            // Nothing listens on 102 here: it is the client's port, by chance.
            ("10.0.0.1:102", "10.0.0.9:4840", "01", 0, 73),
            // In TIME_WAIT, which nobody holds.
            ("10.0.0.1:502", "10.0.0.8:40002", "06", 0, 0),
        ],
    );
    proc.process(42, 998, Some("/opt/plc/run"), 1, &[70, 71, 72]);
    proc.process(43, 0, Some("/usr/bin/scada (deleted)"), 1, &[73, 73, 5]);
    let found = proc.look();
    let [endpoint] = found.endpoints.as_slice() else { panic!("{found:#?}") };
    assert_eq!((endpoint.port, endpoint.transport), (502, Transport::Tcp));
    assert_eq!(endpoint.addresses, [Address { ip: "10.0.0.1".parse().unwrap(), v6_only: None }]);
    assert_eq!(endpoint.user, Some(User { uid: 998, name: Some("plc".into()) }));
    let [process] = endpoint.holder.processes() else { panic!("{endpoint:#?}") };
    assert_eq!((process.pid, process.name.as_str()), (42, "plc run"));
    assert_eq!(process.executable.as_deref(), Some(Path::new("/opt/plc/run")));
    // 100 ticks after the machine was started.
    let ticks = i64::try_from(rustix::param::clock_ticks_per_second()).unwrap();
    assert_eq!(process.started, Some(1_700_000_000 + 100 / ticks));
    let peers: Vec<_> =
        found.peers.iter().map(|peer| (peer.direction, peer.service, peer.remote.to_string())).collect();
    assert_eq!(
        peers,
        [
            (Direction::In, Service::Modbus, "203.0.113.7:40000".to_owned()),
            (Direction::Out, Service::Modbus, "10.0.0.9:502".to_owned()),
            (Direction::Out, Service::OpcUa, "10.0.0.9:4840".to_owned()),
        ]
    );
    let scada = found.peers[1].holder.processes();
    assert!(scada[0].executable_deleted);
    assert_eq!(scada[0].executable.as_deref(), Some(Path::new("/usr/bin/scada")));
    assert_eq!(found.unseen, []);
}

#[test]
fn what_ends_while_it_is_looked_at_is_told_or_left_out() {
    let proc = Proc::new();
    let rows = [("10.0.0.1:502", ANY, "0A", 998, 70)];
    proc.table("self", "tcp", &rows);
    // The process is there no more, the socket is: the kernel's own, or passed on.
    assert_eq!(proc.look().endpoints[0].holder, Holder::Nobody);
    // It has the socket open and ends before it is asked who it is.
    proc.process(42, 998, None, 1, &[70]);
    fs::remove_file(proc.0.join("proc/42/stat")).unwrap();
    assert_eq!(proc.look().endpoints[0].holder, Holder::Nobody);
    // Its folder goes while it is read: what is left of it is no error.
    fs::remove_dir_all(proc.0.join("proc/42/fd")).unwrap();
    assert_eq!(proc.look().endpoints.len(), 1);

    // The socket has gone with it, when the table is read again.
    let sockets: Vec<Socket> =
        table::rows(&fs::read_to_string(proc.0.join("proc/self/net/tcp")).unwrap(), |_| true)
            .map(|row| Socket { row, transport: Transport::Tcp, namespace: None })
            .collect();
    let scope = Scope::default();
    let owners = process::Owners::default();
    assert!(gone(&proc.0.join("proc"), &scope, &sockets, &owners).is_empty());
    proc.table("self", "tcp", &[]);
    assert_eq!(gone(&proc.0.join("proc"), &scope, &sockets, &owners), HashSet::from([70]));
}

#[test]
fn a_connection_that_waits_is_the_listeners() {
    let proc = Proc::new();
    proc.table(
        "self",
        "tcp",
        &[("0.0.0.0:502", ANY, "0A", 998, 70), ("10.0.0.1:502", "10.0.0.9:40000", "01", 0, 0)],
    );
    proc.process(42, 998, Some("/opt/plc/run"), 1, &[70]);
    assert_eq!(proc.look().peers[0].holder.processes()[0].pid, 42);
}

#[test]
fn an_executable_that_is_hidden_is_told() {
    let proc = Proc::new();
    proc.table("self", "tcp", &[("127.0.0.1:802", ANY, "0A", 0, 70)]);
    proc.process(42, 0, None, 1, &[70]);
    let found = proc.look();
    assert_eq!(found.endpoints[0].holder.processes()[0].executable, None);
    assert_eq!(found.unseen, [Unseen::Executables { processes: 1 }]);
}

#[test]
fn other_namespaces_are_looked_into() {
    let proc = Proc::new();
    proc.process(7, 0, Some("/sbin/init"), 1, &[]);
    proc.process(42, 998, Some("/opt/plc/run"), 5, &[70]);
    proc.process(43, 998, Some("/opt/plc/run"), 5, &[]);
    proc.table("42", "tcp", &[("0.0.0.0:502", ANY, "0A", 998, 70)]);
    proc.file("proc/42/net/dev", "Inter-|   Receive\n face |bytes\n    lo: 0\n  eth0: 1 2 3\n");
    let found = proc.look();
    let [endpoint] = found.endpoints.as_slice() else { panic!("{found:#?}") };
    let want = Namespace { id: 5, pid: 42, interfaces: vec!["eth0".into()] };
    assert_eq!(endpoint.namespace, Some(want));
    assert_eq!(endpoint.holder.processes()[0].pid, 42);
}

#[test]
fn without_a_table_there_is_nothing_to_look_at() {
    let proc = Proc::new();
    fs::remove_file(proc.0.join("proc/self/net/tcp")).unwrap();
    let error = look(&proc.0.join("proc"), &Scope::default()).unwrap_err();
    assert!(error.to_string().contains("self/net/tcp"), "{error}");
}

#[test]
fn only_so_many_connections_are_kept() {
    let proc = Proc::new();
    let ports: Vec<String> =
        (0..PEERS_MAX + 5).map(|n| format!("10.0.{}.{}:40000", n / 250, n % 250 + 1)).collect();
    let mut rows: Vec<_> = ports.iter().map(|remote| ("10.0.0.1:502", remote.as_str(), "01", 0, 9)).collect();
    rows.push(("10.0.0.1:502", ANY, "0A", 998, 70));
    proc.table("self", "tcp", &rows);
    let found = proc.look();
    assert_eq!((found.peers.len(), found.endpoints.len()), (PEERS_MAX, 1));
    assert!(found.unseen.contains(&Unseen::TooMany { what: "connections", max: PEERS_MAX }));
}
