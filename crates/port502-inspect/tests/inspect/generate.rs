//! Policies and requests by chance, from a small world, so that they have to do with each other.

use std::net::IpAddr;
use std::time::Duration;

use port502_inspect::policy::{
    Clients, Conduit, Effect, Envelope, Functions, Limits, Mode, Operation, Places, Policy, Range, Refusal,
    Rule, Writable, Zone,
};
use port502_inspect::{Network, Peer};
use port502_session::server::Identity;
use port502_wire::value::{BitNumber, Order, ValueType};
use port502_wire::{FunctionCode, Request, Table};

/// Numbers that look like chance and are the same for the same seed (xorshift64*).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        chance.below(2);
        chance
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 33) % end
    }

    pub fn number<T: TryFrom<u64>>(&mut self, end: u64) -> T {
        T::try_from(self.below(end)).ok().expect("the end is within the type")
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.number::<usize>(of.len() as u64)].clone()
    }

    pub fn some<T>(&mut self, max: u64, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(max + 1)).map(|_| make(self)).collect()
    }
}

pub const ADDRESSES: [&str; 6] =
    ["10.0.0.1", "10.0.0.2", "10.0.1.1", "192.168.0.9", "fd00::1", "::ffff:10.0.0.1"];
pub const SUBJECTS: [&str; 3] = ["CN=panel-1, O=Northfield", "CN=panel-2, O=Northfield", "CN=laptop"];
pub const ROLES: [&str; 3] = ["operator", "engineer", "viewer"];
const NETWORKS: [&str; 6] =
    ["10.0.0.0/24", "10.0.0.1", "10.0.0.0/8", "192.168.0.0/16", "fd00::/8", "0.0.0.0/0"];
const PATTERNS: [&str; 4] = ["CN=panel-*", "*Northfield", "CN=laptop", "*"];
const FUNCTIONS: [u8; 22] = [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 17, 20, 21, 22, 23, 24, 43, 65, 90, 127];
/// Where the world ends; a few things lie at the end of the tables.
const WORLD: u64 = 20;

pub fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn clients(chance: &mut Chance) -> Clients {
    let strings = |chance: &mut Chance, of: &[&str]| {
        if chance.one_in(4) { chance.some(2, |c| c.pick(of).to_owned()) } else { Vec::new() }
    };
    Clients {
        networks: if chance.one_in(2) {
            chance.some(2, |c| networks(&[c.pick(&NETWORKS)])[0])
        } else {
            Vec::new()
        },
        zones: Vec::new(),
        subjects: strings(chance, &PATTERNS),
        roles: strings(chance, &ROLES),
    }
}

fn functions(chance: &mut Chance) -> Functions {
    if chance.one_in(4) {
        return Functions::Any;
    }
    let mut all = chance.some(12, |chance| {
        let function = FunctionCode(chance.pick(&FUNCTIONS));
        let sub = match function.0 {
            8 | 43 | 3 if chance.one_in(2) => Some(chance.pick(&[0, 1, 4, 10, 13, 14])),
            _ => None,
        };
        Operation { function, sub }
    });
    all.sort_unstable();
    Functions::Of(all)
}

fn address(chance: &mut Chance) -> u16 {
    let near = chance.number(WORLD);
    if chance.one_in(12) { 0xFFFF - near } else { near }
}

fn writable(chance: &mut Chance) -> Writable {
    let types = [
        ValueType::U16,
        ValueType::I16,
        ValueType::U32,
        ValueType::F32,
        ValueType::U64,
        ValueType::Bool,
        ValueType::Bcd16,
        ValueType::Bit(BitNumber::new(3).unwrap()),
    ];
    let table = chance.pick(&[Table::Coils, Table::HoldingRegisters, Table::HoldingRegisters]);
    let value_type = if table == Table::Coils { ValueType::Bool } else { chance.pick(&types) };
    let limits = match (chance.below(4), value_type) {
        (0, _) => Envelope::Any,
        (_, ValueType::F32) => Envelope::Floats { min: -10.0, max: 10.0 },
        (1, _) => Envelope::OneOf(vec![0, 1, 5]),
        _ => Envelope::Integers { min: 0, max: chance.number::<u32>(8).into() },
    };
    Writable {
        name: "tag".into(),
        table,
        address: address(chance).min(0xFFFF - 4),
        value_type,
        order: Order { words_reversed: chance.one_in(2), bytes_swapped: chance.one_in(4) },
        limits,
        max_step: None,
        rate: None,
        after: None,
    }
}

fn places(chance: &mut Chance) -> Places {
    match chance.below(4) {
        0 => Places::Any,
        1 | 2 => Places::Of(chance.some(4, |chance| {
            let first = address(chance);
            let last = first.saturating_add(chance.number(6));
            Range { table: chance.pick(&Table::ALL), first, last }
        })),
        _ => Places::Values(chance.some(5, writable)),
    }
}

