//! The configuration of a function: how a request changes it, and what AWS refuses in it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::runtime::managed::is_managed;

/// Names that a function's environment may not have.
const RESERVED: [&str; 17] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];
/// Lambda's limit for the JSON of all names and values, in bytes.
const MAX_ENVIRONMENT: usize = 4096;

/// What `CreateFunction` and `UpdateFunctionConfiguration` set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) runtime: String,
    pub(crate) role: String,
    pub(crate) handler: String,
    pub(crate) description: String,
    pub(crate) timeout_seconds: u32,
    pub(crate) memory_mb: u32,
    pub(crate) ephemeral_mb: u32,
    /// As it was given last; a function that never had one shows none, an empty one is shown.
    pub(crate) environment: Option<BTreeMap<String, String>>,
    /// `PassThrough` or `Active`.
    pub(crate) tracing: String,
    /// ARN of the queue or topic for failed asynchronous invocations; empty when there is none.
    pub(crate) dead_letters: String,
    pub(crate) kms_key: String,
    pub(crate) architecture: String,
    log_group: Option<String>,
    log_format: String,
    application_log_level: Option<String>,
    system_log_level: Option<String>,
}

impl Settings {
    /// Reads the configuration of a new function.
    pub(crate) fn create(body: &Value) -> Result<Self, ApiError> {
        for (member, name) in [("Role", "role"), ("Code", "code")] {
            if body[member].is_null() {
                return Err(missing(name));
            }
        }
        if body["PackageType"].as_str() == Some("Image") {
            return Err(ApiError::invalid("PackageType Image is not supported by the embedded AWS."));
        }
        let mut settings = Self {
            runtime: String::new(),
            role: String::new(),
            handler: String::new(),
            description: String::new(),
            timeout_seconds: 3,
            memory_mb: 128,
            ephemeral_mb: 512,
            environment: None,
            tracing: "PassThrough".to_owned(),
            dead_letters: String::new(),
            kms_key: String::new(),
            architecture: architecture(body)?.unwrap_or_else(|| "x86_64".to_owned()),
            log_group: None,
            log_format: "Text".to_owned(),
            application_log_level: None,
            system_log_level: None,
        };
        settings.change(body)?;
        if settings.runtime.is_empty() || settings.handler.is_empty() {
            return Err(ApiError::invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
            ));
        }
        Ok(settings)
    }

    /// Changes what the request names; what it leaves out stays.
    pub(crate) fn change(&mut self, body: &Value) -> Result<(), ApiError> {
        if let Some(runtime) = text(body, "Runtime") {
            if !matches!(runtime, "provided.al2023" | "provided.al2") && !is_managed(runtime) {
                return Err(ApiError::invalid(format!(
                    "The runtime parameter of {runtime} is not supported by the embedded AWS: use provided.al2023, provided.al2, python3.* or nodejs*.x."
                )));
            }
            runtime.clone_into(&mut self.runtime);
        }
        if let Some(role) = text(body, "Role") {
            if !(role.starts_with("arn:") && role.contains(":role/")) {
                return Err(ApiError::constraint(
                    role,
                    "role",
                    "satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+",
                ));
            }
            role.clone_into(&mut self.role);
        }
        for (member, field) in
            [("Handler", &mut self.handler), ("Description", &mut self.description), ("KMSKeyArn", &mut self.kms_key)]
        {
            if let Some(value) = text(body, member) {
                value.clone_into(field);
            }
        }
        number(body, "Timeout", "timeout", 1, 900, &mut self.timeout_seconds)?;
        number(body, "MemorySize", "memorySize", 128, 10_240, &mut self.memory_mb)?;
        number(&body["EphemeralStorage"], "Size", "ephemeralStorage.size", 512, 10_240, &mut self.ephemeral_mb)?;
        if let Some(variables) = body["Environment"].as_object() {
            self.environment = Some(environment(variables.get("Variables").unwrap_or(&Value::Null))?);
        }
        if let Some(mode) = text(&body["TracingConfig"], "Mode") {
            if !matches!(mode, "Active" | "PassThrough") {
                return Err(ApiError::constraint(
                    mode,
                    "tracingConfig.mode",
                    "satisfy enum value set: [Active, PassThrough]",
                ));
            }
            mode.clone_into(&mut self.tracing);
        }
        if let Some(target) = text(&body["DeadLetterConfig"], "TargetArn") {
            target.clone_into(&mut self.dead_letters);
        }
        for (member, why) in [("Layers", "layers"), ("FileSystemConfigs", "file systems")] {
            if body[member].as_array().is_some_and(|given| !given.is_empty()) {
                return Err(ApiError::invalid(format!("The embedded AWS does not support {why}.")));
            }
        }
        self.change_logging(&body["LoggingConfig"])
    }

    fn change_logging(&mut self, given: &Value) -> Result<(), ApiError> {
        if let Some(format) = text(given, "LogFormat") {
            if !matches!(format, "Text" | "JSON") {
                return Err(ApiError::constraint(
                    format,
                    "loggingConfig.logFormat",
                    "satisfy enum value set: [JSON, Text]",
                ));
            }
            format.clone_into(&mut self.log_format);
            if format == "Text" {
                (self.application_log_level, self.system_log_level) = (None, None);
            }
        }
        if let Some(group) = text(given, "LogGroup") {
            self.log_group = Some(group.to_owned());
        }
        for (member, field) in
            [("ApplicationLogLevel", &mut self.application_log_level), ("SystemLogLevel", &mut self.system_log_level)]
        {
            if let Some(level) = text(given, member) {
                if self.log_format != "JSON" {
                    return Err(ApiError::invalid(format!("{member} can only be set when LogFormat is JSON.")));
                }
                *field = Some(level.to_owned());
            }
        }
        Ok(())
    }

    /// Changes the architecture, which belongs to the code.
    pub(crate) fn change_architecture(&mut self, body: &Value) -> Result<(), ApiError> {
        if let Some(architecture) = architecture(body)? {
            self.architecture = architecture;
        }
        Ok(())
    }

    pub(crate) fn log_group(&self, function: &str) -> String {
        self.log_group.clone().unwrap_or_else(|| format!("/aws/lambda/{function}"))
    }

    pub(crate) fn log_format(&self) -> &str {
        &self.log_format
    }

    pub(crate) fn application_log_level(&self) -> &str {
        self.application_log_level.as_deref().unwrap_or("INFO")
    }

    /// `LoggingConfig` as it is read back.
    pub(crate) fn logging(&self, function: &str) -> Value {
        let mut shown = json!({ "LogFormat": self.log_format, "LogGroup": self.log_group(function) });
        if self.log_format == "JSON" {
            shown["ApplicationLogLevel"] = json!(self.application_log_level());
            shown["SystemLogLevel"] = json!(self.system_log_level.as_deref().unwrap_or("INFO"));
        }
        shown
    }
}

