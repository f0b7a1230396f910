//! The one port: connections, requests on their way to a service and back, control paths, call log, and injected faults.

mod authorize;
mod body_limit;
mod call_log;
mod connection;
mod consistency;
mod control;
mod housekeeping;
mod injected_faults;
mod needed;
mod needed_kms;
mod needed_s3;
mod panics;
mod router;
mod server;

pub use server::serve;
