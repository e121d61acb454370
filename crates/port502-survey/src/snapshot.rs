//! What there is to see of a machine at one moment, as a plain value.
//!
//! Nothing here says what to think of it ([`judge`](crate::judge)), or how it was seen ([`system`](crate::system)).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::filter::Ruleset;
use crate::service::{Scope, Service};

/// What was seen in one look.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Snapshot {
    /// When, in seconds since 1970 in UTC.
    pub taken: i64,
    /// The ports that were looked at.
    pub scope: Scope,
    /// What listens on them, in the order in which they were asked for.
    pub endpoints: Vec<Endpoint>,
    /// Connections to and from those ports.
    pub peers: Vec<Peer>,
    /// The interfaces of this machine that have an address, loopback among them.
    pub interfaces: Vec<Interface>,
    /// The rules of the packet filters that could be read.
    pub rulesets: Vec<Ruleset>,
    /// What kind of machine it is.
    pub machine: Machine,
    /// What could not be seen, and why.
    pub unseen: Vec<Unseen>,
}

/// TCP or UDP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// `tcp` or `udp`.
    pub const fn word(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A program that listens on a port, with all the addresses on which it does.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Endpoint {
    /// The port.
    pub port: u16,
    /// TCP or UDP.
    pub transport: Transport,
    /// What is expected there.
    pub service: Service,
    /// The addresses, each once: several sockets on one address count as one.
    pub addresses: Vec<Address>,
    /// The user to whom the sockets belong, where the system tells it.
    pub user: Option<User>,
    /// Who holds the sockets.
    pub holder: Holder,
    /// Where it is another network namespace than ours, such as a container's.
    pub namespace: Option<Namespace>,
}

impl Endpoint {
    /// Whether a connection to this address of ours comes to it, and not to another on the same port.
    pub fn takes(&self, local: IpAddr) -> bool {
        self.addresses.iter().any(|address| {
            let (ip, local) = (address.ip.to_canonical(), local.to_canonical());
            let of_all = || if local.is_ipv4() { address.takes_v4() } else { address.takes_v6() };
            ip == local || ip.is_unspecified() && of_all()
        })
    }
}

/// An address on which a program listens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Address {
    /// The address; `0.0.0.0` and `::` are all of them.
    pub ip: IpAddr,
    /// Of `::`: whether IPv4 is left out. `None` where the system does not tell.
    pub v6_only: Option<bool>,
}

impl Address {
    /// Whether connections over IPv4 come in by it. In doubt they do: what is open is worse to miss.
    pub fn takes_v4(&self) -> bool {
        match self.ip.to_canonical() {
            IpAddr::V4(_) => true,
            IpAddr::V6(ip) => ip.is_unspecified() && self.v6_only != Some(true),
        }
    }

    /// Whether connections over IPv6 come in by it.
    pub fn takes_v6(&self) -> bool {
        self.ip.to_canonical().is_ipv6()
    }
}

/// Who holds a socket.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Holder {
    /// These processes, by pid; a socket can be shared.
    Processes(Vec<Process>),
    /// Somebody whose processes we may not look into.
    Hidden,
    /// No process: the system's kernel itself, or a process that has just ended.
    Nobody,
}

impl Holder {
    /// The processes, where they are known.
    pub fn processes(&self) -> &[Process] {
        match self {
            Holder::Processes(processes) => processes,
            Holder::Hidden | Holder::Nobody => &[],
        }
    }
}

/// A running program.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name, as the system has it.
    pub name: String,
    /// The file that is run, where we may see it.
    pub executable: Option<PathBuf>,
    /// That file is not there any more: deleted, or replaced by an update.
    pub executable_deleted: bool,
    /// As whom it runs.
    pub user: Option<User>,
    /// Since when, in seconds since 1970 in UTC.
    pub started: Option<i64>,
}

/// A user of the system.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct User {
    /// The number.
    pub uid: u32,
    /// The name, where there is one in the system's list.
    pub name: Option<String>,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.uid),
        }
    }
}

/// A network namespace other than ours.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Namespace {
    /// The number by which the system knows it.
    pub id: u64,
    /// A process in it, by which it can be entered.
    pub pid: u32,
    /// Its interfaces other than loopback.
    pub interfaces: Vec<String>,
}

/// Who opened a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// The other end did, to a port of ours.
    In,
    /// We did, to a port of the other end.
    Out,
}

impl Direction {
    /// `in` or `out`.
    pub const fn word(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
}

/// An established connection.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Peer {
    /// Who opened it.
    pub direction: Direction,
    /// What is spoken, by the port.
    pub service: Service,
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The program at our end.
    pub holder: Holder,
    /// Where it is another network namespace than ours.
    pub namespace: Option<Namespace>,
}

impl Peer {
    /// The port by which it was taken for an industrial connection.
    pub fn port(&self) -> u16 {
        match self.direction {
            Direction::In => self.local.port(),
            Direction::Out => self.remote.port(),
        }
    }
}

/// An address of an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number, where there is one.
    pub index: Option<u32>,
    /// The address.
    pub ip: IpAddr,
    /// How many bits of it are its network's.
    pub prefix_len: u8,
    /// Whether packets can come by it now.
    pub up: bool,
}

impl Interface {
    /// The network that it is in.
    pub fn network(&self) -> Option<ipnet::IpNet> {
        ipnet::IpNet::new(self.ip, self.prefix_len).ok().map(|network| network.trunc())
    }
}

/// What kind of machine it is.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Machine {
    /// What its maker says it is, where the firmware tells.
    pub chassis: Option<Chassis>,
}

/// What kind of case a machine has, of the kinds that say something about its role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chassis {
    /// It is carried about.
    Portable,
    /// It stands on or under a desk.
    Desktop,
    /// Anything else: a server, an industrial computer, a virtual machine.
    Other,
}

/// Something that could not be seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unseen {
    /// The programs behind so many of the listeners and connections told: they belong to other users.
    Holders {
        /// How many listeners and connections.
        sockets: usize,
    },
    /// The files run by so many programs.
    Executables {
        /// How many programs.
        processes: usize,
    },
    /// What a process in so many cases had open: it ended while it was looked at.
    Ended {
        /// How many listeners.
        sockets: usize,
    },
    /// A file of the system.
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The rules of a packet filter.
    Filter {
        /// The program that would show them.
        tool: &'static str,
        /// What they cover: `nftables`, `iptables (IPv4)`, ...
        rules: &'static str,
        /// Why not.
        why: Why,
    },
    /// Network namespaces that other users' processes are in: so many processes.
    Namespaces {
        /// How many processes.
        processes: usize,
    },
    /// Established connections: this system has no way to tell them without a driver.
    Peers,
    /// The users of programs, and since when they run.
    Users,
    /// There is more than is told.
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are told.
        max: usize,
    },
}

/// Why a packet filter's rules could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// The program is not installed.
    NotInstalled,
    /// We are not permitted to.
    NotPermitted,
    /// There is no way to read them on this system.
    NoWay,
    /// More than the limit of text.
    TooLong,
    /// It did not end in time.
    TooSlow,
    /// It failed, and said this.
    Failed(String),
}
