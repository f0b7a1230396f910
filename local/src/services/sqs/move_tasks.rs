//! Tasks that move the messages of a dead letter queue back to where they came from, or to another queue.
//!
//! A task does what is due whenever the queues are looked at: all at once, or as many messages a second as it may.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use streamkit_wire::input::{integer, required, text};
use streamkit_wire::{CallError, clock};
use uuid::Uuid;

use super::service::{Answer, Queues, Sqs, queue_of};

/// So many tasks of a queue are remembered.
const MAX_LISTED: usize = 10;
const MAX_RATE: i64 = 500;

pub(super) struct MoveTask {
    handle: String,
    source: String,
    destination: Option<String>,
    /// Messages a second.
    rate: Option<i64>,
    started_ms: i64,
    to_move: i64,
    moved: i64,
    state: TaskState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskState {
    Running,
    Completed,
    Cancelled,
    Failed(&'static str),
}

impl TaskState {
    fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Cancelled => "CANCELLED",
            Self::Failed(_) => "FAILED",
        }
    }
}

impl MoveTask {
    /// Moves what is due; whether anything was moved.
    fn advance(&mut self, queues: &mut Queues, now: i64) -> bool {
        let due = self.rate.map_or(self.to_move, |rate| ((now - self.started_ms) * rate / 1000).min(self.to_move));
        let before = self.moved;
        while self.state == TaskState::Running && self.moved < due {
            self.move_one(queues, now);
        }
        if self.state == TaskState::Running && self.moved >= self.to_move {
            self.state = TaskState::Completed;
        }
        self.moved > before
    }

    fn move_one(&mut self, queues: &mut Queues, now: i64) {
        let Some(source) = queues.get_mut(name_of(&self.source)) else {
            self.state = TaskState::Failed("AWS.SimpleQueueService.NonExistentQueue");
            return;
        };
        // Somebody else has received the rest.
        let Some(message) = source.take_out(now) else {
            self.state = TaskState::Completed;
            return;
        };
        let target = self.destination.as_deref().or(message.died_in.as_deref());
        let failure = match target {
            None => "CouldNotDetermineMessageSource",
            Some(arn) if queue_of(queues, arn).is_none() => "AWS.SimpleQueueService.NonExistentQueue",
            Some(arn) => {
                let name = name_of(arn).to_owned();
                if let Some(queue) = queues.get_mut(&name) {
                    queue.push(message.moved(now));
                    self.moved += 1;
                }
                return;
            }
        };
        self.state = TaskState::Failed(failure);
        if let Some(source) = queues.get_mut(name_of(&self.source)) {
            source.push(message);
        }
    }

    fn shown(&self) -> Value {
        let mut shown = json!({
            "Status": self.state.name(),
            "SourceArn": self.source,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.to_move,
            "StartedTimestamp": self.started_ms,
        });
        if self.state == TaskState::Running {
            shown["TaskHandle"] = json!(self.handle);
        }
        if let Some(destination) = &self.destination {
            shown["DestinationArn"] = json!(destination);
        }
        if let Some(rate) = self.rate {
            shown["MaxNumberOfMessagesPerSecond"] = json!(rate);
        }
        if let TaskState::Failed(reason) = self.state {
            shown["FailureReason"] = json!(reason);
        }
        shown
    }
}

impl Sqs {
    /// Lets all tasks move what is due.
    pub(super) fn advance_move_tasks(&self) {
        let mut tasks = self.move_tasks.lock();
        if !tasks.iter().any(|task| task.state == TaskState::Running) {
            return;
        }
        let (now, mut queues) = (clock::now_ms(), self.queues());
        let mut moved = false;
        for task in tasks.iter_mut().filter(|task| task.state == TaskState::Running) {
            moved |= task.advance(&mut queues, now);
        }
        if moved {
            self.arrived.notify_waiters();
        }
    }

