//! What a function, version or alias has set for its asynchronous invocations.

use serde_json::{Value, json};
use streamkit_wire::clock;

use crate::api_error::ApiError;

/// `FunctionEventInvokeConfig`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InvokeConfig {
    pub(crate) retries: Option<u32>,
    pub(crate) age_seconds: Option<u32>,
    pub(crate) on_success: Option<String>,
    pub(crate) on_failure: Option<String>,
    modified_ms: i64,
}

impl InvokeConfig {
    /// Changes what the request names.
    pub(crate) fn change(&mut self, body: &Value) -> Result<(), ApiError> {
        let number = |member: &str, name: &str, least: i64, most: i64| match body[member].as_i64() {
            Some(value) if !(least..=most).contains(&value) => {
                let bound = if value < least {
                    format!("greater than or equal to {least}")
                } else {
                    format!("less than or equal to {most}")
                };
                Err(ApiError::constraint(value, name, &format!("have value {bound}")))
            }
            value => Ok(value.and_then(|value| u32::try_from(value).ok())),
        };
        self.retries = number("MaximumRetryAttempts", "maximumRetryAttempts", 0, 2)?.or(self.retries);
        self.age_seconds =
            number("MaximumEventAgeInSeconds", "maximumEventAgeInSeconds", 60, 21_600)?.or(self.age_seconds);
        for (member, field) in [("OnSuccess", &mut self.on_success), ("OnFailure", &mut self.on_failure)] {
            let given = &body["DestinationConfig"][member];
            if given.is_null() {
                continue;
            }
            let arn = given["Destination"].as_str().unwrap_or_default();
            let known = matches!(arn.split(':').nth(2), Some("sqs" | "sns" | "lambda"))
                || (member == "OnFailure" && arn.starts_with("arn:aws:s3:::"));
            if !arn.is_empty() && !known {
                return Err(ApiError::invalid(format!("The destination ARN {arn} is invalid.")));
            }
            *field = (!arn.is_empty()).then(|| arn.to_owned());
        }
        self.modified_ms = clock::now_ms();
        Ok(())
    }

    pub(crate) fn shown(&self, arn: &str) -> Value {
        let target = |arn: &Option<String>| arn.as_ref().map_or(json!({}), |arn| json!({ "Destination": arn }));
        let mut shown = json!({
            "LastModified": clock::seconds(self.modified_ms),
            "FunctionArn": arn,
            "DestinationConfig": { "OnSuccess": target(&self.on_success), "OnFailure": target(&self.on_failure) },
        });
        if let Some(retries) = self.retries {
            shown["MaximumRetryAttempts"] = json!(retries);
        }
        if let Some(age) = self.age_seconds {
            shown["MaximumEventAgeInSeconds"] = json!(age);
        }
        shown
    }
}
