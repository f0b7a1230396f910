//! The error that every service of the gateway answers with, before a protocol gives it its form.

/// An AWS error: HTTP status, error code and message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CallError {
    /// HTTP status of the answer.
    pub status: u16,
    /// AWS error code, e.g. `ResourceNotFoundException`.
    pub code: String,
    /// What AWS says about it.
    pub message: String,
}

impl CallError {
    /// An error with any status.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    /// A client error, HTTP 400.
    pub fn bad(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// An operation or service that this AWS does not have.
    pub fn unknown_operation(service: &str, operation: &str) -> Self {
        Self::new(
            501,
            "UnknownOperationException",
            format!("the embedded AWS does not implement {service} {operation}"),
        )
    }

    /// A fault of the embedded AWS itself.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(500, "InternalFailure", message.to_string())
    }
}
