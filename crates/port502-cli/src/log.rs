//! Lines of a server's life, printed without holding it up.
//!
//! Whoever reads them may be slow, stopped or gone: each output has a thread of its own that may wait for it for ever, and
//! nobody else does, not even at the end.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use port502_inspect::evidence::Time;

use crate::failure::Failure;
use crate::output::counted;

/// Lines that wait to be printed. A terminal that is slow, or stopped, must not hold up the server: what does
/// not fit is counted.
const LINES_MAX: usize = 4096;

/// So long it is waited for a reader when the server ends.
const PRINTED_WITHIN: Duration = Duration::from_secs(2);

/// So long somebody who keeps lines, and has time, waits for room.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// Prints lines from threads of its own.
pub(crate) struct Log {
    /// `None` where nothing is to be shown.
    lines: Option<Printer>,
    /// For what is wrong, which is told in any case.
    errors: OnceLock<Printer>,
    /// Lines go where errors go.
    aside: bool,
    /// Each line begins with its time.
    dated: bool,
}

impl Log {
    pub(crate) fn start(quiet: bool) -> Log {
        let lines = (!quiet).then(|| Printer::start(|| Box::new(io::stdout())));
        Log { lines, errors: OnceLock::new(), aside: false, dated: false }
    }

    /// On the error output, for a program whose output is for another.
    pub(crate) fn aside(quiet: bool) -> Log {
        let lines = (!quiet).then(|| Printer::start(|| Box::new(io::stderr())));
        Log { lines, errors: OnceLock::new(), aside: true, dated: false }
    }

    /// Each line begins with its time, as the lines of evidence do among which it stands.
    pub(crate) fn dated(self) -> Log {
        Log { dated: true, ..self }
    }

    pub(crate) fn line(&self, text: fmt::Arguments<'_>) {
        if let Some(lines) = &self.lines {
            lines.tell(self.with_time(text));
        }
    }

    /// Something is wrong: it is told on the error output, though nothing is to be shown.
    pub(crate) fn error(&self, text: fmt::Arguments<'_>) {
        self.errors().tell(format!("port502: {}", self.with_time(text)));
    }

    /// The same with all that a failure says.
    pub(crate) fn failure(&self, failure: &Failure) {
        for line in failure.lines() {
            self.errors().tell(line);
        }
    }

    /// Prints all of these or none; waits a moment for room.
    pub(crate) fn keep(&self, lines: Vec<String>) -> Result<(), String> {
        self.lines.as_ref().map_or(Ok(()), |printer| printer.keep(lines))
    }

    /// Waits, but not for ever, until everything is printed. The lines that nobody has read.
    pub(crate) fn unread(&self) -> u64 {
        self.lines.as_ref().map_or(0, Printer::drain)
    }

    /// The last thing that a server does: waits, but not for ever, until everything is printed, and then `last`, on
    /// the error output. What it returns is told, where it is an error.
    pub(crate) fn end(&self, last: &[String], result: Result<(), Failure>) -> Result<(), Failure> {
        self.unread();
        if last.is_empty() && result.is_ok() && self.errors.get().is_none() {
            return result;
        }
        last.iter().for_each(|line| self.errors().tell(line.clone()));
        let result = result.map_err(|failure| {
            self.failure(&failure);
            failure.told()
        });
        if self.errors().drain() != 0 {
            // Whoever wrote another word there would wait for ever.
            std::process::exit(result.map_or_else(|failure| failure.exit.code().into(), |()| 0));
        }
        result
    }

    fn errors(&self) -> &Printer {
        match &self.lines {
            Some(lines) if self.aside => lines,
            _ => self.errors.get_or_init(|| Printer::start(|| Box::new(io::stderr()))),
        }
    }

    fn with_time(&self, text: fmt::Arguments<'_>) -> String {
        if !self.dated {
            return text.to_string();
        }
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = Time::from_unix_nanos(u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX));
        format!("{time} {text}")
    }
}

/// One output with its thread, which ends with this, or with the reader.
struct Printer(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There are lines, or there is nothing more.
    more: Condvar,
    /// There is room, or nothing left.
    less: Condvar,
}

