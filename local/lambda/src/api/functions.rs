//! The function operations of the Lambda API.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use parking_lot::MutexGuard;
use serde_json::{Value, json};

use crate::Engine;
use crate::api::answer::{answer, revision};
use crate::api::page::Query;
use crate::api::page::page;
use crate::api_error::ApiError;
use crate::function::names::FunctionRef;
use crate::function::target::Target;
use crate::function::version::{LATEST, Version};
use crate::function::{Function, State};
use crate::invocation::admission::ACCOUNT as ACCOUNT_CONCURRENCY;
use crate::ports::Transition;
use crate::settings::Settings;

impl Engine {
    pub(crate) fn functions(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Function>>> {
        self.functions.lock()
    }

    fn check_role(&self, settings: &Settings) -> Result<(), ApiError> {
        if self.ports.roles.is_assumable(&settings.role) {
            return Ok(());
        }
        Err(ApiError::invalid("The role defined for the function cannot be assumed by Lambda."))
    }

    pub(crate) async fn create_function(&self, body: &Value) -> Result<Response, ApiError> {
        let named = FunctionRef::parse(body["FunctionName"].as_str().unwrap_or_default())?;
        let settings = Settings::create(body)?;
        self.check_role(&settings)?;
        self.interpreters.check(&settings.runtime).await?;
        if self.functions().contains_key(&named.name) {
            return Err(exists(&named.name));
        }
        let code = self.code.from_request(&body["Code"], &*self.ports.buckets).await?;
        let arn = self.config.function_arn(&named.name);
        let function = Arc::new(Function::new(
            named.name.clone(),
            arn,
            settings,
            code,
            tags(&body["Tags"])?,
            self.stop.child_token(),
        ));
        let mut functions = self.functions();
        if functions.contains_key(&named.name) {
            return Err(exists(&named.name));
        }
        functions.insert(named.name, Arc::clone(&function));
        drop(functions);
        function.begin(State::Creating, self.ports.transitions.time(Transition::FunctionCreate, &function.name));
        if body["Publish"].as_bool() == Some(true) {
            let version = function.publish(&Value::Null)?;
            return Ok(answer(StatusCode::CREATED, &function.configuration(&version, State::Creating)));
        }
        Ok(answer(StatusCode::CREATED, &function.configuration(&function.version(), State::Creating)))
    }

    pub(crate) fn get_function(&self, target: &Target) -> Response {
        let function = &target.function;
        let mut shown = json!({
            "Configuration": target.configuration(),
            "Code": { "RepositoryType": "S3", "Location": self.code_url(&target.version.code) },
            "Tags": *function.tags(),
        });
        if let Some(reserved) = *function.reserved() {
            shown["Concurrency"] = json!({ "ReservedConcurrentExecutions": reserved });
        }
        answer(StatusCode::OK, &shown)
    }

    pub(crate) async fn update_function_code(&self, function: &Function, body: &Value) -> Result<Response, ApiError> {
        function.check_settled()?;
        let code = self.code.from_request(body, &*self.ports.buckets).await?;
        let before = function.version();
        revision(body, &before.revision.to_string())?;
        let mut settings = before.settings.clone();
        settings.change_architecture(body)?;
        if body["DryRun"].as_bool() == Some(true) {
            return Ok(answer(StatusCode::OK, &function.configuration(&before, State::Settled)));
        }
        let mut after = function.change(settings, code);
        if body["Publish"].as_bool() == Some(true) {
            after = function.publish(&Value::Null)?;
        }
        Ok(self.updating(function, &after))
    }

    pub(crate) async fn update_function_configuration(
        &self,
        function: &Function,
        body: &Value,
    ) -> Result<Response, ApiError> {
        // Before anything is read: looking for it takes time, in which another change may come.
        if let Some(runtime) = body["Runtime"].as_str() {
            self.interpreters.check(runtime).await?;
        }
        function.check_settled()?;
        let before = function.version();
        revision(body, &before.revision.to_string())?;
        let mut settings = before.settings.clone();
        settings.change(body)?;
        if settings.role != before.settings.role {
            self.check_role(&settings)?;
        }
        let after = function.change(settings, Arc::clone(&before.code));
        Ok(self.updating(function, &after))
    }

    /// The answer to an update, which is under way for a while.
    fn updating(&self, function: &Function, version: &Version) -> Response {
        function.begin(State::Updating, self.ports.transitions.time(Transition::FunctionUpdate, &function.name));
        answer(StatusCode::OK, &function.configuration(version, State::Updating))
    }

    /// Removes one version where the name is qualified, else the function with all of them.
    pub(crate) async fn delete(&self, target: &Target) -> Result<Response, ApiError> {
        match target.qualifier() {
            None => Ok(self.delete_function(&target.function).await),
            Some(LATEST) => Err(ApiError::invalid("$LATEST version cannot be deleted without deleting the function.")),
            Some(qualifier) => {
                target.function.published().remove(qualifier)?;
                Ok(StatusCode::NO_CONTENT.into_response())
            }
        }
    }

    /// Removes a function, ends its processes, and writes the last of its log, so that its log group may be deleted next.
    async fn delete_function(&self, function: &Function) -> Response {
        self.functions().remove(&function.name);
        self.logs.flush().await;
        function.gone.cancel();
        function.pool.clear();
        StatusCode::NO_CONTENT.into_response()
    }

    pub(crate) fn list_functions(&self, query: &Query) -> Result<Response, ApiError> {
        let functions: Vec<_> = self.functions().values().cloned().collect();
        let (part, next) = page(&functions, query, 50)?;
        let shown: Vec<_> = part.iter().map(|function| function.listed()).collect();
        Ok(answer(StatusCode::OK, &json!({ "Functions": shown, "NextMarker": next })))
    }

    pub(crate) fn put_concurrency(&self, function: &Function, body: &Value) -> Result<Response, ApiError> {
        let Some(reserved) = body["ReservedConcurrentExecutions"].as_i64() else {
            return Err(ApiError::invalid("ReservedConcurrentExecutions must be given."));
        };
        // AWS keeps 100 of the account's concurrency for functions without a reservation.
        let free = self.unreserved() + function.reserved().unwrap_or_default();
        match u32::try_from(reserved) {
            Ok(count) if count <= free.saturating_sub(100) => {
                *function.reserved() = Some(count);
                Ok(answer(StatusCode::OK, &json!({ "ReservedConcurrentExecutions": count })))
            }
            Ok(_) => Err(ApiError::invalid(
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100].",
            )),
            Err(_) => Err(ApiError::constraint(
                reserved,
                "reservedConcurrentExecutions",
                "have value greater than or equal to 0",
            )),
        }
    }

