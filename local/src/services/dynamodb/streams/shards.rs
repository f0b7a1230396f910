//! The shards of a stream, which take its records one after the other: each but the last is closed, and the parent of the next.
//!
//! See <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html>.

use std::collections::VecDeque;

use serde_json::{Value, json};
use streamkit_wire::CallError;

use super::log::Log;

/// When a shard is closed and another takes its place.
#[derive(Debug, Clone, Copy)]
pub(in crate::services::dynamodb) struct RollOver {
    pub(super) age_ms: i64,
    pub(super) changes: u128,
}

impl RollOver {
    /// AWS closes a shard after about four hours; so that this is met in a test, too, one takes so many changes here.
    pub(in crate::services::dynamodb) const STRICT: Self = Self { age_ms: 4 * 3_600_000, changes: 2000 };
}

pub(super) struct Shards {
    /// What makes the identifiers of one stream differ from those of another.
    stream: u32,
    /// The oldest first; never empty.
    all: VecDeque<Shard>,
}

#[derive(Debug, Clone)]
pub(super) struct Shard {
    pub(super) id: String,
    parent: Option<String>,
    made_ms: i64,
    /// Its records have greater numbers.
    starting: u128,
    /// Its last number, and when it was closed.
    ended: Option<(u128, i64)>,
}

impl Shard {
    fn new(stream: u32, made_ms: i64, starting: u128, parent: Option<String>) -> Self {
        Self { id: format!("shardId-{made_ms:020}-{stream:08x}"), parent, made_ms, starting, ended: None }
    }

    fn describe(&self) -> Value {
        let mut range = json!({"StartingSequenceNumber": self.starting.to_string()});
        if let Some((last, _)) = self.ended {
            range["EndingSequenceNumber"] = json!(last.to_string());
        }
        let mut shown = json!({"ShardId": self.id, "SequenceNumberRange": range});
        if let Some(parent) = &self.parent {
            shown["ParentShardId"] = json!(parent);
        }
        shown
    }

    /// The number after which its kept records come.
    pub(super) fn horizon(&self, log: &Log) -> u128 {
        self.starting.max(log.trimmed).min(self.last(log))
    }

    /// The number of its newest record, or the one that it began with.
    pub(super) fn last(&self, log: &Log) -> u128 {
        self.ended.map_or(log.last, |(last, _)| last)
    }

    /// Whether there is nothing after this number, and never will be.
    pub(super) fn is_over(&self, number: u128) -> bool {
        self.ended.is_some_and(|(last, _)| number >= last)
    }

    /// The number after which reading goes on that is to begin after this one.
    pub(super) fn after(&self, number: u128, log: &Log) -> Result<u128, CallError> {
        if number < self.starting || number > self.last(log) {
            return Err(CallError::bad("ValidationException", "Invalid SequenceNumber for the shard"));
        }
        if number < self.horizon(log) { Err(trimmed()) } else { Ok(number) }
    }

    /// The same for what is to begin with this number, which may be the one that the shard began with.
    pub(super) fn at(&self, number: u128, log: &Log) -> Result<u128, CallError> {
        let after = self.after(number, log)?;
        if after > self.starting && after == self.horizon(log) && after == log.trimmed {
            return Err(trimmed());
        }
        Ok(after.saturating_sub(1).max(self.horizon(log)))
    }
}

impl Shards {
    pub(super) fn new(stream: u32, made_ms: i64, starting: u128) -> Self {
        Self { stream, all: VecDeque::from([Shard::new(stream, made_ms, starting, None)]) }
    }

    pub(super) fn find(&self, id: &str) -> Option<&Shard> {
        self.all.iter().find(|shard| shard.id == id)
    }

    /// Closes the last shard for good.
    pub(super) fn close(&mut self, log: &Log, now_ms: i64) {
        if let Some(open) = self.all.back_mut() {
            open.ended = Some((log.last, now_ms));
        }
    }

    /// Lets another shard go on where the open one has had its time or its changes.
    pub(super) fn roll_over(&mut self, log: &mut Log, at: RollOver, now_ms: i64) {
        let Some(open) = self.all.back_mut().filter(|open| open.ended.is_none()) else { return };
        let is_full = log.last - open.starting >= at.changes;
        if !is_full && now_ms - open.made_ms < at.age_ms {
            return;
        }
        open.ended = Some((log.last, now_ms));
        // Identifiers grow with time.
        let made_ms = now_ms.max(open.made_ms + 1);
        let next = Shard::new(self.stream, made_ms, log.skip(), Some(open.id.clone()));
        self.all.push_back(next);
    }

    /// Forgets shards that were closed before this time, but not the last.
    pub(super) fn expire(&mut self, before_ms: i64) {
        while self.all.len() > 1
            && self.all.front().and_then(|shard| shard.ended).is_some_and(|(_, ended_ms)| ended_ms < before_ms)
        {
            self.all.pop_front();
        }
    }

    /// A page of descriptions, and where the next begins.
    pub(super) fn page(
        &self,
        after: Option<&str>,
        child_of: Option<&str>,
        limit: usize,
    ) -> (Vec<Value>, Option<String>) {
        let wanted = |shard: &&Shard| {
            after.is_none_or(|after| shard.id.as_str() > after)
                && child_of.is_none_or(|parent| shard.parent.as_deref() == Some(parent))
        };
        let mut wanted = self.all.iter().filter(wanted).peekable();
        let page: Vec<&Shard> = wanted.by_ref().take(limit).collect();
        let last = page.last().filter(|_| wanted.peek().is_some()).map(|shard| shard.id.clone());
        (page.into_iter().map(Shard::describe).collect(), last)
    }
}

pub(super) fn trimmed() -> CallError {
    CallError::bad(
        "TrimmedDataAccessException",
        "The operation attempted to read past the oldest stream record in a shard.",
    )
}
