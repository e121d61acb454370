//! As somebody who is not root: what cannot be seen is said, and nothing else is different.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Checked, PORT502, is_root, run, serve};

/// The program as `nobody`, from a folder into which everybody may look.
fn as_nobody(arguments: &[&str]) -> Checked {
    let folder = std::env::temp_dir().join(format!("port502-check-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program: PathBuf = folder.join("port502");
    std::fs::copy(PORT502, &program).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .arg("check")
        .args(arguments);
    let checked = run(command.current_dir("/"));
    std::fs::remove_dir_all(&folder).unwrap();
    checked
}

#[test]
fn what_needs_root_is_said() {
    if !is_root() {
        return;
    }
    let server = serve("tcp://127.0.0.1:0");
    let port = server.port.to_string();
    let checked = as_nobody(&["--json", "--port", &port]);
    checked.finds(&[&format!("{port} loopback-only")]);
    let listener = checked.listener();
    // Whose it is, and what it speaks, everybody sees.
    assert_eq!(listener["holder"], "hidden");
    assert_eq!(listener["user"], serde_json::json!({"uid": 0, "name": "root"}));
    assert_eq!(listener["answer"]["outcome"], "speaks");
    let unseen: Vec<String> =
        checked.kind("unseen").iter().map(|unseen| unseen["what"].as_str().unwrap().to_owned()).collect();
    assert!(
        unseen.contains(&"programs".to_owned()) && unseen.contains(&"packet-filter".to_owned()),
        "{unseen:?}"
    );

    let page = as_nobody(&["--port", &port]);
    page.fits();
    for said in ["of user root; which one cannot be seen without root", "NOT SEEN", "As root they can"] {
        assert!(page.out.contains(said), "{said}\n{}", page.out);
    }
}
