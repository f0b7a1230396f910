//! Execution environments: unpacked code, processes of functions and the Runtime API that they speak.

pub(crate) mod code;
pub(crate) mod managed;
mod memory;
pub(crate) mod pool;
mod proc_file;
pub(crate) mod process;
pub(crate) mod process_limit;
mod run_folder;
pub(crate) mod runtime_api;
pub(crate) mod trace;
