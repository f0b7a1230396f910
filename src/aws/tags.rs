//! Tags, and what they say about whose a resource is.

use std::collections::BTreeMap;

/// A resource's tags.
pub(crate) type Tags = BTreeMap<String, String>;

/// Names the pipeline that a resource belongs to.
pub(crate) const PIPELINE_TAG: &str = "streamkit:pipeline";
/// Names the stage, on resources of a stage.
pub(crate) const STAGE_TAG: &str = "streamkit:stage";
/// Names the node of the pipeline's graph that the resource is.
pub(crate) const NODE_TAG: &str = "streamkit:node";

/// `true` on resources that the spec protects, so that `down --name` knows without the spec.
pub(crate) const PROTECT_TAG: &str = "streamkit:protect";

/// Says where the function's next mapping goes on, while there is none.
pub(crate) const RESUME_TAG: &str = "streamkit:resume";

/// Who owns what a run makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) pipeline: String,
    pub(crate) stage: Option<String>,
}

impl Owner {
    /// True when the tags say that the resource is this owner's.
    pub(crate) fn owns(&self, tags: &Tags) -> bool {
        tags.get(PIPELINE_TAG) == Some(&self.pipeline) && tags.get(STAGE_TAG) == self.stage.as_ref()
    }

    /// The tags of one node: those of the spec and ours.
    pub(crate) fn tags(&self, node: &str, of_spec: &Tags) -> Tags {
        let mut tags = of_spec.clone();
        tags.insert(PIPELINE_TAG.to_owned(), self.pipeline.clone());
        tags.insert(NODE_TAG.to_owned(), node.to_owned());
        if let Some(stage) = &self.stage {
            tags.insert(STAGE_TAG.to_owned(), stage.clone());
        }
        tags
    }
}
