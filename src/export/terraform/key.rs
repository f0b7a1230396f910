//! KMS keys and their aliases.

use super::super::hcl::{Body, Expression};
use super::super::live::Details;
use super::{Files, Subject};
use crate::aws::DELETION_WINDOW_TAG;
use crate::resources::{Key, KeyPurpose, key_alias};

const KEYS: &str = "keys.tf";

impl Files<'_> {
    pub(super) fn key(&mut self, subject: &Subject<'_>, key: &Key) {
        let mut body = Body::default();
        let id = match &subject.live.details {
            Details::Key { id, description } => {
                body.text("description", description);
                Some(id.clone())
            }
            _ => None,
        };
        match key.purpose {
            KeyPurpose::Encryption => {
                body.raw("enable_key_rotation", key.rotation);
            }
            KeyPurpose::Index => {
                body.text("key_usage", "GENERATE_VERIFY_MAC").text("customer_master_key_spec", "HMAC_256");
            }
        }
        if let Some(days) = subject.node.tags.get(DELETION_WINDOW_TAG) {
            body.raw("deletion_window_in_days", days);
            // The provider does not read it when it imports a key: it would be a change of every key.
            body.block("lifecycle", |body| {
                body.set("ignore_changes", Expression::List(vec![Expression::raw("deletion_window_in_days")]));
            });
        }
        body.set("policy", self.references.encoded(&key.document(&subject.aws)));
        body.set("tags", self.tags(subject));
        self.add(KEYS, subject, "aws_kms_key", body, id);

        let mut body = Body::default();
        body.text("name", &key_alias(&key.name))
            .set("target_key_id", Expression::raw(format!("aws_kms_key.{}.key_id", subject.label)));
        let has_alias = subject.live.seen.as_ref().is_some_and(|seen| !seen.fields["alias"].is_null());
        self.add(KEYS, subject, "aws_kms_alias", body, has_alias.then(|| key_alias(&key.name)));
    }
}
