//! Published versions and aliases of a function, and what a qualified name means.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Engine;
use crate::api::api_error::ApiError;
use crate::api::functions::{answer, revision};
use crate::api::names::FunctionRef;
use crate::api::page::Query;
use crate::api::page::page;
use crate::function::{Function, State, Version};

/// What invocations of unqualified names run.
pub(crate) const LATEST: &str = "$LATEST";

/// What a function has published.
#[derive(Default)]
pub(crate) struct Published {
    versions: BTreeMap<u32, Arc<Version>>,
    aliases: BTreeMap<String, Alias>,
    /// The number that was given last; numbers of deleted versions do not come again.
    last: u32,
}

/// A name for a version.
#[derive(Debug, Clone, PartialEq)]
struct Alias {
    version: String,
    description: String,
    /// A second version, and the share of invocations that it gets.
    routing: Option<(String, f64)>,
    revision: Uuid,
}

impl Alias {
    fn shown(&self, function: &Function, name: &str) -> Value {
        let mut shown = json!({
            "AliasArn": format!("{}:{name}", function.arn),
            "Name": name,
            "FunctionVersion": self.version,
            "Description": self.description,
            "RevisionId": self.revision.to_string(),
        });
        if let Some((version, share)) = &self.routing {
            shown["RoutingConfig"] = json!({ "AdditionalVersionWeights": { version.as_str(): share } });
        }
        shown
    }

    /// The share of a second version beside this alias's own.
    fn second(&self, version: &str, share: &Value) -> Result<f64, ApiError> {
        let weights = |constraint: &str| {
            ApiError::constraint(format!("{{{version}={share}}}"), "routingConfig.additionalVersionWeights", constraint)
        };
        let Some(weight) = share.as_f64().filter(|weight| (0.0..=1.0).contains(weight)) else {
            return Err(weights(
                "satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]",
            ));
        };
        if version == self.version {
            return Err(ApiError::invalid(format!(
                "Invalid function version {version}. Function version {version} is already included in routing configuration."
            )));
        }
        if self.version == LATEST {
            return Err(ApiError::invalid("$LATEST is not supported for an alias pointing to more than 1 version"));
        }
        if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(weights(
                "satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be null]",
            ));
        }
        Ok(weight)
    }

    /// Changes what the request names.
    fn change(&mut self, body: &Value, arn: &str, published: &BTreeMap<u32, Arc<Version>>) -> Result<(), ApiError> {
        let exists = |version: &str| {
            let known = version == LATEST || version.parse().is_ok_and(|number: u32| published.contains_key(&number));
            if known {
                Ok(version.to_owned())
            } else {
                Err(ApiError::not_found(format!("Function not found: {}", qualified(arn, Some(version)))))
            }
        };
        if let Some(version) = body["FunctionVersion"].as_str() {
            self.version = exists(version)?;
        }
        if let Some(description) = body["Description"].as_str() {
            description.clone_into(&mut self.description);
        }
        if let Some(weights) = body["RoutingConfig"]["AdditionalVersionWeights"].as_object() {
            self.routing = match weights.iter().next() {
                None => None,
                Some(_) if weights.len() > 1 => {
                    return Err(ApiError::invalid(
                        "Number of items in AdditionalVersionWeights cannot be greater than 1",
                    ));
                }
                Some((version, share)) => {
                    Some(self.second(version, share).and_then(|share| Ok((exists(version)?, share)))?)
                }
            };
        }
        self.revision = Uuid::new_v4();
        Ok(())
    }
}

/// What one invocation runs.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) function: Arc<Function>,
    pub(crate) version: Arc<Version>,
    /// Version or alias, as the caller named it.
    qualifier: Option<String>,
}

impl Target {
    /// The ARN as the caller named it.
    pub(crate) fn arn(&self) -> String {
        qualified(&self.function.arn, self.qualifier())
    }

    pub(crate) fn qualifier(&self) -> Option<&str> {
        self.qualifier.as_deref()
    }

    /// `FunctionConfiguration`, with the ARN as the caller named it.
    pub(crate) fn configuration(&self) -> Value {
        let mut shown = self.function.configuration(&self.version, self.function.state());
        shown["FunctionArn"] = json!(self.arn());
        shown
    }
}

