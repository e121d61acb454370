//! What probes go through: PDUs out, PDUs back, whatever frames are around them. A row that holds on one link
//! can so be asked on every other.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use port502_net::server::{Options, Server, Service};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far more than any answer on one machine takes: a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a server on a port that the system chooses.
pub fn serve<S: Service>(service: S, options: Options) -> SocketAddr {
    let server = Server::bind(&"tcp://127.0.0.1:0".parse().unwrap(), options).unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run(service));
    address
}

/// A client that knows frames and no more.
pub trait Link {
    /// Sends a request.
    async fn send(&mut self, unit: u8, pdu: &[u8]);

    /// The next answer, as unit and PDU, to the request that is named by nothing but its place: requests
    /// without an answer are passed over. `None` when the peer has closed the connection.
    async fn receive(&mut self) -> Option<(u8, Vec<u8>)>;
}

/// MBAP frames in a stream.
pub struct Mbap<S> {
    pub stream: S,
    next: u16,
    asked: VecDeque<u16>,
}

impl Mbap<TcpStream> {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Mbap::new(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Mbap<S> {
    pub fn new(stream: S) -> Self {
        // Close to the end, so that transaction ids wrap within a table.
        Mbap { stream, next: 0xFFF0, asked: VecDeque::new() }
    }

    /// Bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame, whatever its transaction id.
    pub async fn receive_raw(&mut self) -> Option<(u16, u8, Vec<u8>)> {
        let next = async {
            let mut header = [0; 7];
            if self.stream.read_exact(&mut header).await.is_err() {
                return None;
            }
            let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
            assert_eq!(word(2), 0, "protocol id of an answer");
            assert!((2..=254).contains(&word(4)), "length {} of an answer", word(4));
            let mut pdu = vec![0; usize::from(word(4)) - 1];
            self.stream.read_exact(&mut pdu).await.unwrap();
            Some((word(0), header[6], pdu))
        };
        tokio::time::timeout(PATIENCE, next).await.expect("an answer, or the end of the connection")
    }

    /// Whether the peer closes the connection without a further frame.
    pub async fn is_closed_by_peer(&mut self) -> bool {
        self.receive_raw().await.is_none()
    }
}

/// A request as MBAP frame.
pub fn mbap(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let length = u16::try_from(pdu.len() + 1).unwrap();
    [&transaction.to_be_bytes()[..], &[0, 0], &length.to_be_bytes(), &[unit], pdu].concat()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link for Mbap<S> {
    async fn send(&mut self, unit: u8, pdu: &[u8]) {
        self.asked.push_back(self.next);
        let adu = mbap(self.next, unit, pdu);
        self.next = self.next.wrapping_add(1);
        self.send_raw(&adu).await;
    }

    async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let (transaction, unit, pdu) = self.receive_raw().await?;
        // Those in front were left without an answer; what was answered must have been asked.
        while self.asked.pop_front().expect("an answer to what was asked") != transaction {}
        assert!(self.asked.is_empty(), "an answer to {transaction}, and {:?} are open", self.asked);
        Some((unit, pdu))
    }
}
