//! When a server's connection expires, moment by moment.

use core::time::Duration;

use port502_session::Instant;
use port502_session::server::{Expired, Limits, ServerSession};

const IDLE: u64 = 300;
const FRAME: u64 = 8;

fn at(second: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(second)
}

/// What happens to a session.
enum Step {
    /// Bytes come.
    Bytes(&'static [u8]),
    /// A request begins to be worked on, and is answered.
    Begin,
    End,
    /// The client does not take its answers, and takes them.
    Stall,
    Take,
    /// Nothing: the session is in this state.
    Is(Option<Expired>),
}

use Step::{Begin, Bytes, End, Is, Stall, Take};

const WHOLE: &[u8] = &[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
const FRONT: &[u8] = &[0, 1, 0, 0, 0];
const REST: &[u8] = &[6, 1, 3, 0, 0, 0, 1];
const REST_AND_FRONT: &[u8] = &[6, 1, 3, 0, 0, 0, 1, 0, 1, 0, 0, 0];

/// Steps, each at its second.
#[track_caller]
fn check(steps: &[(u64, Step)]) {
    let limits =
        Limits { idle: Duration::from_secs(IDLE), frame: Duration::from_secs(FRAME), ..Limits::default() };
    let mut session = ServerSession::new(at(0), limits);
    for (second, step) in steps {
        let now = at(*second);
        match step {
            Bytes(bytes) => {
                let mut input = *bytes;
                while session.next(&mut input).unwrap().is_some() {}
                session.heard(now);
            }
            Begin => assert!(session.begin()),
            End => session.end(),
            Stall => session.stalled(),
            Take => session.taken(now),
            Is(want) => {
                assert_eq!(session.expired(now), *want, "at {second} s");
                // Whoever waits until then misses nothing.
                let due = session.poll_timeout() <= now;
                assert!(due || want.is_none(), "at {second} s: looked at too late");
            }
        }
    }
}

#[test]
fn silence() {
    check(&[(299, Is(None)), (300, Is(Some(Expired::Idle)))]);
    check(&[(200, Bytes(WHOLE)), (499, Is(None)), (500, Is(Some(Expired::Idle)))]);
    // One byte is a sign of life, but begins a frame.
    check(&[(200, Bytes(FRONT)), (207, Is(None)), (208, Is(Some(Expired::HalfFrame)))]);
}

#[test]
fn a_frame_counts_from_its_first_byte() {
    check(&[
        (10, Bytes(FRONT)),
        (14, Bytes(&[6])),
        (17, Bytes(&[1])),
        (17, Is(None)),
        (18, Is(Some(Expired::HalfFrame))),
    ]);
    check(&[(10, Bytes(FRONT)), (17, Bytes(REST)), (100, Is(None)), (317, Is(Some(Expired::Idle)))]);
    check(&[
        (10, Bytes(FRONT)),
        (17, Bytes(REST_AND_FRONT)),
        (24, Is(None)),
        (25, Is(Some(Expired::HalfFrame))),
    ]);
    // In one step the old frame ends and a new one begins, and so on: each has its own time.
    check(&[
        (10, Bytes(FRONT)),
        (17, Bytes(REST_AND_FRONT)),
        (24, Bytes(REST_AND_FRONT)),
        (31, Bytes(REST_AND_FRONT)),
        (38, Is(None)),
        (39, Is(Some(Expired::HalfFrame))),
    ]);
}

#[test]
fn work_is_not_idle() {
    check(&[(0, Bytes(WHOLE)), (0, Begin), (1000, Is(None)), (1000, End), (1000, Take), (1299, Is(None))]);
    // Half a frame behind it has its time all the same.
    check(&[(0, Bytes(WHOLE)), (0, Begin), (5, Bytes(FRONT)), (13, Is(Some(Expired::HalfFrame)))]);
}

#[test]
fn nothing_is_asked_of_a_client_that_is_not_read_from() {
    check(&[
        (0, Bytes(WHOLE)),
        (0, Bytes(FRONT)),
        (0, Stall),
        (200, Is(None)),
        (300, Is(Some(Expired::Idle))),
    ]);
    check(&[
        (0, Bytes(FRONT)),
        (0, Stall),
        (250, Take), // from here on the rest of the frame can be read
        (257, Is(None)),
        (258, Is(Some(Expired::HalfFrame))),
    ]);
    check(&[(0, Bytes(WHOLE)), (0, Stall), (250, Take), (549, Is(None)), (550, Is(Some(Expired::Idle)))]);
}

#[test]
fn as_many_requests_are_open_as_allowed() {
    let mut session = ServerSession::new(at(0), Limits { transactions: 2, ..Limits::default() });
    assert!(session.begin() && session.begin() && !session.begin());
    assert!(session.is_working());
    session.end();
    assert!(session.begin() && !session.begin());
    session.end();
    session.end();
    assert!(!session.is_working());
    session.end(); // one too many does no harm
    assert!(session.begin() && session.begin() && !session.begin());
}
