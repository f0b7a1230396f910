//! How often calls meet bad luck, and of which kind; and how each service says so.

use streamkit_wire::{Call, CallError, Service};
use toml::de::DeValue;

use super::failed_entries::has_entries;
use super::file::{self, Entry, FileError, PerCall};
use super::random::SeededRandom;

/// How often calls of each kind fail.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRates {
    calls: PerCall<Rate>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rate {
    percent: f64,
    kinds: Vec<Fault>,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// The service refuses it: too many calls.
    Throttle,
    /// The service fails, before it did anything.
    Error,
    /// The connection breaks before the service saw the call.
    LostRequest,
    /// The connection breaks after the call took effect: its answer is lost.
    LostAnswer,
    /// Some entries of a batch fail, the others take effect. Calls without entries do not meet it.
    FailedEntries,
}

impl Fault {
    /// What happens to whole calls, where a file does not say otherwise.
    const OF_CALLS: [Self; 4] = [Self::Throttle, Self::Error, Self::LostRequest, Self::LostAnswer];
    const ALL: [Self; 5] = [Self::Throttle, Self::Error, Self::LostRequest, Self::LostAnswer, Self::FailedEntries];

    /// As files and the call log name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Error => "error",
            Self::LostRequest => "lost-request",
            Self::LostAnswer => "lost-answer",
            Self::FailedEntries => "failed-entries",
        }
    }
}

impl Default for FaultRates {
    fn default() -> Self {
        Self::rate(0.0)
    }
}

impl FaultRates {
    fn rate(percent: f64) -> Self {
        Self { calls: PerCall::all(Rate { percent, kinds: Fault::OF_CALLS.to_vec() }) }
    }

    /// So many of a hundred calls fail, of every service, in every way.
    ///
    /// # Errors
    /// Not a number from 0 to 100.
    pub fn percent(percent: f64) -> Result<Self, String> {
        if (0.0..=100.0).contains(&percent) {
            Ok(Self::rate(percent))
        } else {
            Err(format!("{percent} is not a percentage from 0 to 100"))
        }
    }

    /// Reads a file: TOML with `percent` and `kinds` at the top, in a service's table, in an operation's table.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        file::read(text, |top| {
            let calls = file::per_call(top, Self::default().calls, &["percent", "kinds"], &[], |rate, key, entry| {
                match key {
                    "percent" => rate.percent = percentage(entry)?,
                    _ => rate.kinds = kinds(entry)?,
                }
                Ok(())
            })?;
            Ok(Self { calls })
        })
    }

    /// Whether no call ever fails.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What happens to one call.
    pub(super) fn fault_of(&self, service: &str, operation: &str, draw: &SeededRandom) -> Option<Fault> {
        let rate = self.calls.of(service, operation);
        if draw.0[0] * 100.0 >= rate.percent {
            return None;
        }
        let fits = |kind: &&Fault| **kind != Fault::FailedEntries || has_entries(service, operation);
        let kinds: Vec<Fault> = rate.kinds.iter().filter(fits).copied().collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "0 to 4"
        )]
        let at = (draw.0[1] * kinds.len() as f64) as usize;
        kinds.get(at).copied()
    }
}

fn percentage(entry: Entry<'_, '_>) -> Result<f64, FileError> {
    let number = match entry.get_ref() {
        DeValue::Integer(number) => number.as_str().parse().ok(),
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => None,
    };
    number
        .filter(|number| (0.0..=100.0).contains(number))
        .ok_or_else(|| FileError::new(entry.span(), "this must be a number from 0 to 100"))
}

fn kinds(entry: Entry<'_, '_>) -> Result<Vec<Fault>, FileError> {
    let wanted = || {
        let names: Vec<String> = Fault::ALL.iter().map(|fault| format!("\"{}\"", fault.name())).collect();
        format!("this must be a list of some of {}", names.join(", "))
    };
    let DeValue::Array(given) = entry.get_ref() else { return Err(FileError::new(entry.span(), wanted())) };
    let kinds: Result<Vec<Fault>, FileError> = given
        .iter()
        .map(|item| match item.get_ref() {
            DeValue::String(name) => Fault::ALL.into_iter().find(|fault| fault.name() == name),
            _ => None,
        })
        .zip(given.iter())
        .map(|(kind, item)| kind.ok_or_else(|| FileError::new(item.span(), wanted())))
        .collect();
    let kinds = kinds?;
    if kinds.is_empty() { Err(FileError::new(entry.span(), wanted())) } else { Ok(kinds) }
}

