//! The Runtime API: what one `bootstrap` process asks for work and hands its answers to, on a loopback port of its own.

use std::error::Error as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use http_body_util::LengthLimitError;
use parking_lot::Mutex;
use serde_json::json;
use streamkit_wire::web_page;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Lambda's limit for a request or response payload in bytes: 6 MB and a little for the envelope.
pub(crate) const MAX_PAYLOAD: usize = 6 * 1024 * 1024 + 100;

/// What a process is asked to do.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) request_id: String,
    pub(crate) payload: Bytes,
    pub(crate) deadline_ms: i64,
    pub(crate) function_arn: String,
    pub(crate) trace: String,
    /// JSON, already decoded.
    pub(crate) client_context: Option<String>,
}

/// What a process said to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The function's result.
    Response(Bytes),
    /// The function's error: `{"errorMessage", "errorType", "stackTrace"}`.
    Error(Bytes),
    /// A result over 6 MB; its size is not known.
    TooLarge,
}

struct Current {
    request_id: String,
    answer: oneshot::Sender<Answer>,
}

/// The Runtime API of one process.
pub(crate) struct RuntimeApi {
    give: mpsc::Sender<Work>,
    take: tokio::sync::Mutex<mpsc::Receiver<Work>>,
    current: Mutex<Option<Current>>,
    polls: watch::Sender<u64>,
    init_error: Mutex<Option<Bytes>>,
}

impl RuntimeApi {
    /// Opens a loopback port for one process; it closes when `stop` is cancelled.
    pub(crate) async fn open(stop: CancellationToken) -> std::io::Result<(Arc<RuntimeApi>, SocketAddr)> {
        let (give, take) = mpsc::channel(1);
        let runtime_api = Arc::new(RuntimeApi {
            give,
            take: tokio::sync::Mutex::new(take),
            current: Mutex::default(),
            polls: watch::Sender::new(0),
            init_error: Mutex::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        // Small answers on a connection that stays open: waiting for more to send would cost 40 ms each. Best effort.
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(middleware::from_fn(refuse_web_pages))
            .with_state((Arc::clone(&runtime_api), stop.clone()));
        tokio::spawn(async move {
            // It ends with the process, whatever happens to the port before: the process then cannot poll and is replaced.
            drop(axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await);
        });
        Ok((runtime_api, address))
    }

    /// How often the process has asked for work.
    pub(crate) fn polls(&self) -> watch::Receiver<u64> {
        self.polls.subscribe()
    }

    /// What the process reported as the reason why it cannot start.
    pub(crate) fn init_error(&self) -> Option<Bytes> {
        self.init_error.lock().clone()
    }

    /// Hands out one piece of work; the answer comes through the receiver, which fails when the port closes.
    pub(crate) async fn hand_out(&self, work: Work) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        *self.current.lock() = Some(Current { request_id: work.request_id.clone(), answer });
        // The receiving side lives in this same struct, so this cannot fail.
        drop(self.give.send(work).await);
        receiver
    }

    fn settle(&self, request_id: &str, answer: Answer) -> Response {
        let mut current = self.current.lock();
        match current.take_if(|current| current.request_id == request_id) {
            Some(current) => {
                // Nobody waits any more after a timeout; the process is about to be killed.
                drop(current.answer.send(answer));
                status(StatusCode::ACCEPTED)
            }
            None => refusal(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID"),
        }
    }
}

/// A page that guesses the port could take invocations away.
async fn refuse_web_pages(request: Request, next: Next) -> Response {
    match web_page::refusal(request.headers(), &[]) {
        Some(why) => refusal(StatusCode::FORBIDDEN, "Forbidden", why),
        None => next.run(request).await,
    }
}

type Shared = State<(Arc<RuntimeApi>, CancellationToken)>;

async fn next(State((runtime_api, stop)): Shared) -> Response {
    runtime_api.polls.send_modify(|polls| *polls += 1);
    let work = async { runtime_api.take.lock().await.recv().await };
    let work = tokio::select! {
        work = work => work,
        () = stop.cancelled() => None,
    };
    let Some(work) = work else {
        return refusal(StatusCode::GONE, "Runtime.Stopping", "this process is being stopped");
    };
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: String| {
        // A value that is not a header value cannot be passed on; AWS drops it too.
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
            headers.insert(name, value);
        }
    };
    set("content-type", "application/json".to_owned());
    set("lambda-runtime-aws-request-id", work.request_id);
    set("lambda-runtime-deadline-ms", work.deadline_ms.to_string());
    set("lambda-runtime-invoked-function-arn", work.function_arn);
    set("lambda-runtime-trace-id", work.trace);
    if let Some(context) = work.client_context {
        set("lambda-runtime-client-context", context);
    }
    (headers, work.payload).into_response()
}

async fn response(State((runtime_api, _)): Shared, Path(id): Path<String>, body: Body) -> Response {
    match to_bytes(body, MAX_PAYLOAD).await {
        Ok(body) => runtime_api.settle(&id, Answer::Response(body)),
        // A process that died while it sent its answer is not one that sent too much.
        Err(error) if !error.source().is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) => {
            refusal(StatusCode::BAD_REQUEST, "InvalidBody", "the body ended early")
        }
        Err(_) => {
            let known = runtime_api.settle(&id, Answer::TooLarge);
            if known.status() != StatusCode::ACCEPTED {
                return known;
            }
            refusal(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                &format!("Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD} bytes)."),
            )
        }
    }
}

async fn error(State((runtime_api, _)): Shared, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Response {
    runtime_api.settle(&id, Answer::Error(error_body(&headers, body).await))
}

async fn init_error(State((runtime_api, _)): Shared, headers: HeaderMap, body: Body) -> Response {
    *runtime_api.init_error.lock() = Some(error_body(&headers, body).await);
    status(StatusCode::ACCEPTED)
}

/// The posted error; one that cannot be read is replaced by the type in the header.
async fn error_body(headers: &HeaderMap, body: Body) -> Bytes {
    let body = to_bytes(body, MAX_PAYLOAD).await.unwrap_or_default();
    if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok() {
        return body;
    }
    let kind = headers.get("lambda-runtime-function-error-type").and_then(|value| value.to_str().ok());
    json!({ "errorType": kind.unwrap_or("Runtime.Unknown"), "errorMessage": String::from_utf8_lossy(&body) })
        .to_string()
        .into()
}

fn status(status: StatusCode) -> Response {
    (status, [("content-type", "application/json")], r#"{"status":"OK"}"#).into_response()
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = json!({ "errorType": kind, "errorMessage": message }).to_string();
    (status, [("content-type", "application/json")], body).into_response()
}
