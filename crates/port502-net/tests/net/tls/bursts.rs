//! Requests in flight over TLS: all answers to one read are one record.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use port502_net::memory::MemoryDevice;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::conformance::hex;
use crate::link::mbap;
use crate::pki::Pki;
use crate::server::observed;

/// A connection that keeps what is read from it, as it comes.
struct Kept {
    stream: TcpStream,
    read: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Kept {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.read.lock().unwrap().extend_from_slice(&buffer.filled()[before..]);
        result
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The lengths of the TLS records in a stream.
fn records(mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        lengths.push(length);
        bytes = &rest[length..];
    }
    lengths
}

#[tokio::test]
async fn a_burst_is_answered_with_one_record_however_it_was_cut() {
    const BURST: u16 = 16;
    let pki = Pki::new();
    pki.server("server");
    pki.client("client", None);
    let (options, _events) = observed();
    let (address, _) = pki.serve(MemoryDevice::full(), options);
    for version in rustls::ALL_VERSIONS {
        let read = Arc::new(Mutex::new(Vec::new()));
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let config = pki.client_config(Some("client"), &[*version]);
        let name = ServerName::try_from("localhost").unwrap();
        let kept = Kept { stream, read: Arc::clone(&read) };
        let mut tls = TlsConnector::from(config).connect(name, kept).await.unwrap();
        let answer = mbap(0, 1, &hex("03 02 0000")).len();
        // The first answer comes with the session's ticket.
        tls.write_all(&mbap(0, 1, &hex("03 0000 0001"))).await.unwrap();
        tls.read_exact(&mut vec![0; answer]).await.unwrap();
        for in_one_record in [true, false] {
            read.lock().unwrap().clear();
            let requests: Vec<Vec<u8>> = (0..BURST).map(|id| mbap(id, 1, &hex("03 0000 0001"))).collect();
            if in_one_record {
                tls.get_mut().1.writer().write_all(&requests.concat()).unwrap();
            } else {
                // A record each, and all of them in one segment.
                for request in requests {
                    tls.get_mut().1.writer().write_all(&request).unwrap();
                }
            }
            tls.flush().await.unwrap();
            let mut answers = vec![0; answer * usize::from(BURST)];
            tls.read_exact(&mut answers).await.unwrap();
            let want: Vec<u8> = (0..BURST).flat_map(|id| mbap(id, 1, &hex("03 02 0000"))).collect();
            assert_eq!(answers, want);
            let got = records(&read.lock().unwrap());
            assert_eq!(got.len(), 1, "{version:?}, one record {in_one_record}: {got:?}");
        }
    }
}
