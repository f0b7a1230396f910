//! Lambda functions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::operation::get_function::GetFunctionOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, FunctionCode, Runtime, TracingConfig, TracingMode};
use serde_json::{Value, json};

use super::context::Cx;
use super::resource::{Actions, Created, Observed, Resource};
use super::role::RoleArn;
use crate::aws::{AwsError, CODE_TAG, Clients, Look, Stay, Tags, Times, Wait, answered, existing, upload_limit};
use crate::package::{Architecture, Built, Code};
use crate::plan::{Action, Change, Fields};
use crate::spec::{Seconds, duration_text};

/// `provided` runtimes start the file of this name whatever the handler setting says.
const HANDLER: &str = "bootstrap";
const LIMIT: Duration = Duration::from_secs(5 * 60);
/// What is commonly seen.
const TIMES: Times = &[Stay::new("Pending", 1.0, 0.08), Stay::new("InProgress", 1.0, 0.15)];

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "lambda:CreateFunction",
        "lambda:GetFunction",
        // GetFunction leaves the tags out without it.
        "lambda:ListTags",
        "lambda:UpdateFunctionConfiguration",
        "lambda:UpdateFunctionCode",
        "lambda:TagResource",
        "lambda:UntagResource",
        "lambda:PutFunctionConcurrency",
        "lambda:DeleteFunctionConcurrency",
        "lambda:DeleteFunction",
    ],
    // `status` reads how old the records are.
    account: &["lambda:ListFunctions", "lambda:GetAccountSettings", "cloudwatch:GetMetricStatistics"],
};

/// A Lambda function on the `provided.al2023` runtime.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) role: RoleArn,
    /// Megabytes.
    pub(crate) memory: i64,
    pub(crate) timeout: Seconds,
    pub(crate) tracing: bool,
    /// The account's shared concurrency when absent.
    pub(crate) reserved_concurrency: Option<i64>,
    pub(crate) architecture: Architecture,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) code: Arc<Code>,
}

impl Function {
    async fn until_active(&self, cx: &Cx) -> anyhow::Result<()> {
        let what = format!("Lambda function ({})", self.name);
        let active =
            Wait { what: &what, pending: &["Pending", "InProgress"], target: &["Active"], limit: LIMIT, times: TIMES };
        cx.wait(&active, async || look(cx, &self.name).await).await
    }

    /// The package. A build is cancelled when the user asks to stop: it changes nothing in AWS.
    async fn package(&self, cx: &Cx) -> anyhow::Result<Arc<Built>> {
        let note = |text: &str| cx.note(text);
        tokio::select! {
            package = self.code.package(&note) => package,
            () = cx.interrupted() => anyhow::bail!("the build of the handler was interrupted"),
        }
    }

    /// True when carrying out these changes uploads the package.
    pub(crate) fn is_uploaded(action: Action, changes: &[Change]) -> bool {
        matches!(action, Action::Create | Action::Replace)
            || changes.iter().any(|change| matches!(change.field.as_str(), "code" | "architecture"))
    }

