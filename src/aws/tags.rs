//! Tags, and what they say about the owner of a resource.

use std::collections::BTreeMap;

/// A resource's tags.
pub(crate) type Tags = BTreeMap<String, String>;

/// Names the pipeline that owns a resource.
pub(crate) const PIPELINE_TAG: &str = "streamkit:pipeline";
/// Names the stage, on resources of a stage.
pub(crate) const STAGE_TAG: &str = "streamkit:stage";
/// Names the node of the pipeline's graph that the resource is.
pub(crate) const NODE_TAG: &str = "streamkit:node";

/// `true` on resources that the spec protects, so that `down --name` knows without the spec.
pub(crate) const PROTECT_TAG: &str = "streamkit:protect";

/// Says where the function's next mapping starts to read, while its mapping is being replaced.
pub(crate) const RESUME_TAG: &str = "streamkit:resume";

/// The pipeline, and its stage, that owns a resource.
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

    /// As [`owns`](Self::owns), for a resource that may have been made without tags: then its parent's count.
    pub(crate) fn owns_with_parent(&self, tags: &Tags, parent: Option<&Tags>) -> bool {
        match parent {
            Some(parent) if !tags.contains_key(PIPELINE_TAG) => self.owns(parent),
            _ => self.owns(tags),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_has_the_owner_that_its_tags_name_or_where_they_name_none_its_parents() {
        let owner = |stage: Option<&str>| Owner { pipeline: "shop".to_owned(), stage: stage.map(str::to_owned) };
        let tags = |pairs: &[(&str, &str)]| -> Tags {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let (none, ours) = (tags(&[("Team", "a")]), tags(&[(PIPELINE_TAG, "shop")]));
        let others = tags(&[(PIPELINE_TAG, "other")]);
        let staged = tags(&[(PIPELINE_TAG, "shop"), (STAGE_TAG, "dev")]);
        for (tags, parent, owned, owned_by_stage) in [
            (&ours, None, true, false),
            (&none, None, false, false),
            (&others, None, false, false),
            (&staged, None, false, true),
            (&none, Some(&ours), true, false),
            (&none, Some(&staged), false, true),
            (&none, Some(&others), false, false),
            (&others, Some(&ours), false, false),
            (&ours, Some(&others), true, false),
        ] {
            let case = format!("{tags:?} below {parent:?}");
            assert_eq!(owner(None).owns_with_parent(tags, parent), owned, "{case}");
            assert_eq!(owner(Some("dev")).owns_with_parent(tags, parent), owned_by_stage, "{case}");
        }
    }
}
