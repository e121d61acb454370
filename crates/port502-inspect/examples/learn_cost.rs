//! What learning adds to one request, for an instruction counter: clients in turn read ten registers, and each eighth
//! request writes four. First argument: how many requests; second: how many clients; third: how many units each asks.
//!
//! ```sh
//! cargo build --release -p port502-inspect --example learn_cost
//! for clients in 1 100; do for n in 10000 60000; do
//!   valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/learn_cost $n $clients 20 2>&1 |
//!     grep Collected
//! done; done   # the difference by 50000 is the cost of one
//! ```

use std::error::Error;
use std::hint::black_box;

use port502_inspect::{Learner, Peer};
use port502_session::Instant;
use port502_wire::{Request, UnitId};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise: u64| arguments.next().map_or(Ok(otherwise), |text| text.parse());
    let (iterations, clients, units) = (number(1_000_000)?, number(1)?, number(20)?);
    let peers: Result<Vec<Peer>, std::net::AddrParseError> = (0..clients)
        .map(|number| {
            Ok(Peer { address: format!("10.20.{}.{}", number / 250, number % 250).parse()?, identity: None })
        })
        .collect();
    let peers = peers?;
    let read = [3, 0, 100, 0, 10];
    let write = [16, 0, 200, 0, 4, 8, 0, 1, 0, 2, 0, 3, 0, 4];
    let mut learner = Learner::new();
    for round in 0..iterations {
        let now = Instant::from_nanos(round * 1_000_000);
        let pdu: &[u8] = if round % 8 == 7 { &write } else { &read };
        let request = Request::parse(black_box(pdu)).map_err(|error| error.to_string())?;
        let peer = peers.get(usize::try_from(round % clients)?).ok_or("no client")?;
        let unit = UnitId(u8::try_from(1 + round / clients % units)?);
        learner.observe(now, black_box(peer), unit, &request);
    }
    let uses: usize = learner.clients().iter().map(|client| client.uses.len()).sum();
    println!("{iterations} requests of {} clients, {uses} uses", learner.clients().len());
    Ok(())
}
