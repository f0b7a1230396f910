//! A pipeline in the languages of other tools: as files that they take over from streamkit with.

mod cloudformation;
mod document;
mod hcl;
mod live;
mod references;
mod terraform;

pub(crate) use cloudformation::cloudformation;
pub(crate) use document::Export;
pub(crate) use live::{Live, look};
pub(crate) use terraform::terraform;
