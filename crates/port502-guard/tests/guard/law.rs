//! The law of the guard, over sockets: whatever clients send, in whatever pieces, at once, while rules change and
//! connections half close, no request reaches the device that the rules of that moment do not allow.

use std::net::IpAddr;

use port502_inspect::policy::{Client as Who, Conduit, Decision, Policy};
use port502_wire::{Request, UnitId};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::clock::{self, pass, settle};
use crate::generate::{self, Chance};
use crate::link::mbap;
use crate::stand::{Client, Stand, Way, engine, upstream};

/// The device: all that reaches it.
struct Device {
    listener: TcpListener,
    connections: Vec<(TcpStream, Vec<u8>)>,
}

impl Device {
    /// Requests that have come since it was last looked at, each with the place of its connection and its id.
    async fn heard(&mut self) -> Vec<(usize, u16, u8, Vec<u8>)> {
        settle().await;
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = self.listener.accept() => Some(accepted.unwrap().0),
                () = settle() => None,
            };
            match accepted {
                Some(stream) => self.connections.push((stream, Vec::new())),
                None => break,
            }
        }
        settle().await;
        let mut heard = Vec::new();
        for (at, (stream, bytes)) in self.connections.iter_mut().enumerate() {
            let mut room = [0; 4096];
            while let Ok(count @ 1..) = stream.try_read(&mut room) {
                bytes.extend_from_slice(&room[..count]);
            }
            while let Some(length) = bytes.get(4..6).map(|l| usize::from(u16::from_be_bytes([l[0], l[1]]))) {
                assert_eq!(&bytes[2..4], [0, 0], "another protocol reached the device");
                let frame: Vec<u8> = bytes.drain(..6 + length).collect();
                heard.push((at, u16::from_be_bytes([frame[0], frame[1]]), frame[6], frame[7..].to_vec()));
            }
            assert!(bytes.is_empty(), "half a frame reached the device");
        }
        heard
    }
}

/// The least that a device says.
fn answer(pdu: &[u8]) -> Vec<u8> {
    match Request::parse(pdu).unwrap() {
        Request::ReadHoldingRegisters { span } => {
            let count = usize::from(span.count()) * 2;
            [&[3, u8::try_from(count).unwrap()][..], &vec![0; count]].concat()
        }
        Request::WriteSingleRegister { .. } => pdu.to_vec(),
        Request::WriteMultipleRegisters { .. } => pdu[..5].to_vec(),
        request => vec![request.function().0 | 0x80, 4],
    }
}

/// Whether the rules allow it: their plain meaning, which is not what the guard uses.
fn allows(policy: &Policy, conduit: &Conduit, address: IpAddr, unit: u8, pdu: &[u8]) -> bool {
    let request = Request::parse(pdu).expect("what reaches the device is a request");
    let roles: Vec<&str> = policy.roles_of(address).collect();
    let client = Who { address, subject: None, roles: &roles };
    matches!(conduit.judge(client, UnitId(unit), &request), Decision::Allowed { .. })
}

/// The world of `generate`, moved to loopback: its clients are told apart by 127.0.0.x.
fn policy(chance: &mut Chance) -> Policy {
    let mut policy = generate::policy(chance);
    let moved = |networks: &mut Vec<port502_inspect::Network>, chance: &mut Chance| {
        for network in networks {
            let host: u8 = chance.pick(&[1, 2, 3, 4]);
            let text = if chance.one_in(3) { "127.0.0.0/8".to_owned() } else { format!("127.0.0.{host}") };
            *network = text.parse().unwrap();
        }
    };
    policy.zones.iter_mut().for_each(|zone| moved(&mut zone.networks, chance));
    for rule in policy.conduits.iter_mut().flat_map(|conduit| &mut conduit.rules) {
        moved(&mut rule.clients.networks, chance);
        rule.clients.subjects.clear();
        // Their conditions of time and of earlier requests only refuse more.
        rule.during.clear();
    }
    policy
}

/// One story. How many requests reached the device, and how many it answered.
async fn story(seed: u64) -> (usize, usize) {
    let mut chance = Chance::new(seed);
    let policies: Vec<Policy> = (0..3).map(|_| policy(&mut chance)).collect();
    let mut now = 0;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = if chance.one_in(3) { Way::Shared } else { Way::Own };
    let target = listener.local_addr().unwrap().to_string().parse().unwrap();
    let stand = Stand::over(engine(&policies[now]), upstream(way, target));
    let mut device = Device { listener, connections: Vec::new() };
    let mut clients: Vec<(u8, Client, Vec<u8>)> = Vec::new();
    let (mut reached, mut answered, mut open) = (0, 0, Vec::new());
    for _ in 0..60 {
        let mut actor = None;
        match chance.below(12) {
            0 | 11 => {
                let host = chance.pick(&[1, 2, 3, 4]);
                clients.push((host, Client::connect(stand.address, host).await, Vec::new()));
            }
            1 => {
                now = chance.number::<usize>(3);
                stand.conduit.replace(engine(&policies[now]));
            }
            2 if !clients.is_empty() => {
                let at = chance.number::<usize>(clients.len() as u64);
                let _ = clients[at].1.stream.shutdown().await;
            }
            3 if !clients.is_empty() => {
                clients.swap_remove(chance.number(clients.len() as u64));
            }
            4 => pass(std::time::Duration::from_millis(chance.number::<u64>(9_000))).await,
            5 | 6 if !open.is_empty() => {
                let (at, id, unit, pdu): (usize, u16, u8, Vec<u8>) =
                    open.swap_remove(chance.number(open.len() as u64));
                let (stream, _) = &mut device.connections[at];
                answered += usize::from(stream.write_all(&mbap(id, unit, &answer(&pdu))).await.is_ok());
            }
            _ if !clients.is_empty() => {
                let at = chance.number::<usize>(clients.len() as u64);
                let (host, client, unsent) = &mut clients[at];
                while unsent.len() < 40 {
                    let frame = mbap(
                        chance.pick(&[1, 2, 3, 4, 5]),
                        chance.pick(&[0, 1, 2, 3, 255]),
                        &generate::pdu(&mut chance),
                    );
                    unsent.extend(frame);
                    if chance.one_in(60) {
                        unsent.extend([0, 1, 0, 9, 0, 2, 1, 3]);
                    }
                }
                let piece: Vec<u8> =
                    unsent.drain(..chance.number::<usize>(unsent.len() as u64) + 1).collect();
                let _ = client.stream.try_write(&piece);
                actor = Some(*host);
            }
            _ => {}
        }
        for (at, id, unit, pdu) in device.heard().await {
            let host = actor.expect("nothing reaches the device that nobody sent");
            let (policy, address) = (&policies[now], IpAddr::from([127, 0, 0, host]));
            assert!(
                allows(policy, &policy.conduits[0], address, unit, &pdu),
                "seed {seed}: unit {unit} {pdu:02x?} of 127.0.0.{host} reached the device"
            );
            reached += 1;
            open.push((at, id, unit, pdu));
        }
    }
    (reached, answered)
}

#[tokio::test(start_paused = true)]
async fn no_request_outside_the_policy_reaches_the_device() {
    let _stopped = clock::stop();
    let (mut reached, mut answered) = (0, 0);
    for seed in 0..150 {
        println!("seed {seed}");
        let (on, back) = story(seed).await;
        (reached, answered) = (reached + on, answered + back);
    }
    println!("{reached} requests reached the device, {answered} were answered");
    assert!(reached > 200 && answered > 50, "too few of {reached} and {answered} to mean anything");
}
