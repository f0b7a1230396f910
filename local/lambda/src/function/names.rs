//! Function names: the forms in which a request may name a function, and ARNs.

use crate::api_error::ApiError;

/// A function as a request names it: `name`, `account:function:name` or an ARN, each with or without a qualifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FunctionRef {
    pub(crate) name: String,
    pub(crate) qualifier: Option<String>,
}

impl FunctionRef {
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let rest = match text.split_once(":function:") {
            Some((before, rest)) if before.starts_with("arn:") || before.bytes().all(|byte| byte.is_ascii_digit()) => {
                rest
            }
            Some(_) => return Err(refused(text)),
            None => text,
        };
        let (name, qualifier) = match rest.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier.to_owned())),
            None => (rest, None),
        };
        let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if name.is_empty() || name.len() > 64 || !letters {
            return Err(refused(text));
        }
        Ok(Self { name: name.to_owned(), qualifier })
    }
}

fn refused(text: &str) -> ApiError {
    ApiError::constraint(
        text,
        "functionName",
        "satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_name_is_understood() {
        for text in ["f-1", "123456789012:function:f-1", "arn:aws:lambda:us-east-1:123456789012:function:f-1"] {
            assert_eq!(FunctionRef::parse(text).unwrap(), FunctionRef { name: "f-1".into(), qualifier: None });
        }
        assert_eq!(FunctionRef::parse("f:$LATEST").unwrap().qualifier.as_deref(), Some("$LATEST"));
        for text in ["", "a b", "x:function:f", &"f".repeat(65)] {
            assert_eq!(FunctionRef::parse(text).unwrap_err().code, "ValidationException", "{text}");
        }
    }
}