pub(crate) fn qualified(arn: &str, qualifier: Option<&str>) -> String {
    qualifier.map_or_else(|| arn.to_owned(), |qualifier| format!("{arn}:{qualifier}"))
}

/// What a name is resolved for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Of an alias, its own version.
    Description,
    /// Of an alias with two versions, one by chance.
    Invocation,
}

impl Engine {
    /// The version that a name means, in any form of a function's name, qualified or not; of an alias, its own version.
    pub(crate) fn target(&self, text: &str, query: &Query) -> Result<Target, ApiError> {
        self.target_for(Purpose::Description, text, query)
    }

    /// The version that one invocation by this name runs.
    pub(crate) fn target_of_invocation(&self, text: &str, query: &Query) -> Result<Target, ApiError> {
        self.target_for(Purpose::Invocation, text, query)
    }

    fn target_for(&self, purpose: Purpose, text: &str, query: &Query) -> Result<Target, ApiError> {
        let named = FunctionRef::parse(text)?;
        let asked = query.get("Qualifier");
        if let (Some(derived), Some(asked)) = (&named.qualifier, asked)
            && derived != asked
        {
            return Err(ApiError::invalid(
                "The derived qualifier from the function name does not match the specified qualifier.",
            ));
        }
        let qualifier = named.qualifier.or_else(|| asked.map(str::to_owned));
        self.resolve(purpose, &named.name, qualifier.as_deref())
    }

    /// The version that this function and qualifier mean now.
    pub(crate) fn resolve(&self, purpose: Purpose, name: &str, qualifier: Option<&str>) -> Result<Target, ApiError> {
        let missing = || {
            let arn = qualified(&self.config.function_arn(name), qualifier);
            ApiError::not_found(format!("Function not found: {arn}"))
        };
        let function = self.functions().get(name).cloned().ok_or_else(missing)?;
        let version = match qualifier {
            None | Some(LATEST) => function.version(),
            Some(qualifier) => {
                let published = function.published();
                let number = match published.aliases.get(qualifier) {
                    None => qualifier,
                    Some(Alias { routing: Some((version, share)), .. })
                        if purpose == Purpose::Invocation && chance() < *share =>
                    {
                        version
                    }
                    Some(alias) => &alias.version,
                };
                match number.parse().ok().and_then(|number: u32| published.versions.get(&number)) {
                    Some(version) => Arc::clone(version),
                    None if number == LATEST => function.version(),
                    None => return Err(missing()),
                }
            }
        };
        Ok(Target { function, version, qualifier: qualifier.map(str::to_owned) })
    }
}

/// An even number from 0 to 1.
fn chance() -> f64 {
    f64::from(u32::try_from(Uuid::new_v4().as_u128() >> 96).unwrap_or(0)) / f64::from(u32::MAX)
}

impl Function {
    /// Publishes what `$LATEST` is, unless that is the version published last.
    pub(crate) fn publish(&self, body: &Value) -> Result<Arc<Version>, ApiError> {
        let latest = self.version();
        revision(body, &latest.revision.to_string())?;
        if let Some(wanted) = body["CodeSha256"].as_str().filter(|wanted| *wanted != latest.code.sha256) {
            return Err(ApiError::invalid(format!(
                "CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({}). Please try again with the CodeSHA256 in $LATEST.",
                latest.code.sha256
            )));
        }
        let mut published = self.published();
        if let Some(last) = published.versions.values().next_back().filter(|last| last.same_as(&latest)) {
            return Ok(Arc::clone(last));
        }
        published.last += 1;
        let number = published.last;
        let mut settings = latest.settings.clone();
        if let Some(description) = body["Description"].as_str() {
            description.clone_into(&mut settings.description);
        }
        let version = Arc::new(Version::published(number, settings, Arc::clone(&latest.code)));
        published.versions.insert(number, Arc::clone(&version));
        Ok(version)
    }

    /// Whether invocations may still run this version.
    pub(crate) fn has(&self, version: &Arc<Version>) -> bool {
        Arc::ptr_eq(&self.version(), version)
            || self.published().versions.values().any(|published| Arc::ptr_eq(published, version))
    }

