//! How a command ends when it does not end well: an exit code that scripts rely on, and one line for people.

use std::io;
use std::process::ExitCode;

/// The exit codes other than 0. The order is by severity: a command with several results ends with the worst.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Exit {
    /// Nothing went wrong, there is just nobody left to tell: the reader of our output went away.
    Done,
    /// What was looked at was seen, and told: there is something to act on.
    Findings,
    /// Anything without a code of its own.
    Other,
    /// The device answered with an exception.
    Exception,
    /// The device broke the protocol.
    Protocol,
    /// The device did not answer in time.
    Timeout,
    /// No connection, or the link broke.
    Link,
    /// The arguments are wrong; nothing was sent.
    Usage,
}

impl Exit {
    /// The number that the process ends with.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Other => 1,
            Exit::Usage => 2,
            Exit::Link => 3,
            Exit::Timeout => 4,
            Exit::Exception => 5,
            Exit::Protocol => 6,
            Exit::Findings => 10,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// What went wrong, where, and what to try, in one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    /// One more line for each thing more that is wrong, as in a file that is checked as a whole. A line that begins
    /// with blanks shows what the one before it is about.
    pub(crate) more: Vec<String>,
    /// The user knows: only the exit code is left.
    told: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { exit, message: message.into(), more: Vec::new(), told: false }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure::new(Exit::Usage, message)
    }

    pub(crate) fn other(message: impl Into<String>) -> Self {
        Failure::new(Exit::Other, message)
    }

    /// Several things at once, one line each.
    pub(crate) fn list(exit: Exit, lines: impl IntoIterator<Item = String>) -> Self {
        let mut lines = lines.into_iter();
        let message = lines.next().unwrap_or_default();
        Failure { exit, message, more: lines.collect(), told: false }
    }

    /// Somebody has told the user already.
    pub(crate) fn told(self) -> Self {
        Failure { told: true, ..self }
    }

    /// What the user is told.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let silent = matches!(self.exit, Exit::Done | Exit::Findings);
        std::iter::once(&self.message).chain(&self.more).filter(move |_| !silent).map(|line| {
            // What a peer sent may be part of the line: it must not break it, nor steer the terminal.
            let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
            let line: String = line.chars().map(clean).collect();
            let name = if line.starts_with("  ") { "" } else { "port502: " };
            format!("{name}{line}")
        })
    }

    /// Tells the user, and gives the process its exit code.
    pub(crate) fn report(&self) -> ExitCode {
        use io::Write as _;
        if !self.told {
            for line in self.lines() {
                // Without stderr there is still the exit code.
                let _ = writeln!(io::stderr(), "{line}");
            }
        }
        self.exit.into()
    }
}

/// Of writing our output: everything else names its file.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Exit::Done, ""),
            _ => Failure::other(format!("cannot write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_wins() {
        let mut all = [Exit::Usage, Exit::Exception, Exit::Done, Exit::Link, Exit::Other, Exit::Timeout];
        all.sort();
        assert_eq!(all.map(Exit::code), [0, 1, 5, 4, 3, 2]);
    }
}
