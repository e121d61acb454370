//! A server that is killed and started again under a client that polls it; many callers on one connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use port502_net::client::{Client, Options};
use port502_net::memory::MemoryDevice;
use port502_net::server::{self, Context, Late, Outcome, Server, Service};
use port502_net::{Pdu, Target};
use port502_wire::mbap::Frame;
use port502_wire::{PDU_MAX, Table};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use crate::link::serve;
use crate::random::Random;

/// A server on a runtime of its own: with that, all of it goes at once, as with its process.
fn start(address: &str, generation: u16) -> (Runtime, SocketAddr) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let device = MemoryDevice::builder().registers(Table::HoldingRegisters, 0, &[generation; 100]).build();
    let target: Target = address.parse().unwrap();
    let server = Server::bind(&target, server::Options::default()).unwrap();
    let local = server.local_addr().unwrap();
    runtime.spawn(server.run(device));
    (runtime, local)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_and_restarted_under_a_polling_client() {
    const BACKOFF_MAX: Duration = Duration::from_millis(100);
    // An address of its own, so that nobody is given the port meanwhile.
    let (mut runtime, address) = start("tcp://127.0.0.3:0", 1);
    let target: Target = address.to_string().parse().unwrap();
    let options = Options::default()
        .timeout(Duration::from_millis(500))
        .retries(0)
        .in_flight(8)
        .backoff(Duration::from_millis(10), BACKOFF_MAX);
    let client = Client::connect(target, options).await.unwrap();
    // The newest generation that has been started; the one before is gone by then.
    let newest = Arc::new(AtomicU16::new(1));
    let failures = Arc::new(AtomicU64::new(0));
    let good: Arc<[AtomicU64; 4]> = Arc::default();
    let pollers: Vec<_> = (0..4usize)
        .map(|poller| {
            let (newest, failures, good) = (Arc::clone(&newest), Arc::clone(&failures), Arc::clone(&good));
            let unit = client.unit(1);
            tokio::spawn(async move {
                loop {
                    let before = newest.load(SeqCst);
                    if before == 0 {
                        return;
                    }
                    match unit.read_holding_registers(0, 100).await {
                        Ok(values) => {
                            let after = newest.load(SeqCst).max(before);
                            assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
                            assert!(
                                (before..=after).contains(&values[0]),
                                "{} of {before}..={after}",
                                values[0]
                            );
                            good[poller].store(values[0].into(), SeqCst);
                        }
                        Err(_) => {
                            failures.fetch_add(1, SeqCst);
                        }
                    }
                    yield_now().await;
                }
            })
        })
        .collect();
    let all_have = |generation: u16| good.iter().all(|seen| seen.load(SeqCst) == u64::from(generation));
    for generation in 2..6 {
        while !all_have(generation - 1) {
            yield_now().await;
        }
        let before = failures.load(SeqCst);
        let kill = move || runtime.shutdown_timeout(Duration::from_secs(5));
        tokio::task::spawn_blocking(kill).await.unwrap();
        while failures.load(SeqCst) < before + 4 {
            yield_now().await;
        }
        (runtime, _) = start(&address.to_string(), generation);
        newest.store(generation, SeqCst);
        let back = Instant::now();
        while !all_have(generation) {
            yield_now().await;
        }
        // One pause, one exchange, and what a loaded machine adds.
        let waited = back.elapsed();
        assert!(waited < BACKOFF_MAX + Duration::from_millis(400), "recovered after {waited:?}");
    }
    newest.store(0, SeqCst);
    for poller in pollers {
        poller.await.unwrap();
    }
    runtime.shutdown_background();
}

/// Answers reads with their addresses, a random while later and so in any order.
struct Shuffling(std::sync::Mutex<Random>);

impl Service for Shuffling {
    fn call(&self, _: &Context<'_>, frame: &Frame<'_>, _: &mut [u8; PDU_MAX]) -> Outcome {
        let [_, high, low, _, count] = *frame.pdu else { panic!("{frame:?}") };
        let start = u16::from_be_bytes([high, low]);
        let values = (start..start + u16::from(count)).flat_map(|value| (value ^ 0x5A5A).to_be_bytes());
        let pdu: Vec<u8> = [3, 2 * count].into_iter().chain(values).collect();
        let rounds = self.0.lock().unwrap().below(20);
        Outcome::Later(Box::pin(async move {
            for _ in 0..rounds {
                yield_now().await;
            }
            Late::Response(Pdu::new(&pdu).unwrap())
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_caller_gets_its_own_answer() {
    const CALLERS: u16 = 50;
    const REQUESTS: u16 = 30;
    for (seed, in_flight) in [(1, 1), (2, 4), (3, 16)] {
        println!("seed {seed}");
        let address = serve(Shuffling(std::sync::Mutex::new(Random::new(seed))), server::Options::default());
        let target: Target = address.to_string().parse().unwrap();
        let options = Options::default().timeout(Duration::from_secs(20)).in_flight(in_flight);
        let client = Client::connect(target, options).await.unwrap();
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let unit = client.clone().unit(1);
                tokio::spawn(async move {
                    for request in 0..REQUESTS {
                        let start = caller * 1000 + request;
                        let count = 1 + (caller + request) % 5;
                        let got = unit.read_holding_registers(start, count.into()).await.unwrap();
                        let want: Vec<u16> = (start..start + count).map(|value| value ^ 0x5A5A).collect();
                        assert_eq!(got, want);
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
    }
}
