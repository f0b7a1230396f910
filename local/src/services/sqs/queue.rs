//! One queue: its attributes, tags, and its messages by what can be done with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use streamkit_wire::{CallError, clock};

use super::attributes::{self, DEFAULTS, FIFO_DEFAULTS};
use super::deduplication::Deduplication;
use super::messages::{Message, State};
use super::ready::Ready;

/// What one queue may take of the memory; all together, see [`Sqs`](super::Sqs).
const KEPT_BYTES: usize = 256 * 1024 * 1024;

pub(super) struct Queue {
    pub(super) arn: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) fifo: bool,
    /// What was set; what was not has its default.
    settings: BTreeMap<String, String>,
    created_ms: i64,
    modified_ms: i64,
    purged_ms: Option<i64>,
    next: u64,
    messages: HashMap<u64, Message>,
    ready: Ready,
    /// Messages that nobody has seen yet, by when their delay ends.
    delayed: BTreeSet<(i64, u64)>,
    /// Received messages by when they become visible again.
    in_flight: BTreeSet<(i64, u64)>,
    /// All messages by the time from which their retention counts.
    by_age: BTreeSet<(i64, u64)>,
    receipts: HashMap<String, u64>,
    /// About how much memory the messages take.
    bytes: usize,
    /// Message id and sequence number that a repeated FIFO send must answer with.
    pub(super) recent: Deduplication<(String, String)>,
}

/// How many messages are in each state.
pub(super) struct Counts {
    pub(super) visible: usize,
    pub(super) in_flight: usize,
    pub(super) delayed: usize,
}

impl Queue {
    pub(super) fn new(arn: String, fifo: bool) -> Self {
        let now = clock::now_ms();
        Self {
            arn,
            tags: BTreeMap::new(),
            fifo,
            settings: BTreeMap::new(),
            created_ms: now,
            modified_ms: now,
            purged_ms: None,
            next: 0,
            messages: HashMap::new(),
            ready: Ready::default(),
            delayed: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            by_age: BTreeSet::new(),
            receipts: HashMap::new(),
            bytes: 0,
            recent: Deduplication::default(),
        }
    }

    pub(super) fn set_attributes(&mut self, given: impl Iterator<Item = (String, String)>) -> Result<(), CallError> {
        let given: Vec<(String, String)> = given.collect();
        for (name, value) in &given {
            attributes::check(name, value)?;
            if !self.fifo && FIFO_DEFAULTS.iter().any(|(known, _)| known == name) {
                return Err(CallError::bad(
                    "InvalidAttributeName",
                    format!("You can specify the {name} only when FifoQueue is set to true."),
                ));
            }
        }
        let given_as = |name: &str| given.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        if given_as("SqsManagedSseEnabled") == Some("true")
            && given_as("KmsMasterKeyId").is_some_and(|it| !it.is_empty())
        {
            return Err(CallError::bad(
                "InvalidAttributeName",
                "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.",
            ));
        }
        for (name, value) in given {
            // An empty policy, redrive policy or key takes the setting away.
            if value.is_empty() {
                self.settings.remove(&name);
                continue;
            }
            match (name.as_str(), value.as_str()) {
                // Either kind of encryption takes the place of the other.
                ("KmsMasterKeyId", _) => drop(self.settings.insert("SqsManagedSseEnabled".into(), "false".into())),
                ("SqsManagedSseEnabled", "true") => drop(self.settings.remove("KmsMasterKeyId")),
                _ => {}
            }
            self.settings.insert(name, value);
        }
        self.modified_ms = clock::now_ms();
        Ok(())
    }

    /// The first attribute that has another value here.
    pub(super) fn differing(&self, mut given: impl Iterator<Item = (String, String)>) -> Option<String> {
        given.find(|(name, value)| self.setting(name) != value.as_str()).map(|(name, _)| name)
    }

