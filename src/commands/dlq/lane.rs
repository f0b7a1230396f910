//! Plays the messages of one shard, in its order, and deletes those whose records have come through.

use std::collections::HashSet;
use std::sync::Mutex;

use anyhow::Context as _;
use futures_util::future::OptionFuture;
use serde_json::{Value, json};
use streamkit_handler::dead_letter::REFUSED_BY;
use streamkit_handler::sink::MAX_DEAD_LETTER_BYTES;

use super::edit::{Edit, Edited, editable, with_payload};
use super::held::Held;
use super::played::Totals;
use super::reading::facts_of;
use super::redrive::{To, explained};
use super::stores::Chosen;
use super::units::{Lane, Unit};
use crate::commands::session::Session;
use crate::dead_letters::{Kind, Letter, Message, Receipt, Reread, reread_letter};
use crate::interrupt::Interrupt;
use crate::lock::locked;
use crate::pipeline::{Flow, FlowSource};
use crate::plan::Change;
use crate::playback::{Again, Failure, Mode, Played, Player, Rate, batches};
use crate::producer::{Producer, batches as put_batches};
use crate::records::{Content, SourceRecord};
use crate::report::{Bar, change_lines, escaped};
use crate::spool::Bodies;

/// The most letters that are played together, whatever the mapping's batch size is.
const LETTERS: usize = 500;

/// A redrive.
pub(super) struct Run<'a> {
    pub(super) session: &'a Session,
    pub(super) held: &'a [Held],
    pub(super) bodies: Bodies,
    pub(super) to: To,
    pub(super) edit: Option<Edit>,
    pub(super) rate: Rate,
    pub(super) chosen: Chosen<'a>,
    pub(super) now_ms: i64,
    pub(super) interrupt: Interrupt,
    pub(super) bar: Bar,
    pub(super) totals: Mutex<Totals>,
    /// Why no more is played.
    pub(super) stopped: Mutex<Option<anyhow::Error>>,
}

/// A letter that is to be played.
struct PlayedLetter<'u> {
    unit: &'u Unit,
    body: String,
    letter: Letter,
    record: SourceRecord,
}

