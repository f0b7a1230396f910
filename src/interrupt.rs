//! Ctrl-C: the first asks to drain, the second ends the process.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::failure::Interrupted;
use crate::lock::locked;

/// The exit code of an interrupted run.
pub(crate) const EXIT_CODE: u8 = 130;

/// What is done before the second Ctrl-C ends the process.
type Last = Option<fn()>;

/// Whether the user has asked to stop.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    asked: watch::Receiver<bool>,
    last: Arc<Mutex<Last>>,
}

impl Interrupt {
    /// Starts to listen for Ctrl-C and, on Unix, for a polite kill.
    pub(crate) fn listen() -> Self {
        let (set, asked) = watch::channel(false);
        let last = Arc::<Mutex<Last>>::default();
        let at_exit = Arc::clone(&last);
        tokio::spawn(async move {
            loop {
                requested().await;
                if set.send_replace(true) {
                    if let Some(last) = *locked(&at_exit) {
                        last();
                    }
                    std::process::exit(i32::from(EXIT_CODE));
                }
            }
        });
        Self { asked, last }
    }

    /// What to do before the second Ctrl-C ends the process, such as to give the terminal back.
    pub(crate) fn at_exit(&self, last: fn()) {
        *locked(&self.last) = Some(last);
    }

    pub(crate) fn is_set(&self) -> bool {
        *self.asked.borrow()
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
        if self.asked.wait_for(|set| *set).await.is_err() {
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
