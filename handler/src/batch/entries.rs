//! Dead letters and notifications as the entries of batch calls (`SendMessageBatch`, `PublishBatch`): as many to a call as
//! the service allows, and again the entries that it failed for reasons of its own.

use futures_util::{StreamExt as _, stream};
use streamkit_recipes::Notification;
use tokio::time::Instant;

use super::{pause, within};
use crate::dead_letter::DeadLetter;
use crate::sink::{MAX_DEAD_LETTER_BYTES, MAX_DEAD_LETTERS, MAX_NOTIFICATION_BYTES, MAX_NOTIFICATIONS, SinkError};

/// One entry of a batch call.
pub(super) trait BatchEntry {
    /// The most entries of one call.
    const MAX_ENTRIES: usize;
    /// The most bytes of one call.
    const MAX_BYTES: usize;
    /// How many calls run at once.
    const CONCURRENT_CALLS: usize;
    /// Whether an entry that the service rejects for good has to be delivered to the function again, as one that failed for
    /// now has to be.
    const RETRIES_WHEN_REJECTED: bool;

    /// The bytes that count towards [`MAX_BYTES`](Self::MAX_BYTES).
    fn bytes(&self) -> usize;

    /// Whether Lambda will deliver the entry's record again. It delivers all records behind that one again too, so their
    /// entries must not be sent now.
    fn retries_after(error: &SinkError) -> bool {
        Self::RETRIES_WHEN_REJECTED || !error.permanent
    }
}

impl BatchEntry for DeadLetter {
    const MAX_ENTRIES: usize = MAX_DEAD_LETTERS;
    const MAX_BYTES: usize = MAX_DEAD_LETTER_BYTES;
    const CONCURRENT_CALLS: usize = 1;
    // There is nowhere else to put the record, so Lambda has to keep it.
    const RETRIES_WHEN_REJECTED: bool = true;

    fn bytes(&self) -> usize {
        Self::bytes(self)
    }
}

impl BatchEntry for Notification {
    const MAX_ENTRIES: usize = MAX_NOTIFICATIONS;
    const MAX_BYTES: usize = MAX_NOTIFICATION_BYTES;
    const CONCURRENT_CALLS: usize = 4;
    // Its record becomes a dead letter.
    const RETRIES_WHEN_REJECTED: bool = false;

    fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len());
        self.message.len() + self.subject.len() + attributes.sum::<usize>()
    }
}

/// When no further call is started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Once a record has to be delivered again: the records behind it are delivered again too, and their entries would be sent
    /// twice.
    FirstRetry,
    /// When all entries have been tried: those that failed are told, each by itself.
    End,
}

/// Sends entries, each with its record's place in the batch, and returns the places and errors of those that failed.
pub(super) async fn send_all<E: BatchEntry>(
    entries: &[(usize, &E)],
    end: Until,
    until: Instant,
    call: impl AsyncFn(&[&E]) -> Result<Vec<(usize, SinkError)>, SinkError>,
) -> Vec<(usize, SinkError)> {
    let call = &call;
    let chunks = chunks(entries).into_iter().map(|chunk| async move {
        let entries: Vec<&E> = chunk.iter().map(|(_, entry)| *entry).collect();
        let failed = send_chunk(&entries, end, until, call).await;
        failed.into_iter().map(|(place, error)| (chunk[place].0, error)).collect::<Vec<_>>()
    });
    let mut sending = stream::iter(chunks).buffered(E::CONCURRENT_CALLS);
    let mut all = Vec::new();
    while let Some(failed) = sending.next().await {
        let stop = end == Until::FirstRetry && failed.iter().any(|(_, error)| E::retries_after(error));
        all.extend(failed);
        if stop {
            break;
        }
    }
    all
}

/// Splits entries into the chunks of single calls.
fn chunks<'a, E: BatchEntry>(entries: &'a [(usize, &'a E)]) -> Vec<&'a [(usize, &'a E)]> {
    let mut all = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take(E::MAX_ENTRIES).take_while(|(_, entry)| {
            bytes += entry.bytes();
            bytes <= E::MAX_BYTES
        });
        let (chunk, later) = rest.split_at(fitting.count().max(1));
        all.push(chunk);
        rest = later;
    }
    all
}

/// Sends the entries of one chunk, and returns those that failed, lowest place first.
async fn send_chunk<E: BatchEntry>(
    entries: &[&E],
    end: Until,
    until: Instant,
    call: &impl AsyncFn(&[&E]) -> Result<Vec<(usize, SinkError)>, SinkError>,
) -> Vec<(usize, SinkError)> {
    match send_batch(entries, until, call).await {
        Ok(failed) => failed,
        Err(error) if entries.len() == 1 => vec![(0, error)],
        // Aggregation they may be too long for a service with lower limits.
        Err(error) if error.permanent => {
            let mut all = Vec::new();
            for (place, &entry) in entries.iter().enumerate() {
                let failed = send_batch(&[entry], until, call).await.unwrap_or_else(|error| vec![(0, error)]);
                all.extend(failed.into_iter().map(|(_, error)| (place, error)));
                if end == Until::FirstRetry && all.iter().any(|(_, error)| E::retries_after(error)) {
                    break;
                }
            }
            all
        }
        Err(error) if end == Until::End => (0..entries.len()).map(|place| (place, error.clone())).collect(),
        Err(error) => vec![(0, error)],
    }
}

/// Sends entries in one call, and again those that the service failed for reasons of its own.
async fn send_batch<E>(
    entries: &[&E],
    until: Instant,
    call: &impl AsyncFn(&[&E]) -> Result<Vec<(usize, SinkError)>, SinkError>,
) -> Result<Vec<(usize, SinkError)>, SinkError> {
    let mut failed = Vec::new();
    let mut open: Vec<usize> = (0..entries.len()).collect();
    for attempt in 0.. {
        let sent: Vec<&E> = open.iter().map(|&place| entries[place]).collect();
        let errors = within(until, call(&sent)).await?;
        let errors = errors.into_iter().filter_map(|(place, error)| Some((*open.get(place)?, error)));
        let (permanent, transient): (Vec<_>, Vec<_>) = errors.partition(|(_, error)| error.permanent);
        failed.extend(permanent);
        if transient.is_empty() {
            break;
        }
        if !pause(attempt, until).await {
            failed.extend(transient);
            break;
        }
        open = transient.into_iter().map(|(place, _)| place).collect();
    }
    failed.sort_by_key(|(place, _)| *place);
    Ok(failed)
}
