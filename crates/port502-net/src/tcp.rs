//! Socket options for connections that live for months between devices that lose power without a word.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::Target;

/// Idle time before the first probe; the system's two hours would leave a dead peer's slot taken for as long.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// Between probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Unanswered probes before the connection is dead.
const KEEPALIVE_PROBES: u32 = 3;

/// Connects to the first address of a target's host that lets it.
pub(crate) async fn connect(target: &Target) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((target.host(), target.port())).await?;
    set_up(&stream)?;
    Ok(stream)
}

/// Small frames go out at once, and a peer that has vanished is noticed within half a minute.
pub(crate) fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    // Unanswered data is a sign as good as an unanswered probe.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(KEEPALIVE_IDLE + KEEPALIVE_INTERVAL * KEEPALIVE_PROBES))?;
    Ok(())
}

/// Files that a program has open beside its connections, roughly.
#[cfg(unix)]
const OTHER_FILES: u64 = 64;

/// Raises the number of files that this process may have open, where it is too small for so many connections
/// and the system lets it. The usual limit of 1,024 is there for programs that call `select`, which none with
/// an async runtime does.
#[cfg(unix)]
pub(crate) fn allow_files(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let need = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|soft| soft >= need) {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, need, ?current, "the limit on open files cannot be raised");
    } else if let Some(files) = maximum.filter(|hard| *hard < need) {
        tracing::warn!(files, need, "fewer files may be open than connections are allowed");
    }
}

#[cfg(not(unix))]
pub(crate) fn allow_files(_: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_sends_at_once_and_notices_a_dead_peer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        set_up(&stream).unwrap();
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
    }
}
