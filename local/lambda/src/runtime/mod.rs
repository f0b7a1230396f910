//! Execution environments: unpacked code, `bootstrap` processes and the Runtime API that they speak.

pub(crate) mod code;
pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod runtime_api;
pub(crate) mod trace;
