//! A server played by hand: the test says what it sends, and when.

use std::net::SocketAddr;

use port502_net::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::link::mbap;

pub struct Fake {
    listener: TcpListener,
    pub address: SocketAddr,
}

/// What a client asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    pub id: u16,
    pub unit: u8,
    pub pdu: Vec<u8>,
}

impl Asked {
    /// The address of a read.
    pub fn address(&self) -> u16 {
        u16::from_be_bytes([self.pdu[1], self.pdu[2]])
    }
}

impl Fake {
    pub async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Fake { listener, address }
    }

    pub fn target(&self) -> Target {
        self.address.to_string().parse().unwrap()
    }

    /// The next client.
    pub async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream }
    }

    /// Whether somebody waits to be accepted.
    pub async fn is_asked(&self) -> bool {
        tokio::select! {
            biased;
            _ = self.listener.accept() => true,
            () = crate::clock::settle() => false,
        }
    }
}

/// One client, as its server sees it.
pub struct Peer {
    pub stream: TcpStream,
}

impl Peer {
    /// The next request; `None` when the client has closed the connection.
    pub async fn next(&mut self) -> Option<Asked> {
        let mut header = [0; 7];
        self.stream.read_exact(&mut header).await.ok()?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let mut pdu = vec![0; length - 1];
        self.stream.read_exact(&mut pdu).await.ok()?;
        Some(Asked { id: u16::from_be_bytes([header[0], header[1]]), unit: header[6], pdu })
    }

    pub async fn asked(&mut self) -> Asked {
        self.next().await.expect("a request")
    }

    /// Whether the client has sent anything that was not looked at.
    pub async fn is_quiet(&mut self) -> bool {
        crate::clock::settle().await;
        tokio::select! {
            biased;
            _ = self.stream.readable() => matches!(
                self.stream.try_read(&mut [0; 1]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock
            ),
            () = crate::clock::settle() => true,
        }
    }

    /// Any bytes.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// A frame with the ids of a request.
    pub async fn answer(&mut self, asked: &Asked, pdu: &[u8]) {
        self.send(&mbap(asked.id, asked.unit, pdu)).await;
    }

    /// One register, to a read of one.
    pub async fn answer_register(&mut self, asked: &Asked, value: u16) {
        let [high, low] = value.to_be_bytes();
        self.answer(asked, &[asked.pdu[0], 2, high, low]).await;
    }
}
