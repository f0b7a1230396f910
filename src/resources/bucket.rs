//! S3 buckets: private, encrypted, owned by this account alone, reached through TLS only.

mod contents;
mod lifecycle;

pub(super) use contents::{contents, delete};
pub(crate) use lifecycle::{RULE as LIFECYCLE_RULE, class as storage_class};

use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketNamespace as S3Namespace, BucketVersioningStatus, CreateBucketConfiguration,
    ObjectOwnership, OwnershipControls, OwnershipControlsRule, PublicAccessBlockConfiguration, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging,
    VersioningConfiguration,
};
use serde_json::{Value, json};

use super::context::Cx;
use super::resource::{Actions, Created, Observed, Resource};
use crate::aws::{AwsError, Clients, Tags, answered, canonical, existing};
use crate::failure::Hint;
use crate::plan::{Change, Fields};
use crate::spec::{BucketNamespace, Encryption, Seconds, Transition};

/// How plans name SSE-S3, the default encryption.
const S3_MANAGED: &str = "s3-managed";
/// The only region that CreateBucket takes no LocationConstraint for.
const FIRST_REGION: &str = "us-east-1";

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "s3:CreateBucket",
        "s3:TagResource",
        "s3:GetBucketTagging",
        "s3:PutBucketTagging",
        "s3:GetBucketPublicAccessBlock",
        "s3:PutBucketPublicAccessBlock",
        "s3:GetBucketOwnershipControls",
        "s3:PutBucketOwnershipControls",
        "s3:GetEncryptionConfiguration",
        "s3:PutEncryptionConfiguration",
        "s3:GetBucketPolicy",
        "s3:PutBucketPolicy",
        "s3:GetBucketVersioning",
        "s3:PutBucketVersioning",
        "s3:GetLifecycleConfiguration",
        "s3:PutLifecycleConfiguration",
        "s3:ListBucketVersions",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:DeleteBucket",
    ],
    account: &["s3:ListAllMyBuckets"],
};

/// An S3 bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) namespace: BucketNamespace,
    /// SSE-S3 when absent.
    pub(crate) encryption: Option<Encryption>,
    pub(crate) versioning: bool,
    pub(crate) expire: Option<Seconds>,
    pub(crate) transition: Option<Transition>,
}

impl Bucket {
    fn encryption_text(&self) -> String {
        self.encryption.as_ref().map_or_else(|| S3_MANAGED.to_owned(), ToString::to_string)
    }

