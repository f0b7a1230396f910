//! A function: its identity, its settings, and the version that runs now.

pub(crate) mod invoke_config;
pub(crate) mod names;
pub(crate) mod published;
pub(crate) mod target;
pub(crate) mod version;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use streamkit_wire::clock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::invoke_config::InvokeConfig;
use self::published::Published;
use self::version::{LATEST, Version};
use crate::api_error::ApiError;
use crate::invocation::admission::Invocations;
use crate::runtime::code::Code;
use crate::runtime::pool::Pool;
use crate::settings::Settings;

/// Statements of a function's resource policies by qualifier (empty for none) and statement id.
pub(crate) type Policies = BTreeMap<String, BTreeMap<String, Value>>;

/// One function.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) arn: String,
    /// Cancelled when the function is deleted or the engine stops; every process has a child of it.
    pub(crate) gone: CancellationToken,
    pub(crate) pool: Pool,
    version: Mutex<Arc<Version>>,
    tags: Mutex<BTreeMap<String, String>>,
    reserved: Mutex<Option<u32>>,
    pub(crate) invocations: Invocations,
    published: Mutex<Published>,
    policies: Mutex<Policies>,
    invoke_configs: Mutex<BTreeMap<String, InvokeConfig>>,
    /// The change of state that is under way, and until when.
    change: Mutex<Option<(State, Instant)>>,
}

impl Function {
    pub(crate) fn new(
        name: String,
        arn: String,
        settings: Settings,
        code: Arc<Code>,
        tags: BTreeMap<String, String>,
        gone: CancellationToken,
    ) -> Self {
        Self {
            name,
            arn,
            gone,
            pool: Pool::default(),
            version: Mutex::new(Arc::new(Version::latest(settings, code))),
            tags: Mutex::new(tags),
            reserved: Mutex::default(),
            invocations: Invocations::default(),
            published: Mutex::default(),
            policies: Mutex::default(),
            invoke_configs: Mutex::default(),
            change: Mutex::default(),
        }
    }

    /// Begins a change of state that takes this long.
    pub(crate) fn begin(&self, state: State, time: Duration) {
        *self.change.lock() = Some((state, Instant::now() + time));
    }

    /// The state now.
    pub(crate) fn state(&self) -> State {
        match *self.change.lock() {
            Some((state, until)) if Instant::now() < until => state,
            _ => State::Settled,
        }
    }

    /// Refuses a change while another one is under way.
    pub(crate) fn check_settled(&self) -> Result<(), ApiError> {
        match self.state() {
            State::Settled => Ok(()),
            State::Creating => Err(pending()),
            State::Updating => Err(ApiError::conflict(format!(
                "The operation cannot be performed at this time. An update is in progress for resource: {}",
                self.arn
            ))),
        }
    }

    /// What runs now.
    pub(crate) fn version(&self) -> Arc<Version> {
        Arc::clone(&self.version.lock())
    }

    /// Changes code or configuration; invocations under way finish with what they began with.
    pub(crate) fn change(&self, settings: Settings, code: Arc<Code>) -> Arc<Version> {
        let version = Arc::new(Version::latest(settings, code));
        *self.version.lock() = Arc::clone(&version);
        self.pool.clear();
        version
    }

    pub(crate) fn tags(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.tags.lock()
    }

    pub(crate) fn reserved(&self) -> MutexGuard<'_, Option<u32>> {
        self.reserved.lock()
    }

    pub(crate) fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock()
    }

    /// Whether invocations may still run this version.
    pub(crate) fn has(&self, version: &Arc<Version>) -> bool {
        Arc::ptr_eq(&self.version(), version) || self.published().has(version)
    }

    pub(crate) fn policies(&self) -> MutexGuard<'_, Policies> {
        self.policies.lock()
    }

    /// What is set for this version or alias.
    pub(crate) fn invoke_config(&self, qualifier: Option<&str>) -> Option<InvokeConfig> {
        self.invoke_configs().get(qualifier.unwrap_or(LATEST)).cloned()
    }

    pub(crate) fn invoke_configs(&self) -> MutexGuard<'_, BTreeMap<String, InvokeConfig>> {
        self.invoke_configs.lock()
    }

    /// The ARN of the version of a runtime: the same for all functions that have the runtime.
    fn runtime_version(&self, runtime: &str) -> String {
        let region = self.arn.split(':').nth(3).unwrap_or_default();
        let digest = hex::encode(Sha256::digest(runtime));
        format!("arn:aws:lambda:{region}::runtime:{digest}")
    }

    /// The configuration as `ListFunctions` shows it: without states and the version of the runtime.
    ///
    /// See <https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html>.
    pub(crate) fn listed(&self) -> Value {
        let mut shown = self.configuration(&self.version(), State::Settled);
        if let Some(members) = shown.as_object_mut() {
            for member in ["State", "LastUpdateStatus", "RuntimeVersionConfig"] {
                members.remove(member);
            }
        }
        shown
    }

    /// `FunctionConfiguration`, with the states that a change in progress would show replaced by `state`.
    pub(crate) fn configuration(&self, version: &Version, state: State) -> Value {
        let settings = &version.settings;
        let mut shown = json!({
            "FunctionName": self.name,
            "FunctionArn": self.arn,
            "Runtime": settings.runtime,
            "Role": settings.role,
            "Handler": settings.handler,
            "CodeSize": version.code.size,
            "CodeSha256": version.code.sha256,
            "Description": settings.description,
            "Timeout": settings.timeout_seconds,
            "MemorySize": settings.memory_mb,
            "LastModified": clock::iso(version.modified_ms).replace('Z', "+0000"),
            "Version": version.name(),
            "TracingConfig": { "Mode": settings.tracing },
            "RevisionId": version.revision.to_string(),
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "PackageType": "Zip",
            "Architectures": [settings.architecture],
            "EphemeralStorage": { "Size": settings.ephemeral_mb },
            "SnapStart": { "ApplyOn": "None", "OptimizationStatus": "Off" },
            "LoggingConfig": settings.logging(&self.name),
            "RuntimeVersionConfig": { "RuntimeVersionArn": self.runtime_version(&settings.runtime) },
        });
        if let Some(variables) = &settings.environment {
            shown["Environment"] = json!({ "Variables": variables });
        }
        if !settings.dead_letters.is_empty() {
            shown["DeadLetterConfig"] = json!({ "TargetArn": settings.dead_letters });
        }
        if !settings.kms_key.is_empty() {
            shown["KMSKeyArn"] = json!(settings.kms_key);
        }
        match state {
            State::Settled => {}
            State::Creating => {
                shown["State"] = json!("Pending");
                shown["StateReason"] = json!("The function is being created.");
                shown["StateReasonCode"] = json!("Creating");
                shown["LastUpdateStatus"] = Value::Null;
            }
            // AWS says so of updates, too.
            State::Updating => {
                shown["LastUpdateStatus"] = json!("InProgress");
                shown["LastUpdateStatusReason"] = json!("The function is being created.");
                shown["LastUpdateStatusReasonCode"] = json!("Creating");
            }
        }
        shown
    }
}

/// What an answer says about the change that it is the answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Settled,
    Creating,
    Updating,
}

/// The refusal of whatever needs a function that is still being created.
pub(crate) fn pending() -> ApiError {
    ApiError::conflict(
        "The operation cannot be performed at this time. The function is currently in the following state: Pending",
    )
}