fn text<'a>(body: &'a Value, member: &str) -> Option<&'a str> {
    body[member].as_str()
}

/// The refusal of a request that lacks a member.
pub(crate) fn missing(member: &str) -> ApiError {
    ApiError::new(
        http::StatusCode::BAD_REQUEST,
        "ValidationException",
        format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        ),
    )
}

fn number(body: &Value, member: &str, name: &str, least: u32, most: u32, field: &mut u32) -> Result<(), ApiError> {
    if body[member].is_null() {
        return Ok(());
    }
    match body[member].as_i64() {
        Some(value) if value < i64::from(least) => {
            Err(ApiError::constraint(value, name, &format!("have value greater than or equal to {least}")))
        }
        Some(value) => match u32::try_from(value) {
            Ok(value) if value <= most => {
                *field = value;
                Ok(())
            }
            _ => Err(ApiError::constraint(value, name, &format!("have value less than or equal to {most}"))),
        },
        None => Err(ApiError::constraint(&body[member], name, "be a number")),
    }
}

fn architecture(body: &Value) -> Result<Option<String>, ApiError> {
    let Some(given) = body["Architectures"].as_array() else { return Ok(None) };
    match given.as_slice() {
        [Value::String(one)] if matches!(one.as_str(), "x86_64" | "arm64") => Ok(Some(one.clone())),
        _ => Err(ApiError::constraint(
            &body["Architectures"],
            "architectures",
            "satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64]]",
        )),
    }
}

