//! `port502 bench`: load, and how the device bears it.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use port502_net::client::{Client, Error, Options, Unit};
use port502_site::Point;
use port502_wire::{Request, Span, Table};
use tokio::task::JoinSet;

use crate::device::{self, Connection};
use crate::failure::Failure;
use crate::histogram::Histogram;
use crate::output::counted;
use crate::signal::stop_asked;

/// Put load on a device and show rates and latencies
///
/// Reads one point again and again over several connections. It never writes. Mind what is behind the address:
/// an old device can be brought down by less than this.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// What each request reads; at most what one request can carry.
    #[arg(long, value_name = "POINT", default_value = "holding:0*10")]
    read: Point,
    /// Connections at once.
    #[arg(long, short = 'c', value_name = "N", default_value_t = 1, value_parser = connections)]
    connections: usize,
    /// Requests in flight on each connection.
    #[arg(long, short = 'f', value_name = "N", default_value_t = 1, value_parser = in_flight)]
    in_flight: usize,
    /// End after this time.
    #[arg(long = "for", value_name = "D", default_value = "5s", value_parser = some_time)]
    duration: Duration,
    /// End after so many requests in all, if that comes first.
    #[arg(short = 'n', long, value_name = "N", value_parser = super::times)]
    requests: Option<u64>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// More would be an attack rather than a measurement.
const CONNECTIONS_MAX: usize = 10_000;

fn connections(text: &str) -> Result<usize, String> {
    within(text, CONNECTIONS_MAX)
}

fn in_flight(text: &str) -> Result<usize, String> {
    within(text, port502_net::client::IN_FLIGHT_MAX)
}

fn some_time(text: &str) -> Result<Duration, String> {
    match super::duration(text)? {
        Duration::ZERO => Err("nothing is measured in no time; write 5s".into()),
        duration => Ok(duration),
    }
}

fn within(text: &str, max: usize) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=max).contains(n))
        .ok_or_else(|| format!("want a number from 1 to {max}"))
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let (point, max) = (args.read, args.read.table().read_max());
    if point.width() > u32::from(max) {
        let message =
            format!("--read {point}: {} items are more than the {max} of one request", point.width());
        return Err(Failure::usage(message));
    }
    raise_file_limit();
    device::block_on(bench(args))
}

/// A connection is a file, and many systems allow 1,024 at first.
fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // Without it the connection that is one too many fails, and says so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// What one worker, or all of them, saw.
struct Tally {
    latencies: Histogram,
    errors: u64,
    first_error: Option<Error>,
}

impl Tally {
    fn new() -> Self {
        Tally { latencies: Histogram::new(), errors: 0, first_error: None }
    }

    fn merge(&mut self, other: Tally) {
        self.latencies.merge(&other.latencies);
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

fn request(point: &Point) -> Result<Request<'static>, Failure> {
    let (start, count) = (point.address(), u16::try_from(point.width()).unwrap_or(u16::MAX));
    let wrong = |error: port502_wire::SpanError| Failure::usage(format!("--read {point}: {error}"));
    Ok(match point.table() {
        Table::Coils => Request::ReadCoils { span: Span::new(start, count).map_err(wrong)? },
        Table::DiscreteInputs => {
            Request::ReadDiscreteInputs { span: Span::new(start, count).map_err(wrong)? }
        }
        Table::InputRegisters => {
            Request::ReadInputRegisters { span: Span::new(start, count).map_err(wrong)? }
        }
        Table::HoldingRegisters => {
            Request::ReadHoldingRegisters { span: Span::new(start, count).map_err(wrong)? }
        }
    })
}

async fn bench(args: Args) -> Result<(), Failure> {
    let request = request(&args.read)?;
    let mut options =
        Options::default().timeout(args.connection.timeout).in_flight(args.in_flight).retries(0);
    options.connect_timeout = args.connection.timeout;
    device::warn_of_certificates(&args.connection.target);
    let mut units = Vec::with_capacity(args.connections);
    for at in 0..args.connections {
        let client =
            Client::connect(args.connection.target.clone(), options.clone()).await.map_err(|error| {
                Failure::new(
                    device::exit(&error),
                    format!("connection {} of {}: {error}", at + 1, args.connections),
                )
            })?;
        units.push(client.unit(args.connection.unit));
    }
    let start = Instant::now();
    let end = start + args.duration;
    let workers = args.connections * args.in_flight;
    // Shares of a number of requests differ by one at most.
    let shares = u64::try_from(workers).unwrap_or(u64::MAX);
    let stopped = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for (worker, unit) in (0..).zip(units.iter().flat_map(|unit| std::iter::repeat_n(unit, args.in_flight))) {
        let share = args.requests.map(|all| all / shares + u64::from(worker < all % shares));
        tasks.spawn(work(unit.clone(), request, end, share, Arc::clone(&stopped)));
    }
    let told = Arc::clone(&stopped);
    tokio::spawn(async move {
        stop_asked().await;
        told.store(true, Relaxed);
    });
    let mut tally = Tally::new();
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok(part) => tally.merge(part),
            // What a worker that panicked saw is lost; the panic has been printed.
            Err(_) => tally.errors += 1,
        }
    }
    report(&args, &tally, start.elapsed())
}

