//! Frames on their way into a stream, and how far they have come.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use port502_wire::UnitId;
use port502_wire::mbap::{self, TransactionId};
use tokio::io::AsyncWrite;

/// Frames that one connection sends. Bytes are counted from its first on, so that of each frame it can be told, when the
/// connection breaks, whether the system has taken any of it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// From `written` on they have still to go.
    bytes: Vec<u8>,
    written: usize,
    /// Bytes that were in `bytes`, and are no more.
    gone: u64,
}

impl Outbox {
    /// Where the next frame begins.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.gone + self.bytes.len() as u64
    }

    /// How far the system has taken what was put in.
    pub(crate) fn taken(&self) -> u64 {
        self.gone + self.written as u64
    }

    /// Whether the system has taken everything.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub(crate) fn put(&mut self, id: TransactionId, unit: UnitId, pdu: &[u8]) {
        self.bytes.extend_from_slice(&mbap::header(id, unit, pdu.len()));
        self.bytes.extend_from_slice(pdu);
    }

    /// Writes as much as the stream takes; what is left wakes the task when more can go.
    ///
    /// # Errors
    /// The stream is gone.
    pub(crate) fn flush<S: AsyncWrite + Unpin>(
        &mut self,
        task: &mut Context<'_>,
        stream: &mut S,
    ) -> io::Result<()> {
        while let Some(unsent @ [_, ..]) = self.bytes.get(self.written..) {
            match Pin::new(&mut *stream).poll_write(task, unsent) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => self.written += count,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        if self.written == self.bytes.len() {
            self.gone += self.bytes.len() as u64;
            self.bytes.clear();
            self.written = 0;
        }
        // A stream with buffers of its own has to be told to send what is in them.
        match Pin::new(stream).poll_flush(task) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes so many bytes at once, then nothing until it is asked anew; at the end it is gone.
    struct Stream {
        takes: Vec<usize>,
        got: Vec<u8>,
    }

    impl AsyncWrite for Stream {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            match self.takes.pop() {
                None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Some(0) => Poll::Pending,
                Some(count) => {
                    let count = count.min(bytes.len());
                    self.got.extend_from_slice(&bytes[..count]);
                    Poll::Ready(Ok(count))
                }
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn of_each_frame_it_is_known_whether_any_of_it_has_gone() {
        let mut stream = Stream { takes: vec![1, 0, 9, 0, 5, 3], got: Vec::new() };
        let (mut outbox, mut starts) = (Outbox::default(), Vec::new());
        let mut put = |outbox: &mut Outbox| {
            starts.push(outbox.end());
            outbox.put(TransactionId(7), UnitId(1), &[3, 0, 0, 0, 1]);
        };
        let flush = |outbox: &mut Outbox, stream: &mut Stream| {
            outbox.flush(&mut Context::from_waker(Waker::noop()), stream).is_ok()
        };
        put(&mut outbox);
        put(&mut outbox);
        assert!(flush(&mut outbox, &mut stream));
        assert_eq!((outbox.taken(), outbox.is_empty()), (8, false));
        put(&mut outbox);
        assert!(flush(&mut outbox, &mut stream));
        assert_eq!((outbox.taken(), outbox.is_empty()), (17, false));
        stream.takes = vec![19];
        assert!(flush(&mut outbox, &mut stream));
        assert_eq!((outbox.taken(), outbox.end(), outbox.is_empty()), (36, 36, true));
        put(&mut outbox);
        put(&mut outbox);
        stream.takes = vec![1];
        assert!(!flush(&mut outbox, &mut stream), "it is gone");
        let begun: Vec<bool> = starts.iter().map(|start| *start < outbox.taken()).collect();
        assert_eq!(begun, [true, true, true, true, false]);
        assert_eq!(stream.got.len(), 37);
    }
}
