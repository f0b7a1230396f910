//! The operations on event source mappings.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use streamkit_wire::clock;
use uuid::Uuid;

use crate::Engine;
use crate::api::answer::answer;
use crate::api::functions::tags;
use crate::api::page::{Query, page};
use crate::api_error::ApiError;
use crate::function::names::FunctionRef;
use crate::mapping::settings::Settings;
use crate::mapping::state::{Mapping, State};

impl Engine {
    /// The mapping with this identifier.
    pub(crate) fn mapping(&self, uuid: &str) -> Result<Arc<Mapping>, ApiError> {
        let mappings = self.mappings.lock();
        mappings.get(uuid).cloned().ok_or_else(|| ApiError::not_found("The resource you requested does not exist."))
    }

    fn all_mappings(&self) -> Vec<Arc<Mapping>> {
        self.mappings.lock().values().cloned().collect()
    }

    pub(crate) async fn create_mapping(self: &Arc<Self>, body: &Value) -> Result<Response, ApiError> {
        let settings = Settings::create(self, body)?;
        let tags = tags(&body["Tags"])?;
        self.check_source(&settings).await?;
        let uuid = Uuid::new_v4().to_string();
        let mapping = {
            let mut mappings = self.mappings.lock();
            refuse_duplicate(mappings.values(), &uuid, &settings)?;
            let mapping = Arc::new(Mapping::new(uuid.clone(), self.config.mapping_arn(&uuid), settings, tags));
            mappings.insert(uuid, Arc::clone(&mapping));
            mapping
        };
        let shown = mapping.shown();
        self.apply_state(mapping);
        Ok(answer(StatusCode::ACCEPTED, &shown))
    }

    pub(crate) fn get_mapping(&self, uuid: &str) -> Result<Response, ApiError> {
        Ok(answer(StatusCode::OK, &self.mapping(uuid)?.shown()))
    }

    pub(crate) fn update_mapping(self: &Arc<Self>, uuid: &str, body: &Value) -> Result<Response, ApiError> {
        let mapping = self.mapping(uuid)?;
        let before = mapping.settings();
        let mut settings = (*before).clone();
        settings.change(self, body)?;
        refuse_duplicate(self.all_mappings().iter(), uuid, &settings)?;
        {
            let mut now = mapping.now.lock();
            if !matches!(now.state, State::Enabled | State::Disabled) {
                return Err(in_use("update"));
            }
            now.state = match (before.enabled, settings.enabled) {
                (false, true) => State::Enabling,
                (true, false) => State::Disabling,
                _ => State::Updating,
            };
            now.settings = Arc::new(settings);
            now.modified_ms = clock::now_ms();
        }
        let shown = mapping.shown();
        self.apply_state(mapping);
        Ok(answer(StatusCode::ACCEPTED, &shown))
    }

    pub(crate) fn delete_mapping(self: &Arc<Self>, uuid: &str) -> Result<Response, ApiError> {
        let mapping = self.mapping(uuid)?;
        {
            let mut now = mapping.now.lock();
            if !matches!(now.state, State::Enabled | State::Disabled) {
                return Err(in_use("delete"));
            }
            now.state = State::Deleting;
            now.modified_ms = clock::now_ms();
        }
        let shown = mapping.shown();
        self.apply_state(mapping);
        Ok(answer(StatusCode::ACCEPTED, &shown))
    }

    pub(crate) fn list_mappings(&self, query: &Query) -> Result<Response, ApiError> {
        let function = query.get("FunctionName").map(FunctionRef::parse).transpose()?;
        let mappings: Vec<_> = self
            .all_mappings()
            .into_iter()
            .filter(|mapping| {
                let settings = mapping.settings();
                query.get("EventSourceArn").is_none_or(|arn| arn == settings.source_arn)
                    && function.as_ref().is_none_or(|function| names(function, &settings))
            })
            .collect();
        let (part, next) = page(&mappings, query, 100)?;
        let shown: Vec<_> = part.iter().map(|mapping| mapping.shown()).collect();
        Ok(answer(StatusCode::OK, &json!({ "EventSourceMappings": shown, "NextMarker": next })))
    }
}

/// Whether a mapping is to this function; to this version or alias if one is named.
fn names(function: &FunctionRef, settings: &Settings) -> bool {
    let qualified = |qualifier: &String| settings.function_arn.ends_with(&format!(":{}:{qualifier}", function.name));
    function.name == settings.function && function.qualifier.as_ref().is_none_or(qualified)
}

/// One source has one mapping to a function, or to a version or alias of it.
fn refuse_duplicate<'a>(
    mappings: impl IntoIterator<Item = &'a Arc<Mapping>>,
    uuid: &str,
    settings: &Settings,
) -> Result<(), ApiError> {
    let duplicate = mappings.into_iter().find(|other| {
        let their = other.settings();
        other.uuid != uuid && their.source_arn == settings.source_arn && their.function_arn == settings.function_arn
    });
    duplicate.map_or(Ok(()), |duplicate| {
        Err(settings.kind.duplicate(&settings.source_arn, &settings.function, &duplicate.uuid))
    })
}

fn in_use(change: &str) -> ApiError {
    ApiError::in_use(format!("Cannot {change} the event source mapping because it is in use."))
}
