//! A clock that tests move by hand, beside sockets that are real.

use std::io::Write as _;
use std::time::Duration;

use tokio::task::{JoinHandle, yield_now};
use tokio::time::advance;

/// Real time after which a test that waits for what never comes is ended, and the others with it.
const HANGS: Duration = Duration::from_secs(60);

/// Stops the clock of a test with `start_paused` until this is dropped. Left alone, a paused clock jumps to the
/// next timer whenever all wait, and they do wait while bytes are on their way.
pub fn stop() -> Stopped {
    let start = std::time::Instant::now();
    Stopped(tokio::spawn(async move {
        while start.elapsed() < HANGS {
            yield_now().await;
        }
        // Past the harness, which would keep it for the report that will not be made.
        let _ = writeln!(std::io::stderr(), "{:?} hangs", std::thread::current().name());
        std::process::exit(101);
    }))
}

pub struct Stopped(JoinHandle<()>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lets everybody do what can be done at this moment. Each round runs every task that is ready and looks at
/// every socket; bytes between two sockets of one machine need no time.
pub async fn settle() {
    for _ in 0..30 {
        yield_now().await;
    }
}

/// Lets time pass, and what comes of it happen.
pub async fn pass(time: Duration) {
    settle().await;
    advance(time).await;
    settle().await;
}
