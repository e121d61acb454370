use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use port502_store::{Durable, Journal, Options};

use crate::support::{Folder, ROLE, all, append, is_whole, only, quick, try_to_append};

/// Entries of one append.
const BATCH: u64 = 7;

/// The process that is killed: it appends, and says each time how far it has come.
fn writes_until_killed(folder: &Path) {
    let durable = if folder.ends_with("power") { Durable::PowerCut } else { Durable::Kill };
    let mut journal = Journal::open(folder, Options { durable, ..quick() }).unwrap();
    for batch in 0.. {
        let first = 1 + batch * BATCH;
        try_to_append(&mut journal, &(first..first + BATCH).collect::<Vec<_>>()).unwrap();
        println!("\nkept {}", first + BATCH - 1);
    }
}

#[test]
fn what_append_returned_from_survives_the_end_of_the_process() {
    if let Some(folder) = std::env::var_os(ROLE) {
        return writes_until_killed(Path::new(&folder));
    }
    for (name, appends) in [("kill", 1), ("power", 13), ("kill", 60), ("kill", 350), ("power", 41)] {
        let above = Folder::fresh();
        let folder = above.join(name);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(only("killed::what_append_returned_from_survives_the_end_of_the_process"))
            .env(ROLE, &folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut said = lines.by_ref().filter_map(|line| line.strip_prefix("kept ")?.parse::<u64>().ok());
        let mut last = said.nth(appends - 1).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it was gone.
        last = said.last().unwrap_or(last).max(last);

        let verified = Journal::verify(&folder).unwrap();
        assert_eq!((verified.breach, verified.removed), (None, 0), "{name} {appends}");
        assert!(verified.entries >= last, "{} of {last} entries are there", verified.entries);
        // An append is there as a whole or not at all.
        assert_eq!(verified.entries % BATCH, 0, "{} entries", verified.entries);
        assert!(all(&folder).iter().zip(1..).all(|(kept, id)| kept.id == id));
        // Nobody holds it any more, and it goes on.
        append(&mut Journal::open(&folder, quick()).unwrap(), verified.entries + 1, 3);
        is_whole(&folder, 0, verified.entries + 3);
    }
}
