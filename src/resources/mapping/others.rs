//! The mappings of a function that are none of the pipeline's.

use super::super::context::Cx;
use super::{Mapping, mappings_of};

impl Mapping {
    /// The stream of the table of this name, if that is what the mapping reads.
    pub(in super::super) fn stream_of_table(&self, table: &str) -> Option<String> {
        self.source_arn().filter(|_| self.source.is_table(table))
    }

    /// Source and ARN of each mapping of the function that is none of this one's, now or at an earlier time.
    pub(in super::super) async fn foreign(&self, cx: &Cx) -> anyhow::Result<Vec<(String, String)>> {
        let all = mappings_of(cx, &self.function).await?;
        let chosen = self.choose(all.clone()).and_then(|mapping| mapping.uuid);
        let others = all.into_iter().filter(|mapping| mapping.uuid != chosen);
        let named = others.filter_map(|mapping| {
            let source = mapping.event_source_arn?;
            Some((source, mapping.event_source_mapping_arn.or(mapping.uuid)?))
        });
        Ok(named.filter(|(source, _)| !self.source.is(source)).collect())
    }
}
