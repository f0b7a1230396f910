//! Resource policies of functions: who else may invoke them.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::Engine;
use crate::api::answer::answer;
use crate::api_error::ApiError;
use crate::function::Function;
use crate::function::version::qualified;
use crate::settings::missing;

impl Engine {
    /// The resource policy of a function, version or alias, for whoever delivers to it.
    pub fn resource_policy(&self, arn: &str) -> Option<Value> {
        let target = self.named(arn).ok()?;
        let policies = target.function.policies();
        policies.get(target.qualifier().unwrap_or_default()).map(document)
    }
}

fn document(statements: &BTreeMap<String, Value>) -> Value {
    let statements: Vec<_> = statements.values().collect();
    json!({ "Version": "2012-10-17", "Id": "default", "Statement": statements })
}

impl Function {
    pub(crate) fn add_permission(&self, qualifier: Option<&str>, body: &Value) -> Result<Response, ApiError> {
        let text = |member: &str, name: &str| body[member].as_str().ok_or_else(|| missing(name));
        let sid = text("StatementId", "statementId")?;
        if sid.is_empty() || !sid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            let pattern = "satisfy regular expression pattern: ([a-zA-Z0-9-_]+)";
            return Err(ApiError::constraint(sid, "statementId", pattern));
        }
        let action = text("Action", "action")?;
        let operation = action.strip_prefix("lambda:").unwrap_or_default();
        let named = !operation.is_empty() && operation.bytes().all(|byte| byte.is_ascii_alphabetic());
        if action != "*" && operation != "*" && !named {
            let pattern = "satisfy regular expression pattern: (lambda:[*]|lambda:[a-zA-Z]+|[*])";
            return Err(ApiError::constraint(action, "action", pattern));
        }
        let principal = match text("Principal", "principal")? {
            "*" => json!("*"),
            arn if arn.starts_with("arn:") => json!({ "AWS": arn }),
            service if service.contains('.') => json!({ "Service": service }),
            account if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) => {
                json!({ "AWS": format!("arn:aws:iam::{account}:root") })
            }
            _ => {
                return Err(ApiError::invalid(
                    "The provided principal was invalid. Please check the principal and try again.",
                ));
            }
        };
        let resource = qualified(&self.arn, qualifier);
        let mut statement =
            json!({ "Sid": sid, "Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource });
        for (member, operator, key) in [
            ("SourceArn", "ArnLike", "AWS:SourceArn"),
            ("SourceAccount", "StringEquals", "AWS:SourceAccount"),
            ("EventSourceToken", "StringEquals", "lambda:EventSourceToken"),
            ("PrincipalOrgID", "StringEquals", "aws:PrincipalOrgID"),
        ] {
            if let Some(value) = body[member].as_str() {
                statement["Condition"][operator][key] = json!(value);
            }
        }
        let mut policies = self.policies();
        let statements = policies.entry(qualifier.unwrap_or_default().to_owned()).or_default();
        if statements.contains_key(sid) {
            return Err(ApiError::conflict(format!(
                "The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the existing statement."
            )));
        }
        statements.insert(sid.to_owned(), statement.clone());
        Ok(answer(StatusCode::CREATED, &json!({ "Statement": statement.to_string() })))
    }

    pub(crate) fn get_policy(&self, qualifier: Option<&str>) -> Result<Response, ApiError> {
        let policies = self.policies();
        let statements = policies.get(qualifier.unwrap_or_default()).filter(|statements| !statements.is_empty());
        let Some(statements) = statements else {
            return Err(ApiError::not_found("The resource you requested does not exist."));
        };
        let policy = document(statements);
        let shown = json!({ "Policy": policy.to_string(), "RevisionId": self.version().revision.to_string() });
        Ok(answer(StatusCode::OK, &shown))
    }

    pub(crate) fn remove_permission(&self, qualifier: Option<&str>, sid: &str) -> Result<Response, ApiError> {
        let mut policies = self.policies();
        let removed = policies.get_mut(qualifier.unwrap_or_default()).and_then(|statements| statements.remove(sid));
        match removed {
            Some(_) => Ok(StatusCode::NO_CONTENT.into_response()),
            None => Err(ApiError::not_found(format!("Statement {sid} is not found in resource policy."))),
        }
    }
}
