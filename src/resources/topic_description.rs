//! A topic and its subscriptions, as AWS describes them.

use std::collections::HashMap;

use crate::aws::Tags;
use crate::spec::Pattern;

/// A topic.
#[derive(Debug)]
pub(crate) struct TopicDescription {
    pub(crate) attributes: HashMap<String, String>,
    /// None where it went between two questions.
    pub(crate) tags: Option<Tags>,
    pub(crate) subscriptions: Vec<Present>,
}

/// A subscription of the spec's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Subscription {
    /// Such as `email` or `sqs`.
    pub(crate) protocol: String,
    pub(crate) endpoint: String,
    /// Raw message delivery: the message without SNS's envelope.
    pub(crate) raw: bool,
    pub(crate) filter: Option<Pattern>,
    /// The filter looks at the message's body, not at its attributes.
    pub(crate) filter_on_body: bool,
}

/// A subscription that AWS has.
#[derive(Debug)]
pub(crate) struct Present {
    /// Only a confirmed subscription has an ARN; the others say `PendingConfirmation`.
    pub(crate) arn: Option<String>,
    /// SNS does not give the attributes of a subscription that is not confirmed: those are the defaults here.
    pub(crate) settings: Subscription,
    /// Whether a run of `validate` has made it, which was killed or is under way.
    pub(crate) is_of_validate: bool,
}
