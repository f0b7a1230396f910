//! The way from a request to the operation of the Lambda API that it asks for.

use std::sync::Arc;

use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use streamkit_wire::lambda_operation;

use crate::Engine;
use crate::api::answer::answer;
use crate::api::invoke_configs::no_invoke_config;
use crate::api::page::Query;
use crate::api_error::ApiError;
use crate::function::names::FunctionRef;
use crate::function::version::{LATEST, qualified};

/// Longest request: a package of 50 MB in base64, and what goes with it.
const MAX_REQUEST: usize = 72 * 1024 * 1024;

impl Engine {
    /// Answers one request to the Lambda API.
    pub async fn handle(self: &Arc<Self>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let Ok(body) = to_bytes(body, MAX_REQUEST).await else {
            let message = "Request must be smaller than 69905067 bytes";
            return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", message).into_response();
        };
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        self.route(&parts.method, parts.uri.path(), &query, &parts.headers, body)
            .await
            .unwrap_or_else(IntoResponse::into_response)
    }

    async fn route(
        self: &Arc<Self>,
        method: &Method,
        path: &str,
        query: &Query,
        headers: &HeaderMap,
        bytes: Bytes,
    ) -> Result<Response, ApiError> {
        let operation = lambda_operation(method, path);
        if self.stop.is_cancelled() {
            return Err(ApiError::service("the embedded AWS is stopping"));
        }
        let resource = resource(path);
        if operation == "Invoke" {
            let target = self
                .target_of_invocation(&resource, query)
                .map_err(|error| self.without_function(error, operation, &resource))?;
            return self.invoke(target, headers, bytes).await;
        }
        let body = body(&bytes)?;
        let ok = |body: Value| Ok(answer(StatusCode::OK, &body));
        match operation {
            "CreateFunction" => self.create_function(&body).await,
            "ListFunctions" => self.list_functions(query),
            "GetAccountSettings" => Ok(self.account_settings()),
            "CreateEventSourceMapping" => self.create_mapping(&body).await,
            "ListEventSourceMappings" => self.list_mappings(query),
            "GetEventSourceMapping" => self.get_mapping(&resource),
            "UpdateEventSourceMapping" => self.update_mapping(&resource, &body),
            "DeleteEventSourceMapping" => self.delete_mapping(&resource),
            "ListTags" => self.list_tags(&resource),
            "TagResource" => self.tag_resource(&resource, &body),
            "UntagResource" => self.untag_resource(&resource, query),
            "ListLayers" => ok(json!({ "Layers": [] })),
            "Unknown" => {
                let message = format!("The embedded AWS does not have this operation of Lambda: {method} {path}");
                Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "UnknownOperationException", message))
            }
            _ => {
                let target = self
                    .target(&resource, query)
                    .map_err(|error| self.without_function(error, operation, &resource))?;
                let (function, qualifier) = (&target.function, target.qualifier());
                let last = percent_decode(path.trim_end_matches('/').rsplit('/').next().unwrap_or_default());
                match operation {
                    "GetFunction" => Ok(self.get_function(&target)),
                    "GetFunctionConfiguration" => ok(target.configuration()),
                    "UpdateFunctionCode" => self.update_function_code(function, &body).await,
                    "UpdateFunctionConfiguration" => self.update_function_configuration(function, &body).await,
                    "DeleteFunction" => self.delete(&target).await,
                    "PublishVersion" => function.publish_version(&body),
                    "ListVersionsByFunction" => function.list_versions(query),
                    "CreateAlias" => function.create_alias(&body),
                    "GetAlias" => function.get_alias(&last),
                    "UpdateAlias" => function.update_alias(&last, &body),
                    "DeleteAlias" => Ok(function.delete_alias(&last)),
                    "ListAliases" => function.list_aliases(query),
                    "AddPermission" => function.add_permission(qualifier, &body),
                    "GetPolicy" => function.get_policy(qualifier),
                    "RemovePermission" => function.remove_permission(qualifier, &last),
                    "PutFunctionEventInvokeConfig" => function.change_invoke_config(qualifier, &body, true),
                    "UpdateFunctionEventInvokeConfig" => function.change_invoke_config(qualifier, &body, false),
                    "GetFunctionEventInvokeConfig" => function.get_invoke_config(qualifier),
                    "DeleteFunctionEventInvokeConfig" => function.delete_invoke_config(qualifier),
                    "ListFunctionEventInvokeConfigs" => function.list_invoke_configs(query),
                    "GetFunctionConcurrency" => Ok(Self::get_concurrency(function)),
                    "PutFunctionConcurrency" if qualifier.is_some() => Err(ApiError::invalid(
                        "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.",
                    )),
                    "PutFunctionConcurrency" => self.put_concurrency(function, &body),
                    "DeleteFunctionConcurrency" => Ok(Self::delete_concurrency(function)),
                    "GetFunctionCodeSigningConfig" => ok(json!({ "FunctionName": function.name })),
                    "ListFunctionUrlConfigs" => ok(json!({ "FunctionUrlConfigs": [] })),
                    "GetRuntimeManagementConfig" => {
                        ok(json!({ "FunctionArn": target.arn(), "UpdateRuntimeOn": "Auto" }))
                    }
                    "GetFunctionRecursionConfig" => ok(json!({ "RecursiveLoop": "Terminate" })),
                    // A function here has no URL: nothing can give it one.
                    _ => Err(ApiError::not_found("The resource you requested does not exist.")),
                }
            }
        }
    }
}

impl Engine {
    /// Operations word the absence of their function each in their own way.
    fn without_function(&self, error: ApiError, operation: &str, named: &str) -> ApiError {
        let Ok(FunctionRef { name, qualifier }) = FunctionRef::parse(named) else { return error };
        if error.code != "ResourceNotFoundException" || qualifier.is_some() || self.functions().contains_key(&name) {
            return error;
        }
        let latest = qualified(&self.config.function_arn(&name), Some(LATEST));
        match operation {
            "Invoke" | "PutFunctionConcurrency" => ApiError::not_found(format!("Function not found: {latest}")),
            "GetPolicy" => ApiError::not_found("The resource you requested does not exist."),
            "GetFunctionEventInvokeConfig" | "UpdateFunctionEventInvokeConfig" | "DeleteFunctionEventInvokeConfig" => {
                no_invoke_config(&latest)
            }
            _ => error,
        }
    }
}

/// What the path names: a function, a mapping or a tagged ARN, decoded.
fn resource(path: &str) -> String {
    let mut parts = path.trim_matches('/').splitn(3, '/').skip(1);
    let (kind, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let encoded = if kind == "tags" { rest } else { rest.split('/').next().unwrap_or_default() };
    percent_decode(encoded)
}

fn percent_decode(encoded: &str) -> String {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn body(bytes: &Bytes) -> Result<Value, ApiError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let message = format!("Could not parse request body into json: {error}");
        ApiError::new(StatusCode::BAD_REQUEST, "InvalidRequestContentException", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_paths_are_decoded() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
        let encoded = arn.replace(':', "%3A");
        assert_eq!(resource(&format!("/2017-03-31/tags/{encoded}")), arn);
        assert_eq!(resource(&format!("/2015-03-31/functions/{encoded}/code")), arn);
        assert_eq!(resource("/2015-03-31/functions/100%"), "100%");
    }
}
