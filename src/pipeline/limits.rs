//! What AWS would refuse of a function or its role, and can be told only when names and ARNs are known.

use serde_json::json;

use super::Node;
use crate::plan::Refusal;
use crate::resources::{Any, INLINE_POLICY};

/// The most bytes of a function's variables, as JSON.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const ENVIRONMENT: usize = 4_096;

/// Why AWS would refuse the node; `None` when it would not.
pub(crate) fn over_limit(node: &Node) -> Option<Refusal> {
    match node.resource.inner() {
        Any::Function(function) => {
            let size = json!(function.environment).to_string().len();
            (size > ENVIRONMENT).then(|| Refusal {
                why: format!(
                    "the variables of {} have {size} bytes with those that streamkit sets, and Lambda takes {ENVIRONMENT}",
                    node.id
                ),
                hint: "put long values where the function can read them, such as in Secrets Manager or a bucket".to_owned(),
            })
        }
        Any::Role(role) => {
            let size = role.policy.document().to_string().len();
            (size > INLINE_POLICY).then(|| Refusal {
                why: format!(
                    "the policy of {} has {size} characters, and IAM takes {INLINE_POLICY} in a role's own policies",
                    node.id
                ),
                hint: "let the function reach fewer things, or give some of them to another function".to_owned(),
            })
        }
        _ => None,
    }
}
