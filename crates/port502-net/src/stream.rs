//! A client's connection over any carrier.

use tokio::net::TcpStream;

use crate::serial::Port;
use crate::tls::ClientStream;
use crate::udp::Datagrams;

/// What a client has dialled.
#[derive(Debug)]
pub(crate) enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A TLS connection, whose buffers are many times as large.
    Tls(Box<ClientStream>),
    /// A socket for datagrams.
    Udp(Datagrams),
    /// A serial port.
    Serial(Port),
}
