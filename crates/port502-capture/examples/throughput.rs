//! How many packets and bytes of a capture are read, sliced and reassembled in one second of CPU time.
//!
//! ```text
//! cargo run --release -p port502-capture --example throughput [FILE.pcap]
//! ```
//!
//! Without a file a capture is made in memory: 64 clients that ask one server each, 12 bytes for 29. Each stage is run
//! over the whole capture again and again for about a second.

use std::hint::black_box;
use std::time::{Duration, Instant};

use port502_capture::{Capture, CaptureBytes, Event, Limits, Reassembler, StreamEventKind, synth};

const CLIENTS: u16 = 64;
const ROUNDS: usize = 4_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => synthesised()?,
    };
    measure("file from a slice", &file, || {
        let mut packets = 0;
        for record in CaptureBytes::new(&file) {
            black_box(record?);
            packets += 1;
        }
        Ok(packets)
    })?;
    measure("file from a reader", &file, || {
        let mut capture = Capture::new(file.as_slice());
        let mut packets = 0;
        while let Some(record) = capture.next_record()? {
            black_box(record);
            packets += 1;
        }
        Ok(packets)
    })?;
    measure("+ slice", &file, || {
        let mut packets = 0;
        for record in CaptureBytes::new(&file) {
            let _ = black_box(record?.slice());
            packets += 1;
        }
        Ok(packets)
    })?;
    measure("+ streams", &file, || {
        let mut streams = Reassembler::new(Limits::default(), |port| port == 502);
        let mut delivered = 0;
        let mut sink = |event: Event<'_>| {
            if let Event::Stream(event) = event
                && let StreamEventKind::Data(bytes) = event.kind
            {
                delivered += bytes.len();
            }
        };
        for record in CaptureBytes::new(&file) {
            streams.push_record(&record?, &mut sink);
        }
        streams.finish(&mut sink);
        black_box(delivered);
        Ok(streams.counters().packets)
    })
}

fn measure(
    stage: &str,
    file: &[u8],
    mut run: impl FnMut() -> Result<u64, Box<dyn std::error::Error>>,
) -> Result<(), Box<dyn std::error::Error>> {
    run()?; // warm
    let start = cpu_time();
    let (mut packets, mut bytes) = (0, 0);
    let seconds = loop {
        packets += run()?;
        bytes += file.len();
        let spent = cpu_time().saturating_sub(start);
        if spent > Duration::from_secs(1) {
            break spent.as_secs_f64();
        }
    };
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    let (packets, bytes) = (packets as f64, bytes as f64);
    println!(
        "{stage:20} {:8.2} M packets and {:8.1} MB per CPU second ({:.0} ns a packet)",
        packets / seconds / 1e6,
        bytes / seconds / 1e6,
        seconds / packets * 1e9
    );
    Ok(())
}

/// CPU time of this process where the system tells it, else time by the clock.
fn cpu_time() -> Duration {
    let on_cpu = std::fs::read_to_string("/proc/self/schedstat");
    let nanos = on_cpu.ok().and_then(|text| text.split(' ').next()?.parse().ok());
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    nanos.map_or_else(|| START.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

fn synthesised() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut frames = Vec::new();
    for client in 0..CLIENTS {
        let from = format!("10.0.{}.9:{}", client, 40_000 + client);
        let to = format!("10.1.{client}.3:502");
        let mut talk = synth::Conversation::v4(from.parse()?, to.parse()?);
        talk.handshake();
        for _ in 0..ROUNDS {
            talk.to_server(b"\0\x01\0\0\0\x06\x01\x03\0\0\0\x0a").to_client(&[7; 29]).client_ack();
        }
        talk.finish();
        frames.extend(talk.into_frames());
    }
    // As on a wire: the conversations are mixed, not one after the other.
    frames.sort_by_key(|frame| frame.at);
    Ok(synth::pcap(&frames))
}
