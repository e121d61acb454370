//! What keeping costs: records of the firewall are appended in batches, then the chain is walked along. First argument:
//! how many; second: entries of one append; third: `power` (each append waits for the disk) or `kill`.
//!
//! ```sh
//! cargo build --release -p port502-store --example journal_cost
//! for durable in kill power; do target/release/examples/journal_cost 100000 200 $durable; done
//! for n in 20000 40000; do valgrind --tool=callgrind --callgrind-out-file=/dev/null \
//!   target/release/examples/journal_cost $n 200 kill 2>&1 | grep Collected; done   # the difference by 20,000
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use port502_store::{Durable, Entry, Journal, Kind, Options, Timestamp};

/// What this thread, which is all of the process, has used of the processor; zero where the system does not say.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn rate(count: u64, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64()
}

fn micros(used: Duration, count: u64) -> f64 {
    used.as_secs_f64() * 1e6 / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise: u64| arguments.next().map_or(Ok(otherwise), |text| text.parse());
    let (count, batch) = (number(100_000)?, number(200)?.max(1));
    let durable = match std::env::args().nth(3).as_deref() {
        Some("kill") => Durable::Kill,
        Some("power") | None => Durable::PowerCut,
        Some(other) => return Err(format!("`{other}` is neither power nor kill").into()),
    };
    let folder = std::env::temp_dir().join(format!("journal-cost-{}", std::process::id()));
    let mut journal = Journal::open(&folder, Options { durable, ..Options::default() })?;
    let body = |number: u64| {
        format!(
            r#"{{"time":"2026-11-18T11:06:40.000000Z","conduit":"intake","verdict":"refused","answer":"exception:1","direction":"to-server","client":"10.20.0.7","port":49152,"subject":"CN=panel-3,O=Northfield","role":"operator","fingerprint":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","transaction":{number},"unit":3,"function":16,"name":"WriteMultipleRegisters","table":"holding","address":200,"count":2,"item":200,"values":[65535,1],"rule":"operators set the speed","tag":"intake.speed_sp","limits":"200 to 500","value":65535,"reason":"limits","detail":"the value is outside its limits: 65535","technique":"T0836","technique_name":"Modify Parameter","pdu":"1000c8000204ffff0001"}}"#
        )
    };
    let (began, before) = (Instant::now(), cpu());
    let mut next = 0;
    while next < count {
        let bodies: Vec<String> = (next..count.min(next + batch)).map(body).collect();
        let entries: Vec<Entry<'_>> = bodies
            .iter()
            .map(|body| Entry {
                time: Timestamp::from_unix_nanos(1_795_000_000_000_000_000),
                kind: Kind::Verdict,
                source: "intake",
                body,
            })
            .collect();
        journal.append(&entries)?;
        next += batch;
    }
    let (took, used) = (began.elapsed(), cpu().saturating_sub(before));
    println!(
        "{durable:?}: {count} entries of {} bytes in batches of {batch}: {:.0}/s, {:.2} us of CPU each",
        body(0).len(),
        rate(count, took),
        micros(used, count)
    );
    drop(journal);
    println!(
        "{} bytes on disk each",
        std::fs::metadata(port502_store::journal::path(&folder))?.len() / count.max(1)
    );
    let (began, before) = (Instant::now(), cpu());
    let verified = Journal::verify(&folder)?;
    let (took, used) = (began.elapsed(), cpu().saturating_sub(before));
    println!(
        "verified {} entries: {:.0}/s, {:.2} us of CPU each",
        verified.entries,
        rate(verified.entries, took),
        micros(used, verified.entries.max(1))
    );
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
