//! Evidence on its way to where it is kept.
//!
//! Whoever writes a record is in the middle of somebody's traffic and must not wait: a record is written as text once, and
//! each [`Sink`] has a thread and a queue of its own, of at most [`QUEUED_MAX`] lines. A sink that is slow, full or gone
//! holds up neither traffic nor the others. It is tried again until it works; what its queue has no room for is
//! counted, by conduit and reason, and told as [`Repeats`] when there is room again: nothing that was refused is forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use port502_inspect::evidence::{self, LINE_MAX, Record, Repeats, Syslog, Time};

/// Lines that wait for one sink; with [`LINE_MAX`] a bound of 32 MiB for each, and usually a tenth of it.
pub const QUEUED_MAX: usize = 4_096;

/// Lines that a sink is given at once.
pub const BATCH_MAX: usize = 256;

/// The longest pause before a sink that failed is tried again.
pub const RETRY_MAX: Duration = Duration::from_secs(30);

/// The first pause.
const RETRY: Duration = Duration::from_millis(250);

/// So long a sink may take for what is left when the guard ends.
pub const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// How a record is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Format {
    /// A line for people.
    Text,
    /// An object of JSON.
    Json,
    /// A message of syslog, RFC 5424.
    Syslog,
    /// An event in ArcSight's common event format, as the message of syslog that carries it.
    Cef,
}

/// One record, written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// When it was.
    pub time: Time,
    /// The conduit.
    pub conduit: Arc<str>,
    /// Without a line feed.
    pub text: String,
    /// Records that it tells of: one, or as many as were counted.
    pub count: u64,
}