    async fn reserve(&self, cx: &Cx) -> anyhow::Result<()> {
        let lambda = &cx.aws.lambda;
        if let Some(reserved) = self.reserved_concurrency {
            let call = lambda.put_function_concurrency().function_name(&self.name);
            let call = call.reserved_concurrent_executions(i32::try_from(reserved)?);
            cx.retry_until_known(|| call.clone().send()).await?;
        } else {
            let call = lambda.delete_function_concurrency().function_name(&self.name);
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        Ok(())
    }

    /// The environment as AWS has it.
    pub(crate) async fn seen_environment(&self, cx: &Cx) -> anyhow::Result<BTreeMap<String, String>> {
        let call = cx.aws.lambda.get_function_configuration().function_name(&self.name);
        let environment = answered(call.send().await)?.environment.and_then(|environment| environment.variables);
        Ok(environment.unwrap_or_default().into_iter().collect())
    }

    /// The description and the handler that AWS has, which streamkit sets once and never changes.
    pub(crate) async fn description(&self, cx: &Cx) -> anyhow::Result<(String, String)> {
        let has = get(cx, &self.name).await?.and_then(|answer| answer.configuration).context("the function is gone")?;
        Ok((has.description.unwrap_or_default(), has.handler.unwrap_or_default()))
    }

    /// Gives the function another environment than the spec's, and waits until it has it.
    pub(crate) async fn set_environment(&self, cx: &Cx, variables: &BTreeMap<String, String>) -> anyhow::Result<()> {
        self.until_active(cx).await?;
        let variables = variables.clone().into_iter().collect();
        let environment = Environment::builder().set_variables(Some(variables)).build();
        let call = cx.aws.lambda.update_function_configuration().function_name(&self.name).environment(environment);
        cx.retry_until_known(|| call.clone().send()).await?;
        self.until_active(cx).await
    }

    fn architecture(&self) -> aws_sdk_lambda::types::Architecture {
        match self.architecture {
            Architecture::X86_64 => aws_sdk_lambda::types::Architecture::X8664,
            Architecture::Arm64 => aws_sdk_lambda::types::Architecture::Arm64,
        }
    }

    fn tracing_mode(&self) -> TracingConfig {
        let mode = if self.tracing { TracingMode::Active } else { TracingMode::PassThrough };
        TracingConfig::builder().mode(mode).build()
    }

    fn environment(&self) -> Environment {
        Environment::builder().set_variables(Some(self.environment.clone().into_iter().collect())).build()
    }
}

/// The time that an attempt may take follows from what it uploads.
fn patient(bytes: usize) -> aws_sdk_lambda::config::Builder {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(upload_limit(bytes)).build();
    aws_sdk_lambda::config::Builder::new().timeout_config(timeouts)
}

/// The value of [`CODE_TAG`] for a package.
fn code_tag(built: &Built) -> String {
    format!("{}:{}", built.hash, built.package.sha256)
}

/// The hash of what the function's code was made from, as its tag says; none where somebody else has uploaded code since.
fn code_hash<'a>(tags: &'a Tags, sha256: Option<&str>) -> Option<&'a str> {
    let (hash, of) = tags.get(CODE_TAG)?.split_once(':')?;
    (Some(of) == sha256).then_some(hash)
}

