//! The only place that looks inside an `SdkError`: what AWS said, in words and codes that can be shown and compared.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;

/// Why a call failed: AWS's error, or that of the connection to it.
#[derive(Debug, Clone)]
pub(crate) struct AwsError {
    /// AWS's error code, such as `ResourceNotFoundException`, or streamkit's own: `Unreachable`, `Timeout`, `Unsent`.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) request_id: Option<String>,
}

impl AwsError {
    /// Codes with and without the namespace and suffix that the older protocols add.
    pub(crate) fn is(&self, codes: &[&str]) -> bool {
        let code = self.code.rsplit('#').next().unwrap_or(&self.code);
        let code = code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code);
        codes.iter().any(|known| {
            code == *known
                || code.strip_suffix("Exception") == Some(known)
                || known.strip_suffix("Exception") == Some(code)
        })
    }

    /// The resource does not exist; AccessDenied never counts as that.
    pub(crate) fn is_missing(&self) -> bool {
        self.is(&[
            "ResourceNotFoundException",
            "NoSuchEntity",
            "NotFound",
            "NotFoundException",
            "NonExistentQueue",
            "QueueDoesNotExist",
            "NoSuchBucket",
            "TableNotFoundException",
        ])
    }

    /// The caller's policies do not allow the call.
    pub(crate) fn is_denied(&self) -> bool {
        self.is(&[
            "AccessDenied",
            "AccessDeniedException",
            "UnauthorizedOperation",
            "AuthorizationError",
            "NotAuthorized",
        ])
    }

    /// The answer is not in the service's protocol, as from emulators that lack a service or its newest protocol.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.is(&[UNREADABLE])
    }

    /// A role, its policy or a function is not yet known everywhere. Matched by text: the code alone means any bad parameter.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency>
    pub(crate) fn is_propagation(&self) -> bool {
        const WORDS: [&str; 6] = [
            "cannot be assumed by Lambda",
            "execution role does not have permissions",
            "KMS key is invalid for CreateGrant",
            "Please ensure the role can perform",
            "Invalid principal in policy",
            "Function does not exist",
        ];
        self.is(&["InvalidParameterValueException", "MalformedPolicyDocument"])
            && WORDS.iter().any(|words| self.message.contains(words))
    }

    /// The resource is busy with an earlier change, so the same call will be taken later.
    pub(crate) fn is_busy(&self) -> bool {
        let exists = self.message.contains("already exists") || self.message.contains("already exist");
        self.is(&[
            "ResourceConflictException",
            "OperationAborted",
            "ConcurrentModification",
            "DeleteConflict",
            "ConcurrentModificationException",
            "ConcurrentUpdateException",
            // A table's backups can't be changed for a while after its creation.
            "ContinuousBackupsUnavailableException",
        ]) && !exists
            || self.is(&["ResourceInUseException", "LimitExceededException"])
                && ["in use", "being created", "being updated", "being deleted", "simultaneous", "UPDATING", "CREATING"]
                    .iter()
                    .any(|words| self.message.contains(words))
                && !exists
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message.trim_end_matches('.'))?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl Error for AwsError {}