/// Asks until the end, one request after the other.
async fn work(
    unit: Unit,
    request: Request<'static>,
    end: Instant,
    share: Option<u64>,
    stopped: Arc<AtomicBool>,
) -> Tally {
    let mut tally = Tally::new();
    let mut left = share.unwrap_or(u64::MAX);
    let mut now = Instant::now();
    while left > 0 && now < end && !stopped.load(Relaxed) {
        left -= 1;
        let asked = now;
        let result = unit.call(&request).await;
        now = Instant::now();
        match result {
            Ok(_) => tally.latencies.record(now - asked),
            Err(error) => {
                tally.errors += 1;
                // A device that refuses or is gone must not be hammered.
                let fatal = !matches!(error, Error::Timeout { .. });
                tally.first_error.get_or_insert(error);
                if fatal {
                    break;
                }
            }
        }
    }
    tally
}

const PERCENTILES: [(&str, f64); 6] =
    [("min", 0.0), ("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0)];

fn report(args: &Args, tally: &Tally, took: Duration) -> Result<(), Failure> {
    let answers = tally.latencies.count();
    let rate = answers as f64 / took.as_secs_f64().max(1e-9);
    // Without answers there are no latencies, rather than short ones.
    let latencies =
        PERCENTILES.map(|(name, percent)| (name, (answers > 0).then(|| tally.latencies.percentile(percent))));
    let mut out = io::stdout().lock();
    if args.json {
        // Nanoseconds by a thousand come out as the decimal that is meant, seconds by a millionth do not.
        let micros = |latency: Duration| latency.as_nanos() as f64 / 1e3;
        let latency: serde_json::Map<String, serde_json::Value> =
            latencies.iter().map(|(name, at)| ((*name).to_owned(), at.map(micros).into())).collect();
        let object = serde_json::json!({
            "target": args.connection.target.to_string(),
            "unit": args.connection.unit.get(),
            "read": args.read.to_string(),
            "connections": args.connections,
            "in_flight": args.in_flight,
            "seconds": took.as_secs_f64(),
            "answers": answers,
            "errors": tally.errors,
            "rate": rate,
            "latency_us": latency,
        });
        writeln!(out, "{object}")?;
    } else {
        let seconds = took.as_secs_f64();
        writeln!(
            out,
            "{}: {} in {seconds:.2} s, {rate:.0}/s, {}",
            args.connection.target,
            counted(answers, "answer"),
            counted(tally.errors, "error")
        )?;
        let texts: Vec<String> = latencies
            .iter()
            .filter_map(|(name, at)| Some(format!("{name} {:.0} us", (*at)?.as_secs_f64() * 1e6)))
            .collect();
        if !texts.is_empty() {
            writeln!(out, "latency {}", texts.join("  "))?;
        }
    }
    match &tally.first_error {
        None => Ok(()),
        Some(error) => {
            let (count, target) = (counted(tally.errors, "request"), &args.connection.target);
            let message = format!("{target}: {count} failed, the first: {error}");
            Err(Failure::new(device::exit(error), message))
        }
    }
}