impl Resource for Function {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, aws: &Clients) -> String {
        arn(aws, &self.name)
    }

    fn desired(&self) -> Fields {
        let mut fields = Fields::from([
            ("role", json!(self.role.get())),
            ("runtime", json!(Runtime::Providedal2023.as_str())),
            ("memory", json!(self.memory)),
            ("timeout", json!(duration_text(self.timeout.0))),
            ("tracing", json!(self.tracing)),
            ("reserved_concurrency", json!(self.reserved_concurrency)),
            ("architecture", json!(self.architecture().as_str())),
            ("environment", json!(self.environment)),
        ]);
        if let Some(hash) = self.code.known_hash() {
            fields.insert("code", json!(hash));
        }
        fields
    }

    fn defaults(&self) -> Fields {
        Fields::from([
            ("role", json!(self.role.get())),
            ("runtime", json!(Runtime::Providedal2023.as_str())),
            ("memory", json!(256)),
            ("timeout", json!(duration_text(60))),
            ("tracing", json!(false)),
            ("architecture", json!(aws_sdk_lambda::types::Architecture::X8664.as_str())),
            ("code", json!(self.code.known_hash())),
        ])
    }

    async fn prepare(&self, cx: &Cx) -> anyhow::Result<()> {
        match self.code.hash() {
            Err(_) if cx.only_looks => Ok(()),
            hash => hash.map(drop),
        }
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let Some(answer) = get(cx, &self.name).await? else { return Ok(None) };
        let tags = tags_of(&answer)?;
        let configuration = answer.configuration.context("GetFunction answered without a Configuration")?;
        let reserved = answer.concurrency.and_then(|concurrency| concurrency.reserved_concurrent_executions);
        let variables: BTreeMap<_, _> = configuration
            .environment
            .and_then(|environment| environment.variables)
            .unwrap_or_default()
            .into_iter()
            .collect();
        let tracing = configuration.tracing_config.and_then(|tracing| tracing.mode) == Some(TracingMode::Active);
        let architecture = configuration
            .architectures
            .unwrap_or_default()
            .into_iter()
            .next()
            .unwrap_or(aws_sdk_lambda::types::Architecture::X8664);
        let timeout = u64::try_from(configuration.timeout.unwrap_or_default()).context("a negative Timeout")?;
        let fields = Fields::from([
            ("role", json!(configuration.role)),
            ("runtime", json!(configuration.runtime.map(|runtime| runtime.as_str().to_owned()))),
            ("memory", json!(configuration.memory_size)),
            ("timeout", json!(duration_text(timeout))),
            ("tracing", json!(tracing)),
            ("reserved_concurrency", json!(reserved)),
            ("architecture", json!(architecture.as_str())),
            ("environment", json!(variables)),
            ("code", json!(code_hash(&tags, configuration.code_sha256.as_deref()))),
        ]);
        let busy = |state: Option<&str>| matches!(state, Some("Pending" | "InProgress"));
        let settled = !busy(configuration.state.as_ref().map(aws_sdk_lambda::types::State::as_str))
            && !busy(configuration.last_update_status.as_ref().map(aws_sdk_lambda::types::LastUpdateStatus::as_str));
        Ok(Some(Observed { arn: self.arn(&cx.aws), fields, tags: Some(tags), parent_tags: None, settled }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
        let built = self.package(cx).await?;
        let call = cx
            .aws
            .lambda
            .create_function()
            .function_name(&self.name)
            .description("Made by streamkit")
            .runtime(Runtime::Providedal2023)
            .handler(HANDLER)
            .role(self.role.get())
            .memory_size(i32::try_from(self.memory)?)
            .timeout(self.timeout.as_i32())
            .tracing_config(self.tracing_mode())
            .architectures(self.architecture())
            .environment(self.environment())
            .code(FunctionCode::builder().zip_file(Blob::new(built.package.zip.clone())).build())
            .set_tags(Some(tags.clone().into_iter().collect()))
            .tags(CODE_TAG, code_tag(&built));
        let upload = || call.clone().customize().config_override(patient(built.package.zip.len())).send();
        match cx.retry_until_propagated(upload).await {
            Ok(_) => Ok(Created::Made { ready: false }),
            Err(error) if error.is(&["ResourceConflictException"]) && error.message.contains("already exist") => {
                Ok(Created::Found)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn as_made(&self, aws: &Clients, tags: &Tags) -> Observed {
        let mut fields = self.desired();
        fields.insert("reserved_concurrency", Value::Null);
        Observed { arn: self.arn(aws), fields, tags: Some(tags.clone()), parent_tags: None, settled: true }
    }

    fn is_seen_when_ready(&self, changed: bool) -> bool {
        !changed
    }

    async fn change(&self, cx: &Cx, _seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        // Lambda takes one change at a time, and the architecture goes with the code.
        let of_code = |change: &Change| matches!(change.field.as_str(), "code" | "architecture");
        let of_concurrency = |change: &Change| change.field == "reserved_concurrency";
        if changes.iter().any(of_concurrency) {
            self.reserve(cx).await?;
        }
        if changes.iter().any(|change| !of_code(change) && !of_concurrency(change)) {
            self.until_active(cx).await?;
            let call = cx
                .aws
                .lambda
                .update_function_configuration()
                .function_name(&self.name)
                .runtime(Runtime::Providedal2023)
                .role(self.role.get())
                .memory_size(i32::try_from(self.memory)?)
                .timeout(self.timeout.as_i32())
                .tracing_config(self.tracing_mode())
                .environment(self.environment());
            cx.retry_until_propagated(|| call.clone().send()).await?;
        }
        if changes.iter().any(of_code) {
            self.until_active(cx).await?;
            cx.note("uploading the code");
            let built = self.package(cx).await?;
            let call =
                cx.aws.lambda.update_function_code().function_name(&self.name).architectures(self.architecture());
            let call = call.zip_file(Blob::new(built.package.zip.clone()));
            let upload = || call.clone().customize().config_override(patient(built.package.zip.len())).send();
            cx.retry_until_known(upload).await?;
            // After the upload: a run that ends in between uploads again, and never takes old code for new.
            let tag = Tags::from([(CODE_TAG.to_owned(), code_tag(&built))]);
            self.tag(cx, &tag, &[]).await?;
        }
        Ok(())
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        let arn = self.arn(&cx.aws);
        if !set.is_empty() {
            let set = set.clone().into_iter().collect();
            let call = cx.aws.lambda.tag_resource().resource(&arn).set_tags(Some(set));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        if !remove.is_empty() {
            let call = cx.aws.lambda.untag_resource().resource(&arn).set_tag_keys(Some(remove.to_vec()));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        Ok(())
    }

    async fn ready(&self, cx: &Cx) -> anyhow::Result<()> {
        self.until_active(cx).await
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        begin_deletion(cx, &self.name).await?;
        until_gone(cx, &self.name).await
    }
}

pub(super) fn arn(aws: &Clients, name: &str) -> String {
    aws.arn("lambda", &format!("function:{name}"))
}

async fn get(cx: &Cx, name: &str) -> Result<Option<GetFunctionOutput>, AwsError> {
    existing(answered(cx.aws.lambda.get_function().function_name(name).send().await))
}

/// The tags; `None` when there is no such function.
pub(super) async fn tags(cx: &Cx, name: &str) -> Result<Option<Tags>, AwsError> {
    get(cx, name).await?.as_ref().map(tags_of).transpose()
}

/// The tags in GetFunction's answer, or the error that it gives in their place.
fn tags_of(answer: &GetFunctionOutput) -> Result<Tags, AwsError> {
    if let Some(error) = answer.tags_error() {
        let (code, message) = (error.error_code().to_owned(), error.message().to_owned());
        return Err(AwsError { code, message, request_id: None });
    }
    let tags = answer.tags().into_iter().flatten();
    Ok(tags.map(|(key, value)| (key.clone(), value.clone())).collect())
}

pub(super) async fn begin_deletion(cx: &Cx, name: &str) -> anyhow::Result<()> {
    let call = cx.aws.lambda.delete_function().function_name(name);
    existing(cx.retry_while_busy(|| call.clone().send()).await)?;
    Ok(())
}

pub(super) async fn until_gone(cx: &Cx, name: &str) -> anyhow::Result<()> {
    let what = format!("Lambda function ({name})");
    let pending = ["Active", "Pending", "InProgress", "Inactive", "Deleting"];
    let gone = Wait { what: &what, pending: &pending, target: &["gone"], limit: LIMIT, times: TIMES };
    cx.wait(&gone, async || look(cx, name).await).await
}

/// `State`, and once that is Active, the state of the last update.
async fn look(cx: &Cx, name: &str) -> anyhow::Result<Look> {
    let Some(configuration) = get(cx, name).await?.and_then(|answer| answer.configuration) else {
        return Ok(Look::Gone);
    };
    let state = configuration.state.map_or_else(|| "Active".to_owned(), |state| state.as_str().to_owned());
    let update = configuration.last_update_status.map(|status| status.as_str().to_owned());
    Ok(Look::State(match (state.as_str(), update.as_deref()) {
        // Inactive only means that it has not been called for weeks.
        ("Active" | "Inactive", Some("InProgress")) => "InProgress".to_owned(),
        ("Active" | "Inactive", Some("Failed")) => {
            let why = configuration.last_update_status_reason.unwrap_or_default();
            anyhow::bail!("the last update of the function failed: {why}")
        }
        ("Active" | "Inactive", _) => "Active".to_owned(),
        ("Failed", _) => {
            anyhow::bail!("creating the function failed: {}", configuration.state_reason.unwrap_or_default())
        }
        _ => state,
    }))
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::TagsError;

    use super::*;

    #[test]
    fn tags_that_could_not_be_read_are_an_error_and_not_no_tags() {
        assert_eq!(tags_of(&GetFunctionOutput::builder().build()).unwrap(), Tags::new());
        let error =
            TagsError::builder().error_code("AccessDeniedException").message("lambda:ListTags").build().unwrap();
        let error = tags_of(&GetFunctionOutput::builder().tags_error(error).build()).unwrap_err();
        assert!(error.is_denied() && error.to_string().contains("lambda:ListTags"), "{error}");
    }
}
