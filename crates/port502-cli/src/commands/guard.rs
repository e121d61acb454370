//! `port502 guard`: stands where clients used to reach devices, and lets through what the site needs.

mod callers;
mod confine;
mod files;
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
use crate::work::{Work, done, work};
use plan::Plan;
use running::{Outlook, Prepared, Running};

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
    let source = Source {
        site: args.site.clone(),
        only: args.only.clone(),
        alert: args.alert || args.learn.is_some(),
    };
    let plan = source.plan()?;
    let cannot = |error: std::io::Error| Failure::other(format!("cannot start: {error}"));
    // A runtime with timers looks at the clock for each request. Timeouts are kept by another, in a thread that
    // sleeps; it also works on lines, which need timers, and on metrics, which must not hold anybody up.
    let keeper = Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let timekeeper = keeper.handle().clone();
    std::thread::spawn(move || keeper.block_on(std::future::pending::<()>()));
    let runtime = Builder::new_current_thread().enable_io().build();
    runtime.map_err(cannot)?.block_on(serve(args, source, plan, timekeeper))
}

/// What a guard that works is waiting for.
enum Asked {
    /// To read its files again.
    Reload,
    /// They have been read.
    Read(Result<Prepared, Failure>),
    /// The end of the time to learn.
    Learned,
    /// What was learned has been written.
    Written(Result<String, Failure>),
    /// A place to listen is lost.
    Ended(Failure),
}

/// Where a plan comes from.
#[derive(Clone)]
struct Source {
    site: PathBuf,
    only: Vec<String>,
    alert: bool,
}

impl Source {
    fn plan(&self) -> Result<Plan, Failure> {
        let site = crate::site_file::read(&self.site)?;
        Plan::of(site, &self.only, self.alert)
            .map_err(|message| Failure::usage(format!("{}: {message}", self.site.display())))
    }

    /// Reads everything again. A big site takes seconds, and a disk that hangs for ever: who moves traffic must not wait.
    fn read_again(&self, outlook: Outlook) -> Work<Prepared> {
        let source = self.clone();
        work(move || outlook.prepare(source.plan()?))
    }
}

async fn serve(args: &Args, source: Source, plan: Plan, timekeeper: Handle) -> Result<(), Failure> {
    let log = if args.json { Log::aside(args.quiet) } else { Log::start(args.quiet) };
    let log = Arc::new(log.dated());
    let recorder = outputs::start(args, &log)?;
    let mut running = Running::new(running::Setup {
        log: Arc::clone(&log),
        recorder: Arc::clone(&recorder),
        timekeeper,
        connections: args.connections,
        idle: args.idle,
    });
    // Before anybody can know that it is there, for the system ends those who have not asked for SIGHUP.
    let mut reload = signal::Reload::new();
    let told = running.apply(running.outlook().prepare(plan)?)?;
    // Not before it works: a start that fails leaves nothing behind.
    let mut learning = args.learn.map(|time| learn::Learning::begin(&args.learn_to, time)).transpose()?;
    outputs::introduce(args, &told, &running)?;
    if let (Some(learning), false) = (&learning, args.quiet) {
        outputs::line(args, &learning.line())?;
    }
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
    if learning.is_some() {
        running.learn();
    }
    let mut stop = signal::Interrupt::new();
    let (mut reading, mut writing, mut once_more) = (None, None, false);
    loop {
        let learned = learn::over(learning.as_ref(), running.timekeeper());
        let asked = stop
            .or(async {
                tokio::select! {
                    () = reload.asked() => Asked::Reload,
                    read = done(&mut reading) => Asked::Read(read),
                    () = learned => Asked::Learned,
                    written = done(&mut writing) => Asked::Written(written),
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
                writing = learning.take().map(|learning| work(learning.propose(&running)));
            }
            Some(Asked::Written(Ok(told))) => log.line(format_args!("{told}; everything passes as before")),
            Some(Asked::Written(Err(failure))) => log.failure(&failure),
            Some(Asked::Reload) if reading.is_some() => {
                once_more = true;
                log.line(format_args!("the site is still being read; it is read once more after that"));
            }
            Some(Asked::Reload) => reading = Some(source.read_again(running.outlook())),
            Some(Asked::Read(prepared)) => {
                again(prepared, &mut running, &log);
                if std::mem::take(&mut once_more) {
                    reading = Some(source.read_again(running.outlook()));
                }
            }
        }
    }
    running.stop().await;
    let mut writing = learning.map(|learning| work(learning.propose(&running))).or(writing);
    let proposed = match &writing {
        Some(_) => done(&mut writing).await.map(Some),
        None => Ok(None),
    };
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

/// Takes the site that was read again. What is wrong with it is told, and everything stays as it was.
fn again(prepared: Result<Prepared, Failure>, running: &mut Running, log: &Log) {
    match prepared.and_then(|prepared| running.apply(prepared)) {
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
