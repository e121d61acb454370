//! Ctrl-C while a device is asked.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use super::support::{Does, Ran, answer, command, device};

/// Runs a command on a device that answers so many requests and no more. Ctrl-C comes when it has one that it does
/// not answer.
#[track_caller]
fn check(args: &[&str], answers: usize, want: &str, printed: &str) {
    let (sender, asked) = channel();
    let count = Arc::new(AtomicUsize::new(0));
    let target = device(move |request| {
        if count.fetch_add(1, Ordering::Relaxed) >= answers {
            let _ = sender.send(());
            return Does::Nothing;
        }
        if request[7] == 6 { Does::Answers(request.to_vec()) } else { answer(request, &[3, 2, 0, 7]) }
    });
    let child = command(&args[..1])
        .args([&target, "--timeout", "60s"])
        .args(&args[1..])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    asked.recv().unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ran = Ran::from(child.wait_with_output().unwrap());
    let want = want.replace("DEVICE", &format!("{target} unit 1"));
    assert_eq!(
        (ran.err.lines().last().unwrap_or_default(), ran.code),
        (format!("port502: {want}").as_str(), 1)
    );
    assert_eq!(ran.out, printed);
}

#[test]
fn what_was_not_done_is_said() {
    check(&["read", "h:0"], 0, "DEVICE: interrupted before an answer came", "");
    check(&["read", "h:0", "--every", "1s"], 0, "DEVICE: interrupted before an answer came", "");
    check(&["poll", "h:0", "-n", "9"], 0, "DEVICE: interrupted before an answer came", "");
    check(&["identify"], 0, "DEVICE: interrupted before an answer came", "");
    let maybe = "interrupted before an answer came; it may have been written all the same";
    check(&["write", "h:0=1"], 0, &format!("DEVICE: holding:0: {maybe}"), "");
    let written = "holding:0 (40001) = 7 written (function 6 WriteSingleRegister)\n";
    check(
        &["write", "h:0=7", "h:1=2"],
        1,
        &format!("DEVICE: holding:1: {maybe}; 1 of 2 points were written before"),
        written,
    );
    check(
        &["write", "h:0=7", "--verify"],
        1,
        "written, but not verified: DEVICE: interrupted before an answer came",
        written,
    );
}
