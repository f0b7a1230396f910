//! A sink in memory whose calls fail as a test says.

use std::cell::RefCell;
use std::collections::BTreeMap;

use streamkit_recipes::{Attribute, OutgoingRecord};

use super::*;
use crate::sink::WindowTable;

type Write = dyn FnMut(&[&Item]) -> Result<Vec<usize>, SinkError>;
type PutRecords = dyn FnMut(&[&OutgoingRecord]) -> Result<Vec<(usize, SinkError)>, SinkError>;
type Put = dyn FnMut(&Object) -> Result<(), SinkError>;
type Publish = dyn FnMut(&[&Notification]) -> Result<Vec<(usize, SinkError)>, SinkError>;
type Call = dyn FnMut() -> Result<(), SinkError>;
type Send = dyn FnMut(&[&DeadLetter]) -> Result<Vec<(usize, SinkError)>, SinkError>;

/// A table, a bucket, a stream, a topic and a queue in memory; `write`, `query`, `put_grown`, `put`, `put_records`, `publish` and
/// `send` say how a call fails.
pub(super) struct FakeSink {
    pub(super) write: RefCell<Box<Write>>,
    pub(super) put: RefCell<Box<Put>>,
    pub(super) put_records: RefCell<Box<PutRecords>>,
    /// All that was put into the stream, in order, and how many records each call had.
    pub(super) stream: RefCell<Vec<OutgoingRecord>>,
    pub(super) record_calls: RefCell<Vec<usize>>,
    pub(super) publish: RefCell<Box<Publish>>,
    pub(super) send: RefCell<Box<Send>>,
    pub(super) query: RefCell<Box<Call>>,
    pub(super) put_grown: RefCell<Box<Call>>,
    pub(super) bucket: RefCell<BTreeMap<String, Value>>,
    /// The sequence numbers of all that was published.
    pub(super) topic: RefCell<Vec<String>>,
    pub(super) publishes: RefCell<Vec<usize>>,
    pub(super) table: RefCell<BTreeMap<String, Item>>,
    /// States by their keys.
    pub(super) states: RefCell<BTreeMap<String, Item>>,
    pub(super) queue: RefCell<Vec<Value>>,
    pub(super) writes: RefCell<Vec<usize>>,
    pub(super) sends: RefCell<Vec<usize>>,
}

impl Default for FakeSink {
    fn default() -> Self {
        Self {
            write: RefCell::new(Box::new(|_| Ok(vec![]))),
            put: RefCell::new(Box::new(|_| Ok(()))),
            put_records: RefCell::new(Box::new(|_| Ok(vec![]))),
            stream: RefCell::default(),
            record_calls: RefCell::default(),
            publish: RefCell::new(Box::new(|_| Ok(vec![]))),
            query: RefCell::new(Box::new(|| Ok(()))),
            put_grown: RefCell::new(Box::new(|| Ok(()))),
            bucket: RefCell::default(),
            topic: RefCell::default(),
            publishes: RefCell::default(),
            send: RefCell::new(Box::new(|_| Ok(vec![]))),
            table: RefCell::default(),
            states: RefCell::default(),
            queue: RefCell::default(),
            writes: RefCell::default(),
            sends: RefCell::default(),
        }
    }
}

impl FakeSink {
    pub(super) fn writing(write: impl FnMut(&[&Item]) -> Result<Vec<usize>, SinkError> + 'static) -> Self {
        Self { write: RefCell::new(Box::new(write)), ..Self::default() }
    }

    pub(super) fn sending(
        send: impl FnMut(&[&DeadLetter]) -> Result<Vec<(usize, SinkError)>, SinkError> + 'static,
    ) -> Self {
        Self { send: RefCell::new(Box::new(send)), ..Self::default() }
    }

    pub(super) fn putting(put: impl FnMut(&Object) -> Result<(), SinkError> + 'static) -> Self {
        Self { put: RefCell::new(Box::new(put)), ..Self::default() }
    }

    pub(super) fn publishing(
        publish: impl FnMut(&[&Notification]) -> Result<Vec<(usize, SinkError)>, SinkError> + 'static,
    ) -> Self {
        Self { publish: RefCell::new(Box::new(publish)), ..Self::default() }
    }

    pub(super) fn topic(&self) -> Vec<String> {
        self.topic.borrow().clone()
    }

    pub(super) fn dead_letters(&self) -> Vec<String> {
        self.queue.borrow().iter().map(|body| body["sequenceNumber"].as_str().unwrap().to_owned()).collect()
    }
}