fn environment(variables: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    const UNABLE: &str =
        "Lambda was unable to configure your environment variables because the environment variables you have provided";
    let mut environment = BTreeMap::new();
    for (name, value) in variables.as_object().into_iter().flatten() {
        let Some(value) = value.as_str() else {
            return Err(ApiError::constraint(value, "environment.variables", "be a string"));
        };
        let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !letters
            || !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            || value.contains('\0')
        {
            return Err(ApiError::constraint(
                name,
                "environment.variables",
                "satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+",
            ));
        }
        environment.insert(name.clone(), value.to_owned());
    }
    let reserved: Vec<&str> = environment.keys().map(String::as_str).filter(|name| RESERVED.contains(name)).collect();
    if !reserved.is_empty() {
        return Err(ApiError::invalid(format!(
            "{UNABLE} contains reserved keys that are currently not supported for modification. Reserved keys used in this request: {}",
            reserved.join(", ")
        )));
    }
    let measured = json!(environment).to_string();
    if measured.len() > MAX_ENVIRONMENT {
        return Err(ApiError::invalid(format!("{UNABLE} exceeded the 4KB limit. String measured: {measured}")));
    }
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Value {
        json!({ "Runtime": "provided.al2023", "Role": "arn:aws:iam::000000000000:role/r", "Handler": "bootstrap", "Code": {} })
    }

    fn with(member: &str, value: Value) -> Value {
        let mut body = base();
        body[member] = value;
        body
    }

    #[test]
    fn omitted_settings_get_the_defaults_of_lambda() {
        let settings = Settings::create(&base()).unwrap();
        assert_eq!((settings.timeout_seconds, settings.memory_mb, settings.ephemeral_mb), (3, 128, 512));
        assert_eq!((settings.tracing.as_str(), settings.architecture.as_str()), ("PassThrough", "x86_64"));
        assert_eq!(settings.logging("f"), json!({ "LogFormat": "Text", "LogGroup": "/aws/lambda/f" }));
    }

    #[test]
    fn bad_settings_are_refused_with_the_codes_of_aws() {
        for (member, value, code) in [
            ("Runtime", json!("java21"), "InvalidParameterValueException"),
            ("MemorySize", json!(64), "ValidationException"),
            ("Timeout", json!(901), "ValidationException"),
            ("Timeout", json!(-1), "ValidationException"),
            ("Role", json!("nobody"), "ValidationException"),
            ("Environment", json!({ "Variables": { "AWS_REGION": "x" } }), "InvalidParameterValueException"),
            ("Environment", json!({ "Variables": { "BIG": "x".repeat(5000) } }), "InvalidParameterValueException"),
            ("Architectures", json!(["mips"]), "ValidationException"),
            ("Layers", json!(["arn:aws:lambda:layer"]), "InvalidParameterValueException"),
        ] {
            assert_eq!(Settings::create(&with(member, value)).unwrap_err().code, code, "{member}");
        }
    }

    #[test]
    fn environment_is_measured_as_json() {
        let sized = |bytes: usize| {
            // Braces, colon and four quotes are seven bytes, the name is one.
            let variables = json!({ "V": "x".repeat(bytes - 8) });
            (variables.to_string(), Settings::create(&with("Environment", json!({ "Variables": variables }))))
        };
        assert!(sized(MAX_ENVIRONMENT).1.is_ok());
        let (text, refused) = sized(MAX_ENVIRONMENT + 1);
        let message = refused.unwrap_err().message;
        assert!(message.ends_with(&format!("exceeded the 4KB limit. String measured: {text}")), "{message}");
    }

    #[test]
    fn change_keeps_what_it_does_not_name_and_resets_what_it_empties() {
        let mut settings = Settings::create(&with("Environment", json!({ "Variables": { "A": "1" } }))).unwrap();
        settings.change(&json!({ "MemorySize": 256 })).unwrap();
        assert_eq!((settings.memory_mb, settings.environment.as_ref().map(BTreeMap::len)), (256, Some(1)));
        settings.change(&json!({ "Environment": { "Variables": {} } })).unwrap();
        assert_eq!(settings.environment, Some(BTreeMap::new()));
    }
}
