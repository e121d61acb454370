//! Which of the sockets of a conversation has woken it: the others need not be asked whether they have something.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};
use std::task::{Context as Task, Poll, Wake, Waker};

use tokio::io::{AsyncRead, ReadBuf};

/// Reads of one socket, which is asked only when it may have something.
pub(crate) struct Ear {
    /// It had something when it was asked last, or has never been asked: there may be more.
    more: bool,
    call: Arc<Call>,
    /// The call, as sockets want it.
    waker: Waker,
}

/// Wakes a task, and keeps that it did.
struct Call {
    /// It has woken the task since the ear looked.
    came: AtomicBool,
    task: Waker,
}

impl Call {
    /// Whether it has woken the task since this was asked. Whatever made it do so is there to be read then: the swap sees all
    /// that was done before the store. It costs as much as twenty loads, so a load looks first; one that misses a call is
    /// made good, as the task is woken behind the store, and looks again.
    #[inline]
    fn came(&self) -> bool {
        self.came.load(Relaxed) && self.came.swap(false, Acquire)
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.came.store(true, Release);
        self.task.wake_by_ref();
    }
}

impl Ear {
    /// Of a socket that has not been asked yet, for a task whose waker stays the same.
    pub(crate) fn new(task: &Waker) -> Self {
        let call = Arc::new(Call { came: AtomicBool::new(false), task: task.clone() });
        Ear { more: true, waker: Waker::from(Arc::clone(&call)), call }
    }

    /// It is another socket from now on.
    pub(crate) fn turn(&mut self) {
        self.more = true;
    }

    /// Whether it is of no use to ask the socket.
    #[inline]
    pub(crate) fn hears_nothing(&mut self) -> bool {
        // Looked at before the socket is asked, so that what comes while it is asked is not lost. A call that is not looked at,
        // as there is more anyway, has the socket asked once in vain later.
        self.more = self.more || self.call.came();
        !self.more
    }

    /// Reads what the socket has. It is asked with a waker of its own, and not again until that was used.
    #[inline]
    pub(crate) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        socket: &mut S,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.hears_nothing() {
            return Poll::Pending;
        }
        let read = Pin::new(socket).poll_read(&mut Task::from_waker(&self.waker), buffer);
        self.more = read.is_ready();
        read
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;

    /// A socket that says in turn what it is told to, and keeps who is to be woken.
    #[derive(Default)]
    struct Socket {
        /// Bytes that it has; a 0 comes too late for the read, and wakes at once.
        has: Vec<usize>,
        asked: usize,
        waker: Option<Waker>,
    }

    impl AsyncRead for Socket {
        fn poll_read(
            mut self: Pin<&mut Self>,
            task: &mut Task<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.asked += 1;
            self.waker = Some(task.waker().clone());
            match self.has.pop() {
                Some(0) => task.waker().wake_by_ref(),
                Some(count) => {
                    buffer.put_slice(&vec![7; count]);
                    return Poll::Ready(Ok(()));
                }
                None => {}
            }
            Poll::Pending
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn a_socket_is_asked_until_it_has_nothing_and_when_it_calls() {
        let woken = Arc::new(Woken::default());
        let mut ear = Ear::new(&Waker::from(Arc::clone(&woken)));
        let mut socket = Socket { has: vec![5, 3], ..Socket::default() };
        let (mut bytes, woken) = ([0; 9], || woken.0.load(SeqCst));
        // How many bytes come of it, and how often it has been asked then.
        let mut read = |ear: &mut Ear, socket: &mut Socket| {
            let mut buffer = ReadBuf::new(&mut bytes);
            let ready = ear.poll_read(socket, &mut buffer).is_ready();
            (ready.then_some(buffer.filled().len()), socket.asked)
        };
        assert_eq!(read(&mut ear, &mut socket), (Some(3), 1));
        assert_eq!(read(&mut ear, &mut socket), (Some(5), 2));
        assert_eq!(read(&mut ear, &mut socket), (None, 3));
        // Others wake the task.
        assert_eq!(read(&mut ear, &mut socket), (None, 3));

        assert_eq!(woken(), 0);
        socket.has = vec![4];
        socket.waker.take().unwrap().wake();
        assert_eq!(woken(), 1);
        assert_eq!(read(&mut ear, &mut socket), (Some(4), 4));

        // It calls while it is asked, after it had nothing.
        socket.has = vec![2, 0];
        assert_eq!(read(&mut ear, &mut socket), (None, 5));
        assert_eq!(woken(), 2);
        assert_eq!(read(&mut ear, &mut socket), (Some(2), 6));
        assert_eq!(read(&mut ear, &mut socket), (None, 7));

        // Another one has not been asked, and does not call.
        let mut another = Socket { has: vec![1], ..Socket::default() };
        assert_eq!(read(&mut ear, &mut another), (None, 0));
        ear.turn();
        assert_eq!(read(&mut ear, &mut another), (Some(1), 1));
    }
}
