//! A mapping: its settings, its state, and what of it AWS shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::checkpoints::Checkpoints;
use super::settings::Settings;

use crate::ports::{Transition, TransitionTimes};
use streamkit_wire::{arn, clock};

/// The states of a mapping, as AWS names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Creating,
    Enabling,
    Enabled,
    Disabling,
    Disabled,
    Updating,
    Deleting,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Enabling => "Enabling",
            Self::Enabled => "Enabled",
            Self::Disabling => "Disabling",
            Self::Disabled => "Disabled",
            Self::Updating => "Updating",
            Self::Deleting => "Deleting",
        }
    }
}

/// One event source mapping.
pub(crate) struct Mapping {
    pub(crate) uuid: String,
    pub(crate) arn: String,
    pub(crate) now: Mutex<Now>,
    pub(crate) tags: Mutex<BTreeMap<String, String>>,
    pub(crate) checkpoints: Mutex<Checkpoints>,
    /// Held while pollers are started or stopped.
    pub(crate) runner: tokio::sync::Mutex<Option<Runner>>,
}

pub(crate) struct Now {
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: State,
    pub(crate) result: String,
    pub(crate) modified_ms: i64,
}

/// The pollers of a mapping that is enabled.
pub(crate) struct Runner {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Mapping {
    pub(crate) fn new(uuid: String, arn: String, settings: Settings, tags: BTreeMap<String, String>) -> Self {
        Self {
            uuid,
            arn,
            now: Mutex::new(Now {
                settings: Arc::new(settings),
                state: State::Creating,
                result: "No records processed".to_owned(),
                modified_ms: clock::now_ms(),
            }),
            tags: Mutex::new(tags),
            checkpoints: Mutex::default(),
            runner: tokio::sync::Mutex::default(),
        }
    }

    /// How long a step takes, by what the mapping connects: its UUID is another in each run.
    pub(crate) fn time(&self, times: &dyn TransitionTimes, transition: Transition) -> Duration {
        let settings = self.settings();
        times.time(transition, &format!("{} {}", arn::resource_name(&settings.source_arn), settings.function))
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.now.lock().settings)
    }

    pub(crate) fn checkpoints(&self) -> MutexGuard<'_, Checkpoints> {
        self.checkpoints.lock()
    }

    pub(crate) fn tags(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.tags.lock()
    }

    /// Sets `LastProcessingResult`.
    pub(crate) fn result(&self, result: &str) {
        let mut now = self.now.lock();
        if now.result != result {
            result.clone_into(&mut now.result);
        }
    }

    pub(crate) fn set_state(&self, state: State) {
        let mut now = self.now.lock();
        now.state = state;
        now.modified_ms = clock::now_ms();
    }

    /// `EventSourceMappingConfiguration`.
    pub(crate) fn shown(&self) -> Value {
        let now = self.now.lock();
        let mut shown = now.settings.shown();
        shown["UUID"] = json!(self.uuid);
        shown["EventSourceMappingArn"] = json!(self.arn);
        shown["State"] = json!(now.state.name());
        shown["StateTransitionReason"] = json!(now.settings.kind.user_action());
        if now.settings.kind.is_stream() {
            shown["LastProcessingResult"] = json!(now.result);
        }
        shown["LastModified"] = json!(clock::seconds(now.modified_ms));
        shown
    }
}
