//! The services that are looked for, and the ports where they stand.

use std::fmt;
use std::str::FromStr;

use crate::snapshot::Transport;

/// An industrial protocol with a port of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Service {
    /// Modbus/TCP.
    Modbus,
    /// Modbus/TCP Security: the same inside TLS, with certificates on both sides.
    ModbusSecurity,
    /// ISO transport on TCP, as Siemens S7 controllers speak it.
    S7,
    /// EtherNet/IP: CIP over TCP and UDP.
    EtherNetIp,
    /// DNP3.
    Dnp3,
    /// OPC UA, binary over TCP.
    OpcUa,
}

/// What is true of a service: the one table that the command, its words and its arguments read.
struct Facts {
    service: Service,
    word: &'static str,
    name: &'static str,
    port: u16,
    /// Whether it is also spoken over UDP.
    over_udp: bool,
}

const fn facts(service: Service, word: &'static str, name: &'static str, port: u16, over_udp: bool) -> Facts {
    Facts { service, word, name, port, over_udp }
}

const SERVICES: [Facts; 6] = [
    facts(Service::Modbus, "modbus", "Modbus/TCP", 502, true),
    facts(Service::ModbusSecurity, "modbus-security", "Modbus/TCP Security", 802, false),
    facts(Service::S7, "s7", "S7 (ISO-TSAP)", 102, false),
    facts(Service::EtherNetIp, "ethernet-ip", "EtherNet/IP", 44818, true),
    facts(Service::Dnp3, "dnp3", "DNP3", 20000, true),
    facts(Service::OpcUa, "opc-ua", "OPC UA", 4840, false),
];

impl Service {
    /// Each of them, Modbus first.
    pub const ALL: [Service; 6] = [
        Service::Modbus,
        Service::ModbusSecurity,
        Service::S7,
        Service::EtherNetIp,
        Service::Dnp3,
        Service::OpcUa,
    ];

    fn facts(self) -> &'static Facts {
        // Every variant has its row: a test goes through them.
        let [modbus, ..] = &SERVICES;
        SERVICES.iter().find(|facts| facts.service == self).unwrap_or(modbus)
    }

    /// The port that is registered for it.
    pub fn port(self) -> u16 {
        self.facts().port
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// One word, stable: arguments and JSON use it.
    pub fn word(self) -> &'static str {
        self.facts().word
    }

    /// Whether a listener on this transport can be one of these.
    pub fn is_spoken_over(self, transport: Transport) -> bool {
        transport == Transport::Tcp || self.facts().over_udp
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is no service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no such protocol: modbus, modbus-security, s7, ethernet-ip, dnp3 and opc-ua are known")]
pub struct NoSuchService;

impl FromStr for Service {
    type Err = NoSuchService;

    fn from_str(word: &str) -> Result<Self, NoSuchService> {
        SERVICES.iter().find(|facts| facts.word == word).map(|facts| facts.service).ok_or(NoSuchService)
    }
}

/// The ports that are looked at, and what is expected on each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scope {
    ports: Vec<(u16, Service)>,
}

impl Default for Scope {
    /// 502 and its neighbours.
    fn default() -> Self {
        Scope { ports: SERVICES.iter().map(|facts| (facts.port, facts.service)).collect() }
    }
}

impl Scope {
    /// These ports. A port that is named twice keeps what was said first.
    pub fn new(ports: impl IntoIterator<Item = (u16, Service)>) -> Self {
        let mut scope = Scope { ports: Vec::new() };
        for (port, service) in ports {
            if scope.service(port).is_none() {
                scope.ports.push((port, service));
            }
        }
        scope
    }

    /// What is usual on a port; Modbus where nothing is.
    pub fn usual(port: u16) -> Service {
        SERVICES.iter().find(|facts| facts.port == port).map_or(Service::Modbus, |facts| facts.service)
    }

    /// What is expected on a port, where it is one that is looked at.
    pub fn service(&self, port: u16) -> Option<Service> {
        self.ports.iter().find(|(known, _)| *known == port).map(|(_, service)| *service)
    }

    /// The ports, in the order in which they were asked for.
    pub fn ports(&self) -> impl Iterator<Item = (u16, Service)> + '_ {
        self.ports.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_row() {
        for service in Service::ALL {
            assert_eq!(service.facts().service, service);
            assert_eq!(service.word().parse(), Ok(service));
            assert_eq!(Scope::usual(service.port()), service);
            assert_eq!(Scope::default().service(service.port()), Some(service));
        }
        assert_eq!("modbuss".parse::<Service>(), Err(NoSuchService));
        assert_eq!(Scope::usual(1502), Service::Modbus);
    }

    #[test]
    fn what_was_said_first_holds() {
        let scope = Scope::new([(1502, Service::Modbus), (4841, Service::OpcUa), (1502, Service::S7)]);
        assert_eq!(scope.ports().collect::<Vec<_>>(), [(1502, Service::Modbus), (4841, Service::OpcUa)]);
        assert_eq!(scope.service(502), None);
    }
}