    /// The bucket policy, which denies requests without TLS.
    pub(crate) fn policy(&self) -> Value {
        let arn = &self.arn;
        canonical(&json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, format!("{arn}/*")],
                "Condition": { "Bool": { "aws:SecureTransport": "false" } },
            }],
        }))
    }

    async fn public_access(&self, cx: &Cx) -> Result<&'static str, AwsError> {
        let call = cx.aws.s3.get_public_access_block().bucket(&self.name).expected_bucket_owner(&cx.aws.account);
        let block = unset(answered(call.send().await), &["NoSuchPublicAccessBlockConfiguration"])?
            .and_then(|answer| answer.public_access_block_configuration);
        let blocked = block.is_some_and(|block| {
            let all = [
                block.block_public_acls,
                block.ignore_public_acls,
                block.block_public_policy,
                block.restrict_public_buckets,
            ];
            all.iter().all(|part| *part == Some(true))
        });
        Ok(if blocked { "blocked" } else { "possible" })
    }

    async fn ownership(&self, cx: &Cx) -> Result<Option<String>, AwsError> {
        let call = cx.aws.s3.get_bucket_ownership_controls().bucket(&self.name).expected_bucket_owner(&cx.aws.account);
        let rules = unset(answered(call.send().await), &["OwnershipControlsNotFoundError"])?
            .and_then(|answer| answer.ownership_controls)
            .map(|controls| controls.rules)
            .unwrap_or_default();
        Ok(rules.into_iter().next().map(|rule| rule.object_ownership.as_str().to_owned()))
    }

    async fn encryption(&self, cx: &Cx) -> Result<String, AwsError> {
        let call = cx.aws.s3.get_bucket_encryption().bucket(&self.name).expected_bucket_owner(&cx.aws.account);
        let default = unset(answered(call.send().await), &["ServerSideEncryptionConfigurationNotFoundError"])?
            .and_then(|answer| answer.server_side_encryption_configuration)
            .and_then(|configuration| configuration.rules.into_iter().next())
            .and_then(|rule| rule.apply_server_side_encryption_by_default);
        Ok(match default {
            Some(default) if default.sse_algorithm != ServerSideEncryption::Aes256 => {
                default.kms_master_key_id.unwrap_or_else(|| Encryption::AwsManaged.to_string())
            }
            _ => S3_MANAGED.to_owned(),
        })
    }

    async fn tls_policy(&self, cx: &Cx) -> anyhow::Result<Value> {
        let call = cx.aws.s3.get_bucket_policy().bucket(&self.name).expected_bucket_owner(&cx.aws.account);
        let text = unset(answered(call.send().await), &["NoSuchBucketPolicy"])?.and_then(|answer| answer.policy);
        // Some emulators give an empty text when there is no policy.
        Ok(match text.filter(|text| !text.is_empty()) {
            Some(text) => canonical(&serde_json::from_str(&text)?),
            None => Value::Null,
        })
    }

    async fn versioning(&self, cx: &Cx) -> Result<bool, AwsError> {
        match answered(
            cx.aws.s3.get_bucket_versioning().bucket(&self.name).expected_bucket_owner(&cx.aws.account).send().await,
        ) {
            Ok(answer) => Ok(answer.status == Some(BucketVersioningStatus::Enabled)),
            // The root element of moto's answer is not the one of S3's.
            Err(error) if error.is_unreadable() && cx.aws.endpoint.is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn settings(&self, cx: &Cx) -> anyhow::Result<Fields> {
        let (public_access, ownership, encryption, policy, versioning, mut fields) = tokio::try_join!(
            async { Ok(self.public_access(cx).await?) },
            async { Ok(self.ownership(cx).await?) },
            async { Ok(self.encryption(cx).await?) },
            self.tls_policy(cx),
            async { Ok(self.versioning(cx).await?) },
            async { anyhow::Ok(lifecycle::read(cx, &self.name).await?) },
        )?;
        fields.extend([
            ("public_access", json!(public_access)),
            ("ownership", json!(ownership)),
            ("encryption", json!(encryption)),
            ("policy", policy),
            ("versioning", json!(versioning)),
        ]);
        Ok(fields)
    }

    async fn change_one(&self, cx: &Cx, field: &str) -> anyhow::Result<()> {
        let s3 = &cx.aws.s3;
        match field {
            "public_access" => {
                let block = PublicAccessBlockConfiguration::builder()
                    .block_public_acls(true)
                    .ignore_public_acls(true)
                    .block_public_policy(true)
                    .restrict_public_buckets(true);
                let call = s3.put_public_access_block().bucket(&self.name).expected_bucket_owner(&cx.aws.account);
                let call = call.public_access_block_configuration(block.build());
                cx.retry_until_known(|| call.clone().send()).await?;
            }
            "ownership" => {
                let rule = OwnershipControlsRule::builder().object_ownership(ObjectOwnership::BucketOwnerEnforced);
                let controls = OwnershipControls::builder().rules(rule.build()?).build()?;
                let call = s3
                    .put_bucket_ownership_controls()
                    .bucket(&self.name)
                    .expected_bucket_owner(&cx.aws.account)
                    .ownership_controls(controls);
                cx.retry_until_known(|| call.clone().send()).await?;
            }
            "encryption" => {
                let (algorithm, key) = match &self.encryption {
                    Some(Encryption::AwsManaged) => (ServerSideEncryption::AwsKms, None),
                    Some(Encryption::Key(key)) => (ServerSideEncryption::AwsKms, Some(key.clone())),
                    None | Some(Encryption::None) => (ServerSideEncryption::Aes256, None),
                };
                // An S3 Bucket Key saves most of the calls to KMS.
                let bucket_key = algorithm == ServerSideEncryption::AwsKms;
                let default =
                    ServerSideEncryptionByDefault::builder().sse_algorithm(algorithm).set_kms_master_key_id(key);
                let rule = ServerSideEncryptionRule::builder()
                    .apply_server_side_encryption_by_default(default.build()?)
                    .bucket_key_enabled(bucket_key);
                let configuration = ServerSideEncryptionConfiguration::builder().rules(rule.build()).build()?;
                let call = s3.put_bucket_encryption().bucket(&self.name).expected_bucket_owner(&cx.aws.account);
                let call = call.server_side_encryption_configuration(configuration);
                cx.retry_until_known(|| call.clone().send()).await?;
            }
            "policy" => {
                let call = s3
                    .put_bucket_policy()
                    .bucket(&self.name)
                    .expected_bucket_owner(&cx.aws.account)
                    .policy(self.policy().to_string());
                cx.retry_until_known(|| call.clone().send()).await?;
            }
            "versioning" => {
                // Versioning that was once on can only be suspended.
                let status =
                    if self.versioning { BucketVersioningStatus::Enabled } else { BucketVersioningStatus::Suspended };
                let configuration = VersioningConfiguration::builder().status(status).build();
                let call = s3
                    .put_bucket_versioning()
                    .bucket(&self.name)
                    .expected_bucket_owner(&cx.aws.account)
                    .versioning_configuration(configuration);
                cx.retry_until_known(|| call.clone().send()).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// The tags; `None` when there is no such bucket.
pub(super) async fn tags(cx: &Cx, name: &str) -> Result<Option<Tags>, AwsError> {
    match answered(cx.aws.s3.get_bucket_tagging().bucket(name).expected_bucket_owner(&cx.aws.account).send().await) {
        Err(error) if error.is(&["NoSuchTagSet", "NoSuchTagSetError"]) => Ok(Some(Tags::new())),
        answer => {
            Ok(existing(answer)?.map(|answer| answer.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect()))
        }
    }
}

/// `None` for a setting that was never set, which S3 answers with one of these error codes.
fn unset<T>(answer: Result<T, AwsError>, codes: &[&str]) -> Result<Option<T>, AwsError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is(codes) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Resource for Bucket {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, _aws: &Clients) -> String {
        self.arn.clone()
    }

    fn desired(&self) -> Fields {
        let mut fields = lifecycle::desired(self);
        fields.extend([
            ("public_access", json!("blocked")),
            ("ownership", json!(ObjectOwnership::BucketOwnerEnforced.as_str())),
            ("encryption", json!(self.encryption_text())),
            ("policy", self.policy()),
            ("versioning", json!(self.versioning)),
        ]);
        fields
    }

    fn defaults(&self) -> Fields {
        let mut always = self.desired();
        always.retain(|field, _| matches!(*field, "public_access" | "ownership" | "policy" | "other_rules"));
        always.extend([("encryption", json!(S3_MANAGED)), ("versioning", json!(false))]);
        always
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let Some(tags) = tags(cx, &self.name).await? else { return Ok(None) };
        // Six answers of S3 at a time are large; the future of every other resource would be as large.
        let fields = Box::pin(self.settings(cx)).await?;
        Ok(Some(Observed { arn: self.arn.clone(), fields, tags: Some(tags), parent_tags: None, settled: true }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
        let mut configuration = CreateBucketConfiguration::builder();
        if cx.aws.region != FIRST_REGION {
            configuration = configuration.location_constraint(BucketLocationConstraint::from(cx.aws.region.as_str()));
        }
        for (key, value) in tags {
            configuration = configuration.tags(Tag::builder().key(key).value(value).build()?);
        }
        let mut call = cx.aws.s3.create_bucket().bucket(&self.name).create_bucket_configuration(configuration.build());
        if self.namespace == BucketNamespace::AccountRegional {
            call = call.bucket_namespace(S3Namespace::AccountRegional);
        }
        match cx.retry_while_busy(|| call.clone().send()).await {
            Err(error) if error.is(&["BucketAlreadyExists"]) => Err(Hint::error(
                format!("another account has a bucket of the name {}", self.name),
                "rename the pipeline or this bucket, or give it `namespace = \"account-regional\"`, in which nobody else has names",
            )),
            Err(error) if !error.is(&["BucketAlreadyOwnedByYou"]) => Err(error.into()),
            // In the first region that is the answer for a bucket that is there, too.
            _ => Ok(Created::Found),
        }
    }

    async fn change(&self, cx: &Cx, _seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        for change in changes {
            self.change_one(cx, &change.field).await?;
        }
        if changes.iter().any(|change| lifecycle::is_of(&change.field)) {
            lifecycle::put(cx, self).await?;
        }
        Ok(())
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        // PutBucketTagging replaces all tags.
        let mut tags = tags(cx, &self.name).await?.unwrap_or_default();
        tags.retain(|key, _| !remove.contains(key));
        tags.extend(set.clone());
        let mut tagging = Tagging::builder().set_tag_set(Some(Vec::new()));
        for (key, value) in tags {
            tagging = tagging.tag_set(Tag::builder().key(key).value(value).build()?);
        }
        let call = cx
            .aws
            .s3
            .put_bucket_tagging()
            .bucket(&self.name)
            .expected_bucket_owner(&cx.aws.account)
            .tagging(tagging.build()?);
        cx.retry_until_known(|| call.clone().send()).await?;
        Ok(())
    }

    async fn ready(&self, _cx: &Cx) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        delete(cx, &self.name).await
    }
}
