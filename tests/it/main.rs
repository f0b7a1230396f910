//! End-to-end tests: the real binary, the real handler, the embedded AWS. One binary, since linking is what costs.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod at_once;
mod bad_luck;
mod broken;
mod buckets;
mod call_counts;
mod capture;
mod changes;
mod chaos;
mod command_line;
mod consistency;
mod everything;
mod fan_out;
mod flow;
mod harness;
mod kills;
mod layers;
mod least_privilege;
mod local_end;
mod log;
mod moto;
mod neighbours;
mod odd_records;
mod output;
mod own_code;
mod ownership;
mod package;
mod plans;
mod rehearsal;
mod renames;
mod rights;
mod scaling;
mod schema;
mod settling;
mod specs;
mod stages;
mod subscribers;
mod trust;
mod twice;
mod validating;
mod watching;
mod windows;
