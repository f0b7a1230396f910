//! A function with another name: its new mapping goes on where that of the old function was.

use super::super::context::Cx;
use super::super::function;
use super::resume::{self, Position};
use super::transitions::stop;
use super::{Mapping, mappings_of};
use crate::aws::Parent;

impl Mapping {
    /// True when the ARN is that of this mapping's source, now, at an earlier time, or read another way.
    pub(crate) fn reads(&self, source: &str) -> bool {
        self.source.is(source) || self.source.is_same_stream(source)
    }

    /// Stops the mapping of the function of the old name, and gives the place to go on from; `None` where there is nothing to
    /// take over, or what has that name is somebody else's.
    ///
    /// The old mapping goes with its function, after all else is done.
    pub(super) async fn take_over(&self, cx: &Cx, old: &str) -> anyhow::Result<Option<Position>> {
        let tags = function::tags(cx, old).await?;
        if !cx.owner.owns(tags.as_ref(), Parent::None) {
            return Ok(None);
        }
        let mappings = mappings_of(cx, old).await?;
        let mut reading = mappings
            .into_iter()
            .filter(|mapping| mapping.event_source_arn.as_deref().is_some_and(|source| self.reads(source)));
        let Some(mapping) = reading.next() else { return Ok(None) };
        let Some(uuid) = &mapping.uuid else { return Ok(None) };
        stop(cx, uuid).await?;
        if !self.source.has_timestamps() {
            // A table's stream can only be read from its beginning: a day at most.
            return Ok(Some(Position::Start));
        }
        let position = resume::position_after(cx, old, &mapping).await?;
        resume::save(cx, &self.function, position).await?;
        cx.note(&format!("the new mapping resumes from {}", position.text()));
        Ok(Some(position))
    }
}
