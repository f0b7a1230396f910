//! A sink in memory whose calls fail as a test says.

use std::cell::RefCell;
use std::collections::BTreeMap;

use streamkit_recipes::Attribute;

use super::*;

type Write = dyn FnMut(&[&Item]) -> Result<Vec<usize>, SinkError>;
type Put = dyn FnMut(&Object) -> Result<(), SinkError>;
type Publish = dyn FnMut(&[&Notification]) -> Result<Vec<(usize, SinkError)>, SinkError>;
type Send = dyn FnMut(&[&DeadLetter]) -> Result<Vec<(usize, SinkError)>, SinkError>;

/// A table, a bucket, a topic and a queue in memory; `write`, `put`, `publish` and `send` say how a call fails.
pub(super) struct FakeSink {
    pub(super) write: RefCell<Box<Write>>,
    pub(super) put: RefCell<Box<Put>>,
    pub(super) publish: RefCell<Box<Publish>>,
    pub(super) send: RefCell<Box<Send>>,
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
            publish: RefCell::new(Box::new(|_| Ok(vec![]))),
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

fn key_text(item: &Item) -> String {
    format!("{:?} {:?}", item["userId"], item["eventTimestamp"])
}