/// The error that a service answers a throttled call with.
///
/// Follows the "Errors" section of each operation's page, and "Common Errors" of each service's reference.
pub(crate) fn throttled(call: &Call) -> CallError {
    let data = call.operation.starts_with("PutRecord") || call.operation == "GetRecords";
    let item = ["Item", "Items", "Query", "Scan"].iter().any(|ending| call.operation.ends_with(ending));
    let (status, code, message) = match call.service {
        Service::Kinesis if data => {
            (400, "ProvisionedThroughputExceededException", "Rate exceeded for the shards of this stream.")
        }
        Service::Kinesis => (400, "LimitExceededException", "Rate exceeded for this operation."),
        Service::DynamoDb if item => (
            400,
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.",
        ),
        Service::Lambda => (429, "TooManyRequestsException", "Rate exceeded"),
        Service::S3 => (503, "SlowDown", "Please reduce your request rate."),
        Service::Sqs => (400, "RequestThrottled", "Rate exceeded"),
        Service::Sns | Service::Iam | Service::Sts | Service::CloudWatch => (400, "Throttling", "Rate exceeded"),
        _ => (400, "ThrottlingException", "Rate exceeded"),
    };
    CallError::new(status, code, message)
}

/// The error that a service answers with when it has failed itself.
pub(crate) fn failed(call: &Call) -> CallError {
    let (status, code, message) = match call.service {
        Service::DynamoDb | Service::DynamoDbStreams => {
            (500, "InternalServerError", "An error occurred on the server side.")
        }
        Service::Lambda => (500, "ServiceException", "An error occurred and the request cannot be processed."),
        Service::S3 => (500, "InternalError", "We encountered an internal error. Please try again."),
        Service::Sns => (500, "InternalError", "Indicates an internal service error."),
        Service::Iam => (500, "ServiceFailure", "The request processing has failed because of an unknown error."),
        Service::Logs => (503, "ServiceUnavailableException", "The service cannot complete the request."),
        Service::CloudWatch => {
            (500, "InternalServiceError", "Request processing has failed due to some unknown error.")
        }
        Service::Kms => (500, "KMSInternalException", "An internal exception occurred."),
        _ => (500, "InternalFailure", "The request processing has failed because of an unknown error."),
    };
    CallError::new(status, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(faults: &FaultRates, service: &str, operation: &str) -> Vec<Fault> {
        (0..1000).filter_map(|count| faults.fault_of(service, operation, &SeededRandom::new(3, &[], count))).collect()
    }

    #[test]
    fn faults_come_as_often_as_asked_in_every_way() {
        let all = faults_of(&FaultRates::percent(10.0).unwrap(), "sqs", "SendMessage");
        assert!((70..130).contains(&all.len()), "{}", all.len());
        for kind in Fault::OF_CALLS {
            assert!(all.iter().filter(|fault| **fault == kind).count() > 10, "{kind:?}");
        }
        assert!(faults_of(&FaultRates::default(), "sqs", "SendMessage").is_empty() && FaultRates::default().is_none());
        assert_eq!(faults_of(&FaultRates::percent(100.0).unwrap(), "sqs", "SendMessage").len(), 1000);
        assert!(
            FaultRates::percent(100.1).is_err()
                && FaultRates::percent(-1.0).is_err()
                && FaultRates::percent(f64::NAN).is_err()
        );
    }

    #[test]
    fn file_narrows_from_all_to_service_to_operation() {
        let text = r#"
            percent = 1.5
            [lambda]
            percent = 100
            kinds = ["error"]
            CreateFunction = { kinds = ["lost-answer"] }
            Invoke = { percent = 0 }
        "#;
        let faults = FaultRates::parse(text).unwrap();
        assert!((5..25).contains(&faults_of(&faults, "kinesis", "PutRecords").len()));
        assert_eq!(faults_of(&faults, "lambda", "GetFunction"), vec![Fault::Error; 1000]);
        assert_eq!(faults_of(&faults, "lambda", "CreateFunction"), vec![Fault::LostAnswer; 1000]);
        assert_eq!(faults_of(&faults, "lambda", "Invoke"), vec![]);
    }

    #[test]
    fn entries_fail_only_where_there_are_some() {
        let faults = FaultRates::parse("percent = 100\nkinds = [\"failed-entries\"]").unwrap();
        assert_eq!(faults_of(&faults, "sqs", "SendMessageBatch"), vec![Fault::FailedEntries; 1000]);
        assert_eq!(faults_of(&faults, "sqs", "SendMessage"), vec![]);
        let faults = FaultRates::parse("percent = 100\nkinds = [\"throttle\", \"failed-entries\"]").unwrap();
        assert_eq!(faults_of(&faults, "kinesis", "PutRecord"), vec![Fault::Throttle; 1000]);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let kinds = "this must be a list of some of \"throttle\", \"error\", \"lost-request\", \"lost-answer\", \"failed-entries\"";
        for (text, says) in [
            ("percent = 101", "line 1, column 11: this must be a number from 0 to 100".to_owned()),
            ("percent = \"5%\"", "line 1, column 11: this must be a number from 0 to 100".to_owned()),
            ("kinds = []", format!("line 1, column 9: {kinds}")),
            ("kinds = [\"slow\"]", format!("line 1, column 10: {kinds}")),
            ("precent = 1", "line 1, column 1: unknown key or service `precent`; did you mean `percent`?".to_owned()),
        ] {
            assert_eq!(FaultRates::parse(text).unwrap_err(), says);
        }
    }
}
