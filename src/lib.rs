//! streamkit: recipe-as-code for AWS event streaming. This library is the command line's; `ARCHITECTURE.md` is its map.

mod apply;
mod archive;
mod aws;
mod candidates;
mod cli;
mod commands;
mod critical_path;
mod daemon;
mod dead_letters;
mod decryption;
mod deletion_order;
mod failure;
mod graph;
mod home;
mod interrupt;
mod lock;
mod narrowing;
mod observe;
mod options;
mod package;
mod picture;
mod pipeline;
mod plan;
mod playback;
mod preflight;
mod producer;
mod records;
mod report;
mod resources;
mod restore;
mod saved_plan;
mod screen;
mod spec;
mod spool;
mod table_writer;

pub use cli::main;
