//! What the fuzz targets have collected, through the same laws. The folder is not part of the packaged crate.

use crate::law;
use std::path::Path;

fn replay(target: &str, law: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: there is no {}", folder.display());
        return;
    };
    for file in files {
        let path = file.unwrap().path();
        println!("{}", path.display());
        law(&std::fs::read(path).unwrap());
    }
}

#[test]
fn pdu() {
    replay("pdu", law::pdu);
}

#[test]
fn mbap() {
    replay("mbap", law::mbap);
}

#[test]
fn rtu() {
    replay("rtu", law::rtu);
}

#[test]
fn ascii() {
    replay("ascii", law::ascii);
}
