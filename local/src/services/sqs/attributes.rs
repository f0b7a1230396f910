//! Queue names and attributes: which there are, their defaults and their ranges.

use serde_json::Value;
use streamkit_wire::CallError;
use streamkit_wire::arn::is_fifo;

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

/// What a FIFO queue has besides.
pub(super) const FIFO_DEFAULTS: [(&str, &str); 4] = [
    ("FifoQueue", "true"),
    ("ContentBasedDeduplication", "false"),
    ("DeduplicationScope", "queue"),
    ("FifoThroughputLimit", "perQueue"),
];

/// Checks the name of a new queue, and that it says whether the queue is FIFO.
pub(super) fn check_new(name: &str, fifo: Option<&str>) -> Result<(), CallError> {
    check_name(name)?;
    match (is_fifo(name), fifo) {
        (true, Some("true")) | (false, None) => Ok(()),
        (_, Some("false")) => Err(CallError::bad("InvalidAttributeName", "Unknown Attribute FifoQueue.")),
        (false, _) => Err(CallError::bad(
            "InvalidParameterValue",
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length",
        )),
        (true, _) => Err(bad_name()),
    }
}

/// A queue is FIFO or not from its creation on.
pub(super) fn check_kind_stays(fifo: bool, mut given: impl Iterator<Item = (String, String)>) -> Result<(), CallError> {
    match given.find(|(name, value)| name == "FifoQueue" && !(fifo && value == "true")) {
        Some(_) => Err(CallError::bad("InvalidAttributeName", "Unknown Attribute FifoQueue.")),
        None => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), CallError> {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.len() <= 80 && !stem.is_empty() && stem.bytes().all(legal) {
        return Ok(());
    }
    Err(bad_name())
}

fn bad_name() -> CallError {
    CallError::bad(
        "InvalidParameterValue",
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
    )
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
    if json && !value.is_empty() && serde_json::from_str::<Value>(value).is_err() {
        return Err(invalid());
    }
    if name == "RedrivePolicy" && !value.is_empty() {
        redrive(value)?;
    }
    Ok(())
}

/// `(dead letter queue ARN, maxReceiveCount)` of a redrive policy.
pub(super) fn redrive(policy: &str) -> Result<(String, u32), CallError> {
    const MAX_RECEIVES: i64 = 1000;
    let refuse = |why: String| refused_redrive(policy, &why);
    let tree: Value = serde_json::from_str(policy).unwrap_or_default();
    for member in ["deadLetterTargetArn", "maxReceiveCount"] {
        if tree[member].is_null() {
            return Err(refuse(format!("Redrive policy does not contain mandatory attribute: {member}.")));
        }
    }
    let target = tree["deadLetterTargetArn"].as_str().filter(|arn| arn.split(':').count() == 6);
    let target = target.ok_or_else(|| refuse("Invalid value for deadLetterTargetArn.".into()))?;
    let most =
        streamkit_wire::input::integer(&tree["maxReceiveCount"]).filter(|most| (1..=MAX_RECEIVES).contains(most));
    let most = most.and_then(|most| u32::try_from(most).ok()).ok_or_else(|| {
        let given = &tree["maxReceiveCount"];
        refuse(format!("Invalid value for maxReceiveCount: {given}, valid values are from 1 to 1000 both inclusive."))
    })?;
    Ok((target.to_owned(), most))
}

/// SQS's refusal of a redrive policy.
pub(super) fn refused_redrive(policy: &str, why: &str) -> CallError {
    CallError::bad(
        "InvalidParameterValue",
        format!("Value {policy} for parameter RedrivePolicy is invalid. Reason: {why}"),
    )
}
