//! `port502 guard`: stands where clients used to reach devices, and lets through what the site needs.

mod confine;
mod learn;
mod metrics;
mod outputs;
pub(crate) mod plan;
pub(crate) mod running;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use port502_guard::output::SyslogAddress;
use tokio::runtime::{Builder, Handle};

use crate::failure::Failure;
use crate::log::Log;
use crate::signal;
use plan::Plan;
use running::Running;

/// Inspect what goes to devices, and let through exactly what the site needs
///
/// It listens where the site file's [guard.NAME] sections say, and refuses and records whatever no rule there allows.
/// `plan SITE --only guard` shows the rules before they hold. SIGHUP reads the site, certificates and rules again,
/// without dropping a client; a file that is wrong changes nothing.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The site file, or a folder of them.
    #[arg(value_name = "SITE")]
    site: PathBuf,
    /// Only these conduits; more than once for several. [default: all]
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Let everything pass that is a request, and record what would be refused, whatever the site file says.
    #[arg(long)]
    alert: bool,
    /// Let everything pass that is a request, remember for so long who asks for what, and then write a proposal of
    /// rules, for people to read; without end the proposal comes with the guard's.
    #[arg(long, value_name = "DURATION", value_parser = super::duration)]
    learn: Option<Duration>,
    /// Where to write the proposal.
    #[arg(long, value_name = "FILE", default_value = "learned.toml", requires = "learn")]
    learn_to: PathBuf,
    /// Print one JSON object for each refused or alerted transaction, in the place of lines for people, which go to
    /// stderr then.
    #[arg(long)]
    json: bool,
    /// Keep these objects in a journal, whose entries nobody can change unnoticed: the folder of it, made if need be.
    #[arg(long, value_name = "FOLDER")]
    journal: Option<PathBuf>,
    /// Add these objects to the end of a file.
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Send them to a syslog server as RFC 5424: udp://HOST, tcp://HOST or unix:/dev/log.
    #[arg(long, value_name = "URL")]
    syslog: Option<SyslogAddress>,
    /// Send them to a syslog server in the common event format (CEF).
    #[arg(long, value_name = "URL")]
    cef: Option<SyslogAddress>,
    /// Serve counters for Prometheus at http://ADDRESS/metrics.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Connections at once at each place where it listens; one more closes the one that has been idle for longest.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = super::serve::connections)]
    connections: usize,
    /// Close connections that have been silent for so long.
    #[arg(long, value_name = "DURATION", default_value = "300s", value_parser = super::serve::idle)]
    idle: Duration,
    /// Print nothing but where it listens; with --json nothing but objects.
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let plan = plan(args)?;
    let cannot = |error: std::io::Error| Failure::other(format!("cannot start: {error}"));
    // A runtime with timers looks at the clock for each request. Timeouts are kept by another, in a thread that
    // sleeps; it also works on lines, which need timers, and on metrics, which must not hold anybody up.
    let keeper = Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let timekeeper = keeper.handle().clone();
    std::thread::spawn(move || keeper.block_on(std::future::pending::<()>()));
    let runtime = Builder::new_current_thread().enable_io().build();
    runtime.map_err(cannot)?.block_on(serve(args, plan, timekeeper))
}

/// What a guard that works is waiting for.
enum Asked {
    /// To read its files again.
    Reload,
    /// The end of the time to learn.
    Learned,
    /// A place to listen is lost.
    Ended(Failure),
}

fn plan(args: &Args) -> Result<Plan, Failure> {
    let site = crate::site_file::read(&args.site)?;
    Plan::of(site, &args.only, args.alert || args.learn.is_some())
        .map_err(|message| Failure::usage(format!("{}: {message}", args.site.display())))
}

async fn serve(args: &Args, plan: Plan, timekeeper: Handle) -> Result<(), Failure> {
    let log = if args.json { Log::aside(args.quiet) } else { Log::start(args.quiet) };
    let log = Arc::new(log.dated());
    let recorder = outputs::start(args, &log)?;
    let learning = args.learn.map(|time| learn::Learning::begin(&args.learn_to, time)).transpose()?;
    let mut running = Running::new(running::Setup {
        log: Arc::clone(&log),
        recorder: Arc::clone(&recorder),
        timekeeper,
        connections: args.connections,
        idle: args.idle,
    });
    let told = running.apply(&plan).await?;
    outputs::introduce(args, &told, &running)?;
    let _metrics = match args.metrics {
        Some(address) => {
            let metrics = metrics::start(address, &running)?;
            outputs::line(args, &format!("metrics on http://{}/metrics", metrics.local))?;
            Some(metrics)
        }
        None => None,
    };
    if let Err(error) = confine::no_programs() {
        log.line(format_args!("the system does not let the guard give up what it does not need: {error}"));
    }
    let mut learning = learning.inspect(|_| running.learn());
    let mut reload = signal::Reload::new();
    let mut stop = signal::Interrupt::new();
    loop {
        let learned = learn::over(learning.as_ref(), running.timekeeper());
        let asked = stop
            .or(async {
                tokio::select! {
                    () = reload.asked() => Asked::Reload,
                    () = learned => Asked::Learned,
                    ended = running.ended() => Asked::Ended(ended),
                }
            })
            .await;
        match asked {
            None => {
                // Whoever asks a second time is not kept waiting.
                running.timekeeper().spawn(signal::end_at_once_when_asked());
                break;
            }
            Some(Asked::Ended(failure)) => {
                running.stop().await;
                return log.end(&[], Err(failure));
            }
            Some(Asked::Learned) => {
                let Some(learning) = learning.take() else { continue };
                match learning.propose(&running) {
                    Ok(told) => log.line(format_args!("{told}; everything passes as before")),
                    Err(failure) => log.failure(&failure),
                }
            }
            Some(Asked::Reload) => again(args, &mut running, &log).await,
        }
    }
    running.stop().await;
    let proposed = learning.map(|learning| learning.propose(&running)).transpose();
    let unkept = recorder.finish();
    let mut last = Vec::new();
    if !args.quiet {
        last.extend(running.summary());
    }
    let ended = proposed.and_then(|told| {
        last.extend(told);
        outputs::lost(&unkept, log.unread()).map_or(Ok(()), Err)
    });
    log.end(&last, ended)
}

/// Reads the site again. What is wrong with it is told, and everything stays as it was.
async fn again(args: &Args, running: &mut Running, log: &Log) {
    let applied = match plan(args) {
        Ok(plan) => running.apply(&plan).await,
        Err(failure) => Err(failure),
    };
    match applied {
        Ok(told) => {
            told.iter().for_each(|line| log.line(format_args!("{line}")));
            log.line(format_args!("the site was read again"));
        }
        Err(failure) => {
            log.failure(&failure);
            log.line(format_args!("that is wrong; everything stays as it was"));
        }
    }
}
