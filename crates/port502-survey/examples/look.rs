//! How long a look takes: `look [LISTENERS] [ROUNDS]`.
//!
//! Opens so many connections to a listener of its own, both ends of each in this process, and looks again and again without
//! probes. Prints the shortest, the middle and the longest time, and the CPU time of one look, that of `nft` included, which is
//! steadier where other work is done on the same machine.

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
        let cpu = cpu_millis()?;
        for _ in 0..rounds {
            let began = Instant::now();
            let snapshot = system::look(&scope)?;
            times.push(began.elapsed());
            (listeners, peers) = (snapshot.endpoints.len(), snapshot.peers.len());
        }
        let cpu = (cpu_millis()? - cpu) / u64::try_from(rounds)?;
        times.sort();
        println!(
            "{} sockets, {what} ({listeners} listeners, {peers} connections): min {:.0?} median {:.0?} max {:.0?} CPU {cpu} ms",
            ends.len() * 2 + 1,
            times.first().copied().unwrap_or_default(),
            times.get(rounds / 2).copied().unwrap_or_default(),
            times.last().copied().unwrap_or_default(),
        );
    }
    Ok(())
}

/// CPU time of this process and of those that it has waited for, from the 14th field of `stat` on, in ticks of 10 ms.
fn cpu_millis() -> Result<u64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map(|(_, tail)| tail.split_whitespace().skip(11).take(4));
    let ticks: Result<Vec<u64>, _> = fields.into_iter().flatten().map(str::parse).collect();
    Ok(ticks?.iter().sum::<u64>() * 10)
}
