//! Errors that a test asks for: the next calls of one operation fail as AWS would fail them.

use parking_lot::Mutex;
use serde::Deserialize;
use streamkit_wire::Call;
use streamkit_wire::CallError;

use crate::rehearsal::Fault as Bad;

/// What to fail, how often and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
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
    instead: Option<Bad>,
}

/// How a call must end.
pub(crate) enum Strike {
    Error(CallError),
    Fault(Bad),
}

/// The faults that are still to come.
#[derive(Default)]
pub(crate) struct Faults {
    armed: Mutex<Vec<Fault>>,
}

impl Faults {
    pub(crate) fn arm(&self, fault: Fault) {
        self.armed.lock().push(fault);
    }

    /// Forgets the faults that no call has met yet.
    pub(crate) fn disarm(&self) {
        self.armed.lock().clear();
    }

    /// How this call must end, once.
    pub(crate) fn strike(&self, call: &Call) -> Option<Strike> {
        let mut armed = self.armed.lock();
        let fault = armed.iter_mut().find(|fault| {
            fault.times > 0 && fault.service == call.service.name() && fault.operation == call.operation
        })?;
        fault.times -= 1;
        let strike = match fault.instead {
            Some(bad) => Strike::Fault(bad),
            None => Strike::Error(CallError::new(fault.status, fault.code.clone(), fault.message.clone())),
        };
        armed.retain(|fault| fault.times > 0);
        Some(strike)
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