    pub(super) fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or_else(
            || self.defaults().find(|(known, _)| *known == name).map_or("", |(_, value)| value),
            String::as_str,
        )
    }

    fn defaults(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        DEFAULTS.into_iter().chain(FIFO_DEFAULTS.into_iter().filter(|_| self.fifo))
    }

    pub(super) fn seconds(&self, name: &str) -> i64 {
        self.setting(name).parse().unwrap_or_default()
    }

    /// `(dead letter queue ARN, maxReceiveCount)`.
    pub(super) fn redrive(&self) -> Option<(String, u32)> {
        attributes::redrive(self.settings.get("RedrivePolicy")?).ok()
    }

    /// Who may use it besides the account's own.
    pub(super) fn policy(&self) -> Option<Value> {
        serde_json::from_str(self.settings.get("Policy")?).ok()
    }

    pub(super) fn attributes(&mut self, wanted: &[String], now: i64) -> Map<String, Value> {
        let counts = self.counts(now);
        let mut all: BTreeMap<String, String> =
            self.defaults().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        all.extend(self.settings.clone());
        for (name, value) in [
            ("QueueArn", self.arn.clone()),
            ("ApproximateNumberOfMessages", counts.visible.to_string()),
            ("ApproximateNumberOfMessagesNotVisible", counts.in_flight.to_string()),
            ("ApproximateNumberOfMessagesDelayed", counts.delayed.to_string()),
            ("CreatedTimestamp", (self.created_ms / 1000).to_string()),
            ("LastModifiedTimestamp", (self.modified_ms / 1000).to_string()),
        ] {
            all.insert(name.to_owned(), value);
        }
        let every = wanted.iter().any(|name| name == "All");
        all.into_iter()
            .filter(|(name, _)| every || wanted.contains(name))
            .map(|(name, value)| (name, Value::String(value)))
            .collect()
    }

    pub(super) fn counts(&mut self, now: i64) -> Counts {
        self.wake(now);
        Counts { visible: self.ready.len(), in_flight: self.in_flight.len(), delayed: self.delayed.len() }
    }

    /// When the message that has been here longest came; `None` in an empty queue.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.by_age.first().map(|&(since, _)| since)
    }

    /// Makes messages visible whose delay or visibility timeout has passed.
    fn wake(&mut self, now: i64) {
        for delayed in [true, false] {
            loop {
                let hidden = if delayed { &self.delayed } else { &self.in_flight };
                match hidden.first() {
                    Some(&(at, id)) if at <= now => {
                        self.leave(id);
                        self.enter(id, State::Ready);
                    }
                    _ => break,
                }
            }
        }
    }

    /// Takes a message out of the state that it is in.
    fn leave(&mut self, id: u64) {
        let Some(message) = self.messages.get(&id) else { return };
        let group = message.group.as_deref().filter(|_| self.fifo);
        match message.state {
            State::Ready => self.ready.remove(id, message.place, group),
            State::Delayed => {
                self.delayed.remove(&(message.visible_at, id));
            }
            State::InFlight => {
                self.in_flight.remove(&(message.visible_at, id));
                if let Some(group) = group {
                    self.ready.landed(group);
                }
            }
        }
    }

    /// Puts a message, which is in no state, into this one; its `visible_at` says until when.
    fn enter(&mut self, id: u64, state: State) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.state = state;
        let group = message.group.as_deref().filter(|_| self.fifo);
        match state {
            State::Ready => message.place = self.ready.insert(id, group),
            State::Delayed => {
                self.delayed.insert((message.visible_at, id));
            }
            State::InFlight => {
                self.in_flight.insert((message.visible_at, id));
                if let Some(group) = group {
                    self.ready.took_off(group);
                }
            }
        }
    }

    /// When the next hidden message becomes visible.
    pub(super) fn next_wake(&self) -> Option<i64> {
        [&self.delayed, &self.in_flight].into_iter().filter_map(|hidden| hidden.first()).map(|(at, _)| *at).min()
    }

    /// The sequence number of the next message of a FIFO queue.
    pub(super) fn next_sequence(&self) -> String {
        format!("1{:019}", self.next)
    }

    pub(super) fn push(&mut self, message: Message) {
        let id = self.next;
        self.next += 1;
        let state = if message.visible_at > clock::now_ms() { State::Delayed } else { State::Ready };
        self.by_age.insert((message.since_ms, id));
        self.bytes += message.bytes();
        self.messages.insert(id, message);
        self.enter(id, state);
        if self.bytes > KEPT_BYTES {
            self.drop_oldest(KEPT_BYTES / 10 * 9);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets the oldest messages until the others take no more than so many bytes, and says so in the log.
    pub(super) fn drop_oldest(&mut self, bytes: usize) {
        let before = self.messages.len();
        while self.bytes > bytes
            && let Some(&(_, id)) = self.by_age.first()
        {
            self.remove(id);
        }
        let dropped = before - self.messages.len();
        tracing::warn!("{}: dropped its {dropped} oldest messages: queues take only so much memory", self.arn);
    }

    /// Takes up to `most` visible messages, hides them, and gives them with their receipts. Those that were received too
    /// often come back second, for the dead letter queue; if that is gone they are received as before.
    pub(super) fn take(
        &mut self,
        most: usize,
        hide_ms: i64,
        now: i64,
        has_dead_letter_queue: bool,
    ) -> (Vec<Message>, Vec<Message>) {
        self.wake(now);
        self.expire(now);
        let most_receives = self.redrive().filter(|_| has_dead_letter_queue).map(|(_, most)| most);
        let (mut ids, mut dead) = (Vec::new(), Vec::new());
        while ids.len() < most {
            let Some(id) = self.ready.pop() else { break };
            let Some(message) = self.messages.get(&id) else { continue };
            if most_receives.is_some_and(|most| message.receives_here >= most) {
                // Already out of the line.
                dead.extend(self.forget(id));
            } else {
                ids.push(id);
            }
        }
        // Only now, so that several messages of a FIFO group can come together.
        let mut taken = Vec::new();
        for id in ids {
            let Some(message) = self.messages.get_mut(&id) else { continue };
            let (receipt, old) = message.receive(now);
            message.visible_at = now + hide_ms;
            taken.push(message.clone());
            self.receipts.insert(receipt, id);
            old.map(|old| self.receipts.remove(&old));
            self.enter(id, if hide_ms > 0 { State::InFlight } else { State::Ready });
        }
        (taken, dead)
    }

    /// Takes the first visible message out of the queue, as a task that moves messages does.
    pub(super) fn take_out(&mut self, now: i64) -> Option<Message> {
        self.wake(now);
        let id = self.ready.pop()?;
        self.forget(id)
    }

    /// Deletes by receipt; an old or already used receipt is no error, except where order depends on it.
    pub(super) fn delete(&mut self, receipt: &str, now: i64) -> Result<(), CallError> {
        self.wake(now);
        let Some(id) = self.receipts.get(receipt).copied() else { return Ok(()) };
        let valid = self.messages.get(&id).is_some_and(|message| message.is_held_by(receipt));
        if self.fifo && !valid {
            return Err(CallError::bad(
                "InvalidParameterValue",
                format!(
                    "Value {receipt} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
                ),
            ));
        }
        self.remove(id);
        Ok(())
    }

    /// Hides an in-flight message until then; false when the message is not in flight.
    pub(super) fn hide(&mut self, receipt: &str, until: i64, now: i64) -> bool {
        self.wake(now);
        let Some(id) = self.receipts.get(receipt).copied() else { return false };
        if self.messages.get(&id).is_none_or(|message| message.state != State::InFlight) {
            return false;
        }
        self.leave(id);
        if let Some(message) = self.messages.get_mut(&id) {
            message.visible_at = until;
        }
        self.enter(id, State::InFlight);
        self.wake(now);
        true
    }

    /// Empties the queue, once a minute.
    pub(super) fn purge(&mut self, name: &str, now: i64) -> Result<Value, CallError> {
        const PURGE_SECONDS: i64 = 60;
        if self.purged_ms.is_some_and(|purged| now < purged + PURGE_SECONDS * 1000) {
            return Err(CallError::new(
                403,
                "PurgeQueueInProgress",
                format!("Only one PurgeQueue operation on {name} is allowed every {PURGE_SECONDS} seconds."),
            ));
        }
        self.purged_ms = Some(now);
        self.messages.clear();
        self.ready.clear();
        self.delayed.clear();
        self.in_flight.clear();
        self.by_age.clear();
        self.receipts.clear();
        self.bytes = 0;
        Ok(json!({}))
    }

    /// Drops the messages that are past the queue's retention.
    pub(super) fn expire(&mut self, now: i64) {
        let oldest = now - self.seconds("MessageRetentionPeriod") * 1000;
        while let Some(&(since, id)) = self.by_age.first() {
            if since >= oldest {
                break;
            }
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u64) {
        self.leave(id);
        self.forget(id);
    }

    /// Lets go of a message that is in no state any more.
    fn forget(&mut self, id: u64) -> Option<Message> {
        let message = self.messages.remove(&id)?;
        self.by_age.remove(&(message.since_ms, id));
        self.bytes -= message.bytes();
        for receipt in &message.receipts {
            self.receipts.remove(receipt);
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    #[test]
    fn full_queue_lets_its_oldest_messages_go() {
        let mut queue = Queue::new("arn:aws:sqs:us-east-1:000000000000:q".to_owned(), false);
        let body = "x".repeat(1024 * 1024);
        for _ in 0..300 {
            queue.push(Message::new(body.clone(), Map::new(), 0));
        }
        assert!(queue.bytes() <= KEPT_BYTES && queue.bytes() > KEPT_BYTES / 2);
        let kept = queue.messages.len();
        assert_eq!((queue.bytes(), queue.by_age.len()), (kept * queue.messages[&299].bytes(), kept));
        let (taken, _) = queue.take(1, 1_000, clock::now_ms(), false);
        assert_eq!(taken.len(), 1);
        queue.drop_oldest(0);
        assert_eq!((queue.bytes(), queue.messages.len(), queue.receipts.len()), (0, 0, 0));
    }

    #[test]
    fn receipts_of_a_message_are_bounded() {
        let mut queue = Queue::new("arn:aws:sqs:us-east-1:000000000000:q".to_owned(), false);
        queue.push(Message::new("m".to_owned(), Map::new(), 0));
        for _ in 0..1_100 {
            queue.take(1, 0, clock::now_ms(), false);
        }
        assert_eq!((queue.receipts.len(), queue.messages[&0].receipts.len()), (1_000, 1_000));
    }
}
