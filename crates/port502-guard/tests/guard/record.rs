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
    // A server that was started anew is found again. It closed so soon after the first message that nobody can say
    // whether that has arrived: it comes twice rather than never.
    drop(stream);
    sink.keep(&[line("<84>1 b")]).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    for want in [b"7 <84>1 a", b"7 <84>1 b"] {
        stream.read_exact(&mut got).unwrap();
        assert_eq!(&got, want);
    }

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

/// A collector on TCP, of which a test says when it takes, reads and closes.
struct Collector(std::net::TcpListener);

impl Collector {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // For accepting, too.
        socket2::SockRef::from(&listener).set_read_timeout(Some(SOON)).unwrap();
        Collector(listener)
    }

    fn server(&self) -> Server {
        let address = format!("tcp://{}", self.0.local_addr().unwrap());
        Server::new(address.parse().unwrap(), Format::Syslog)
    }

    fn accept(&self) -> Messages {
        let stream = self.0.accept().unwrap().0;
        stream.set_read_timeout(Some(SOON)).unwrap();
        Messages(stream)
    }
}

struct Messages(std::net::TcpStream);

impl Messages {
    /// The next message.
    #[track_caller]
    fn read(&mut self) -> String {
        use std::io::Read as _;
        let byte = |stream: &mut std::net::TcpStream| {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("there is another message");
            byte[0]
        };
        let mut length = 0;
        loop {
            match byte(&mut self.0) {
                digit @ b'0'..=b'9' => length = length * 10 + usize::from(digit - b'0'),
                blank => break assert_eq!(blank, b' '),
            }
        }
        let mut text = vec![0; length];
        self.0.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// Reads until a message has this in it.
    #[track_caller]
    fn reads(&mut self, what: &str) {
        while !self.read().contains(what) {}
    }

    /// As a collector that is killed with messages that it has not read.
    fn break_off(self) {
        socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

fn text(text: &str) -> Line {
    Line { time: Time::default(), conduit: "pump".into(), text: text.to_owned(), count: 1 }
}

#[test]
fn a_collector_that_is_restarted_while_nothing_is_said_misses_nothing() {
    let collector = Collector::start();
    let mut sink = collector.server();
    sink.keep(&[text("write 710")]).unwrap();
    let mut before = collector.accept();
    before.reads("710");
    drop(before);
    // A whole batch, and one more: the first of them is what finds out.
    let batch: Vec<Line> = (0..BATCH_MAX).map(|number| text(&format!("write 711 {number}."))).collect();
    sink.keep(&batch).unwrap();
    sink.keep(&[text("write 712")]).unwrap();
    let mut after = collector.accept();
    (0..BATCH_MAX).for_each(|number| after.reads(&format!("write 711 {number}.")));
    after.reads("write 712");
}

#[test]
fn what_a_collector_has_not_read_when_it_breaks_off_is_sent_again() {
    let collector = Collector::start();
    let (recorder, _told) = start(vec![Box::new(collector.server())]);
    let broken = collector.accept();
    recorder.record(&record(7_110));
    // It is on its way, and nobody has read it.
    let mut waiting = [0; 1];
    assert_eq!(broken.0.peek(&mut waiting).unwrap(), 1);
    broken.break_off();
    // There is nothing more to say, and it is found out all the same.
    collector.accept().reads("2026-11-18T11:06:40.000007Z");
    drop(recorder);
}

#[test]
fn what_a_collector_that_is_gone_has_not_read_is_told_at_the_end() {
    let collector = Collector::start();
    let name = collector.server().name();
    let (recorder, told) = start(vec![Box::new(collector.server())]);
    let broken = collector.accept();
    (0..3).for_each(|number| recorder.record(&record(number)));
    while broken.0.peek(&mut [0; 1000]).unwrap() < 600 {}
    broken.break_off();
    drop(collector);
    let failed = told.recv_timeout(SOON).unwrap();
    assert!(failed.contains("Failed") && failed.contains("refused"), "{failed}");
    let left = recorder.finish();
    assert_eq!((left[0].name.as_str(), left[0].count), (name.as_str(), 3), "{left:?}");
}

#[test]
fn at_the_end_a_collector_is_waited_for_and_what_it_lost_is_sent_again() {
    let collector = Collector::start();
    let (recorder, _told) = start(vec![Box::new(collector.server())]);
    let broken = collector.accept();
    recorder.record(&record(0));
    assert_eq!(broken.0.peek(&mut [0; 1]).unwrap(), 1);
    let end = std::thread::spawn(move || recorder.finish());
    broken.break_off();
    let mut again = collector.accept();
    again.reads("<84>1 ");
    drop(again);
    assert_eq!(end.join().unwrap(), []);
}
