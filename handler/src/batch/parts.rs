//! A batch of a recipe that looks at it as a whole: its parts are stored and announced like single records, and each is done or
//! delivered again as a whole.

use streamkit_recipes::{Batched, ReceivedRecord};

use super::store::Stores;
use super::{BatchEffects, Job, Outcome, State, outcome};
use crate::event::EventError;
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
        let mut effects = BatchEffects { stores: Stores::new(None, 0), notifications: Vec::new() };
        let (mut firsts, mut sizes, mut states) = (Vec::new(), Vec::new(), Vec::new());
        for (place, part) in batched.process(&records, &self.config.bucket).into_iter().enumerate() {
            // Lambda knows a part by its first record: all from there on are delivered again.
            firsts.push(self.first(&records[part.records.start])?);
            sizes.push(part.records.len());
            for object in part.effects.objects {
                effects.stores.add_object(place, object);
            }
            if !self.config.topic_arn.is_empty() {
                effects.notifications.extend(part.effects.notifications.into_iter().map(|message| (place, message)));
            }
            states.push(State::Done(part.effects.counts));
        }
        let margin = self.margin();
        self.store(effects.stores, &mut states, self.deadline - 3 * margin).await;
        retry_rejected(&mut states);
        self.publish(&effects.notifications, &firsts, &mut states, self.deadline - 2 * margin).await;
        retry_rejected(&mut states);
        let checkpoint = super::checkpoint(&states, &firsts);
        let mut outcome = outcome(&firsts, states, checkpoint);
        // Of records, not of parts.
        outcome.processed = sizes[..checkpoint].iter().sum();
        outcome.retry = sizes[checkpoint..].iter().sum();
        Ok((firsts, outcome))
    }

    fn first(&self, record: &ReceivedRecord<'_>) -> Result<IncomingRecord, EventError> {
        whole(record.json, self.config.recipe)
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
