//! Errors that a test asks for: the next calls of one operation fail as AWS would fail them.

use parking_lot::Mutex;
use serde::Deserialize;
use streamkit_wire::{Call, CallError};

use crate::rehearsal::Fault;

/// What to fail, how often and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InjectedFault {
    service: String,
    operation: String,
    #[serde(default = "once")]
    times: u32,
    #[serde(default = "bad_request")]
    status: u16,
    #[serde(default = "throttled")]
    code: String,
    #[serde(default = "injected")]
    message: String,
    /// What happens instead of an answer with the code above.
    #[serde(default, rename = "fault")]
    instead: Option<Fault>,
}

/// How a call must end.
pub(crate) enum Injected {
    Error(CallError),
    Fault(Fault),
}

/// The faults that are still to come.
#[derive(Default)]
pub(crate) struct InjectedFaults {
    waiting: Mutex<Vec<InjectedFault>>,
}

impl InjectedFaults {
    pub(crate) fn add(&self, fault: InjectedFault) {
        self.waiting.lock().push(fault);
    }

    /// Forgets the faults that no call has met yet.
    pub(crate) fn clear(&self) {
        self.waiting.lock().clear();
    }

    /// How this call must end, once.
    pub(crate) fn take(&self, call: &Call) -> Option<Injected> {
        let mut waiting = self.waiting.lock();
        let fault = waiting.iter_mut().find(|fault| {
            fault.times > 0 && fault.service == call.service.name() && fault.operation == call.operation
        })?;
        fault.times -= 1;
        let take = match fault.instead {
            Some(fault) => Injected::Fault(fault),
            None => Injected::Error(CallError::new(fault.status, fault.code.clone(), fault.message.clone())),
        };
        waiting.retain(|fault| fault.times > 0);
        Some(take)
    }
}

fn once() -> u32 {
    1
}

fn bad_request() -> u16 {
    400
}

fn throttled() -> String {
    "ThrottlingException".into()
}

fn injected() -> String {
    "Rate exceeded (injected fault)".into()
}
