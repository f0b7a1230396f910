//! Ctrl-C: the first asks to drain, the second ends the process.

use tokio::sync::watch;

use crate::failure::Interrupted;

/// The exit code of an interrupted run.
pub(crate) const EXIT_CODE: u8 = 130;

/// Whether the user has asked to stop.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Starts to listen for Ctrl-C and, on Unix, for a polite kill.
    pub(crate) fn listen() -> Self {
        let (set, seen) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                requested().await;
                if set.send_replace(true) {
                    std::process::exit(i32::from(EXIT_CODE));
                }
            }
        });
        Self(seen)
    }

    pub(crate) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Does work that changes nothing, and drops it when the user asks to stop.
    pub(crate) async fn unless<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::select! {
            result = work => result,
            () = self.changed() => Err(Interrupted { left: 0 }.into()),
        }
    }

    /// Returns when the user asks to stop.
    pub(crate) async fn changed(&mut self) {
        if self.0.wait_for(|set| *set).await.is_err() {
            // Nobody can ask any more.
            std::future::pending::<()>().await;
        }
    }
}

/// Returns when Ctrl-C or a polite kill comes.
#[cfg(unix)]
pub(crate) async fn requested() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Returns when a daemon should end: as [`requested`], or with its terminal or container.
#[cfg(unix)]
pub(crate) async fn daemon_requested() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return requested().await };
    tokio::select! {
        () = requested() => {}
        _ = hangup.recv() => {}
    }
}

#[cfg(not(unix))]
pub(crate) async fn daemon_requested() {
    requested().await;
}

#[cfg(not(unix))]
pub(crate) async fn requested() {
    let _ = tokio::signal::ctrl_c().await;
}
