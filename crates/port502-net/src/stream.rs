//! A client's connection over any carrier.

use tokio::net::TcpStream;

/// What a client has dialled.
#[derive(Debug)]
pub(crate) enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
}
