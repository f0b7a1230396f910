//! A pipeline as a picture: what flows from where to where, and how that is written down.

mod dot;
mod drawing;
mod flow;
mod layout;
mod mermaid;
mod svg;

pub(crate) use flow::drawing;

pub(crate) use self::dot::dot;
#[cfg(test)]
pub(crate) use self::drawing::Shape;
pub(crate) use self::drawing::{Arrow, ArrowKind, Drawing};
pub(crate) use self::mermaid::mermaid;
pub(crate) use self::svg::svg;
