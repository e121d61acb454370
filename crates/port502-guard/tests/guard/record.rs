//! Evidence whose outputs are slow, full or gone.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use port502_guard::output::{Lines, Server, SyslogAddress};
use port502_guard::record::{
    BATCH_MAX, Format, Line, Origin, QUEUED_MAX, Recorder, Sink, SinkEvent, SinkObserver, Unkept,
};
use port502_inspect::evidence::{Record, Repeats, Time};

/// A sink that asks the test what to do with each batch.
struct Asks {
    asks: Sender<Vec<Line>>,
    does: Receiver<Result<(), String>>,
}

impl Sink for Asks {
    fn name(&self) -> String {
        "the disk".to_owned()
    }

    fn format(&self) -> Format {
        Format::Json
    }

    fn keep(&mut self, lines: &[Line]) -> Result<(), String> {
        let _ = self.asks.send(lines.to_vec());
        self.does.recv().unwrap_or(Ok(()))
    }
}

const SOON: Duration = Duration::from_secs(30);

fn record(number: u64) -> Record<'static> {
    let time = Time::from_unix_nanos(1_795_000_000_000_000_000 + number);
    Record::Repeats(Repeats {
        time,
        conduit: "pump",
        client: None,
        rule: None,
        function: None,
        reason: "limits",
        count: 1,
        first: time,
        last: time,
    })
}

fn told() -> (SinkObserver, Receiver<String>) {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let observer: SinkObserver = Arc::new(move |event: &SinkEvent<'_>| {
        let _ = tell.lock().unwrap().send(format!("{event:?}"));
    });
    (observer, told)
}

fn start(sinks: Vec<Box<dyn Sink>>) -> (Recorder, Receiver<String>) {
    let (observer, told) = told();
    (Recorder::start(sinks, Origin::default(), Some(observer)).unwrap(), told)
}

#[test]
fn a_full_disk_holds_up_nobody_and_nothing_is_forgotten() {
    let (asks, asked) = channel();
    let (tell, does) = channel();
    let (kept, other) = channel();
    let (recorder, told) = start(vec![Box::new(Asks { asks, does }), Box::new(crate::stand::Kept(kept))]);
    recorder.record(&record(0));
    assert_eq!(asked.recv_timeout(SOON).unwrap().len(), 1);
    // While the disk is busy all of these come; it has room for some.
    let all = u64::try_from(QUEUED_MAX).unwrap() + 500;
    for number in 1..=all {
        recorder.record(&record(number));
    }
    assert_eq!(recorder.status()[0].counted, 500);
    assert_eq!(recorder.status()[0].queued, QUEUED_MAX);
    // The other output has every one of them by itself, in order, as far as its own queue had room.
    let mut others = 0;
    while others + recorder.status()[1].counted <= all {
        let line = other.recv_timeout(SOON).unwrap();
        others += u64::from(line["repeats"] == 1);
    }
    tell.send(Err("No space left on device".to_owned())).unwrap();
    let failed = told.recv_timeout(SOON).unwrap();
    assert!(failed.contains("the disk") && failed.contains("No space left"), "{failed}");
    let again = asked.recv_timeout(SOON).unwrap();
    assert!(recorder.status()[0].failing);
    assert_eq!(again.len(), BATCH_MAX, "the same, and more behind it");
    tell.send(Err("No space left on device".to_owned())).unwrap();
    // It is told once that it fails, and once that it works again; and all lines are there, in order.
    let (mut lines, mut counted) = (0_u64, 0_u64);
    while lines + counted < all + 1 {
        let batch = asked.recv_timeout(SOON).unwrap();
        for line in &batch {
            let line: serde_json::Value = serde_json::from_str(&line.text).unwrap();
            match line["repeats"].as_u64().unwrap() {
                1 => lines += 1,
                many => counted += many,
            }
        }
        tell.send(Ok(())).unwrap();
    }
    assert_eq!((lines, counted), (all + 1 - 500, 500));
    let works = told.recv_timeout(SOON).unwrap();
    assert!(works.contains("Works"), "{works}");
    assert_eq!(recorder.finish(), []);
    assert!(told.try_recv().is_err());
}

#[test]
fn what_an_output_does_not_take_at_the_end_is_counted() {
    let (asks, asked) = channel();
    let (tell, does) = channel();
    let (recorder, _told) = start(vec![Box::new(Asks { asks, does })]);
    for number in 0..10 {
        recorder.record(&record(number));
    }
    asked.recv_timeout(SOON).unwrap();
    for _ in 0..4 {
        tell.send(Err("gone".to_owned())).unwrap();
    }
    let unkept = Unkept { name: "the disk".to_owned(), count: 10, error: Some("gone".to_owned()) };
    assert_eq!(recorder.finish(), [unkept]);
}

