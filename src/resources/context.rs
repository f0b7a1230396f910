//! The context of a run: its clients, its owner, its options, and who is told of its progress.

use std::error::Error;
use std::sync::Arc;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::sync::mpsc::UnboundedSender;

use crate::aws::{AwsError, BUSY, Clients, NOT_KNOWN, Owner, PROPAGATION, retry};
use crate::interrupt::Interrupt;

/// The context of a run.
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

    /// Reports what the node is doing or waiting for.
    pub(crate) fn note(&self, text: &str) {
        if let Some((node, notes)) = &self.notes {
            // The receiver is gone only when the run is over.
            let _ = notes.send((node.clone(), text.to_owned()));
        }
    }

    /// Sends a call again while an earlier change of the same resource is still being made, for five minutes at most.
    pub(crate) async fn retry_while_busy<T, E, F>(&self, send: impl FnMut() -> F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        retry(&[BUSY], send, self.noting()).await
    }

    /// Sends a call that changes a resource which exists again while AWS does not find it, as it may be not known everywhere
    /// yet, for a minute at most, and while it is busy.
    pub(crate) async fn retry_until_known<T, E, F>(&self, send: impl FnMut() -> F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        retry(&[BUSY, NOT_KNOWN], send, self.noting()).await
    }

    /// Sends a call again until IAM has told the service of a new role, for two minutes at most, while the resource is busy,
    /// and while AWS does not find what the call names.
    pub(crate) async fn retry_until_propagated<T, E, F>(&self, send: impl FnMut() -> F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        retry(&[BUSY, PROPAGATION, NOT_KNOWN], send, self.noting()).await
    }

    /// [`note`](Self::note) as a callback.
    pub(crate) fn noting(&self) -> impl FnMut(&str) + '_ {
        |text| self.note(text)
    }
}
