//! Objects and their versions.

mod answer;
mod conditions;
mod copy;
mod delete;
mod get;
mod headers;
mod list;
mod memory;
mod multipart;
mod pages;
mod parts;
mod put;
mod store;
mod tagging;

pub(super) use answer::Objects;
