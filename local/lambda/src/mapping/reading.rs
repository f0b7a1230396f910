//! The changes of state that an event source mapping goes through, and whether its source can be read.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tokio::sync::oneshot;

use super::dynamodb::DynamoDb;
use super::kind::SourceKind;
use super::kinesis::Kinesis;
use super::settings::Settings;
use super::shard_worker::Shared;
use super::source::Source as _;
use super::sqs::Queue;
use super::state::{Mapping, Runner, State};
use super::{poller, sqs};
use crate::Engine;
use crate::api_error::ApiError;
use crate::ports::Transition;

/// A stream that cannot be read does not hold up the change of state for longer.
const START_LIMIT: Duration = Duration::from_secs(5);

impl Engine {
    /// Makes a mapping's pollers what its state and settings say, and then settles the state.
    pub(crate) fn apply_state(self: &Arc<Self>, mapping: Arc<Mapping>) {
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut runner = mapping.runner.lock().await;
            if let Some(runner) = runner.take() {
                runner.stop.cancel();
                // A panic in there was its end as well.
                drop(runner.task.await);
            }
            engine.wait_for_transition(&mapping).await;
            let settings = mapping.settings();
            if mapping.now.lock().state == State::Deleting {
                engine.mappings.lock().remove(&mapping.uuid);
            } else if settings.enabled && !engine.stop.is_cancelled() {
                *runner = Some(engine.start_pollers(&mapping, settings).await);
                mapping.set_state(State::Enabled);
            } else {
                mapping.set_state(State::Disabled);
            }
        });
    }

    /// Whether the source is there.
    pub(crate) async fn check_source(&self, settings: &Settings) -> Result<(), ApiError> {
        self.check_reader(settings)?;
        let checked = match settings.kind {
            SourceKind::Kinesis => self.kinesis(settings).shards().await.map(drop),
            SourceKind::DynamoDb => self.dynamodb(settings).shards().await.map(drop),
            SourceKind::Sqs => return self.check_queue(settings).await,
        };
        checked.map_err(|error| match error.code.as_str() {
            "ResourceNotFoundException" => ApiError::invalid(format!("Stream not found: {}", settings.source_arn)),
            _ => ApiError::invalid(format!("Cannot access stream {}: {error}", settings.source_arn)),
        })
    }

    /// Whether the function's role may read the source.
    fn check_reader(&self, settings: &Settings) -> Result<(), ApiError> {
        let role = self.role(settings);
        let known = self.ports.roles.is_permitted(&role);
        let stream = settings.source_arn.split("/consumer/").next().unwrap_or_default();
        let refused = |operations: &[&'static str], service: &str| {
            let check = |operation: &str| self.ports.roles.check(&role, &format!("{service}:{operation}"), stream);
            operations.iter().copied().find(|operation| !known || check(operation).is_err())
        };
        let actions = match settings.kind {
            SourceKind::Kinesis => {
                refused(&["GetRecords", "GetShardIterator", "DescribeStream", "ListShards"], "kinesis")
                    .map(|_| "GetRecords, GetShardIterator, DescribeStream, ListShards, and ListStreams")
            }
            SourceKind::DynamoDb => refused(&["GetRecords", "GetShardIterator", "DescribeStream"], "dynamodb")
                .map(|_| "GetRecords, GetShardIterator, DescribeStream, and ListStreams"),
            SourceKind::Sqs => {
                let refused = refused(&["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"], "sqs");
                return refused.map_or(Ok(()), |operation| {
                    Err(ApiError::invalid(format!(
                        "The provided execution role does not have permissions to call {operation} on SQS"
                    )))
                });
            }
        };
        actions.map_or(Ok(()), |actions| {
            Err(ApiError::invalid(format!(
                "Cannot access stream {}. Please ensure the role can perform the {actions} Actions on your stream in IAM.",
                settings.source_arn
            )))
        })
    }

    /// A message that is seen again while the function still works on it would be processed twice.
    async fn check_queue(&self, settings: &Settings) -> Result<(), ApiError> {
        let visibility = self.queue(settings).visibility().await.map_err(|error| {
            // Lambda calls SQS by its query protocol, where this error has its older code.
            let code = match error.code.as_str() {
                "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue",
                code => code,
            };
            ApiError::invalid(format!(
                "Error occurred while ReceiveMessage. SQS Error Code: {code}. SQS Error Message: {}",
                error.message
            ))
        })?;
        let target = self.named(&settings.function_arn)?;
        let (visible, timeout) = (visibility.as_secs(), u64::from(target.version.settings.timeout_seconds));
        if visible < timeout {
            return Err(ApiError::invalid(format!(
                "Queue visibility timeout: {visible} seconds is less than Function timeout: {timeout} seconds"
            )));
        }
        Ok(())
    }

    fn queue(&self, settings: &Settings) -> Queue {
        Queue::new(Arc::clone(&self.ports), &self.config.region, &settings.source_arn, &self.role(settings))
    }

    /// The function's role; empty when there is no such function any more.
    fn role(&self, settings: &Settings) -> String {
        let functions = self.functions();
        functions.get(&settings.function).map(|function| function.version().settings.role.clone()).unwrap_or_default()
    }

    fn kinesis(&self, settings: &Settings) -> Kinesis {
        let filters = settings.filters.clone();
        Kinesis::new(Arc::clone(&self.ports), &self.config.region, &settings.source_arn, &self.role(settings), filters)
    }

    fn dynamodb(&self, settings: &Settings) -> DynamoDb {
        DynamoDb::new(Arc::clone(&self.ports), &settings.source_arn, &self.role(settings), settings.filters.clone())
    }

    async fn start_pollers(self: &Arc<Self>, mapping: &Arc<Mapping>, settings: Arc<Settings>) -> Runner {
        let stop = self.stop.child_token();
        let shared = Arc::new(Shared {
            engine: Arc::clone(self),
            mapping: Arc::clone(mapping),
            settings: Arc::clone(&settings),
            retention_ms: AtomicI64::new(0),
            stop: stop.clone(),
        });
        let (ready, reading) = oneshot::channel();
        let task = match settings.kind {
            SourceKind::Kinesis => {
                let source = self.kinesis(&settings);
                self.tasks
                    .spawn(supervise(shared, ready, move |shared, ready| poller::run(shared, source.clone(), ready)))
            }
            SourceKind::DynamoDb => {
                let source = self.dynamodb(&settings);
                self.tasks
                    .spawn(supervise(shared, ready, move |shared, ready| poller::run(shared, source.clone(), ready)))
            }
            SourceKind::Sqs => {
                let queue = self.queue(&settings);
                self.tasks.spawn(supervise(shared, ready, move |shared, ready| sqs::run(shared, queue.clone(), ready)))
            }
        };
        // Unless a rehearsal says otherwise, enabled means that reading has begun: a record put after that is seen, whatever
        // the starting position.
        if mapping.time(&*self.ports.transitions, Transition::MappingPolling).is_zero() {
            drop(tokio::time::timeout(START_LIMIT, reading).await);
        }
        Runner { stop, task }
    }

    /// Waits as long as AWS takes for the change that a mapping is in.
    async fn wait_for_transition(&self, mapping: &Mapping) {
        let transition = match mapping.now.lock().state {
            State::Creating => Transition::MappingCreate,
            State::Deleting => Transition::MappingDelete,
            _ => Transition::MappingUpdate,
        };
        let time = mapping.time(&*self.ports.transitions, transition);
        // A server that stops does not wait.
        let _ = self.stop.run_until_cancelled(tokio::time::sleep(time)).await;
    }
}

/// Starts a mapping's pollers again when they panic, and says so in its `LastProcessingResult`: a mapping that is enabled reads.
async fn supervise<F>(
    shared: Arc<Shared>,
    ready: oneshot::Sender<()>,
    pollers: impl Fn(Arc<Shared>, oneshot::Sender<()>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut ready = Some(ready);
    while !shared.stop.is_cancelled() {
        // The first start is waited for, later ones are not.
        let ready = ready.take().unwrap_or_else(|| oneshot::channel().0);
        let Err(error) = tokio::spawn(pollers(Arc::clone(&shared), ready)).await else { return };
        shared.mapping.result(&format!("PROBLEM: the mapping's pollers ended and are started again: {error}"));
        shared.stop.run_until_cancelled(tokio::time::sleep(poller::RESTART_PAUSE)).await;
    }
}