    /// Removes one published version; those that an alias names stay.
    pub(crate) fn unpublish(&self, qualifier: &str) -> Result<(), ApiError> {
        let mut published = self.published();
        if let Some((alias, _)) = published.aliases.iter().find(|(_, alias)| {
            alias.version == qualifier || alias.routing.as_ref().is_some_and(|(version, _)| version == qualifier)
        }) {
            return Err(ApiError::conflict(format!("Version {qualifier} is in use by the alias {alias}.")));
        }
        let number = qualifier.parse().ok();
        match number.and_then(|number: u32| published.versions.remove(&number)) {
            Some(_) => Ok(()),
            None => Err(ApiError::invalid("Only published versions can be deleted; use DeleteAlias for an alias.")),
        }
    }

    pub(crate) fn publish_version(&self, body: &Value) -> Result<Response, ApiError> {
        self.check_settled()?;
        let version = self.publish(body)?;
        Ok(answer(StatusCode::CREATED, &self.published_configuration(&version)))
    }

    fn published_configuration(&self, version: &Version) -> Value {
        let mut shown = self.configuration(version, State::Settled);
        shown["FunctionArn"] = json!(qualified(&self.arn, Some(&version.name())));
        shown
    }

    pub(crate) fn list_versions(&self, query: &Query) -> Result<Response, ApiError> {
        let mut all = vec![self.version()];
        all.extend(self.published().versions.values().cloned());
        let (part, next) = page(&all, query, 50)?;
        let shown: Vec<_> = part.iter().map(|version| self.published_configuration(version)).collect();
        Ok(answer(StatusCode::OK, &json!({ "Versions": shown, "NextMarker": next })))
    }

    pub(crate) fn create_alias(&self, body: &Value) -> Result<Response, ApiError> {
        let name = body["Name"].as_str().unwrap_or_default();
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        // A name of digits alone would look like a version.
        if name.is_empty()
            || name.len() > 128
            || !name.bytes().all(letters)
            || name.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(ApiError::constraint(
                name,
                "name",
                "satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)",
            ));
        }
        let mut published = self.published();
        if published.aliases.contains_key(name) {
            return Err(ApiError::conflict(format!("Alias already exists: {}:{name}", self.arn)));
        }
        let mut alias =
            Alias { version: LATEST.to_owned(), description: String::new(), routing: None, revision: Uuid::new_v4() };
        alias.change(body, &self.arn, &published.versions)?;
        let shown = alias.shown(self, name);
        published.aliases.insert(name.to_owned(), alias);
        Ok(answer(StatusCode::CREATED, &shown))
    }

    pub(crate) fn get_alias(&self, name: &str) -> Result<Response, ApiError> {
        let published = self.published();
        let alias = published.aliases.get(name).ok_or_else(|| self.no_alias(name))?;
        Ok(answer(StatusCode::OK, &alias.shown(self, name)))
    }

    pub(crate) fn update_alias(&self, name: &str, body: &Value) -> Result<Response, ApiError> {
        let mut published = self.published();
        let mut alias = published.aliases.get(name).cloned().ok_or_else(|| self.no_alias(name))?;
        revision(body, &alias.revision.to_string())?;
        alias.change(body, &self.arn, &published.versions)?;
        let shown = alias.shown(self, name);
        published.aliases.insert(name.to_owned(), alias);
        Ok(answer(StatusCode::OK, &shown))
    }

    pub(crate) fn delete_alias(&self, name: &str) -> Response {
        self.published().aliases.remove(name);
        StatusCode::NO_CONTENT.into_response()
    }

    pub(crate) fn list_aliases(&self, query: &Query) -> Result<Response, ApiError> {
        let published = self.published();
        let wanted = query.get("FunctionVersion");
        let shown: Vec<_> = published
            .aliases
            .iter()
            .filter(|(_, alias)| wanted.is_none_or(|version| version == alias.version))
            .map(|(name, alias)| alias.shown(self, name))
            .collect();
        let (part, next) = page(&shown, query, 50)?;
        Ok(answer(StatusCode::OK, &json!({ "Aliases": part, "NextMarker": next })))
    }

    fn no_alias(&self, name: &str) -> ApiError {
        ApiError::not_found(format!("Cannot find alias arn: {}:{name}", self.arn))
    }
}
