//! Panics: a fault of ours costs the request, or the turn, that met it, and nothing else.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::response::Response;
use futures_util::FutureExt as _;
use streamkit_wire::{Call, CallError, protocol};

/// What became of it, or what it panicked with. The panic itself has been written to the standard error by now.
pub(super) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    // No lock of ours is poisoned: what was being changed stays as it was when the panic came.
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| said(&*panic))
}

/// The answer to a call, which is a server error if there is none.
pub(super) async fn answer(call: &Call, work: impl Future<Output = Response>) -> Response {
    caught(work).await.unwrap_or_else(|panic| {
        tracing::error!(service = call.service.name(), operation = call.operation, panic, "a request panicked");
        protocol::error_response(
            call,
            &CallError::internal(format!("the embedded AWS panicked at this request: {panic}")),
        )
    })
}

/// One turn of a task that goes on, whatever becomes of the turn.
pub(super) async fn turn(what: &str, work: impl Future<Output = ()>) {
    if let Err(panic) = caught(work).await {
        tracing::error!(what, panic, "a background task panicked and goes on");
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use streamkit_wire::{Protocol, Service};

    use super::*;

    #[tokio::test]
    async fn panic_is_a_server_error_in_the_protocol_of_its_call() {
        for (protocol, content_type) in [
            (Protocol::Json, "application/x-amz-json-1.0"),
            (Protocol::Cbor, "application/cbor"),
            (Protocol::Query, "text/xml"),
            (Protocol::RestJson, "application/json"),
            (Protocol::RestXml, "application/xml"),
        ] {
            let call = Call { service: Service::Sqs, operation: "SendMessage".to_owned(), protocol };
            let answer = answer(&call, async { panic!("index {} out of range", 7) }).await;
            assert_eq!(answer.headers()["content-type"], content_type);
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let body = protocol::body_of(answer).await.unwrap();
            let error = protocol::error_of(status, &headers, &body);
            assert_eq!((error.status, error.code.as_str()), (500, "InternalFailure"));
            assert!(error.message.ends_with("index 7 out of range"), "{}", error.message);
        }
    }

    #[tokio::test]
    async fn task_goes_on_after_a_turn_that_panicked() {
        let mut turns = 0;
        for fails in [false, true, false] {
            turns += 1;
            turn("a test", async { assert!(!fails, "as wanted") }).await;
        }
        assert_eq!(turns, 3);
    }
}
