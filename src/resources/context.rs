//! What a call needs to know of its run.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use crate::aws::{Clients, Owner};
use crate::interrupt::Interrupt;

/// What a call needs to know of its run.
#[derive(Clone)]
pub(crate) struct Cx {
    pub(crate) aws: Arc<Clients>,
    pub(crate) owner: Owner,
    pub(crate) adopt: bool,
    /// Set when the user asks to stop; only work that changes nothing in AWS, such as a build, looks at it.
    interrupt: Option<Interrupt>,
    notes: Option<(String, UnboundedSender<(String, String)>)>,
}

impl Cx {
    pub(crate) fn new(aws: Arc<Clients>, owner: Owner) -> Self {
        Self { aws, owner, adopt: false, interrupt: None, notes: None }
    }

    pub(crate) fn adopting(mut self, adopt: bool) -> Self {
        self.adopt = adopt;
        self
    }

    pub(crate) fn stopped_by(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = Some(interrupt.clone());
        self
    }

    /// Returns when the user asks to stop.
    pub(crate) async fn interrupted(&self) {
        match self.interrupt.clone() {
            Some(mut interrupt) => interrupt.changed().await,
            None => std::future::pending().await,
        }
    }

    /// The same context for one node, whose notes go to `notes`.
    pub(crate) fn for_node(&self, node: &str, notes: UnboundedSender<(String, String)>) -> Self {
        Self { notes: Some((node.to_owned(), notes)), ..self.clone() }
    }

    /// Says what the node is waiting for.
    pub(crate) fn note(&self, text: &str) {
        if let Some((node, notes)) = &self.notes {
            // The receiver is gone only when the run is over.
            let _ = notes.send((node.clone(), text.to_owned()));
        }
    }

    /// [`note`](Self::note) as a callback.
    pub(crate) fn noting(&self) -> impl FnMut(&str) + '_ {
        |text| self.note(text)
    }
}