#[test]
fn what_had_no_room_and_what_was_counted_is_lost_by_its_number() {
    let (asks, asked) = channel();
    let (tell, does) = channel();
    let (recorder, _told) = start(vec![Box::new(Asks { asks, does })]);
    // One record that tells of 1,000; then more than the queue has room for.
    let Record::Repeats(many) = record(0) else { panic!() };
    recorder.record(&Record::Repeats(Repeats { count: 1_000, ..many }));
    asked.recv_timeout(SOON).unwrap();
    let all = u64::try_from(QUEUED_MAX).unwrap() + 500;
    for number in 1..=all {
        recorder.record(&record(number));
    }
    for _ in 0..4 {
        tell.send(Err("gone".to_owned())).unwrap();
    }
    let left = recorder.finish();
    assert_eq!(left[0].count, 1_000 + all, "{left:?}");
}

#[test]
fn an_output_that_cannot_be_had_is_told_before_the_first_record() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = || Server::new(format!("tcp://{nobody}").parse().unwrap(), Format::Syslog);
    let (recorder, told) = start(vec![Box::new(server())]);
    let failed = told.recv_timeout(SOON).unwrap();
    assert!(failed.contains("Failed") && failed.contains("refused"), "{failed}");
    // What comes when it is back is kept.
    let listener = std::net::TcpListener::bind(nobody).unwrap();
    recorder.record(&record(0));
    listener.accept().unwrap();
    let works = told.recv_timeout(SOON).unwrap();
    assert!(works.contains("Works"), "{works}");
    assert_eq!(recorder.finish(), []);
}

#[test]
fn lines_in_a_file_that_is_moved_away() {
    let folder = std::env::temp_dir().join(format!("port502-guard-lines-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (path, moved) = (folder.join("evidence.jsonl"), folder.join("evidence.jsonl.1"));
    let mut lines = Lines::open(&path).unwrap();
    let line =
        |text: &str| Line { time: Time::default(), conduit: "pump".into(), text: text.to_owned(), count: 1 };
    lines.keep(&[line("1"), line("2")]).unwrap();
    std::fs::rename(&path, &moved).unwrap();
    lines.keep(&[line("3")]).unwrap();
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "1\n2\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "3\n");
    std::fs::remove_dir_all(&folder).unwrap();
    // The folder is gone, too: that is an error, and no panic.
    assert!(lines.keep(&[line("4")]).unwrap_err().contains("No such file"));
}

#[test]
fn syslog_by_datagram_by_stream_and_by_a_socket_of_the_system() {
    use std::io::Read as _;
    let line =
        |text: &str| Line { time: Time::default(), conduit: "pump".into(), text: text.to_owned(), count: 1 };
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address: SyslogAddress = format!("udp://{}", datagrams.local_addr().unwrap()).parse().unwrap();
    let mut sink = Server::new(address, Format::Syslog);
    sink.keep(&[line("<84>1 a"), line("<84>1 b")]).unwrap();
    let mut room = [0; 100];
    for want in [&b"<84>1 a"[..], b"<84>1 b"] {
        let count = datagrams.recv(&mut room).unwrap();
        assert_eq!(&room[..count], want);
    }

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SyslogAddress = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    let mut sink = Server::new(address, Format::Syslog);
    sink.keep(&[line("<84>1 a")]).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut got = [0; 9];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"7 <84>1 a");
    // A server that was started anew is found again.
    drop(stream);
    // The first write into a connection that has ended is lost with it: the system learns of it by that.
    listener.set_nonblocking(true).unwrap();
    let mut stream = loop {
        sink.keep(&[line("<84>1 b")]).unwrap();
        if let Ok((stream, _)) = listener.accept() {
            break stream;
        }
    };
    stream.set_nonblocking(false).unwrap();
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"7 <84>1 b");

    let path = std::env::temp_dir().join(format!("port502-guard-log-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let mut sink = Server::new(SyslogAddress::Unix(path.clone()), Format::Cef);
    sink.keep(&[line("<84>1 c")]).unwrap();
    let count = socket.recv(&mut room).unwrap();
    assert_eq!(&room[..count], b"<84>1 c");
    std::fs::remove_file(&path).unwrap();
    drop(socket);
    assert!(sink.keep(&[line("<84>1 d")]).is_err());
}
