//! Reads 10 registers again and again, for measuring the client: so many requests in flight on one connection.
//!
//! Arguments: the address, seconds, requests in flight (default 1). Prints one JSON object.

use std::time::{Duration, Instant};

use port502_net::client::{Client, Options};

/// User and system time of this process, from the kernel's clock ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15; the second one, the name, is in parentheses and may hold blanks.
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let target = args.next().ok_or("an address, as 127.0.0.1:1502")?.parse()?;
    let seconds: f64 = args.next().ok_or("seconds")?.parse()?;
    let in_flight: usize = args.next().map_or(Ok(1), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let requests = runtime.block_on(async {
        let client = Client::connect(target, Options::default().in_flight(in_flight)).await?;
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..in_flight {
            let unit = client.unit(1);
            tasks.spawn(async move {
                let mut requests = 0u64;
                while Instant::now() < end {
                    unit.read_holding_registers(0, 10).await?;
                    requests += 1;
                }
                Ok::<u64, port502_net::client::Error>(requests)
            });
        }
        let mut requests = 0;
        while let Some(done) = tasks.join_next().await {
            requests += done??;
        }
        Ok::<u64, Box<dyn std::error::Error>>(requests)
    })?;
    println!(
        "{{\"client\":\"port502\",\"in_flight\":{in_flight},\"requests\":{requests},\"rps\":{:.0},\"cpu_us_per_req\":{:.2}}}",
        requests as f64 / seconds,
        cpu_seconds() * 1e6 / requests as f64
    );
    Ok(())
}