pub fn rule(chance: &mut Chance) -> Rule {
    Rule {
        name: format!("rule {}", chance.below(1000)),
        effect: if chance.one_in(5) { Effect::Deny } else { Effect::Allow },
        clients: clients(chance),
        units: chance.some(3, |chance| {
            let first = chance.pick(&[0_u8, 1, 2, 3, 255]);
            (first, chance.pick(&[first, first.saturating_add(2), 255]))
        }),
        functions: functions(chance),
        places: places(chance),
        values: chance.one_in(4).then(|| (0, chance.number(8))),
        during: Vec::new(),
        requests: None,
        mode: None,
        refusal: None,
    }
}

/// Nothing in it depends on time or on what was before.
pub fn policy(chance: &mut Chance) -> Policy {
    let rules = chance.some(12, rule);
    let zone = |name: &str, texts: &[&str], roles: &[&str]| Zone {
        name: name.into(),
        networks: networks(texts),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
    };
    Policy {
        zones: vec![
            zone("control", &["10.0.0.0/24"], &["operator"]),
            zone("office", &["10.0.0.0/8", "fd00::/8"], &["viewer"]),
        ],
        conduits: vec![Conduit {
            name: "intake".into(),
            mode: Mode::Enforce,
            refusal: Refusal::default(),
            limits: Limits::default(),
            devices: Vec::new(),
            rules,
        }],
    }
}

/// A request PDU that the strict parser takes; mostly of this small world.
pub fn pdu(chance: &mut Chance) -> Vec<u8> {
    loop {
        let mut pdu = vec![chance.pick(&FUNCTIONS)];
        let word = |pdu: &mut Vec<u8>, word: u16| pdu.extend(word.to_be_bytes());
        let small = |chance: &mut Chance| chance.pick(&[0_u16, 0, 1, 5, 6, 7, 0x41, 0xFFFF]);
        match pdu[0] {
            1..=4 => {
                word(&mut pdu, address(chance));
                word(&mut pdu, 1 + chance.number::<u16>(6));
            }
            5 => {
                word(&mut pdu, address(chance));
                word(&mut pdu, chance.pick(&[0, 0xFF00]));
            }
            6 => {
                word(&mut pdu, address(chance));
                word(&mut pdu, small(chance));
            }
            8 => {
                word(&mut pdu, chance.pick(&[0, 1, 4, 10, 99]));
                word(&mut pdu, 0);
            }
            15 => {
                word(&mut pdu, address(chance));
                let count: u16 = 1 + chance.number::<u16>(12);
                word(&mut pdu, count);
                pdu.push(u8::try_from(count.div_ceil(8)).unwrap());
                pdu.extend((0..count.div_ceil(8)).map(|_| chance.number::<u8>(256)));
            }
            16 | 23 => {
                if pdu[0] == 23 {
                    word(&mut pdu, address(chance));
                    word(&mut pdu, 1 + chance.number::<u16>(4));
                }
                word(&mut pdu, address(chance));
                let count: u8 = 1 + chance.number::<u8>(6);
                word(&mut pdu, count.into());
                pdu.push(2 * count);
                (0..count).for_each(|_| word(&mut pdu, small(chance)));
            }
            20 => pdu.extend([7, 6, 0, 1, 0, 0, 0, 2]),
            21 => pdu.extend([9, 6, 0, 1, 0, 0, 0, 1, 0, 7]),
            22 => {
                word(&mut pdu, address(chance));
                word(&mut pdu, chance.pick(&[0xFFF7, 0, 0xFFFF]));
                word(&mut pdu, chance.pick(&[0, 8]));
            }
            24 => word(&mut pdu, address(chance)),
            43 => {
                let kinds: [&[u8]; 3] = [&[14, 1, 0], &[13, 9, 9], &[77]];
                pdu.extend(chance.pick(&kinds));
            }
            65 | 90 | 127 => pdu.extend(chance.some(4, |chance| chance.number::<u8>(256))),
            _ => {}
        }
        if Request::parse(&pdu).is_ok() {
            return pdu;
        }
    }
}

pub fn client(chance: &mut Chance) -> IpAddr {
    chance.pick(&ADDRESSES).parse().unwrap()
}

/// Somebody, with a certificate or without.
pub fn peer(chance: &mut Chance) -> Peer {
    let identity = chance.one_in(2).then(|| Identity {
        subject: chance.pick(&SUBJECTS).into(),
        fingerprint: [0; 32],
        role: chance.one_in(2).then(|| chance.pick(&ROLES).into()),
        role_fault: None,
    });
    Peer { address: client(chance), identity }
}

/// A moment for tests in which no time passes.
pub fn moment(millis: u64) -> port502_inspect::Moment {
    port502_inspect::Moment {
        at: port502_session::Instant::ZERO + Duration::from_millis(millis),
        week: port502_inspect::WeekMinute::new(0, 12, 0).unwrap(),
    }
}
