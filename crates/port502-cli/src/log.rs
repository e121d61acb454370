//! Lines of a server's life, printed without holding it up.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::output::counted;

/// Lines that wait to be printed. A terminal that is slow, or stopped, must not hold up the server: what does
/// not fit is counted.
const LINES_MAX: usize = 4096;

/// Prints lines from a thread of its own.
pub(crate) struct Log {
    lines: Option<SyncSender<Line>>,
    missed: AtomicU64,
    printer: std::sync::Mutex<Option<JoinHandle<()>>>,
}

enum Line {
    Text(String),
    End,
}

impl Log {
    pub(crate) fn start(quiet: bool) -> Log {
        Self::over(quiet, || Box::new(io::stdout()))
    }

    /// On the error output, for a program whose output is for another.
    pub(crate) fn aside(quiet: bool) -> Log {
        Self::over(quiet, || Box::new(io::stderr()))
    }

    fn over(quiet: bool, out: fn() -> Box<dyn io::Write>) -> Log {
        let (missed, nobody) = (AtomicU64::new(0), std::sync::Mutex::new(None));
        if quiet {
            return Log { lines: None, missed, printer: nobody };
        }
        let (lines, receiver) = sync_channel(LINES_MAX);
        let printer = std::thread::spawn(move || print_all(&receiver, &mut *out()));
        Log { lines: Some(lines), missed, printer: std::sync::Mutex::new(Some(printer)) }
    }

    pub(crate) fn line(&self, text: fmt::Arguments<'_>) {
        let Some(lines) = &self.lines else { return };
        let missed = self.missed.swap(0, Relaxed);
        if missed != 0
            && lines
                .try_send(Line::Text(format!("{} came too fast to be shown", counted(missed, "line"))))
                .is_err()
        {
            self.missed.fetch_add(missed, Relaxed);
        }
        if let Err(TrySendError::Full(_)) = lines.try_send(Line::Text(text.to_string())) {
            self.missed.fetch_add(1, Relaxed);
        }
    }

    /// Waits until everything is printed.
    pub(crate) fn finish(&self) {
        if let Some(lines) = &self.lines {
            // A printer that has ended (stdout is gone) takes nothing more.
            let _ = lines.send(Line::End);
        }
        let printer = self.printer.lock().ok().and_then(|mut printer| printer.take());
        if let Some(printer) = printer {
            let _ = printer.join();
        }
    }
}

fn print_all(lines: &Receiver<Line>, out: &mut dyn io::Write) {
    while let Ok(Line::Text(mut text)) = lines.recv() {
        text.push('\n');
        // A reader that went away does not end the server.
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}