/// A line that waits.
struct Waiting {
    text: String,
    /// Somebody counts on it: when nobody reads it, that is told.
    counts: bool,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Waiting>,
    /// Lines that there was no room for.
    missed: u64,
    /// A line is being printed.
    busy: bool,
    /// Nothing more comes.
    ended: bool,
    /// The reader went away: nobody misses what is not printed, but for what counts.
    gone: bool,
    /// Lines that count, and that it has not read.
    forgotten: u64,
}

impl Queue {
    fn has_room(&self, lines: usize) -> bool {
        self.gone || self.lines.len() + lines <= LINES_MAX
    }

    /// Whether there is something to be printed that somebody may read yet.
    fn goes_on(&self) -> bool {
        !self.gone && self.left() != 0
    }

    /// Lines that are not printed, and that somebody may read yet, or would have missed.
    fn left(&self) -> u64 {
        let waiting = u64::try_from(self.lines.len()).unwrap_or(u64::MAX);
        if self.gone { self.forgotten } else { waiting + self.missed + u64::from(self.busy) }
    }

    /// The reader went away while this was printed.
    fn give_up(&mut self, line: Waiting) {
        let counting = self.lines.drain(..).chain([line]).filter(|line| line.counts).count();
        self.forgotten = u64::try_from(counting).unwrap_or(u64::MAX);
        (self.gone, self.missed) = (true, 0);
    }

    fn notice(&mut self) -> Option<String> {
        let missed = std::mem::take(&mut self.missed);
        (missed != 0).then(|| format!("{} came too fast to be shown", counted(missed, "line")))
    }

    /// Behind the word that lines are missing, where they are.
    fn push(&mut self, line: Waiting) {
        if !self.gone {
            let notice = self.notice();
            self.lines.extend(notice.map(|text| Waiting { text, counts: false }));
            self.lines.push_back(line);
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that is done under this lock can panic halfway through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Printer {
    fn start(out: fn() -> Box<dyn io::Write>) -> Printer {
        let shared = Arc::new(Shared::default());
        let printer = Arc::clone(&shared);
        std::thread::spawn(move || print_all(&printer, &mut *out()));
        Printer(shared)
    }

    fn tell(&self, line: String) {
        let mut queue = self.0.queue();
        if queue.has_room(1) {
            queue.push(Waiting { text: line, counts: false });
            self.0.more.notify_one();
        } else {
            queue.missed += 1;
        }
    }

    fn keep(&self, lines: Vec<String>) -> Result<(), String> {
        let waited =
            self.0.less.wait_timeout_while(self.0.queue(), ROOM_WITHIN, |queue| !queue.has_room(lines.len()));
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        if queue.gone {
            return Err("nobody reads it any more".to_owned());
        }
        if !queue.has_room(lines.len()) {
            return Err("nobody reads it".to_owned());
        }
        lines.into_iter().for_each(|text| queue.push(Waiting { text, counts: true }));
        self.0.more.notify_one();
        Ok(())
    }

    /// Waits until everything is printed, but not for ever. The lines that are left.
    fn drain(&self) -> u64 {
        let (queue, _) = self
            .0
            .less
            .wait_timeout_while(self.0.queue(), PRINTED_WITHIN, |queue| queue.goes_on())
            .unwrap_or_else(PoisonError::into_inner);
        queue.left()
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        self.0.queue().ended = true;
        self.0.more.notify_one();
    }
}

fn print_all(shared: &Shared, out: &mut dyn io::Write) {
    loop {
        let mut queue = shared.queue();
        queue.busy = false;
        let line = loop {
            let next = queue.lines.pop_front();
            let notice = |text| Waiting { text, counts: false };
            if let Some(line) = next.or_else(|| queue.notice().map(notice)) {
                break line;
            }
            shared.less.notify_all();
            if queue.ended {
                return;
            }
            queue = shared.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
        };
        queue.busy = true;
        drop(queue);
        shared.less.notify_all();
        let text = format!("{}\n", line.text);
        // A reader that went away does not end the server.
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            shared.queue().give_up(line);
            shared.less.notify_all();
            return;
        }
    }
}
