//! Files that a guard may have open: a client's connection is one, and the one to the device that belongs to it another.

use port502_net::server::HANDSHAKES_MAX;

/// Files beside the clients': the program's own, journal and outputs, metrics, shared links, certificates that are read.
const OTHER_FILES: u64 = 128;

/// Of so many connections one more may be there: it leaves to make room, and still has its files.
const LEAVING: u64 = 8;

/// What the places of a plan need.
#[derive(Default)]
pub(super) struct Need {
    /// Those of places that are there and stay, and of handshakes.
    taken: u64,
    /// Files that one more connection at each new place takes.
    each: u64,
}

/// Files for one connection.
fn of_one(own: bool) -> u64 {
    if own { 2 } else { 1 }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl Need {
    /// A place that is there and stays. `own`: each client has a connection of its own to the device.
    pub(super) fn stays(&mut self, connections: usize, own: bool) {
        self.taken = self.taken.saturating_add(wide(connections).saturating_mul(of_one(own)));
    }

    /// A place that is new.
    pub(super) fn comes(&mut self, own: bool, tls: bool) {
        self.each += of_one(own);
        if tls {
            self.taken += wide(HANDSHAKES_MAX);
        }
    }

    fn files(&self, connections: usize) -> u64 {
        let clients = self.each.saturating_mul(wide(connections));
        clients.saturating_add(clients / LEAVING).saturating_add(self.taken).saturating_add(OTHER_FILES)
    }

    /// How many connections each new place may take, of those that are wanted, when so many files may be open.
    fn fitting(&self, wanted: usize, files: u64) -> usize {
        let room = files.saturating_sub(OTHER_FILES).saturating_sub(self.taken);
        let room = room / (LEAVING + 1) * LEAVING;
        let fit = room.checked_div(self.each).unwrap_or(u64::MAX);
        usize::try_from(fit).unwrap_or(usize::MAX).clamp(1, wanted.max(1))
    }

    /// The same after the limit was raised as far as the system lets it, and what to tell where that is not enough.
    pub(super) fn connections(&self, wanted: usize) -> (usize, Option<String>) {
        let need = self.files(wanted);
        let Some(files) = allow(need).filter(|files| *files < need && self.each != 0) else {
            return (wanted, None);
        };
        let fitting = self.fitting(wanted, files);
        let told = format!(
            "{wanted} connections at each place need {need} open files, those to devices among them, and the system \
             allows {files}: {fitting} are taken at each; raise LimitNOFILE= in the unit of systemd, or ulimit -Hn, and \
             start anew"
        );
        (fitting, Some(told))
    }
}

/// Raises the limit on open files where it is below `need`. What it is then; `None` where there is none.
#[cfg(unix)]
fn allow(need: u64) -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|soft| soft >= need) {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}

#[cfg(not(unix))]
fn allow(_: u64) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(need: &Need, wanted: usize, files: u64, want: usize) {
        assert_eq!(need.fitting(wanted, files), want, "{wanted} with {files} files");
    }

    #[test]
    fn a_client_takes_a_file_and_its_connection_to_the_device_another() {
        let mut own = Need::default();
        own.comes(true, false);
        // An eighth more for those that leave.
        assert_eq!(own.files(2048), 4096 + 512 + OTHER_FILES);
        check(&own, 2048, 4608 + OTHER_FILES, 2048);
        check(&own, 2048, 4607 + OTHER_FILES, 2044);
        check(&own, 2048, OTHER_FILES, 1);
        let mut both = Need::default();
        both.comes(true, true);
        both.comes(false, false);
        both.stays(100, true);
        assert_eq!(both.files(24), 72 + 9 + 64 + 200 + OTHER_FILES);
        check(&both, 24, 81 + 64 + 200 + OTHER_FILES, 24);
        check(&both, 24, 80 + 64 + 200 + OTHER_FILES, 21);
        // Nothing new wants nothing.
        let mut none = Need::default();
        none.stays(2048, true);
        check(&none, 2048, 100, 2048);
    }
}
