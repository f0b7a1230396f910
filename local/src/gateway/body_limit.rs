//! How large the body of a request may be, by the service that it is for.

use axum::response::Response;
use http::request::Parts;
use streamkit_wire::protocol::{self, MAX_BODY};
use streamkit_wire::{Call, CallError, Service};

const MIB: usize = 1024 * 1024;
/// DynamoDB's limit of a request; the 10 MiB of a call of Kinesis, in base64, stay below it, and so do all without files.
const MOST: usize = 16 * MIB;
/// A package of 50 MB in base64.
///
/// See <https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html>.
const LAMBDA: usize = 70_167_211;

/// The most bytes that the body of a request with this head may have, packed and unpacked.
pub(super) fn of(head: &Parts) -> usize {
    match Call::of_head(head).map(|call| call.service) {
        Some(Service::Lambda) => LAMBDA,
        // Parts of objects may have 5 GiB in AWS; here they are in memory. Unsigned forms are read as S3's at first.
        Some(Service::S3) => MAX_BODY,
        _ => MOST,
    }
}

/// The refusal of a body that is cut short or over the limit.
pub(super) fn refused(head: &Parts, limit: usize) -> Response {
    let call = Call::of_head(head);
    let error = match call.as_ref().map(|call| &call.service) {
        Some(Service::S3) => CallError::bad("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"),
        Some(Service::Lambda) => CallError::new(
            413,
            "RequestTooLargeException",
            format!(
                "Request must be smaller than {limit} bytes for the {} operation",
                call.as_ref().map_or("", |call| &call.operation)
            ),
        ),
        _ => CallError::new(
            413,
            "RequestEntityTooLarge",
            format!("The request body is cut short or larger than {limit} bytes"),
        ),
    };
    match call {
        Some(call) => protocol::error_response(&call, &error),
        None => super::router::refused(error.status, &error.message),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(service: &str, path: &str) -> Parts {
        let scope = format!("AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/{service}/aws4_request, Signature=0");
        Request::post(path).header("authorization", scope).body(()).expect("a request").into_parts().0
    }

    #[test]
    fn limit_is_that_of_the_service() {
        assert_eq!(of(&head("lambda", "/2015-03-31/functions")), LAMBDA);
        assert_eq!(of(&head("s3", "/bucket/key")), MAX_BODY);
        for service in ["sqs", "monitoring", "dynamodb", "nonsense"] {
            assert_eq!(of(&head(service, "/")), MOST, "{service}");
        }
    }

    #[test]
    fn refusal_has_the_status_of_the_service() {
        for (service, path, status) in
            [("lambda", "/2015-03-31/functions", 413), ("s3", "/bucket/key", 400), ("sqs", "/", 413)]
        {
            assert_eq!(refused(&head(service, path), MOST).status(), status, "{service}");
        }
    }
}