    pub(super) fn start_move_task(&self, input: &Value) -> Answer {
        let source = required(input, "SourceArn")?;
        let destination = text(input, "DestinationArn");
        let rate = integer(&input["MaxNumberOfMessagesPerSecond"]);
        if let Some(rate) = rate.filter(|rate| !(1..=MAX_RATE).contains(rate)) {
            return Err(CallError::bad(
                "InvalidParameterValue",
                format!(
                    "Value {rate} for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: Must be between 1 and {MAX_RATE}, if provided."
                ),
            ));
        }
        let now = clock::now_ms();
        let handle = {
            let mut tasks = self.move_tasks.lock();
            let mut queues = self.queues();
            let fifo = queue_of(&queues, source).ok_or_else(|| missing_resource("SourceArn"))?.fifo;
            if !queues.values().any(|queue| queue.redrive().is_some_and(|(target, _)| target == source)) {
                return Err(CallError::bad(
                    "InvalidParameterValue",
                    "Source queue must be configured as a Dead Letter Queue.",
                ));
            }
            if let Some(destination) = destination {
                let target = queue_of(&queues, destination).ok_or_else(|| missing_resource("DestinationArn"))?;
                if target.fifo != fifo {
                    return Err(CallError::bad(
                        "InvalidParameterValue",
                        "Source queue and destination queue must be of the same type.",
                    ));
                }
            }
            if tasks.iter().any(|task| task.source == source && task.state == TaskState::Running) {
                return Err(CallError::bad(
                    "InvalidParameterValue",
                    "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
                ));
            }
            let visible = queues.get_mut(name_of(source)).map_or(0, |queue| queue.counts(now).visible);
            let id = json!({ "taskId": Uuid::new_v4().to_string(), "sourceArn": source });
            let handle = STANDARD.encode(id.to_string());
            tasks.push(MoveTask {
                handle: handle.clone(),
                source: source.to_owned(),
                destination: destination.map(str::to_owned),
                rate,
                started_ms: now,
                to_move: i64::try_from(visible).unwrap_or(i64::MAX),
                moved: 0,
                state: TaskState::Running,
            });
            let older = tasks.iter().filter(|task| task.source == source).count().saturating_sub(MAX_LISTED);
            let mut drop_next = older;
            tasks.retain(|task| {
                let goes = drop_next > 0 && task.source == source;
                drop_next -= usize::from(goes);
                !goes
            });
            handle
        };
        self.advance_move_tasks();
        Ok(json!({ "TaskHandle": handle }))
    }

    pub(super) fn list_move_tasks(&self, input: &Value) -> Answer {
        let source = required(input, "SourceArn")?;
        let most = integer(&input["MaxResults"]).unwrap_or(1);
        let most = usize::try_from(most).ok().filter(|most| (1..=MAX_LISTED).contains(most)).ok_or_else(|| {
            CallError::bad(
                "InvalidParameterValue",
                format!(
                    "Value {most} for parameter MaxResults is invalid. Reason: Must be between 1 and {MAX_LISTED}, if provided."
                ),
            )
        })?;
        let tasks = self.move_tasks.lock();
        queue_of(&self.queues(), source).ok_or_else(|| missing_resource("SourceArn"))?;
        // The newest first.
        let shown: Vec<Value> =
            tasks.iter().rev().filter(|task| task.source == source).take(most).map(MoveTask::shown).collect();
        Ok(json!({ "Results": shown }))
    }

    pub(super) fn cancel_move_task(&self, input: &Value) -> Answer {
        let handle = required(input, "TaskHandle")?;
        let known = STANDARD.decode(handle).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let source = known.as_ref().and_then(|known| known["sourceArn"].as_str());
        let source = source
            .ok_or_else(|| CallError::bad("InvalidParameterValue", "Value for parameter TaskHandle is invalid."))?;
        let mut tasks = self.move_tasks.lock();
        queue_of(&self.queues(), source).ok_or_else(|| missing_resource("SourceArn"))?;
        let task = tasks.iter_mut().find(|task| task.handle == handle);
        let task = task.ok_or_else(|| CallError::new(404, "ResourceNotFoundException", "Task does not exist."))?;
        if task.state != TaskState::Running {
            return Err(CallError::bad("UnsupportedOperation", "Only a task that is RUNNING can be cancelled."));
        }
        task.state = TaskState::Cancelled;
        Ok(json!({ "ApproximateNumberOfMessagesMoved": task.moved }))
    }
}

fn name_of(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}

fn missing_resource(parameter: &str) -> CallError {
    CallError::new(
        404,
        "ResourceNotFoundException",
        format!("The resource that you specified for the {parameter} parameter doesn't exist."),
    )
}