impl Run<'_> {
    fn is_over(&self) -> bool {
        self.interrupt.is_set() || locked(&self.stopped).is_some()
    }

    fn flow(&self, lane: &Lane) -> &Flow {
        &self.session.pipeline.flows[lane.key.flow]
    }

    fn kind(&self, unit: &Unit) -> anyhow::Result<(String, Kind)> {
        let body = self.bodies.get(unit.body)?;
        let kind = Kind::of(&body);
        Ok((body, kind))
    }

    /// How many records the messages have.
    pub(super) fn count_records(&self, lanes: &[Lane]) -> anyhow::Result<u64> {
        let mut count = 0;
        for unit in lanes.iter().flat_map(|lane| &lane.units) {
            count += match self.kind(unit)?.1 {
                Kind::OnFailure(batch) => batch.records,
                _ => 1,
            };
        }
        Ok(count)
    }

    /// What the edit changes, for the first few letters.
    pub(super) async fn preview(&self, lanes: &[Lane], most: usize) -> anyhow::Result<Vec<String>> {
        let mut shown = Vec::new();
        for lane in lanes {
            for unit in &lane.units {
                if shown.len() >= most || self.is_over() {
                    return Ok(shown);
                }
                let (_, Kind::Letter(letter)) = self.kind(unit)? else { continue };
                let Some(edit) = &self.edit else { return Ok(shown) };
                let edited = self.payloads(edit, std::slice::from_ref(&letter.record)).await?.remove(0);
                shown.push(difference(&letter.event_id, &editable(&letter.record), &edited));
            }
        }
        Ok(shown)
    }

    /// What the edit makes of the records' payloads.
    async fn payloads(&self, edit: &Edit, records: &[SourceRecord]) -> anyhow::Result<Vec<Edited>> {
        let (edit, payloads) = (edit.clone(), records.iter().map(editable).collect::<Vec<_>>());
        // A program may take its time.
        Ok(tokio::task::spawn_blocking(move || edit.apply(&payloads)).await?)
    }

    /// The records as they are to be played: as they are, without an edit. `None` for those that are left where they are.
    async fn edited(&self, records: Vec<SourceRecord>) -> anyhow::Result<Vec<Option<SourceRecord>>> {
        let Some(edit) = &self.edit else { return Ok(records.into_iter().map(Some).collect()) };
        let payloads = self.payloads(edit, &records).await?;
        let edited = records.into_iter().zip(payloads).map(|(record, edited)| {
            let changed = match edited {
                Edited::Payload(payload) => with_payload(record, payload),
                Edited::Nothing => return None,
                Edited::Failed(why) => Err(why),
            };
            let note = |message| self.note_failure(&Failure { code: "EditFailed".to_owned(), message, rejected: true });
            changed.map_err(note).ok()
        });
        Ok(edited.collect())
    }

    /// Plays a lane to its end, or until all is to stop. Errors stop all lanes.
    pub(super) async fn play(&self, lane: &Lane) {
        let player = Player::new(&self.session.aws, &self.flow(lane).function);
        let lettered = lane.lettered();
        let mut units = lane.units.as_slice();
        let mut ahead = None;
        // Letters that came through, and are deleted while the next ones are played.
        let mut through: Vec<&Unit> = Vec::new();
        while let Some(first) = units.first() {
            if self.is_over() {
                break;
            }
            let most = LETTERS.min(self.rate.most()).min(self.flow(lane).batch_size.max(1));
            let count =
                if first.is_batch { 1 } else { units.iter().take(most).take_while(|unit| !unit.is_batch).count() };
            let (now, later) = units.split_at(count);
            let ended = if first.is_batch {
                let read = match ahead.take() {
                    Some(read) => read,
                    None => self.read_batch(lane, first).await,
                };
                // The next one is read while this one is played.
                let next = later.first().filter(|unit| unit.is_batch);
                let (ended, then) = futures_util::join!(
                    self.play_batch(lane, &player, first, read, &lettered),
                    OptionFuture::from(next.map(|unit| self.read_batch(lane, unit)))
                );
                ahead = then;
                ended
            } else {
                let (outcome, deleted) = futures_util::join!(
                    self.play_letters(lane, &player, now),
                    self.finished(std::mem::take(&mut through).into_iter())
                );
                deleted.and(outcome.map(|units| through = units))
            };
            if let Err(error) = ended {
                locked(&self.stopped).get_or_insert(error);
            }
            self.bar.inc(u64::try_from(count).unwrap_or(0));
            units = later;
        }
        if let Err(error) = self.finished(through.into_iter()).await {
            locked(&self.stopped).get_or_insert(error);
        }
    }

    /// Plays letters of one lane, and gives those that came through, which are to be deleted.
    async fn play_letters<'u>(&self, lane: &Lane, player: &Player, units: &'u [Unit]) -> anyhow::Result<Vec<&'u Unit>> {
        let mut letters: Vec<PlayedLetter<'_>> = Vec::new();
        let mut doubles: Vec<(usize, &'u Unit)> = Vec::new();
        for unit in units {
            let (body, Kind::Letter(letter)) = self.kind(unit)? else { continue };
            locked(&self.totals).read += 1;
            // A letter that is there twice, as after a lost answer of SQS's, is played once.
            if let Some(last) = letters.last()
                && last.unit.is_same_place(unit)
                && last.letter.record == letter.record
            {
                doubles.push((letters.len() - 1, unit));
                continue;
            }
            let Some(record) = self.record_of(&letter).await? else {
                locked(&self.totals).expired += 1;
                continue;
            };
            letters.push(PlayedLetter { unit, body, letter: *letter, record });
        }
        let records: Vec<_> = letters.iter().map(|letter| letter.record.clone()).collect();
        let edited = self.edited(records).await?.into_iter().zip(&letters).enumerate();
        let again = edited.filter_map(|(place, (record, letter))| {
            let was_rejected = !letter.letter.code.starts_with(REFUSED_BY);
            Some((place, Again { record: record?, failed_ms: Some(letter.unit.failed_ms), was_rejected }))
        });
        let (places, again): (Vec<usize>, Vec<Again>) = again.unzip();
        let outcome = self.deliver(lane, player, &again, Mode::Letters).await;
        let through: Vec<usize> = places
            .iter()
            .zip(&outcome.failures)
            .filter(|(_, failure)| failure.is_none())
            .map(|(place, _)| *place)
            .collect();
        let twice: Vec<_> = doubles.iter().filter(|(of, _)| through.contains(of)).map(|(_, unit)| *unit).collect();
        locked(&self.totals).duplicates += u64::try_from(twice.len())?;
        for (place, failure) in places.into_iter().zip(&outcome.failures) {
            let Some(failure) = failure.as_ref().filter(|failure| !failure.is_untried()) else { continue };
            if let Err(error) = self.keep(&letters[place], failure).await {
                // Those that came through are deleted all the same.
                locked(&self.stopped).get_or_insert(error);
                break;
            }
        }
        Ok(through.iter().map(|place| letters[*place].unit).chain(twice).collect())
    }

    fn note_failure(&self, failure: &Failure) {
        locked(&self.totals).failed_with(&failure.code);
    }

    /// The letter's record, read from the stream where the letter was too large for it; `None` if that has expired.
    async fn record_of(&self, letter: &Letter) -> anyhow::Result<Option<SourceRecord>> {
        if letter.without_payload {
            return reread_letter(&self.session.aws, letter).await;
        }
        Ok(Some(letter.record.clone()))
    }

    /// Reads the records of a batch again.
    async fn read_batch(&self, lane: &Lane, unit: &Unit) -> anyhow::Result<(Message, Reread)> {
        let (body, kind) = self.kind(unit)?;
        let read = match &kind {
            Kind::OnFailure(batch) => batch.reread(&self.session.aws, &self.flow(lane).filter).await?,
            Kind::Letter(_) | Kind::Other => Reread::default(),
        };
        let (id, receipt, sent_ms) = (String::new(), unit.receipt.clone(), unit.failed_ms);
        Ok((Message { id, receipt, body, kind, sent_ms, receives: 0 }, read))
    }

    /// Plays the records of a batch, and deletes its message if all came through or are letters now.
    async fn play_batch(
        &self,
        lane: &Lane,
        player: &Player,
        unit: &Unit,
        read: anyhow::Result<(Message, Reread)>,
        lettered: &HashSet<&str>,
    ) -> anyhow::Result<()> {
        let (message, Reread { records, expired }) = read?;
        let flow = self.flow(lane);
        let mut whole = expired == 0;
        // A redrive that was killed after it played this batch has made letters of some of its records: they are played as such.
        let records: Vec<_> =
            records.into_iter().filter(|record| !lettered.contains(&*record.sequence_number)).collect();
        let meant = |record: &SourceRecord| {
            self.chosen.selection.is_none_or(|selection| {
                facts_of(&message, Some(flow), Some(record), self.now_ms, |facts| selection.includes(facts))
            })
        };
        let before = records.len();
        let records: Vec<_> = records.into_iter().filter(meant).collect();
        whole &= records.len() == before;
        {
            let mut totals = locked(&self.totals);
            totals.read += u64::try_from(records.len())? + expired;
            totals.expired += expired;
        }
        let edited = self.edited(records).await?;
        whole &= edited.iter().all(Option::is_some);
        let again = edited.into_iter().flatten().map(|record| {
            // Of a batch nobody knows how far each record came.
            Again { record, failed_ms: Some(unit.failed_ms), was_rejected: false }
        });
        let again: Vec<Again> = again.collect();
        let most = flow.batch_size.max(1).min(self.rate.most());
        let mut from = 0;
        for end in batches(again.iter().map(|again| &again.record), most) {
            if self.is_over() {
                whole = false;
                break;
            }
            let outcome = self.deliver(lane, player, &again[from..end], Mode::Batches).await;
            for failure in outcome.failures.iter().flatten() {
                // A rejected record is a letter now.
                whole &= failure.rejected;
                if !failure.is_untried() {
                    self.note_failure(failure);
                }
            }
            from = end;
        }
        if whole { self.finished(std::iter::once(unit)).await } else { Ok(()) }
    }

    /// Plays records that fit one invocation, or puts them into the stream, and counts those that came through.
    async fn deliver(&self, lane: &Lane, player: &Player, again: &[Again], mode: Mode) -> Played {
        if again.is_empty() {
            return Played::default();
        }
        self.rate.wait(again.len()).await;
        let mut outcome = Played::default();
        if self.to == To::Source {
            match self.put(lane, again).await {
                Ok(failures) => outcome.failures = failures,
                Err(error) => {
                    locked(&self.stopped).get_or_insert(error);
                    outcome.failures = vec![Some(Failure::untried()); again.len()];
                }
            }
        } else {
            // Letters of one shard may be more than an invocation takes.
            let mut from = 0;
            for end in batches(again.iter().map(|again| &again.record), usize::MAX) {
                let (part, stopped) = player.play(&again[from..end], mode).await;
                outcome.failures.extend(part.failures);
                outcome.duplicates += part.duplicates;
                if let Some(stopped) = stopped {
                    locked(&self.stopped).get_or_insert_with(|| explained(stopped));
                }
                from = end;
            }
        }
        let through = u64::try_from(outcome.failures.iter().filter(|failure| failure.is_none()).count()).unwrap_or(0);
        let mut totals = locked(&self.totals);
        totals.duplicates += outcome.duplicates;
        totals.delivered += through.saturating_sub(outcome.duplicates);
        drop(totals);
        outcome
    }

    /// Puts records into the stream as new ones.
    async fn put(&self, lane: &Lane, again: &[Again]) -> anyhow::Result<Vec<Option<Failure>>> {
        // A letter may be of a source that the function had before.
        let is_change = |again: &Again| matches!(again.record.content, Content::Change { .. });
        let (FlowSource::Stream(stream), false) = (&self.flow(lane).source, again.iter().any(is_change)) else {
            return Err(crate::failure::Hint::usage(
                "a table's stream takes no records: only changes of the table are in it",
                "play to the function, which is what `--to function` does",
            ));
        };
        let events = again.iter().filter_map(|again| match &again.record.content {
            Content::Stream { partition_key, data, .. } => Some(streamkit_recipes::Event {
                partition_key: partition_key.clone().unwrap_or_else(|| again.record.sequence_number.clone()),
                data: data.clone(),
            }),
            Content::Change { .. } => None,
        });
        let producer = Producer::new(&self.session.aws, stream);
        let mut failures = Vec::with_capacity(again.len());
        for batch in put_batches(events.collect()) {
            let put = producer.put(&batch).await;
            let error = put.error.map_or_else(String::new, |error| error.to_string());
            failures.extend(put.positions.into_iter().map(|position| match position {
                Some(_) => None,
                None => Some(Failure { code: "NotPut".to_owned(), message: error.clone(), rejected: false }),
            }));
        }
        Ok(failures)
    }

    /// Deletes messages whose records have come through.
    async fn finished(&self, units: impl Iterator<Item = &Unit>) -> anyhow::Result<()> {
        let mut receipts: Vec<Vec<Receipt>> = vec![Vec::new(); self.held.len()];
        for unit in units {
            receipts[unit.place].push(unit.receipt.clone());
        }
        for (held, receipts) in self.held.iter().zip(receipts) {
            held.delete(&receipts).await?;
            locked(&self.totals).deleted += u64::try_from(receipts.len())?;
        }
        Ok(())
    }

    /// Leaves a letter in its queue, with the new error if that is another.
    async fn keep(&self, played: &PlayedLetter<'_>, failure: &Failure) -> anyhow::Result<()> {
        self.note_failure(failure);
        let Letter { code, message, .. } = &played.letter;
        if (&failure.code, &failure.message) == (code, message) {
            return Ok(());
        }
        let mut body: Value = serde_json::from_str(&played.body).context("reading a letter again")?;
        // One that SNS has passed on stays as it is.
        if body.get("error").is_none() {
            return Ok(());
        }
        body["error"] = json!({ "code": failure.code, "message": failure.message });
        let body = body.to_string();
        // The queue has taken the letter as it is, and would not take a larger one.
        if body.len() > played.body.len().max(MAX_DEAD_LETTER_BYTES) {
            return Ok(());
        }
        self.held[played.unit.place].replace(&played.unit.receipt, &body, &played.letter.event_id).await
    }
}

/// What an edit changes in a payload, line by line.
fn difference(id: &str, old: &[u8], edited: &Edited) -> String {
    let id = escaped(id);
    let value = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(bytes)));
    match edited {
        Edited::Failed(why) => format!("{id}\n  can't be edited: {}\n", escaped(why)),
        Edited::Nothing => format!("{id}\n  is left where it is\n"),
        Edited::Payload(new) if new == old => format!("{id}\n  stays as it is\n"),
        Edited::Payload(new) => {
            let (from, to): (Value, Value) = (value(old), value(new));
            let change = Change { field: "payload".to_owned(), from, to };
            change_lines(&change, false)
                .iter()
                .fold(format!("{id}\n"), |text, line| format!("{text}  {}\n", escaped(line)))
        }
    }
}
