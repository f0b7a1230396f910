//! The errors of the Lambda API, in its REST-JSON form.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use streamkit_wire::CallError;

/// An answer other than success: HTTP status, AWS error code and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Only throttles carry one.
    pub(crate) reason: Option<&'static str>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), reason: None }
    }

    /// `InvalidParameterValueException`: one of the parameters is not acceptable.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidParameterValueException", message)
    }

    /// `ValidationException` in the words in which AWS reports a broken constraint of the API model.
    pub(crate) fn constraint(value: impl std::fmt::Display, member: &str, constraint: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "ValidationException",
            format!(
                "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {constraint}"
            ),
        )
    }

    /// `ResourceNotFoundException`.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
    }

    /// `ResourceConflictException`.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "ResourceConflictException", message)
    }

    /// `ResourceInUseException`, which Lambda gives status 400.
    pub(crate) fn in_use(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ResourceInUseException", message)
    }

    /// `ServiceException`: a fault of the embedded AWS itself.
    pub(crate) fn service(message: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", message.to_string())
    }
}

impl From<ApiError> for CallError {
    fn from(error: ApiError) -> Self {
        Self::new(error.status.as_u16(), error.code, error.message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let kind = if self.status.is_server_error() { "Service" } else { "User" };
        let mut body = match self.code {
            "ValidationException" => json!({ "message": self.message }),
            "ResourceNotFoundException" | "ServiceException" => json!({ "Type": kind, "Message": self.message }),
            _ => json!({ "Type": kind, "message": self.message }),
        };
        if let Some(reason) = self.reason {
            body["Reason"] = json!(reason);
        }
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_static(self.code)),
        ];
        (self.status, headers, body.to_string()).into_response()
    }
}
