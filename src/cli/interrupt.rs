//! The user's wish to stop: Ctrl-C, or SIGTERM from whoever runs the tool.

use tokio::signal::unix::{SignalKind, signal};

/// Ends when the user wants to stop. When signals cannot be watched, never: the default action
/// of the signal then ends the process.
pub(super) async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => {}
        Some(()) = terminate.recv() => {}
        else => std::future::pending().await,
    }
}
