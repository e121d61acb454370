//! What the fuzz target has collected, through the same law. The folder is not part of the packaged crate.

use std::path::Path;

#[test]
fn what_fuzzing_collected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/tap");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: there is no {}", folder.display());
        return;
    };
    for file in files {
        let path = file.unwrap().path();
        println!("{}", path.display());
        crate::law::tap(&std::fs::read(path).unwrap());
    }
}
