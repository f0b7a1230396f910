//! Reads the log groups of several functions as one, in the order of time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;

use crate::aws::{AwsError, Backoff, Clients, answered};

/// How far behind the newest line a look begins again: lines come late, and those of one moment not together.
const OVERLAP_MS: i64 = 30_000;
/// How long to wait when CloudWatch Logs is asked too often: it takes five requests a second of an account in some regions.
const THROTTLED: Backoff = Backoff::new(Duration::from_secs(1), 2.0, Duration::from_secs(20));

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands) struct Event {
    /// The place of its function in the list.
    pub(in crate::commands) function: usize,
    pub(in crate::commands) id: String,
    pub(in crate::commands) time_ms: i64,
    /// One for each execution environment.
    pub(in crate::commands) stream: String,
    pub(in crate::commands) message: String,
}

/// All that is read, merged.
pub(in crate::commands) struct Readers(Vec<Reader>);

impl Readers {
    /// Readers of these log groups, of which each is a function's.
    pub(in crate::commands) fn new<'g>(
        aws: &Arc<Clients>,
        groups: impl Iterator<Item = &'g str>,
        since_ms: i64,
    ) -> Self {
        let reader = |(function, group): (usize, &str)| Reader {
            aws: Arc::clone(aws),
            group: group.to_owned(),
            function,
            since_ms,
            start_ms: since_ms,
            newest_ms: None,
            seen: BTreeMap::new(),
            page: VecDeque::new(),
            next: Next::First,
        };
        Self(groups.enumerate().map(reader).collect())
    }

    /// The next line of all; `None` when all have been read to their ends.
    pub(in crate::commands) async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        for reader in &mut self.0 {
            reader.fill().await?;
        }
        let first = self.0.iter_mut().filter(|reader| !reader.page.is_empty());
        let first = first.min_by_key(|reader| reader.page.front().map(|event| event.time_ms));
        Ok(first.and_then(|reader| reader.page.pop_front()))
    }

    /// Begins again, for what has come since.
    pub(in crate::commands) fn again(&mut self) {
        self.0.iter_mut().for_each(Reader::again);
    }

    /// The log groups that there are not.
    pub(in crate::commands) fn missing(&self) -> Vec<&str> {
        self.0.iter().filter(|reader| reader.next == Next::Missing).map(|reader| reader.group.as_str()).collect()
    }
}

/// Where the next page is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    First,
    Token(String),
    End,
    /// There is no such log group.
    Missing,
}

struct Reader {
    aws: Arc<Clients>,
    group: String,
    function: usize,
    since_ms: i64,
    /// Where this look began.
    start_ms: i64,
    newest_ms: Option<i64>,
    /// The ids of lines that a later look may meet again, with their times.
    seen: BTreeMap<String, i64>,
    page: VecDeque<Event>,
    next: Next,
}

impl Reader {
    fn again(&mut self) {
        self.next = Next::First;
        self.start_ms = self.newest_ms.map_or(self.since_ms, |newest| (newest - OVERLAP_MS).max(self.since_ms));
        let start = self.start_ms;
        self.seen.retain(|_, time| *time >= start);
    }

    /// Reads on until there is a line, or no more.
    async fn fill(&mut self) -> anyhow::Result<()> {
        let mut pauses = THROTTLED;
        while self.page.is_empty() && !matches!(self.next, Next::End | Next::Missing) {
            match self.page().await {
                Ok(()) => pauses = THROTTLED,
                Err(error) if error.is(&["ThrottlingException", "LimitExceededException"]) => {
                    sleep(pauses.pause()).await;
                }
                Err(error) if error.is_missing() => self.next = Next::Missing,
                Err(error) => return Err(error).with_context(|| format!("reading the log group {}", self.group)),
            }
        }
        Ok(())
    }

    async fn page(&mut self) -> Result<(), AwsError> {
        let token = if let Next::Token(token) = &self.next { Some(token.clone()) } else { None };
        let call = self.aws.logs.filter_log_events().log_group_name(&self.group).start_time(self.start_ms);
        let page = answered(call.set_next_token(token).send().await)?;
        for event in page.events.unwrap_or_default() {
            let (Some(id), Some(time_ms)) = (event.event_id, event.timestamp) else { continue };
            if self.seen.insert(id.clone(), time_ms).is_some() {
                continue;
            }
            self.newest_ms = self.newest_ms.max(Some(time_ms));
            self.page.push_back(Event {
                function: self.function,
                id,
                time_ms,
                stream: event.log_stream_name.unwrap_or_default(),
                message: event.message.unwrap_or_default(),
            });
        }
        self.next = page.next_token.filter(|token| !token.is_empty()).map_or(Next::End, Next::Token);
        // Pages come in the order of time, so what is long past does not come again.
        let kept = self.newest_ms.unwrap_or(self.start_ms) - OVERLAP_MS;
        self.seen.retain(|_, time| *time >= kept);
        Ok(())
    }
}
