//! Queue names and attributes: which there are, their defaults and their ranges.

use crate::error::CallError;

pub(super) const DEFAULTS: [(&str, &str); 6] = [
    ("VisibilityTimeout", "30"),
    ("DelaySeconds", "0"),
    // 1 MiB since 2025.
    ("MaximumMessageSize", "1048576"),
    ("MessageRetentionPeriod", "345600"),
    ("ReceiveMessageWaitTimeSeconds", "0"),
    ("SqsManagedSseEnabled", "true"),
];

const RANGES: [(&str, i64, i64); 6] = [
    ("VisibilityTimeout", 0, 43_200),
    ("DelaySeconds", 0, 900),
    ("MaximumMessageSize", 1_024, 1_048_576),
    ("MessageRetentionPeriod", 60, 1_209_600),
    ("ReceiveMessageWaitTimeSeconds", 0, 20),
    ("KmsDataKeyReusePeriodSeconds", 60, 86_400),
];

const OTHERS: [&str; 9] = [
    "Policy",
    "RedrivePolicy",
    "RedriveAllowPolicy",
    "KmsMasterKeyId",
    "SqsManagedSseEnabled",
    "FifoQueue",
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "FifoThroughputLimit",
];

/// FIFO queues are known by their suffix, in lower case only.
pub(super) fn is_fifo(name: &str) -> bool {
    name.strip_suffix(".fifo").is_some()
}

pub(super) fn check_name(name: &str) -> Result<(), CallError> {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.len() <= 80 && !stem.is_empty() && stem.bytes().all(legal) {
        return Ok(());
    }
    Err(CallError::bad(
        "InvalidParameterValue",
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
    ))
}

pub(super) fn check(name: &str, value: &str) -> Result<(), CallError> {
    let invalid = || CallError::bad("InvalidAttributeValue", format!("Invalid value for the parameter {name}."));
    if let Some((_, least, most)) = RANGES.iter().find(|(known, ..)| *known == name) {
        let number: i64 = value.parse().map_err(|_| invalid())?;
        return if (*least..=*most).contains(&number) { Ok(()) } else { Err(invalid()) };
    }
    if !OTHERS.contains(&name) {
        return Err(CallError::bad("InvalidAttributeName", format!("Unknown Attribute {name}.")));
    }
    let json = matches!(name, "Policy" | "RedrivePolicy" | "RedriveAllowPolicy");
    if json && !value.is_empty() && serde_json::from_str::<serde_json::Value>(value).is_err() {
        return Err(invalid());
    }
    Ok(())
}
