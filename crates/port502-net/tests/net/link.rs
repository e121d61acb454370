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

/// Runs a server where `listen` says, which the system may complete.
pub fn serve_at<S: Service>(listen: &str, service: S, options: Options) -> SocketAddr {
    let server = Server::bind(&listen.parse().unwrap(), options).unwrap();
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

/// RTU or ASCII frames in a stream, a datagram or on a serial port.
pub struct Line<S> {
    pub stream: S,
    ascii: bool,
    /// What ends an ASCII frame: a request can change it, and then it counts for all that follow.
    delimiter: u8,
    heard: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    pub fn rtu(stream: S) -> Self {
        Line { stream, ascii: false, delimiter: b'\n', heard: Vec::new() }
    }

    pub fn ascii(stream: S) -> Self {
        Line { ascii: true, ..Line::rtu(stream) }
    }

    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// A frame off the front of what was heard.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        if self.ascii {
            let end = self.heard.windows(2).position(|pair| pair == [b'\r', self.delimiter])?;
            let text: Vec<u8> = self.heard.drain(..end + 2).collect();
            assert_eq!(text[0], b':', "{text:?}");
            let digit = |c: u8| char::from(c).to_digit(16).unwrap() as u8;
            let bytes: Vec<u8> =
                text[1..end].chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
            assert_eq!(bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0, "LRC of {bytes:02x?}");
            return Some((bytes[0], bytes[1..bytes.len() - 1].to_vec()));
        }
        // All but those to 08 have a rule for their length; of those one comes at a time, and in one piece.
        let pdu = self.heard.get(1..)?;
        let len = match port502_wire::function::response_len(pdu) {
            Ok(len) => len?,
            Err(_) => pdu.len().checked_sub(2)?,
        };
        if self.heard.len() < len + 3 {
            return None;
        }
        let adu: Vec<u8> = self.heard.drain(..len + 3).collect();
        assert_eq!(adu, rtu(adu[0], &adu[1..=len]), "the CRC of an answer");
        Some((adu[0], adu[1..=len].to_vec()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link for Line<S> {
    async fn send(&mut self, unit: u8, pdu: &[u8]) {
        let adu = if self.ascii { ascii(unit, pdu, self.delimiter) } else { rtu(unit, pdu) };
        self.send_raw(&adu).await;
    }

    async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let next = async {
            loop {
                if let Some((unit, pdu)) = self.frame() {
                    if let [8, 0, 3, delimiter, 0] = pdu[..] {
                        self.delimiter = delimiter;
                    }
                    return Some((unit, pdu));
                }
                let mut bytes = [0; 600];
                match self.stream.read(&mut bytes).await {
                    Ok(0) | Err(_) => return None,
                    Ok(read) => self.heard.extend_from_slice(&bytes[..read]),
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("an answer, or the end of the connection")
    }
}

/// The specification's way to the CRC, bit by bit (Serial Line V1.02, 6.2.2).
pub fn rtu(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut adu = [&[unit], pdu].concat();
    let mut crc = 0xFFFF_u16;
    for byte in &adu {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 };
        }
    }
    adu.extend(crc.to_le_bytes());
    adu
}

pub fn ascii(unit: u8, pdu: &[u8], delimiter: u8) -> Vec<u8> {
    let mut bytes = [&[unit], pdu].concat();
    bytes.push(bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte)));
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    [b":", digits.as_bytes(), b"\r", &[delimiter]].concat()
}

/// One socket's datagrams with one peer, as a stream.
pub struct Datagrams(pub tokio::net::UdpSocket);

impl Datagrams {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(address).await.unwrap();
        Datagrams(socket)
    }
}

impl Link for MbapDatagrams {
    async fn send(&mut self, unit: u8, pdu: &[u8]) {
        self.asked = self.asked.wrapping_add(1);
        self.socket.0.send(&mbap(self.asked, unit, pdu)).await.unwrap();
    }

    async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut bytes = [0; 600];
        let received = tokio::time::timeout(PATIENCE, self.socket.0.recv(&mut bytes)).await;
        let len = received.expect("an answer").unwrap();
        let (header, pdu) = bytes[..len].split_at(7);
        assert_eq!(mbap(self.asked, header[6], pdu), bytes[..len], "the header of an answer");
        Some((header[6], pdu.to_vec()))
    }
}

/// MBAP frames, each in a datagram of its own.
pub struct MbapDatagrams {
    pub socket: Datagrams,
    asked: u16,
}

impl MbapDatagrams {
    pub async fn connect(address: SocketAddr) -> Self {
        MbapDatagrams { socket: Datagrams::connect(address).await, asked: 0xFFF0 }
    }
}

/// RTU frames, each in a datagram of its own.
pub struct RtuDatagrams(pub Datagrams);

impl Link for RtuDatagrams {
    async fn send(&mut self, unit: u8, pdu: &[u8]) {
        self.0.0.send(&rtu(unit, pdu)).await.unwrap();
    }

    async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut bytes = [0; 600];
        let received = tokio::time::timeout(PATIENCE, self.0.0.recv(&mut bytes)).await;
        let adu = &bytes[..received.expect("an answer").unwrap()];
        let pdu = &adu[1..adu.len() - 2];
        assert_eq!(rtu(adu[0], pdu), adu, "the CRC of an answer");
        Some((adu[0], pdu.to_vec()))
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
