//! Objects and their versions: kept here and not by the engine, which copies what it knows of every object after each change and
//! so takes the longer for one the more there are.

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
mod refusal;
mod request;
mod store;
mod tagging;
mod xml;

pub(super) use answer::Objects;
