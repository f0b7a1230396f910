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

/// On functions: what the code was made from and the SHA-256 of its package, as `HASH:SHA256`. Any machine can compare the first
/// with its sources, and the second with what Lambda has.
pub(crate) const CODE_TAG: &str = "streamkit:code";

/// On tables: when streamkit last changed the time to live, which AWS lets be changed once an hour.
pub(crate) const TTL_TAG: &str = "streamkit:ttl-changed";

/// On topics: marks of the subscriptions that streamkit has made, since a subscription has no tags itself. Where they are more than
/// a value holds, the others are in tags whose keys go on with `-2`, `-3`.
pub(crate) const SUBSCRIBERS_TAG: &str = "streamkit:subscribers";

/// On KMS keys: how many days KMS waits with the deletion, so that `down --name` knows without the spec.
pub(crate) const DELETION_WINDOW_TAG: &str = "streamkit:deletion-window-days";

/// On streams that are copied into other regions: the keys begin with this, and end with such a region. A search that knows no spec
/// looks there, too, so they stay when the spec names it no more.
pub(crate) const FED_TAG: &str = "streamkit:copied-to:";

/// The keys of the spec's `[tags]` that the resource was given, so that one that leaves the spec can be removed again.
pub(crate) const KEYS_TAG: &str = "streamkit:tags";

/// On what a run of `validate` makes for itself: which run. It is no node's, so the next `up` or `down` deletes what a killed run
/// has left.
pub(crate) const VALIDATE_TAG: &str = "streamkit:validate";

/// What the keys of streamkit's own tags begin with.
const OWN: &str = "streamkit:";

/// The most characters that a tag's value may have.
pub(crate) const TAG_VALUE: usize = 256;

/// The pipeline, and its stage, that owns a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) pipeline: String,
    pub(crate) stage: Option<String>,
}

/// What a resource belongs to, such as the function of a log group, as far as it says whose the resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent<'a> {
    /// It belongs to nothing, or to what is not there.
    None,
    /// By these tags.
    Tagged(&'a Tags),
    /// It has been found to be the owner's.
    Owned,
}

impl Owner {
    /// What the names of all of its resources begin with: `<name>` or `<name>-<stage>`.
    pub(crate) fn prefix(&self) -> String {
        match &self.stage {
            Some(stage) => format!("{}-{stage}", self.pipeline),
            None => self.pipeline.clone(),
        }
    }

    /// The rule of ownership, which all that changes or deletes goes by: a resource is the owner's when its own tags name that
    /// one, and where they name none, or its kind has no tags, when its parent is. A name never counts.
    pub(crate) fn owns(&self, tags: Option<&Tags>, parent: Parent<'_>) -> bool {
        match tags.filter(|tags| tags.contains_key(PIPELINE_TAG)) {
            Some(tags) => self.is_named_by(tags),
            None => match parent {
                Parent::None => false,
                Parent::Tagged(tags) => self.is_named_by(tags),
                Parent::Owned => true,
            },
        }
    }

    fn is_named_by(&self, tags: &Tags) -> bool {
        tags.get(PIPELINE_TAG) == Some(&self.pipeline) && tags.get(STAGE_TAG) == self.stage.as_ref()
    }

    /// The tags of one node: those of the spec and ours.
    pub(crate) fn tags(&self, node: &str, of_spec: &Tags) -> Tags {
        let mut tags = of_spec.clone();
        let keys = joined_keys(of_spec);
        if !keys.is_empty() {
            tags.insert(KEYS_TAG.to_owned(), keys);
        }
        tags.insert(PIPELINE_TAG.to_owned(), self.pipeline.clone());
        tags.insert(NODE_TAG.to_owned(), node.to_owned());
        if let Some(stage) = &self.stage {
            tags.insert(STAGE_TAG.to_owned(), stage.clone());
        }
        tags
    }
}

/// The keys as [`KEYS_TAG`] has them. A key with a space in it, or one too many for the tag's value, is left out: it is not
/// removed when it leaves the spec.
fn joined_keys(tags: &Tags) -> String {
    let mut joined = String::new();
    for key in tags.keys().filter(|key| !key.contains(' ')) {
        if joined.chars().count() + 1 + key.chars().count() <= TAG_VALUE {
            joined.push_str(if joined.is_empty() { "" } else { " " });
            joined.push_str(key);
        }
    }
    joined
}

