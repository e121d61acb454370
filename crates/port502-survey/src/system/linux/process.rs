//! Processes: which of them has a socket open, and who they are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, DirEntry};
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;

use rustix::fs::readlinkat_raw;

use crate::snapshot::{Process, User};

/// The numbers of the processes that run now, lowest first.
pub(super) fn pids(proc: &Path) -> io::Result<Vec<u32>> {
    let mut pids: Vec<u32> =
        entries(proc)?.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}

fn entries(folder: &Path) -> io::Result<impl Iterator<Item = DirEntry> + use<>> {
    Ok(fs::read_dir(folder)?.map_while(Result::ok))
}

/// The number of the network namespace that a process is in.
pub(super) fn namespace(process: &Path) -> io::Result<Option<u64>> {
    let link = fs::read_link(process.join("ns/net"))?;
    Ok(link.to_str().and_then(|link| numbered(link, "net:[")))
}

/// 4711 of `socket:[4711]`.
fn numbered(link: &str, kind: &str) -> Option<u64> {
    link.strip_prefix(kind)?.strip_suffix(']')?.parse().ok()
}

/// Which processes have which sockets open.
#[derive(Default)]
pub(super) struct Owners {
    /// By the socket's number, the processes in order.
    pub(super) of: HashMap<u64, Vec<u32>>,
    /// Processes that we may not look into.
    pub(super) hidden: usize,
}

/// Longer than `socket:[18446744073709551615]`: what is cut off there is no socket.
const LINK_LEN: usize = 64;

/// Looks for the owners of the sockets wanted.
pub(super) fn owners(proc: &Path, pids: &[u32], wanted: &HashSet<u64>) -> Owners {
    let mut owners = Owners::default();
    for pid in pids {
        let folder = proc.join(pid.to_string()).join("fd");
        let (folder, files) = match fs::File::open(&folder).and_then(|open| Ok((open, entries(&folder)?))) {
            Ok(both) => both,
            Err(error) => {
                // Others have ended since they were listed.
                owners.hidden += usize::from(error.kind() == io::ErrorKind::PermissionDenied);
                continue;
            }
        };
        for file in files {
            // From the open folder on, which is a third of the way to each of ten thousand. A file may be closed at any
            // time.
            let mut space = [MaybeUninit::uninit(); LINK_LEN];
            let Ok((link, _)) = readlinkat_raw(&folder, file.file_name(), &mut space) else { continue };
            let link = std::str::from_utf8(link).ok();
            let Some(inode) = link.and_then(|link| numbered(link, "socket:[")) else { continue };
            if wanted.contains(&inode) {
                let pids = owners.of.entry(inode).or_default();
                if pids.last() != Some(pid) {
                    pids.push(*pid);
                }
            }
        }
    }
    owners
}

/// Who a process is; `None` when it has ended.
pub(super) fn read(proc: &Path, pid: u32, users: &Users, boot: Option<i64>) -> Option<Process> {
    let folder = proc.join(pid.to_string());
    let stat = fs::read(folder.join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (name, ticks) = name_and_start(&stat)?;
    let executable = fs::read_link(folder.join("exe")).ok();
    // The kernel writes this behind the path.
    let text = executable.as_ref().and_then(|path| path.to_str());
    let deleted = text.and_then(|text| text.strip_suffix(" (deleted)"));
    let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
    let uid =
        status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok());
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let since_boot = i64::try_from(ticks / per_second).ok();
    Some(Process {
        pid,
        name: name.to_owned(),
        executable_deleted: deleted.is_some(),
        executable: deleted.map(Into::into).or(executable),
        user: uid.map(|uid| users.user(uid)),
        started: boot.zip(since_boot).and_then(|(boot, since)| boot.checked_add(since)),
    })
}

/// The second field of `stat`, in parentheses that may hold any character, and the 22nd: clock ticks since the machine was
/// started.
fn name_and_start(stat: &str) -> Option<(&str, u64)> {
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let ticks = tail.split_whitespace().nth(19)?.parse().ok()?;
    Some((name, ticks))
}

/// When the machine was started, in seconds since 1970.
pub(super) fn boot_time(proc: &Path) -> Option<i64> {
    let stat = fs::read_to_string(proc.join("stat")).ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

/// Names of users.
pub(super) struct Users(BTreeMap<u32, String>);

impl Users {
    /// The list of the system that `proc` is of. Users of a directory service keep their numbers.
    pub(super) fn read(proc: &Path) -> Self {
        let root = proc.parent().unwrap_or(proc);
        let text = fs::read(root.join("etc/passwd")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut users = BTreeMap::new();
        for line in text.lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(Ok(uid))) = (fields.next(), fields.nth(1).map(str::parse)) {
                users.entry(uid).or_insert_with(|| name.to_owned());
            }
        }
        Users(users)
    }

    pub(super) fn user(&self, uid: u32) -> User {
        User { uid, name: self.0.get(&uid).cloned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let tail = "S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        assert_eq!(name_and_start(&format!("42 (plc) {tail}")), Some(("plc", 98765)));
        assert_eq!(name_and_start(&format!("42 (a) (b c) {tail}")), Some(("a) (b c", 98765)));
        assert_eq!(name_and_start("42 (plc) S 1"), None);
        assert_eq!(name_and_start(""), None);
    }

    #[test]
    fn links_are_numbered() {
        assert_eq!(numbered("socket:[4711]", "socket:["), Some(4711));
        assert_eq!(numbered("pipe:[4711]", "socket:["), None);
        assert_eq!(numbered("socket:[4711", "socket:["), None);
    }
}
