//! Physical names, and the limits that AWS sets to them.

use super::finding::Finding;
use super::reference::SectionKind;
use super::types::{Bucket, BucketNamespace, Spec, named};

/// How names in the spec become names in AWS: `<name>[-<stage>]-<key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Naming {
    pub(crate) pipeline: String,
    pub(crate) stage: Option<String>,
}

impl Naming {
    /// `<name>` or `<name>-<stage>`.
    pub(crate) fn prefix(&self) -> String {
        match &self.stage {
            Some(stage) => format!("{}-{stage}", self.pipeline),
            None => self.pipeline.clone(),
        }
    }

    pub(crate) fn physical(&self, key: &str) -> String {
        format!("{}-{key}", self.prefix())
    }

    /// A bucket's name, which all accounts and regions share: `<name>[-<stage>]-<key>-<account>-<region>`; in the namespace of the
    /// account and region with `-an` behind it, as S3 demands.
    pub(crate) fn bucket(&self, key: &str, namespace: BucketNamespace, account: &str, region: &str) -> String {
        let end = if namespace == BucketNamespace::AccountRegional { "-an" } else { "" };
        format!("{}-{account}-{region}{end}", self.physical(key))
    }

    /// A role's name, which all regions of the account share: `<name>[-<stage>]-<function>-<region>`.
    pub(crate) fn role(&self, function: &str, region: &str) -> String {
        format!("{}-{region}", self.physical(function))
    }
}

/// The longest physical name: of the resource itself and of what is derived from it.
fn longest(kind: SectionKind) -> (usize, &'static str) {
    match kind {
        SectionKind::Stream => (128, "a Kinesis stream name"),
        SectionKind::Table => (255, "a DynamoDB table name"),
        SectionKind::Queue => (80, "an SQS queue name"),
        // Account and region follow the name: at most 12 and 14 characters, and two hyphens.
        SectionKind::Bucket => (63 - 28, "an S3 bucket name, before account and region,"),
        // Its role's name has at most 64, of which the region, which follows the function's, takes 15 with a hyphen.
        SectionKind::Function => (64 - 15, "a Lambda function name, to which its role's name adds the region,"),
        SectionKind::Topic => (256, "an SNS topic name"),
        // The key of its hashes has a longer one.
        SectionKind::Key => (256 - "alias/-index".len(), "the alias of a KMS key, without `alias/` and `-index`,"),
        SectionKind::Alarm => (255, "a CloudWatch alarm name"),
    }
}

/// Says what is wrong with a pipeline or stage name, if anything.
pub(crate) fn mistake_in_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Some("only lower case letters, digits and hyphens work in every AWS name that is made of it");
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.ends_with('-') {
        return Some("it must start with a letter and not end with a hyphen");
    }
    None
}

/// Finds names that AWS would refuse.
pub(crate) fn check(spec: &Spec, stage: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(why) = mistake_in_name(spec.name.get_ref()) {
        findings.push(
            Finding::new(spec.name.span(), format!("`{}` can't be a pipeline's name: {why}", spec.name.get_ref()))
                .help("write something like \"retail-events\""),
        );
        return findings;
    }
    let naming = Naming { pipeline: spec.name.get_ref().clone(), stage: stage.map(str::to_owned) };
    for (reference, span) in spec.sections() {
        let name = &reference.name;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            findings.push(
                Finding::new(span, format!("`{name}` can't be a {}'s name", reference.kind.word()))
                    .help("use letters, digits, hyphens and underscores"),
            );
            continue;
        }
        if reference.kind == SectionKind::Bucket
            && !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        {
            findings.push(
                Finding::new(span, format!("`{name}` can't be a bucket's name"))
                    .help("use lower case letters, digits and hyphens"),
            );
            continue;
        }
        let physical = naming.physical(name);
        let (mut limit, what) = longest(reference.kind);
        let of_account = |bucket: &Bucket| bucket.namespace == BucketNamespace::AccountRegional;
        if reference.kind == SectionKind::Bucket && named(&spec.bucket, name).is_some_and(of_account) {
            limit -= "-an".len();
        }
        if physical.len() > limit {
            findings.push(
                Finding::new(
                    span,
                    format!("`{physical}` has {} characters; {what} has at most {limit}", physical.len()),
                )
                .help("shorten this name or the pipeline's"),
            );
        }
    }
    findings
}
