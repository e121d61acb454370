//! Starts the program, and devices for it to talk to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// What a run of the program gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_port502"));
    command.args(args).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

pub(crate) fn port502(args: &[&str]) -> Ran {
    command(args).output().unwrap().into()
}

impl Ran {
    /// It ended well, printed this, and had nothing to complain about.
    #[track_caller]
    pub(crate) fn prints(self, out: &str) {
        assert_eq!((self.out.as_str(), self.err.as_str(), self.code), (out, "", 0));
    }

    /// It ended with this code and this line.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, line: &str) -> String {
        assert_eq!((self.err.as_str(), self.code), (format!("port502: {line}\n").as_str(), code));
        self.out
    }
}

/// A device served by the program; it ends with this value.
pub(crate) struct Served {
    child: Child,
    pub(crate) target: String,
    pub(crate) map: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.map);
    }
}

/// Serves the rows of a map, whose header is `table,address,type,order,count,value,access`.
pub(crate) fn serve(rows: &str) -> Served {
    serve_with(rows, &[])
}

/// With more arguments.
pub(crate) fn serve_with(rows: &str, args: &[&str]) -> Served {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}-{}.csv", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let map = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&map, format!("table,address,type,order,count,value,access\n{rows}")).unwrap();
    let mut child = command(&["serve", "--listen", "tcp://127.0.0.1:0", "--map", map.to_str().unwrap()])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let target = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
    // What it goes on to print must not fill the pipe.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    Served { child, target, map }
}

/// What a device does after a request.
pub(crate) enum Does {
    Answers(Vec<u8>),
    Nothing,
    Closes,
}

/// A device that does with each request what it is told. It ends with the test.
pub(crate) fn device(does: impl Fn(&[u8]) -> Does + Send + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, does) = (stream.unwrap(), does.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 260];
                // One request at a time, each in a segment of its own.
                while let Ok(len @ 1..) = stream.read(&mut buffer) {
                    match does(&buffer[..len]) {
                        Does::Answers(bytes) => stream.write_all(&bytes).unwrap(),
                        Does::Nothing => {}
                        Does::Closes => break,
                    }
                }
            });
        }
    });
    target
}

/// The frame that answers `request` with this PDU.
pub(crate) fn answer(request: &[u8], pdu: &[u8]) -> Does {
    let mut frame = request[..4].to_vec();
    frame.extend(u16::try_from(pdu.len() + 1).unwrap().to_be_bytes());
    frame.push(request[6]);
    frame.extend(pdu);
    Does::Answers(frame)
}

/// A line without the times in it, which differ each time.
pub(crate) fn without_times(text: &str) -> String {
    let is_time = |word: &&str| word.len() == 24 && word.ends_with('Z') && word.contains('T');
    let line = |line: &str| {
        line.split(' ').map(|word| if is_time(&word) { "TIME" } else { word }).collect::<Vec<_>>().join(" ")
    };
    text.lines().map(|text| line(text) + "\n").collect()
}
