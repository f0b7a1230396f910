//! The function's process: reads the settings, creates the clients, and serves invocations.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lambda_runtime::tower::util::MapRequestLayer;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, LambdaInvocation, Runtime, service_fn};
use serde::Deserialize as _;
use serde_json::Value;
use serde_json::value::RawValue;
use streamkit_recipes::Recipe;
use tokio::time::Instant;

use crate::aws::Aws;
use crate::batch::{Job, REPLAY_CONTEXT, Replay};
use crate::config::{self, Config, ConfigError};
use crate::encryption::Protection;
use crate::event::{Event, EventRecord, Response};
use crate::received::ReceivedBatch;
use crate::record::decode;
use crate::report;
use crate::window::Window;

/// Serves invocations with this recipe until Lambda ends the process: the whole `main` of a function of your own.
///
/// The environment names the resources that the recipe's effects go to; see [`Config`].
pub fn run(recipe: impl Recipe + 'static) -> ExitCode {
    // One recipe for as long as the process lives.
    let recipe: &'static dyn Recipe = Box::leak(Box::new(recipe));
    exit(Config::read(recipe, variable))
}

/// Serves invocations with the recipe of streamkit's own that the environment names.
pub fn run_named() -> ExitCode {
    exit(config::recipe(variable).and_then(|recipe| Config::read(recipe, variable)))
}

