//! Work for another thread, while this one moves bytes: files may be on a disk that takes its time, or hangs.

use tokio::sync::oneshot;

use crate::failure::Failure;

/// Something that another thread works on.
pub(crate) type Work<T> = oneshot::Receiver<Result<T, Failure>>;

pub(crate) fn work<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Work<T> {
    let (done, result) = oneshot::channel();
    // Nobody waits for it any more when the guard ends.
    std::thread::spawn(move || _ = done.send(work()));
    result
}

/// What comes of it; for ever nothing where there is no work.
pub(crate) async fn done<T>(work: &mut Option<Work<T>>) -> Result<T, Failure> {
    let Some(receiver) = work else { return std::future::pending().await };
    let result = receiver.await;
    *work = None;
    result.unwrap_or_else(|_| Err(Failure::other("a thread has ended before its work was done")))
}
