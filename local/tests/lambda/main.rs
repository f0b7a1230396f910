//! The Lambda engine with real processes, through the gateway of the embedded AWS.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod asynchronous;
mod aws;
mod conformance;
mod functions;
mod functions_starts;
mod managed;
mod mapping_api;
mod mappings;
mod mappings_load;
mod mappings_states;
mod property;
mod property_case;
mod property_check;
mod queues;
mod roles;
mod sns;
mod sources;
mod sqs_source;
mod versions;
mod windows;