/// Which tags to set, and the keys of those to remove: only streamkit's own, and those that the spec once named.
///
/// Everybody else's stay: cost reports, security scanners and AWS itself tag resources, too.
pub(crate) fn tag_changes(has: &Tags, wants: &Tags) -> (Tags, Vec<String>) {
    let set = wants.iter().filter(|(key, value)| has.get(*key) != Some(value));
    let named_once = |key: &str| has.get(KEYS_TAG).is_some_and(|keys| keys.split(' ').any(|named| named == key));
    // The function itself, the replacement of its mapping, the table and the topic look after these; and some stay.
    let elsewhere = |key: &str| {
        [RESUME_TAG, CODE_TAG, TTL_TAG].contains(&key) || key.starts_with(SUBSCRIBERS_TAG) || key.starts_with(FED_TAG)
    };
    let is_own = |key: &str| key.starts_with(OWN) && !elsewhere(key);
    let remove = has.keys().filter(|key| !wants.contains_key(*key) && (is_own(key) || named_once(key)));
    (set.map(|(key, value)| (key.clone(), value.clone())).collect(), remove.cloned().collect())
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
        let of_two_stages = tags(&[(PIPELINE_TAG, "shop"), (STAGE_TAG, "prod")]);
        let stage_alone = tags(&[(STAGE_TAG, "dev")]);
        let alike = tags(&[(PIPELINE_TAG, "shop-eu"), (NODE_TAG, "stream.events")]);
        for (tags, parent, owned, owned_by_stage) in [
            (Some(&ours), Parent::None, true, false),
            (Some(&none), Parent::None, false, false),
            (Some(&others), Parent::None, false, false),
            (Some(&alike), Parent::None, false, false),
            (Some(&staged), Parent::None, false, true),
            (Some(&of_two_stages), Parent::None, false, false),
            (Some(&stage_alone), Parent::None, false, false),
            (Some(&none), Parent::Tagged(&ours), true, false),
            (Some(&none), Parent::Tagged(&staged), false, true),
            (Some(&none), Parent::Tagged(&others), false, false),
            (Some(&none), Parent::Tagged(&none), false, false),
            (Some(&none), Parent::Owned, true, true),
            (Some(&others), Parent::Tagged(&ours), false, false),
            (Some(&others), Parent::Owned, false, false),
            (Some(&ours), Parent::Tagged(&others), true, false),
            (None, Parent::None, false, false),
            (None, Parent::Tagged(&ours), true, false),
            (None, Parent::Tagged(&others), false, false),
            (None, Parent::Owned, true, true),
        ] {
            let case = format!("{tags:?} below {parent:?}");
            assert_eq!(owner(None).owns(tags, parent), owned, "{case}");
            assert_eq!(owner(Some("dev")).owns(tags, parent), owned_by_stage, "{case}");
        }
    }

    #[test]
    fn only_tags_that_the_spec_named_are_removed() {
        let owner = Owner { pipeline: "shop".to_owned(), stage: None };
        let of_spec = |keys: &[&str]| -> Tags { keys.iter().map(|key| ((*key).to_owned(), "a".to_owned())).collect() };
        let mut has = owner.tags("stream.events", &of_spec(&["Project", "Team"]));
        assert_eq!(has[KEYS_TAG], "Project Team");
        let theirs = ["CostCenter", "aws:cloudformation:stack-name", RESUME_TAG];
        has.extend(of_spec(&theirs));
        assert_eq!(tag_changes(&has, &owner.tags("stream.events", &of_spec(&["Project", "Team"]))), Default::default());
        let (set, remove) = tag_changes(&has, &owner.tags("stream.events", &of_spec(&["Project"])));
        assert_eq!((set.len(), remove), (1, vec!["Team".to_owned()]));
        let (set, remove) = tag_changes(&has, &owner.tags("stream.events", &Tags::new()));
        assert_eq!((set.len(), remove), (0, ["Project", "Team", KEYS_TAG].map(str::to_owned).to_vec()));

        let long = |number: usize| format!("{number}{}", "x".repeat(98));
        let many: Tags = (0..5).map(|number| (long(number), String::new())).collect();
        assert!(joined_keys(&many).len() <= TAG_VALUE && joined_keys(&many).split(' ').count() == 2);
    }
}
