//! A client's connection over any carrier.

use tokio::net::TcpStream;

use crate::serial::Port;
use crate::udp::Datagrams;

/// What a client has dialled.
#[derive(Debug)]
pub(crate) enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A socket for datagrams.
    Udp(Datagrams),
    /// A serial port.
    Serial(Port),
}
