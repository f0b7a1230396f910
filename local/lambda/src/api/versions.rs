//! The operations on published versions and aliases, and the function that a request names.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::Engine;
use crate::api::answer::{answer, revision};
use crate::api::page::{Query, page};
use crate::api_error::ApiError;
use crate::function::names::FunctionRef;
use crate::function::published::Alias;
use crate::function::target::{Purpose, Target};
use crate::function::version::{Version, qualified};
use crate::function::{Function, State};

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
        Ok(self.published().publish(&latest, body["Description"].as_str()))
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
        let mut alias = Alias::of_latest();
        alias.change(body, &self.arn, &published.versions)?;
        let shown = alias.shown(&self.arn, name);
        published.aliases.insert(name.to_owned(), alias);
        Ok(answer(StatusCode::CREATED, &shown))
    }

    pub(crate) fn get_alias(&self, name: &str) -> Result<Response, ApiError> {
        let published = self.published();
        let alias = published.aliases.get(name).ok_or_else(|| self.no_alias(name))?;
        Ok(answer(StatusCode::OK, &alias.shown(&self.arn, name)))
    }

    pub(crate) fn update_alias(&self, name: &str, body: &Value) -> Result<Response, ApiError> {
        let mut published = self.published();
        let mut alias = published.aliases.get(name).cloned().ok_or_else(|| self.no_alias(name))?;
        revision(body, &alias.revision.to_string())?;
        alias.change(body, &self.arn, &published.versions)?;
        let shown = alias.shown(&self.arn, name);
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
            .map(|(name, alias)| alias.shown(&self.arn, name))
            .collect();
        let (part, next) = page(&shown, query, 50)?;
        Ok(answer(StatusCode::OK, &json!({ "Aliases": part, "NextMarker": next })))
    }

    fn no_alias(&self, name: &str) -> ApiError {
        ApiError::not_found(format!("Cannot find alias arn: {}:{name}", self.arn))
    }
}
