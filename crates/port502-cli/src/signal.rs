//! Ctrl-C and its relatives.

use std::future::Future;
use std::pin::Pin;

use crate::failure::Exit;

/// Work that ends where the program is asked to end.
pub(crate) struct Interrupt(Pin<Box<dyn Future<Output = ()>>>);

impl Interrupt {
    pub(crate) fn new() -> Self {
        Interrupt(Box::pin(stop_asked()))
    }

    /// What comes of `work`; `None` when Ctrl-C came first. After that it is not asked again.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = &mut self.0 => None,
            result = work => Some(result),
        }
    }
}

/// Waits until the user, or the system, asks the program to end.
pub(crate) async fn stop_asked() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Where signals cannot be had, the program ends as the system ends programs.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

/// Ends the program when it is asked to end: for those who have been asked already, and take their time.
pub(crate) async fn end_at_once_when_asked() {
    stop_asked().await;
    std::process::exit(Exit::Other.code().into());
}

/// Does `work` whenever the program is asked to load its files anew (SIGHUP), for as long as it runs.
pub(crate) async fn on_reload(work: impl Fn()) {
    let mut reload = Reload::new();
    loop {
        reload.asked().await;
        work();
    }
}

/// SIGHUP: the request to read the configuration again.
pub(crate) struct Reload(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

impl Reload {
    pub(crate) fn new() -> Self {
        #[cfg(unix)]
        return Reload(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok());
        #[cfg(not(unix))]
        return Reload();
    }

    /// Waits for the next one; for ever where the system has none.
    pub(crate) async fn asked(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.0
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}
