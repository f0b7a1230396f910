//! End-to-end tests: the real binary, the real handler, the embedded AWS. One binary, since linking is what costs.

mod bad_luck;
mod changes;
mod command_line;
mod flow;
mod harness;
mod moto;
mod specs;
