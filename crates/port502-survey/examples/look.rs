//! How long a look takes: `look [LISTENERS] [ROUNDS]`.
//!
//! Opens so many connections to a listener of its own, both ends of each in this process, and looks again and again without
//! probes. Prints the shortest, the middle and the longest time.

use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use port502_survey::{Scope, Service, system};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let sockets: usize = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(21), |text| text.parse())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut ends = Vec::new();
    // Two sockets a connection.
    for _ in 0..sockets / 2 {
        ends.push((TcpStream::connect(listener.local_addr()?)?, listener.accept()?));
    }
    for (what, scope) in [
        ("none of them ours", Scope::default()),
        ("all of them ours", Scope::new([(listener.local_addr()?.port(), Service::Modbus)])),
    ] {
        let mut times = Vec::new();
        let (mut listeners, mut peers) = (0, 0);
        for _ in 0..rounds {
            let began = Instant::now();
            let snapshot = system::look(&scope)?;
            times.push(began.elapsed());
            (listeners, peers) = (snapshot.endpoints.len(), snapshot.peers.len());
        }
        times.sort();
        println!(
            "{} sockets, {what} ({listeners} listeners, {peers} connections): min {:?} median {:?} max {:?}",
            ends.len() * 2 + 1,
            times.first().copied().unwrap_or_default(),
            times.get(rounds / 2).copied().unwrap_or_default(),
            times.last().copied().unwrap_or_default(),
        );
    }
    Ok(())
}