impl Sink for FakeSink {
    async fn write(&self, items: &[&Item]) -> Result<Vec<usize>, SinkError> {
        self.writes.borrow_mut().push(items.len());
        let left = self.write.borrow_mut()(items)?;
        for (place, item) in items.iter().enumerate() {
            if !left.contains(&place) {
                self.table.borrow_mut().insert(key_text(item), (*item).clone());
            }
        }
        Ok(left)
    }

    async fn read(&self, keys: &[Item]) -> Result<(Vec<Item>, Vec<Item>), SinkError> {
        let table = self.table.borrow();
        Ok((keys.iter().filter_map(|key| table.get(&key_text(key)).cloned()).collect(), Vec::new()))
    }

    async fn read_states(&self, keys: &[String]) -> Result<(Vec<Item>, Vec<String>), SinkError> {
        let states = self.states.borrow();
        Ok((keys.iter().filter_map(|key| states.get(key).cloned()).collect(), Vec::new()))
    }

    async fn write_state(&self, item: &Item, expected: Option<&str>) -> Result<bool, SinkError> {
        let Attribute::S(key) = &item[STATE_KEY] else { unreachable!("a state's key is a text") };
        let mut states = self.states.borrow_mut();
        let revision = states.get(key).map(|there| there[STATE_REVISION].clone());
        if revision != expected.map(|revision| Attribute::S(revision.to_owned())) {
            return Ok(false);
        }
        states.insert(key.clone(), item.clone());
        Ok(true)
    }

    async fn put(&self, object: &Object, only_new: bool) -> Result<bool, SinkError> {
        self.put.borrow_mut()(object)?;
        if (only_new || object.keep_existing) && self.bucket.borrow().contains_key(&object.key) {
            return Ok(true);
        }
        self.bucket
            .borrow_mut()
            .insert(object.key.clone(), serde_json::from_slice(&object.body).unwrap_or_else(|_| json!(object.body)));
        Ok(false)
    }

    async fn put_records(&self, records: &[&OutgoingRecord]) -> Result<Vec<(usize, SinkError)>, SinkError> {
        self.record_calls.borrow_mut().push(records.len());
        let failed = self.put_records.borrow_mut()(records)?;
        for (place, record) in records.iter().enumerate() {
            if !failed.iter().any(|(failed, _)| *failed == place) {
                self.stream.borrow_mut().push((*record).clone());
            }
        }
        Ok(failed)
    }

    async fn publish(&self, notifications: &[&Notification]) -> Result<Vec<(usize, SinkError)>, SinkError> {
        self.publishes.borrow_mut().push(notifications.len());
        let refused = self.publish.borrow_mut()(notifications)?;
        for (place, notification) in notifications.iter().enumerate() {
            if !refused.iter().any(|(refused, _)| *refused == place) {
                self.topic.borrow_mut().push(notification.attributes["sequenceNumber"].clone());
            }
        }
        Ok(refused)
    }

    async fn send(&self, letters: &[&DeadLetter]) -> Result<Vec<(usize, SinkError)>, SinkError> {
        self.sends.borrow_mut().push(letters.len());
        let refused = self.send.borrow_mut()(letters)?;
        for (place, letter) in letters.iter().enumerate() {
            if !refused.iter().any(|(refused, _)| *refused == place) {
                self.queue.borrow_mut().push(serde_json::from_str(&letter.body).unwrap());
            }
        }
        Ok(refused)
    }
}

impl WindowTable for FakeSink {
    async fn query(&self, partition_key: &str, value: &Attribute) -> Result<Vec<Item>, SinkError> {
        self.query.borrow_mut()()?;
        Ok(self.table.borrow().values().filter(|item| item.get(partition_key) == Some(value)).cloned().collect())
    }

    async fn put_grown(&self, item: &Item, grows: &str) -> Result<bool, SinkError> {
        self.put_grown.borrow_mut()()?;
        let number = |item: &Item| match item.get(grows) {
            Some(Attribute::N(number)) => number.parse::<u64>().unwrap(),
            other => panic!("{other:?}"),
        };
        let mut table = self.table.borrow_mut();
        if table.get(&key_text(item)).is_some_and(|there| number(there) > number(item)) {
            return Ok(false);
        }
        table.insert(key_text(item), item.clone());
        Ok(true)
    }
}

fn key_text(item: &Item) -> String {
    let names = if item.contains_key("part") { ["window", "part"] } else { ["userId", "eventTimestamp"] };
    format!("{:?}", names.map(|name| &item[name]))
}
