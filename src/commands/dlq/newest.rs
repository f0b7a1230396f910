//! What failed last, for a screen: code, function and payload.

use serde_json::Value;

use super::held::{Held, give_all_back};
use super::reading::{failed_ms, payload};
use super::stores::{self, flow_of};
use crate::commands::session::Session;
use crate::dead_letters::Kind;

/// How many messages of a queue are looked at.
const LOOKED_AT: usize = 50;

/// A failed record or batch.
#[derive(Debug)]
pub(in crate::commands) struct Failed {
    pub(in crate::commands) at_ms: i64,
    /// The recipe's error code, or the condition under which a mapping gave up.
    pub(in crate::commands) code: String,
    /// By its name in the spec.
    pub(in crate::commands) function: String,
    /// The payload, as far as the message has it; of a batch what happened.
    pub(in crate::commands) said: String,
}

/// The newest of what lies in the pipeline's queues, newest first. Messages are hidden from others only while they are read.
pub(in crate::commands) async fn newest(session: &Session, most: usize) -> anyhow::Result<Vec<Failed>> {
    let mut all = Vec::new();
    for place in stores::find(session, None).await?.iter().filter(|place| place.unread.is_none()) {
        let mut held = Held::new(&place.store);
        let mut read = async || {
            while held.len() < LOOKED_AT {
                let messages = held.receive(LOOKED_AT - held.len()).await?;
                if messages.is_empty() {
                    break;
                }
                all.extend(messages);
            }
            anyhow::Ok(())
        };
        let read = read().await;
        give_all_back(vec![held], read).await?;
    }
    all.sort_by_key(|message| std::cmp::Reverse(failed_ms(message)));
    let failed = all.iter().take(most).map(|message| {
        let said = match &message.kind {
            Kind::Letter(letter) if !letter.without_payload => match payload(&letter.record) {
                Value::String(text) => text,
                other => other.to_string(),
            },
            Kind::Letter(_) | Kind::OnFailure(_) => message.kind.message(),
            Kind::Other => message.body.clone(),
        };
        let function = flow_of(session, message).map(|flow| flow.key.as_str()).or(message.kind.function());
        Failed {
            at_ms: failed_ms(message),
            code: message.kind.code().to_owned(),
            function: function.unwrap_or_default().to_owned(),
            said,
        }
    });
    Ok(failed.collect())
}
