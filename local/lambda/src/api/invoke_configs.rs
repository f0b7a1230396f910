//! The operations on what a function has set for its asynchronous invocations.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::api::answer::answer;
use crate::api::page::{Query, page};
use crate::api_error::ApiError;
use crate::function::Function;
use crate::function::invoke_config::InvokeConfig;
use crate::function::version::{LATEST, qualified};

impl Function {
    /// `PutFunctionEventInvokeConfig` (`fresh`) and `UpdateFunctionEventInvokeConfig`.
    pub(crate) fn change_invoke_config(
        &self,
        qualifier: Option<&str>,
        body: &Value,
        fresh: bool,
    ) -> Result<Response, ApiError> {
        let given = |member: &str| !body[member].is_null();
        if !["MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig"].into_iter().any(given) {
            return Err(ApiError::invalid("You must specify at least one of error handling or destination setting."));
        }
        let mut configs = self.invoke_configs();
        let key = qualifier.unwrap_or(LATEST).to_owned();
        let mut config = match configs.get(&key) {
            _ if fresh => InvokeConfig::default(),
            Some(config) => config.clone(),
            None => return Err(self.no_invoke_config(&key)),
        };
        config.change(body)?;
        let shown = config.shown(&qualified(&self.arn, Some(&key)));
        configs.insert(key, config);
        Ok(answer(StatusCode::OK, &shown))
    }

    pub(crate) fn get_invoke_config(&self, qualifier: Option<&str>) -> Result<Response, ApiError> {
        let key = qualifier.unwrap_or(LATEST);
        let config = self.invoke_config(qualifier).ok_or_else(|| self.no_invoke_config(key))?;
        Ok(answer(StatusCode::OK, &config.shown(&qualified(&self.arn, Some(key)))))
    }

    pub(crate) fn delete_invoke_config(&self, qualifier: Option<&str>) -> Result<Response, ApiError> {
        let key = qualifier.unwrap_or(LATEST);
        match self.invoke_configs().remove(key) {
            Some(_) => Ok(StatusCode::NO_CONTENT.into_response()),
            None => Err(self.no_invoke_config(key)),
        }
    }

    pub(crate) fn list_invoke_configs(&self, query: &Query) -> Result<Response, ApiError> {
        let configs = self.invoke_configs();
        let shown: Vec<_> =
            configs.iter().map(|(key, config)| config.shown(&qualified(&self.arn, Some(key)))).collect();
        let (part, next) = page(&shown, query, 50)?;
        Ok(answer(StatusCode::OK, &json!({ "FunctionEventInvokeConfigs": part, "NextMarker": next })))
    }

    fn no_invoke_config(&self, qualifier: &str) -> ApiError {
        no_invoke_config(&qualified(&self.arn, Some(qualifier)))
    }
}

/// The refusal where nothing is configured for this function, version or alias.
pub(crate) fn no_invoke_config(arn: &str) -> ApiError {
    ApiError::not_found(format!("The function {arn} doesn't have an EventInvokeConfig"))
}
