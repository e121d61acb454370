//! Ctrl-C and its relatives.

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