/// The answer, or `None` where AWS says that the resource does not exist.
pub(crate) fn existing<T>(answer: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What must be there, since another call has just shown the resource: else it is not known everywhere yet, or has just gone,
/// which another look tells.
pub(crate) fn known<T>(part: Option<T>, what: &str) -> Result<T, AwsError> {
    part.ok_or_else(|| AwsError {
        code: NOT_KNOWN_YET.to_owned(),
        message: format!("{what} are not known everywhere yet"),
        request_id: None,
    })
}

/// The code of [`known`], which counts as missing.
const NOT_KNOWN_YET: &str = "NotFound";

/// The code for an answer that is not in the service's protocol.
const UNREADABLE: &str = "UnreadableAnswer";

/// The code for a call that was not sent because no credentials were found.
const NO_CREDENTIALS: &str = "NoCredentials";

/// An answer without what it must have.
pub(super) fn lacking(what: &str) -> AwsError {
    AwsError { code: UNREADABLE.to_owned(), message: format!("the answer names no {what}"), request_id: None }
}

/// No credentials, before any call is sent.
pub(super) fn no_credentials(why: Option<&dyn Error>) -> AwsError {
    let message = why.map_or_else(String::new, |why| {
        std::iter::once(why.to_string()).chain(all_causes(why)).last().unwrap_or_default()
    });
    AwsError { code: NO_CREDENTIALS.to_owned(), message, request_id: None }
}

/// The answer to a call, with the SDK's error as an [`AwsError`].
pub(crate) fn answered<T, E>(answer: Result<T, SdkError<E, HttpResponse>>) -> Result<T, AwsError>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    answer.map_err(|error| {
        let request_id = error.request_id().map(str::to_owned);
        let code = match &error {
            // An answer without a code is not one of this service's protocol.
            SdkError::ServiceError(service) => service.err().code().unwrap_or(UNREADABLE),
            SdkError::DispatchFailure(_) if all_causes(&error).iter().any(|cause| cause.contains("credentials")) => {
                NO_CREDENTIALS
            }
            SdkError::DispatchFailure(failure) if failure.is_timeout() => "Timeout",
            SdkError::DispatchFailure(failure) if failure.is_io() => "Unreachable",
            SdkError::TimeoutError(_) => "Timeout",
            SdkError::ResponseError(_) => UNREADABLE,
            _ => "Unsent",
        };
        let message = match &error {
            SdkError::ServiceError(service) => match service.err().message() {
                Some(message) => message.to_owned(),
                None => format!("HTTP status {}", service.raw().status().as_u16()),
            },
            other => causes(other),
        };
        AwsError { code: code.to_owned(), message, request_id }
    })
}

fn all_causes(error: &dyn Error) -> Vec<String> {
    let mut all = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        all.push(cause.to_string());
        next = cause.source();
    }
    all.dedup();
    all
}

/// The innermost two causes: the outer ones only say that something failed.
fn causes(error: &dyn Error) -> String {
    let all = all_causes(error);
    let from = all.len().saturating_sub(2);
    all[from..].join(": ")
}

/// The AWS error in a chain of causes, if there is one.
pub(crate) fn aws_error(error: &anyhow::Error) -> Option<&AwsError> {
    error.chain().find_map(|cause| cause.downcast_ref::<AwsError>())
}

/// What the user can do about an AWS error.
pub(crate) fn hint(error: &AwsError) -> Option<String> {
    if error.is(&[NO_CREDENTIALS]) {
        return Some(
            "no AWS credentials were found: set AWS_PROFILE or pass --profile, export AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, or run `aws login` or `aws sso login`; `--local` needs none"
                .to_owned(),
        );
    }
    let text = if error.is_denied() {
        "the caller's own policy must allow this call; then run the same command again, it goes on from here"
    } else if error.is(&["ExpiredToken", "ExpiredTokenException", "RequestExpired"]) {
        "the credentials have expired: log in again"
    } else if error.is(&[
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
    ]) {
        "AWS does not know these credentials: check the profile, the keys and the region"
    } else if error.is(&["Unreachable", "Timeout"]) {
        "the endpoint did not answer: check the address, the region's name and the network"
    } else if error.is(&["ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"]) {
        "AWS is throttling: run the same command again, or lower --parallelism"
    } else if error.message.contains("modified multiple times") {
        "AWS takes one change of a table's TTL an hour: run the same command again when the hour is over"
    } else if error.is_unreadable() {
        "the endpoint does not speak this service's protocol; some emulators lack CloudWatch's CBOR: take the alarms out of the spec there"
    } else {
        return None;
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_of_a_new_table_are_waited_for_and_a_table_that_exists_is_not() {
        let error = |code: &str, message: &str| AwsError {
            code: code.to_owned(),
            message: message.to_owned(),
            request_id: None,
        };
        let unavailable = "Backups are being enabled for the table: orders. Please retry later";
        assert!(error("ContinuousBackupsUnavailableException", unavailable).is_busy());
        assert!(!error("ResourceInUseException", "Table already exists: orders").is_busy());
    }
}