fn exit(config: Result<Config, ConfigError>) -> ExitCode {
    let result = match config {
        Ok(config) => serve(&config),
        Err(error) => {
            report_init_error(&error);
            Err(error.into())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = serde_json::json!({"level": "ERROR", "message": error.to_string()});
            // If even stderr is gone there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "{line}");
            ExitCode::FAILURE
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

// Lambda gives a process one invocation at a time: more threads would only cost memory and start time.
#[tokio::main(flavor = "current_thread")]
async fn serve(config: &Config) -> Result<(), Error> {
    let aws = Aws::new(config, variable);
    let protection = config.encryption.clone().map(Protection::new);
    let parsed = Parsed::default();
    let handler = service_fn(|LambdaEvent { payload, context }| {
        let payload = parsed.0.take().unwrap_or(Payload::Records(payload));
        handle(config, &aws, protection.as_ref(), LambdaEvent::new(payload, context))
    });
    let parse = MapRequestLayer::new(|invocation| parsed.of(invocation, config.recipe));
    Runtime::new(handler).layer(parse).run().await
}

/// The event of the invocation that is served now. The runtime crate notes where in an event it is at each value, to say where
/// one is wrong, and keeps the text; so events are read before it sees them.
#[derive(Default)]
struct Parsed(Cell<Option<Payload>>);

/// The event of an invocation.
enum Payload {
    /// For recipes that look at records one by one.
    Records(Event),
    /// As it came, for recipes that look at a batch as a whole: it is an event.
    Raw(Bytes),
}

impl Parsed {
    /// Takes the event out of an invocation, if it is one: of what is left the runtime crate says what is wrong.
    fn of(&self, mut invocation: LambdaInvocation, recipe: &dyn Recipe) -> LambdaInvocation {
        let body = &mut invocation.body;
        let payload = if recipe.batched().is_some() {
            serde_json::from_slice::<Event<&RawValue>>(body).ok().map(|_| Payload::Raw(body.clone()))
        } else {
            Event::deserialize(&mut serde_json::Deserializer::from_slice(body)).ok().map(Payload::Records)
        };
        if payload.is_some() {
            self.0.set(payload);
            *body = Bytes::from_static(br#"{"Records":[]}"#);
        }
        invocation
    }
}

async fn handle(
    config: &Config,
    aws: &Aws,
    protection: Option<&Protection>,
    event: LambdaEvent<Payload>,
) -> Result<Response, Diagnostic> {
    let request_id = event.context.request_id.clone();
    serve_batch(config, aws, protection, event).await.map_err(|error| {
        let line = serde_json::json!({"level": "ERROR", "message": error.to_string(), "requestId": request_id});
        // Lambda gets the error as the answer all the same.
        let _ = writeln!(std::io::stdout(), "{line}");
        Diagnostic { error_type: "Function.EventError".to_owned(), error_message: error.to_string() }
    })
}

async fn serve_batch(
    config: &Config,
    aws: &Aws,
    protection: Option<&Protection>,
    event: LambdaEvent<Payload>,
) -> Result<Response, Error> {
    let (started, now) = (Instant::now(), SystemTime::now());
    let context = event.context;
    let now_ms = now.duration_since(SystemTime::UNIX_EPOCH)?.as_millis().try_into()?;
    aws.runs_as(&context.invoked_function_arn);
    let replay = context.client_context.as_ref().and_then(|client| client.custom.get(REPLAY_CONTEXT));
    let replay = match (&event.payload, replay) {
        (_, None) => None,
        (Payload::Records(event), Some(replay)) => Some(Replay::of(replay, &event.records)?),
        (Payload::Raw(_), Some(replay)) => Some(Replay::of(replay, &[])?),
    };
    let job = Job {
        config,
        function: &context.env_config.function_name,
        sink: aws,
        deadline: started + context.deadline().duration_since(now).unwrap_or(Duration::ZERO),
        now_ms,
        replay,
    };
    let (window, records, mut outcome) = match event.payload {
        Payload::Records(mut event) => {
            let window = Window::of(&mut event)?;
            fail_on_purpose(config, event.records.iter())?;
            let mut records = decode(event, config.recipe, &config.identity)?;
            let protected = match protection {
                Some(protection) => protection.protect(&mut records, aws, job.replay.is_some()).await,
                None => Ok(()),
            };
            let outcome = match protected {
                Ok(()) => job.run(&records).await,
                Err(error) => job.postponed(&records, &error),
            };
            (window, records, outcome)
        }
        Payload::Raw(_) if protection.is_some() => {
            return Err("the recipe keeps records as they came, and so can't encrypt fields of them".into());
        }
        Payload::Raw(body) => {
            let batched = config.recipe.batched().ok_or("the recipe looks at records one by one")?;
            let body = if job.replay.is_some() { as_they_came(&body)? } else { body };
            let mut event: Event<&RawValue> = serde_json::from_slice(&body)?;
            let window = Window::of(&mut event)?;
            if config.fail_on.is_some() {
                let records: Vec<EventRecord> =
                    event.records.iter().map(|record| serde_json::from_str(record.get())).collect::<Result<_, _>>()?;
                fail_on_purpose(config, records.iter())?;
            }
            let batch = ReceivedBatch::of(&event, config.recipe)?;
            let (firsts, outcome) = job.run_batched(batched, &batch).await?;
            (window, firsts, outcome)
        }
    };
    if let Some(window) = window {
        Box::pin(job.keep(window, &records, &mut outcome)).await?;
    }
    // In one piece: what another process writes to the same log must not come between.
    let mut lines = Vec::new();
    report::write(&mut lines, config, &context.request_id, &records, &outcome, started.elapsed(), now_ms)?;
    std::io::stdout().write_all(&lines)?;
    Ok(outcome.response)
}

/// The event without what streamkit says in it of records that it plays again.
fn as_they_came(body: &[u8]) -> serde_json::Result<Bytes> {
    let mut event: Value = serde_json::from_slice(body)?;
    for record in event["Records"].as_array_mut().into_iter().flatten() {
        if let Value::Object(record) = record {
            record.remove("streamkit");
        }
    }
    serde_json::to_vec(&event).map(Bytes::from)
}

fn fail_on_purpose<'r>(config: &Config, mut records: impl Iterator<Item = &'r EventRecord>) -> Result<(), Error> {
    match &config.fail_on {
        Some(all) if all == config::FAIL_ON_ALL => Err(format!("{} makes the function fail", config::FAIL_ON).into()),
        Some(text) if records.any(|record| record.mentions(text)) => {
            Err(format!("{} makes the function fail on records with `{text}` in their key", config::FAIL_ON).into())
        }
        _ => Ok(()),
    }
}

/// Tells Lambda why the function cannot start; otherwise it would only say that the process ended. The runtime crate
/// offers this only to its own hooks, so this one HTTP request is written by hand.
///
/// See <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-initerror>.
fn report_init_error(error: &ConfigError) {
    let Some(api) = variable("AWS_LAMBDA_RUNTIME_API") else { return };
    let body = serde_json::json!({"errorType": "Function.ConfigError", "errorMessage": error.to_string()}).to_string();
    let request = format!(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\n\
         Lambda-Runtime-Function-Error-Type: Function.ConfigError\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let send = || -> std::io::Result<()> {
        let mut stream = std::net::TcpStream::connect(api)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(request.as_bytes())?;
        // Closing before the answer has come could drop the request.
        stream.read_to_end(&mut Vec::new())?;
        Ok(())
    };
    // The error also goes to stderr, so nothing is lost if Lambda does not listen.
    let _ = send();
}
