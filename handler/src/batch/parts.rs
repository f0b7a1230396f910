//! A batch of a recipe that looks at it as a whole: its parts are stored and announced like single records, and each is done or
//! delivered again as a whole.

use std::ops::Range;

use streamkit_recipes::{Batched, ReceivedRecord};

use super::replay::Known;
use super::store::Stores;
use super::{BatchEffects, Failure, Job, Outcome, State, outcome};
use crate::event::{EventError, Replayed, ReplayedFailure};
use crate::received::{ReceivedBatch, whole};
use crate::record::IncomingRecord;
use crate::sink::Sink;

impl<S: Sink> Job<'_, S> {
    /// Processes a batch. Besides the outcome, whose failures are those of parts, gives the first record of each part.
    ///
    /// # Errors
    /// A record is none that the recipe reads.
    pub async fn run_batched(
        &self,
        batched: &dyn Batched,
        batch: &ReceivedBatch<'_>,
    ) -> Result<(Vec<IncomingRecord>, Outcome), EventError> {
        let records = batch.records();
        let mut effects = BatchEffects::new(Stores::new(None, 0));
        let (mut firsts, mut parts, mut states) = (Vec::new(), Vec::new(), Vec::new());
        for (place, part) in batched.process(&records, &self.config.bucket).into_iter().enumerate() {
            // Lambda knows a part by its first record: all from there on are delivered again.
            firsts.push(whole(records[part.records.start].json, self.config.recipe)?);
            parts.push(part.records);
            for object in part.effects.objects {
                effects.stores.add_object(place, object);
            }
            if !self.config.topic_arn.is_empty() {
                effects.notifications.extend(part.effects.notifications.into_iter().map(|message| (place, message)));
            }
            states.push(State::Done(part.effects.counts));
        }
        let mut known = Known::new(self.replay.as_ref(), &firsts);
        let margin = self.margin();
        self.store_objects(effects.stores.objects(), &mut known, &mut states, self.deadline - 3 * margin).await;
        retry_rejected(&mut states);
        self.publish(effects.notifications, &known, &firsts, &mut states, self.deadline - 2 * margin).await;
        retry_rejected(&mut states);
        let checkpoint = self.checkpoint(&states, &firsts);
        let mut outcome = outcome(&firsts, states, checkpoint, &known);
        // Of records, not of parts.
        (outcome.records, outcome.processed, outcome.duplicates) = (records.len(), 0, 0);
        outcome.retry = parts[checkpoint..].iter().map(Range::len).sum();
        for (place, part) in parts[..checkpoint].iter().enumerate() {
            if outcome.failures.iter().any(|failure| failure.place == place) {
                outcome.retry += part.len();
            } else if known.of(place).is_announced() {
                outcome.duplicates += part.len() * known.duplicate(place);
            } else {
                outcome.processed += part.len();
            }
        }
        if self.replay.is_some() {
            let mut failed = Vec::new();
            for failure in &outcome.failures {
                for record in &records[parts[failure.place].clone()] {
                    failed.push(self.replayed(record, failure)?);
                }
            }
            outcome.response.replay = Some(Replayed { records: records.len(), duplicates: outcome.duplicates, failed });
        }
        Ok((firsts, outcome))
    }

    fn replayed(&self, record: &ReceivedRecord<'_>, failure: &Failure) -> Result<ReplayedFailure, EventError> {
        let IncomingRecord { event_id, sequence_number, sub_sequence_number, .. } =
            whole(record.json, self.config.recipe)?;
        let (code, message) = (failure.code.clone(), failure.reason.clone());
        Ok(ReplayedFailure { sequence_number, sub_sequence_number, event_id, code, message, rejected: false })
    }
}

/// No record is the reason for a refusal, so no dead letter could say what is wrong with it.
fn retry_rejected(states: &mut [State]) {
    for state in states.iter_mut() {
        if let State::Rejected(rejected) = state {
            *state = State::Retry { code: rejected.code.to_owned(), reason: Some(rejected.message.clone()) };
        }
    }
}
