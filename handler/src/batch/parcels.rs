//! Messages in as few calls as possible: dead letters and notifications, several to a call by number and size, and again
//! those that the service did not take.

use futures_util::{StreamExt as _, stream};
use streamkit_recipes::Notification;
use tokio::time::Instant;

use super::{pause, within};
use crate::dead_letter::Letter;
use crate::sink::{Fault, MAX_LETTER_BYTES, MAX_LETTERS, MAX_NOTIFICATION_BYTES, MAX_NOTIFICATIONS};

/// A message that goes with others.
pub(super) trait Parcel {
    /// The most of one call.
    const MAX: usize;
    /// The most bytes of one call.
    const MAX_BYTES: usize;
    /// How many calls run at once.
    const CALLS: usize;
    /// Whether one that can never be taken ends the sending, like one that may be taken later.
    const REFUSAL_ENDS: bool;
    /// What it counts towards the bytes of a call.
    fn bytes(&self) -> usize;

    /// Whether what lies behind comes again, and would be sent twice if it was sent now.
    fn ends(fault: &Fault) -> bool {
        Self::REFUSAL_ENDS || !fault.permanent
    }
}

impl Parcel for Letter {
    const MAX: usize = MAX_LETTERS;
    const MAX_BYTES: usize = MAX_LETTER_BYTES;
    const CALLS: usize = 1;
    // There is no other place for it: Lambda has to deliver the record again.
    const REFUSAL_ENDS: bool = true;

    fn bytes(&self) -> usize {
        Self::bytes(self)
    }
}

impl Parcel for Notification {
    const MAX: usize = MAX_NOTIFICATIONS;
    const MAX_BYTES: usize = MAX_NOTIFICATION_BYTES;
    const CALLS: usize = 4;
    // Its record becomes a dead letter.
    const REFUSAL_ENDS: bool = false;

    fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len());
        self.message.len() + self.subject.len() + attributes.sum::<usize>()
    }
}

/// Sends messages, each with its record's place, and returns the places of records whose message was not taken. Once
/// a record has to come again, no more calls are begun: what lies behind it comes again too, and would be sent twice.
pub(super) async fn send_all<P: Parcel>(
    parcels: &[(usize, &P)],
    until: Instant,
    call: impl AsyncFn(&[&P]) -> Result<Vec<(usize, Fault)>, Fault>,
) -> Vec<(usize, Fault)> {
    let call = &call;
    let chunks = chunks(parcels).into_iter().map(|chunk| async move {
        let together: Vec<&P> = chunk.iter().map(|(_, parcel)| *parcel).collect();
        let refused = send_chunk(&together, until, call).await;
        refused.into_iter().map(|(place, fault)| (chunk[place].0, fault)).collect::<Vec<_>>()
    });
    let mut sending = stream::iter(chunks).buffered(P::CALLS);
    let mut all = Vec::new();
    while let Some(refused) = sending.next().await {
        let stop = refused.iter().any(|(_, fault)| P::ends(fault));
        all.extend(refused);
        if stop {
            break;
        }
    }
    all
}

/// Shares messages out to calls.
fn chunks<'a, P: Parcel>(parcels: &'a [(usize, &'a P)]) -> Vec<&'a [(usize, &'a P)]> {
    let mut all = Vec::new();
    let mut rest = parcels;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take(P::MAX).take_while(|(_, parcel)| {
            bytes += parcel.bytes();
            bytes <= P::MAX_BYTES
        });
        let (chunk, later) = rest.split_at(fitting.count().max(1));
        all.push(chunk);
        rest = later;
    }
    all
}

/// Returns the messages that could not be sent, lowest first.
async fn send_chunk<P: Parcel>(
    parcels: &[&P],
    until: Instant,
    call: &impl AsyncFn(&[&P]) -> Result<Vec<(usize, Fault)>, Fault>,
) -> Vec<(usize, Fault)> {
    match send_together(parcels, until, call).await {
        Ok(refused) => refused,
        Err(fault) if parcels.len() == 1 => vec![(0, fault)],
        // Together they may be too long for a service with lower limits.
        Err(fault) if fault.permanent => {
            let mut all = Vec::new();
            for (place, &parcel) in parcels.iter().enumerate() {
                let refused = send_together(&[parcel], until, call).await.unwrap_or_else(|fault| vec![(0, fault)]);
                all.extend(refused.into_iter().map(|(_, fault)| (place, fault)));
                if all.iter().any(|(_, fault)| P::ends(fault)) {
                    break;
                }
            }
            all
        }
        Err(fault) => vec![(0, fault)],
    }
}

/// Sends messages in one call, and again those that the service did not take for its own reasons.
async fn send_together<P>(
    parcels: &[&P],
    until: Instant,
    call: &impl AsyncFn(&[&P]) -> Result<Vec<(usize, Fault)>, Fault>,
) -> Result<Vec<(usize, Fault)>, Fault> {
    let mut refused = Vec::new();
    let mut open: Vec<usize> = (0..parcels.len()).collect();
    for attempt in 0.. {
        let sent: Vec<&P> = open.iter().map(|&place| parcels[place]).collect();
        let failed = within(until, call(&sent)).await?;
        let failed = failed.into_iter().filter_map(|(place, fault)| Some((*open.get(place)?, fault)));
        let (permanent, again): (Vec<_>, Vec<_>) = failed.partition(|(_, fault)| fault.permanent);
        refused.extend(permanent);
        if again.is_empty() {
            break;
        }
        if !pause(attempt, until).await {
            refused.extend(again);
            break;
        }
        open = again.into_iter().map(|(place, _)| place).collect();
    }
    refused.sort_by_key(|(place, _)| *place);
    Ok(refused)
}
