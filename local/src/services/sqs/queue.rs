//! One queue: its attributes, tags, and its messages by what can be done with them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde_json::{Map, Value};
use streamkit_wire::{CallError, clock};

use super::attributes::{self, DEFAULTS, FIFO_DEFAULTS};
use super::messages::Message;

/// Sent within this time, a message with the same deduplication id is the same message.
const DEDUPLICATION_MS: i64 = 5 * 60 * 1000;

pub(super) struct Queue {
    pub(super) arn: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) fifo: bool,
    /// What was set; what was not has its default.
    settings: BTreeMap<String, String>,
    created_ms: i64,
    modified_ms: i64,
    next: u64,
    /// No message has a lower number.
    oldest: u64,
    messages: HashMap<u64, Message>,
    /// Visible messages in order of arrival.
    ready: VecDeque<u64>,
    /// Delayed and in-flight messages by when they become visible.
    hidden: BTreeSet<(i64, u64)>,
    receipts: HashMap<String, u64>,
    /// FIFO deduplication id → ((message id, sequence number), until).
    recent: HashMap<String, ((String, String), i64)>,
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
            next: 0,
            oldest: 0,
            messages: HashMap::new(),
            ready: VecDeque::new(),
            hidden: BTreeSet::new(),
            receipts: HashMap::new(),
            recent: HashMap::new(),
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
        for (name, value) in given {
            // An empty policy, redrive policy or key takes the setting away.
            if value.is_empty() {
                self.settings.remove(&name);
                continue;
            }
            match (name.as_str(), value.as_str()) {
                // The two kinds of encryption exclude each other.
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

    pub(super) fn attributes(&mut self, wanted: &[String], now: i64) -> Map<String, Value> {
        let counts = self.counts_after_wake(now);
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

    pub(super) fn counts(&self, now: i64) -> Counts {
        let woken = self.hidden.range(..=(now, u64::MAX)).count();
        let asleep = self.hidden.range((now + 1, 0)..);
        let delayed = asleep.clone().filter(|(_, id)| self.messages.get(id).is_some_and(|it| it.receives == 0)).count();
        Counts { visible: self.ready.len() + woken, in_flight: asleep.count() - delayed, delayed }
    }

    /// When the oldest message was sent.
    pub(super) fn oldest_ms(&mut self) -> Option<i64> {
        while self.oldest < self.next && !self.messages.contains_key(&self.oldest) {
            self.oldest += 1;
        }
        self.messages.get(&self.oldest).map(|message| message.sent_ms)
    }

    fn counts_after_wake(&mut self, now: i64) -> Counts {
        self.wake(now);
        self.counts(now)
    }

    /// Makes messages visible whose delay or visibility timeout has passed.
    fn wake(&mut self, now: i64) {
        while let Some(&(at, id)) = self.hidden.first() {
            if at > now {
                break;
            }
            self.hidden.pop_first();
            self.show(id);
        }
    }

    /// Makes a message visible: in a FIFO queue in its old place, else behind all others.
    fn show(&mut self, id: u64) {
        let place = if self.fifo { self.ready.partition_point(|other| *other < id) } else { self.ready.len() };
        self.ready.insert(place, id);
    }

    /// When the next hidden message becomes visible.
    pub(super) fn next_wake(&self) -> Option<i64> {
        self.hidden.first().map(|(at, _)| *at)
    }

    /// Message id and sequence number that a repeated FIFO send must answer with.
    pub(super) fn duplicate_of(&mut self, deduplication: &str, now: i64) -> Option<(String, String)> {
        self.recent.retain(|_, (_, until)| *until > now);
        self.recent.get(deduplication).map(|(sent, _)| sent.clone())
    }

    pub(super) fn remember(&mut self, deduplication: String, sent: (String, String), now: i64) {
        self.recent.insert(deduplication, (sent, now + DEDUPLICATION_MS));
    }

    /// The sequence number of the next message of a FIFO queue.
    pub(super) fn next_sequence(&self) -> String {
        format!("1{:019}", self.next)
    }

    pub(super) fn push(&mut self, message: Message) {
        let id = self.next;
        self.next += 1;
        if message.visible_at > clock::now_ms() {
            self.hidden.insert((message.visible_at, id));
        } else {
            self.ready.push_back(id);
        }
        self.messages.insert(id, message);
    }

    /// Takes up to `most` visible messages, hides them, and gives them with their receipts. Those that were received too
    /// often come back second, for the dead letter queue.
    pub(super) fn take(&mut self, most: usize, hide_ms: i64, now: i64) -> (Vec<Message>, Vec<Message>) {
        self.wake(now);
        let redrive = self.redrive();
        let (mut taken, mut dead) = (Vec::new(), Vec::new());
        // A FIFO group delivers nothing more while a message of it is in flight from an earlier receive.
        let busy = if self.fifo { self.groups_in_flight() } else { BTreeSet::new() };
        let mut skipped = Vec::new();
        while taken.len() < most {
            let Some(id) = self.ready.pop_front() else { break };
            let Some(message) = self.messages.get_mut(&id) else { continue };
            if message.group.as_ref().is_some_and(|group| busy.contains(group)) {
                skipped.push(id);
                continue;
            }
            if redrive.as_ref().is_some_and(|(_, most)| message.receives >= *most) {
                dead.extend(self.remove(id));
                continue;
            }
            let receipt = message.receive(now);
            message.visible_at = now + hide_ms;
            taken.push(message.clone());
            if hide_ms > 0 {
                self.hidden.insert((now + hide_ms, id));
            } else {
                skipped.push(id);
            }
            self.receipts.insert(receipt, id);
        }
        skipped.into_iter().rev().for_each(|id| self.ready.push_front(id));
        (taken, dead)
    }

    fn groups_in_flight(&self) -> BTreeSet<String> {
        self.hidden.iter().filter_map(|(_, id)| self.messages.get(id)?.group.clone()).collect()
    }

    /// Deletes by receipt; an old or already used receipt is no error.
    pub(super) fn delete(&mut self, receipt: &str) {
        if let Some(id) = self.receipts.get(receipt).copied() {
            self.remove(id);
        }
    }

    /// Hides an in-flight message until then; false when the receipt is unknown.
    pub(super) fn hide(&mut self, receipt: &str, until: i64, now: i64) -> bool {
        self.wake(now);
        let Some(id) = self.receipts.get(receipt).copied() else { return false };
        let Some(message) = self.messages.get_mut(&id) else { return false };
        let was = (message.visible_at, id);
        if !self.hidden.remove(&was) {
            self.ready.retain(|other| *other != id);
        }
        message.visible_at = until;
        self.hidden.insert((until, id));
        true
    }

    pub(super) fn purge(&mut self) {
        self.messages.clear();
        self.ready.clear();
        self.hidden.clear();
        self.receipts.clear();
    }

    pub(super) fn expire(&mut self, now: i64) {
        let oldest = now - self.seconds("MessageRetentionPeriod") * 1000;
        let gone: Vec<u64> =
            self.messages.iter().filter(|(_, message)| message.sent_ms < oldest).map(|(id, _)| *id).collect();
        for id in gone {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Message> {
        let message = self.messages.remove(&id)?;
        if !self.hidden.remove(&(message.visible_at, id)) {
            self.ready.retain(|other| *other != id);
        }
        for receipt in &message.receipts {
            self.receipts.remove(receipt);
        }
        Some(message)
    }
}
