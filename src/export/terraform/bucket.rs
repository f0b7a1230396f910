//! S3 buckets: one resource of Terraform's for each of their settings.

use super::super::hcl::{Body, Expression};
use super::{Files, Subject};
use crate::resources::{Bucket, LIFECYCLE_RULE, storage_class};
use crate::spec::{BucketNamespace, Encryption};

const BUCKETS: &str = "buckets.tf";
const DAY: u64 = 86_400;

impl Files<'_> {
    pub(super) fn bucket(&mut self, subject: &Subject<'_>, bucket: &Bucket) {
        let mut body = Body::default();
        body.text("bucket", &bucket.name).set("tags", self.tags(subject));
        if bucket.namespace == BucketNamespace::AccountRegional {
            self.note(
                subject,
                "the bucket's namespace: version 5 of the AWS provider has no argument for it, so Terraform can't make the bucket anew under this name",
            );
        }
        self.add(BUCKETS, subject, "aws_s3_bucket", body, subject.import(&bucket.name));

        let own = Expression::raw(format!("aws_s3_bucket.{}.id", subject.label));
        let mut part = |kind: &str, fill: &mut dyn FnMut(&mut Body, &mut Self)| {
            let mut body = Body::default();
            body.set("bucket", own.clone());
            fill(&mut body, self);
            self.add(BUCKETS, subject, &format!("aws_s3_bucket_{kind}"), body, subject.import(&bucket.name));
        };
        part("public_access_block", &mut |body, _| {
            for what in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"] {
                body.raw(what, true);
            }
        });
        part("ownership_controls", &mut |body, _| {
            body.block("rule", |body| {
                body.text("object_ownership", "BucketOwnerEnforced");
            });
        });
        part("server_side_encryption_configuration", &mut |body, files| {
            let key = match &bucket.encryption {
                None | Some(Encryption::None) => None,
                Some(Encryption::AwsManaged) => Some(None),
                Some(Encryption::Key(key)) => Some(Some(files.references.text(key))),
            };
            body.block("rule", |body| {
                if key.is_some() {
                    body.raw("bucket_key_enabled", true);
                }
                body.block("apply_server_side_encryption_by_default", |body| {
                    body.text("sse_algorithm", if key.is_some() { "aws:kms" } else { "AES256" });
                    if let Some(Some(key)) = key {
                        body.set("kms_master_key_id", key);
                    }
                });
            });
        });
        part("policy", &mut |body, files| {
            body.set("policy", files.references.encoded(&bucket.policy()));
        });
        if bucket.versioning {
            part("versioning", &mut |body, _| {
                body.block("versioning_configuration", |body| {
                    body.text("status", "Enabled");
                });
            });
        }
        if bucket.expire.is_some() || bucket.transition.is_some() {
            part("lifecycle_configuration", &mut |body, _| {
                body.block("rule", |body| lifecycle_rule(body, bucket));
            });
        }
    }
}

fn lifecycle_rule(body: &mut Body, bucket: &Bucket) {
    body.text("id", LIFECYCLE_RULE).text("status", "Enabled");
    body.block("filter", |body| {
        body.text("prefix", "");
    });
    if let Some(age) = bucket.expire {
        body.block("expiration", |body| {
            body.raw("days", age.0 / DAY);
        });
        if bucket.versioning {
            body.block("noncurrent_version_expiration", |body| {
                body.raw("noncurrent_days", age.0 / DAY);
            });
        }
    }
    if let Some(transition) = bucket.transition {
        body.block("transition", |body| {
            body.raw("days", transition.after.0 / DAY).text("storage_class", storage_class(transition.to).as_str());
        });
    }
}