    pub(crate) fn get_concurrency(function: &Function) -> Response {
        let shown = match *function.reserved() {
            Some(reserved) => json!({ "ReservedConcurrentExecutions": reserved }),
            None => json!({}),
        };
        answer(StatusCode::OK, &shown)
    }

    pub(crate) fn delete_concurrency(function: &Function) -> Response {
        *function.reserved() = None;
        StatusCode::NO_CONTENT.into_response()
    }

    pub(crate) fn account_settings(&self) -> Response {
        let functions: Vec<_> = self.functions().values().cloned().collect();
        let size: usize = functions.iter().map(|function| function.version().code.size).sum();
        answer(
            StatusCode::OK,
            &json!({
                "AccountLimit": {
                    "TotalCodeSize": 80_530_636_800_u64,
                    "CodeSizeUnzipped": 262_144_000,
                    "CodeSizeZipped": 52_428_800,
                    "ConcurrentExecutions": ACCOUNT_CONCURRENCY,
                    "UnreservedConcurrentExecutions": self.unreserved(),
                },
                "AccountUsage": { "TotalCodeSize": size, "FunctionCount": functions.len() },
            }),
        )
    }

    pub(crate) fn list_tags(&self, arn: &str) -> Result<Response, ApiError> {
        self.with_tags(arn, |tags| Ok(answer(StatusCode::OK, &json!({ "Tags": tags }))))
    }

    pub(crate) fn tag_resource(&self, arn: &str, body: &Value) -> Result<Response, ApiError> {
        let added = tags(&body["Tags"])?;
        self.with_tags(arn, |tags| {
            if tags.keys().chain(added.keys()).collect::<std::collections::BTreeSet<_>>().len() > MAX_TAGS {
                return Err(too_many_tags());
            }
            tags.extend(added.clone());
            Ok(StatusCode::NO_CONTENT.into_response())
        })
    }

    pub(crate) fn untag_resource(&self, arn: &str, query: &Query) -> Result<Response, ApiError> {
        self.with_tags(arn, |tags| {
            query.all("tagKeys").for_each(|key| drop(tags.remove(key)));
            Ok(StatusCode::NO_CONTENT.into_response())
        })
    }

    /// Hands out the tags of a function or a mapping.
    fn with_tags<T>(
        &self,
        arn: &str,
        then: impl Fn(&mut BTreeMap<String, String>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        check_tagged(arn)?;
        if let Some((_, uuid)) = arn.split_once(":event-source-mapping:") {
            return then(&mut self.mapping(uuid)?.tags());
        }
        let function = self.named(arn)?.function;
        then(&mut function.tags())
    }
}

const MAX_TAGS: usize = 50;

/// Refuses what is no ARN of Lambda's.
fn check_tagged(arn: &str) -> Result<(), ApiError> {
    let parts: Vec<&str> = arn.splitn(7, ':').collect();
    let digits = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    match parts[..] {
        ["arn", partition, "lambda", region, account, kind, name]
            if partition.starts_with("aws")
                && !region.is_empty()
                && digits(account)
                && !name.is_empty()
                && TAGGED.contains(&kind) =>
        {
            Ok(())
        }
        _ => Err(ApiError::constraint(
            arn,
            "resource",
            "satisfy regular expression pattern: arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:(function:[a-zA-Z0-9-_]+(:(\\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)",
        )),
    }
}

/// What an ARN with tags may name.
const TAGGED: [&str; 5] = ["function", "layer", "code-signing-config", "event-source-mapping", "capacity-provider"];

fn too_many_tags() -> ApiError {
    ApiError::invalid("The number of tags exceeds the limit of 50.")
}

/// Reads the `Tags` of a request.
pub(crate) fn tags(given: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = BTreeMap::new();
    for (key, value) in given.as_object().into_iter().flatten() {
        let Some(value) = value.as_str() else {
            return Err(ApiError::constraint(value, "tags", "be a string"));
        };
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(ApiError::invalid("Tag keys have 1 to 128 characters, tag values at most 256."));
        }
        tags.insert(key.clone(), value.to_owned());
    }
    if tags.len() > MAX_TAGS { Err(too_many_tags()) } else { Ok(tags) }
}

fn exists(name: &str) -> ApiError {
    ApiError::conflict(format!("Function already exist: {name}"))
}