/// Where records go.
pub trait Sink: Send + 'static {
    /// For people: `the journal /var/lib/port502`.
    fn name(&self) -> String;

    /// How it wants them.
    fn format(&self) -> Format;

    /// Looks whether it can be had, before there is anything to keep; may block.
    ///
    /// # Errors
    /// Why it cannot, for people. It is told, and what comes is given to the sink all the same.
    fn begin(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Keeps all of these or none; may block.
    ///
    /// # Errors
    /// Why it could not, for people. It is asked again with the same lines, and more behind them.
    fn keep(&mut self, lines: &[Line]) -> Result<(), String>;

    /// Of the lines that it failed to keep, so many from the first on are kept all the same, and not kept twice.
    fn in_part(&self) -> usize {
        0
    }

    /// When there is nothing to keep for so long, it is asked to keep no lines, to look whether those that it has kept have
    /// arrived; never, where that cannot be known.
    fn looks_every(&self) -> Option<Duration> {
        None
    }

    /// Records that it has kept, and now knows that they may not have arrived. It keeps them again with the next lines,
    /// even when these are none.
    fn owed(&self) -> u64 {
        0
    }

    /// The guard ends, and there is nothing more to keep; may block.
    ///
    /// # Errors
    /// Why what it [owes](Self::owed) cannot be kept, for people.
    fn finish(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// What happens to sinks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SinkEvent<'a> {
    /// One failed; told once, until it works again.
    Failed {
        /// Which.
        name: &'a str,
        /// Why.
        error: &'a str,
    },
    /// One works again.
    Works {
        /// Which.
        name: &'a str,
        /// Records that there was no room for meanwhile, which are told as counts.
        counted: u64,
    },
}

/// Is told what happens to sinks.
pub type SinkObserver = Arc<dyn Fn(&SinkEvent<'_>) + Send + Sync>;

/// Records that had no room, of one conduit and reason.
#[derive(Clone, Copy, Debug)]
struct Missed {
    count: u64,
    first: Time,
    last: Time,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Line>,
    missed: BTreeMap<(Arc<str>, &'static str), Missed>,
    /// How many there ever were.
    missed_total: u64,
    failing: bool,
    /// Why it failed last.
    error: Option<String>,
    /// Records that the sink has been given and has not kept yet.
    in_hand: u64,
    /// Nothing more comes.
    ended: bool,
    /// The thread has done what it could.
    done: bool,
}

#[derive(Debug)]
struct Shared {
    name: String,
    format: Format,
    queue: Mutex<Queue>,
    more: Condvar,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that is done under this lock can panic halfway through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a sink fares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SinkStatus {
    /// Which.
    pub name: String,
    /// Lines that wait for it.
    pub queued: usize,
    /// Records that had no room, and are told as counts.
    pub counted: u64,
    /// It does not work at the moment.
    pub failing: bool,
}

/// What a sink has not kept when the guard ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unkept {
    /// Which.
    pub name: String,
    /// Records: those in lines, and those that had no room and were only counted.
    pub count: u64,
    /// What it failed with last; `None` for one that does not come back with an answer.
    pub error: Option<String>,
}

/// Writes records and gives them to all sinks. It ends with them when it is dropped or [finished](Self::finish).
pub struct Recorder {
    sinks: Vec<Arc<Shared>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    origin: Origin,
}

/// Where syslog lines say that they come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// 0 to 23; 10 is security.
    pub facility: u8,
    /// The machine.
    pub hostname: String,
    /// Whose the names of fields are; 32473 is for those who have no number.
    pub enterprise: u32,
}

impl Default for Origin {
    fn default() -> Self {
        Origin { facility: 10, hostname: "-".to_owned(), enterprise: 32_473 }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("sinks", &self.status()).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Starts a thread for each sink.
    ///
    /// # Errors
    /// The system's, when it starts no thread.
    pub fn start(
        sinks: Vec<Box<dyn Sink>>,
        origin: Origin,
        observer: Option<SinkObserver>,
    ) -> std::io::Result<Self> {
        let (mut all, mut threads) = (Vec::new(), Vec::new());
        for sink in sinks {
            let shared = Arc::new(Shared {
                name: sink.name(),
                format: sink.format(),
                queue: Mutex::default(),
                more: Condvar::new(),
            });
            let worker = Worker {
                shared: Arc::clone(&shared),
                sink,
                observer: observer.clone(),
                origin: origin.clone(),
            };
            let thread = std::thread::Builder::new().name("evidence".to_owned());
            threads.push(thread.spawn(move || worker.run())?);
            all.push(shared);
        }
        Ok(Recorder { sinks: all, threads: Mutex::new(threads), origin })
    }

    /// Writes a record and gives it to all sinks. It does not block.
    pub fn record(&self, record: &Record<'_>) {
        let (time, conduit, reason) = match record {
            Record::Evidence(evidence) => {
                (evidence.time, evidence.engine.name(), evidence.event.objection.reason.word())
            }
            Record::Repeats(repeats) => (repeats.time, repeats.conduit, word(repeats.reason)),
        };
        let conduit: Arc<str> = conduit.into();
        let mut written: Vec<(Format, String)> = Vec::new();
        for sink in &self.sinks {
            let text = match written.iter().find(|(format, _)| *format == sink.format) {
                Some((_, text)) => text.clone(),
                None => {
                    let Some(text) = write(record, sink.format, &self.origin) else { continue };
                    written.push((sink.format, text.clone()));
                    text
                }
            };
            // A record that tells of many is worth as many.
            let count = if let Record::Repeats(repeats) = record { repeats.count } else { 1 };
            let mut queue = sink.queue();
            if queue.lines.len() < QUEUED_MAX {
                queue.lines.push_back(Line { time, conduit: Arc::clone(&conduit), text, count });
            } else {
                queue.missed_total += count;
                let fresh = Missed { count: 0, first: time, last: time };
                let missed = queue.missed.entry((Arc::clone(&conduit), reason)).or_insert(fresh);
                missed.count += count;
                missed.last = time;
            }
            drop(queue);
            sink.more.notify_one();
        }
    }

    /// How each sink fares.
    #[must_use]
    pub fn status(&self) -> Vec<SinkStatus> {
        let status = |sink: &Arc<Shared>| {
            let queue = sink.queue();
            SinkStatus {
                name: sink.name.clone(),
                queued: queue.lines.len(),
                counted: queue.missed_total,
                failing: queue.failing,
            }
        };
        self.sinks.iter().map(status).collect()
    }

    /// Waits until all sinks have what there is, but no longer than [`FINISH_WITHIN`]. What is left, of those that have
    /// not taken all.
    pub fn finish(&self) -> Vec<Unkept> {
        for sink in &self.sinks {
            sink.queue().ended = true;
            sink.more.notify_one();
        }
        let until = Instant::now() + FINISH_WITHIN;
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let mut left = Vec::new();
        for (thread, sink) in threads.into_iter().zip(&self.sinks) {
            let time = until.saturating_duration_since(Instant::now());
            let waited = sink.more.wait_timeout_while(sink.queue(), time, |queue| !queue.done);
            let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let counted: u64 = queue.missed.values().map(|missed| missed.count).sum();
            let lines: u64 = queue.lines.iter().map(|line| line.count).sum();
            let (count, done) = (queue.in_hand + lines + counted, queue.done);
            if count != 0 {
                let error = queue.error.take().filter(|_| done);
                left.push(Unkept { name: sink.name.clone(), count, error });
            }
            drop(queue);
            // One that hangs is left behind.
            if done && thread.join().is_err() {
                tracing::error!(sink = sink.name, "its thread panicked");
            }
        }
        left
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        for sink in &self.sinks {
            sink.queue().ended = true;
            sink.more.notify_one();
        }
    }
}

/// The word of a reason, which lives as long as the program.
fn word(reason: &str) -> &'static str {
    port502_inspect::verdict::REASONS
        .iter()
        .map(|facts| facts.word)
        .find(|word| *word == reason)
        .unwrap_or("")
}

/// A record as text. It fits: everything in a record is bounded.
fn write(record: &Record<'_>, format: Format, origin: &Origin) -> Option<String> {
    let mut room = vec![0; LINE_MAX + 256];
    let mut line = evidence::Line::new(&mut room);
    let process = std::process::id();
    let from = Syslog {
        facility: origin.facility,
        hostname: &origin.hostname,
        process,
        enterprise: origin.enterprise,
    };
    match format {
        Format::Text => record.write_text(&mut line),
        Format::Json => record.write_json(&mut line),
        Format::Syslog => record.write_syslog(&from, &mut line),
        Format::Cef => record.write_cef_in_syslog(&from, &mut line),
    }
    .ok()?;
    Some(line.as_str().to_owned())
}

/// One sink with its thread.
struct Worker {
    shared: Arc<Shared>,
    sink: Box<dyn Sink>,
    observer: Option<SinkObserver>,
    origin: Origin,
}

impl Worker {
    fn run(mut self) {
        let (mut batch, mut pause, mut counted) = (Vec::new(), RETRY, 0);
        if let Err(error) = self.sink.begin() {
            self.failed(&error, &batch);
        }
        loop {
            let Some(more) = self.next(&mut batch) else {
                let finished = self.sink.finish();
                let mut queue = self.shared.queue();
                queue.in_hand = self.sink.owed();
                queue.error = finished.err().or(queue.error.take());
                break;
            };
            counted += more;
            let Err(error) = self.sink.keep(&batch) else {
                self.kept(counted);
                batch.clear();
                (pause, counted) = (RETRY, 0);
                continue;
            };
            self.failed(&error, &batch);
            let waited =
                self.shared.more.wait_timeout_while(self.shared.queue(), pause, |queue| !queue.ended);
            let ended = waited.unwrap_or_else(PoisonError::into_inner).0.ended;
            pause = (pause * 2).min(RETRY_MAX);
            // At the end once more, and what is left then is the caller's to tell.
            if ended {
                if let Err(error) = self.sink.keep(&batch) {
                    self.failed(&error, &batch);
                    break;
                }
                self.kept(counted);
                batch.clear();
            }
        }
        self.shared.queue().done = true;
        self.shared.more.notify_all();
    }

    /// Fills the batch, with nothing when it is time to look. How many records are told in it as counts; `None` at the
    /// end.
    fn next(&self, batch: &mut Vec<Line>) -> Option<u64> {
        let looks = self.sink.looks_every();
        let mut looked = false;
        let mut queue = self.shared.queue();
        loop {
            let room = BATCH_MAX.saturating_sub(batch.len()).min(queue.lines.len());
            batch.extend(queue.lines.drain(..room));
            let mut counted = 0;
            // What was counted came after all that waits: it is told when that has gone.
            if queue.lines.is_empty() && batch.len() < BATCH_MAX {
                for ((conduit, reason), missed) in std::mem::take(&mut queue.missed) {
                    counted += missed.count;
                    batch.extend(self.counted(conduit, reason, missed));
                }
            }
            queue.in_hand = self.in_hand(batch);
            if !batch.is_empty() {
                return Some(counted);
            }
            if queue.ended {
                return None;
            }
            if looked {
                return Some(0);
            }
            queue = match looks {
                None => self.shared.more.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(every) => {
                    let waited = self.shared.more.wait_timeout(queue, every);
                    let (queue, over) = waited.unwrap_or_else(PoisonError::into_inner);
                    looked = over.timed_out();
                    queue
                }
            };
        }
    }

    /// Records that the sink has not kept of these, or has to keep again.
    fn in_hand(&self, batch: &[Line]) -> u64 {
        let left = batch.iter().skip(self.sink.in_part()).map(|line| line.count);
        left.sum::<u64>() + self.sink.owed()
    }

    fn counted(&self, conduit: Arc<str>, reason: &'static str, missed: Missed) -> Option<Line> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = Time::from_unix_nanos(u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX));
        let Missed { count, first, last } = missed;
        let repeats = Repeats {
            time,
            conduit: &conduit,
            client: None,
            rule: None,
            function: None,
            reason,
            count,
            first,
            last,
        };
        let text = write(&Record::Repeats(repeats), self.shared.format, &self.origin)?;
        Some(Line { time, conduit, text, count })
    }

    fn kept(&self, counted: u64) {
        let was_failing = std::mem::take(&mut self.shared.queue().failing);
        if was_failing && let Some(observer) = &self.observer {
            observer(&SinkEvent::Works { name: &self.shared.name, counted });
        }
    }

    fn failed(&self, error: &str, batch: &[Line]) {
        let was_failing = {
            let mut queue = self.shared.queue();
            queue.in_hand = self.in_hand(batch);
            queue.error = Some(error.to_owned());
            std::mem::replace(&mut queue.failing, true)
        };
        if !was_failing && let Some(observer) = &self.observer {
            observer(&SinkEvent::Failed { name: &self.shared.name, error });
        }
    }
}
