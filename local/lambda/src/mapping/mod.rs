//! Event source mappings: their settings, their states, and the pollers that carry records to functions.

mod api;
mod batch;
mod checkpoints;
mod dynamodb;
mod filters;
mod kind;
mod kinesis;
mod on_failure;
mod partial;
mod poller;
mod settings;
mod shard_worker;
mod source;
mod sqs;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use checkpoints::Checkpoints;
use settings::Settings;
pub(crate) use settings::seconds;

use crate::ports::{Transition, TransitionTimes};
use streamkit_wire::arn;
use streamkit_wire::clock;

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
    fn name(self) -> &'static str {
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
    arn: String,
    now: Mutex<Now>,
    tags: Mutex<BTreeMap<String, String>>,
    checkpoints: Mutex<Checkpoints>,
    /// Held while pollers are started or stopped.
    runner: tokio::sync::Mutex<Option<Runner>>,
}

struct Now {
    settings: Arc<Settings>,
    state: State,
    result: String,
    modified_ms: i64,
}

/// The pollers of a mapping that is enabled.
struct Runner {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Mapping {
    fn new(uuid: String, arn: String, settings: Settings, tags: BTreeMap<String, String>) -> Self {
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
    fn time(&self, times: &dyn TransitionTimes, transition: Transition) -> Duration {
        let settings = self.settings();
        times.time(transition, &format!("{} {}", arn::resource_name(&settings.source_arn), settings.function))
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.now.lock().settings)
    }

    fn checkpoints(&self) -> MutexGuard<'_, Checkpoints> {
        self.checkpoints.lock()
    }

    pub(crate) fn tags(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.tags.lock()
    }

    /// Sets `LastProcessingResult`.
    fn result(&self, result: &str) {
        let mut now = self.now.lock();
        if now.result != result {
            result.clone_into(&mut now.result);
        }
    }

    fn set_state(&self, state: State) {
        let mut now = self.now.lock();
        now.state = state;
        now.modified_ms = clock::now_ms();
    }

    /// `EventSourceMappingConfiguration`.
    fn shown(&self) -> Value {
        let now = self.now.lock();
        let mut shown = now.settings.shown();
        shown["UUID"] = json!(self.uuid);
        shown["EventSourceMappingArn"] = json!(self.arn);
        shown["State"] = json!(now.state.name());
        shown["StateTransitionReason"] = json!(now.settings.kind.user_action());
        if now.settings.kind.is_stream() {
            shown["LastProcessingResult"] = json!(now.result);
        }
        shown["LastModified"] = seconds(now.modified_ms);
        shown
    }
}
