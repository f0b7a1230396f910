//! KMS keys, each with the alias that is its name: KMS gives keys random ids, and the alias finds them again.
//!
//! A key without an alias, which a killed run has left, is found by its tags. A key is never deleted at once: KMS waits for days, in which
//! its alias goes on to name it, and in which it counts as gone here; whoever makes it again cancels the deletion, and has the same key.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_kms::types::{AliasListEntry, KeyMetadata, KeySpec, KeyState, KeyUsageType, Tag};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::context::Cx;
use super::resource::{Actions, Created, Observed, Resource};
use crate::aws::{
    Arn, AwsError, Clients, DELETION_WINDOW_TAG, NODE_TAG, Parent, Tags, all, answered, canonical, existing, known,
};
use crate::failure::Hint;
use crate::plan::{Change, Fields};

/// The name of the only policy that a key has.
const POLICY: &str = "default";
/// How many days KMS waits where the key does not say: the most.
const LONGEST_WINDOW: i32 = 30;
/// The node of a key for keyed hashes ends so, and its name like this.
const INDEX: (&str, &str) = (".index", "-index");

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "kms:CancelKeyDeletion",
        "kms:CreateAlias",
        "kms:CreateKey",
        "kms:DisableKeyRotation",
        "kms:EnableKey",
        "kms:EnableKeyRotation",
        "kms:GetKeyPolicy",
        "kms:GetKeyRotationStatus",
        "kms:PutKeyPolicy",
        "kms:ScheduleKeyDeletion",
        "kms:TagResource",
        "kms:UntagResource",
    ],
    account: &["kms:DescribeKey", "kms:ListAliases", "kms:ListKeys", "kms:ListResourceTags"],
};

/// What the account's administrators may do: all that keeps a key manageable, and nothing that reads or writes what it protects. Nor
/// grants, by which they could give themselves that.
const ADMINISTRATION: [&str; 20] = [
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
];

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyPurpose {
    /// It encrypts data keys.
    Encryption,
    /// It makes the key of keyed hashes.
    Index,
}

/// A customer-managed KMS key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// Its alias, without `alias/`.
    pub(crate) name: String,
    pub(crate) purpose: KeyPurpose,
    /// Whether it gets new material each year. What was encrypted before is decrypted as ever.
    pub(crate) rotation: bool,
    /// ARNs of the roles of functions, which may encrypt, or hash.
    pub(crate) functions: BTreeSet<String>,
    /// ARNs of who may decrypt, or hash; `*` in them stands for anything.
    pub(crate) readers: BTreeSet<String>,
}

/// What stands for the policy that follows from the rest.
const OWN_POLICY: &str = "functions encrypt, readers decrypt, administrators manage";
/// Ids of statements.
const FUNCTIONS: &str = "Functions";
const READERS: &str = "Readers";

impl KeyPurpose {
    /// What functions and readers may do.
    fn actions(self) -> (&'static str, &'static str) {
        match self {
            Self::Encryption => ("kms:GenerateDataKey", "kms:Decrypt"),
            Self::Index => ("kms:GenerateMac", "kms:GenerateMac"),
        }
    }

    /// The key policy. Principals are named by conditions: KMS refuses roles that are not there yet, and turns one that is deleted into
    /// an id, which the next role of its name does not have. So the caller's own policy must allow the call, too.
    fn policy(self, aws: &Clients, functions: &BTreeSet<String>, readers: &BTreeSet<String>) -> Value {
        let root = |account: &str| aws.global_arn("iam", "root").replace(&aws.account, account);
        let own = root(&aws.account);
        let allow = |sid: &str, accounts: &[String], actions: &[&str]| json!({ "Sid": sid, "Effect": "Allow", "Principal": { "AWS": accounts }, "Action": actions, "Resource": "*" });
        let mut statements = vec![allow("Administration", std::slice::from_ref(&own), &ADMINISTRATION)];
        let accounts: BTreeSet<String> =
            readers.iter().filter_map(|reader| Some(Arn::parse(reader)?.account)).collect();
        let accounts: Vec<String> = accounts.iter().map(|account| root(account)).collect();
        let (encrypt, decrypt) = self.actions();
        for (sid, accounts, action, principals) in
            [(FUNCTIONS, vec![own], encrypt, functions), (READERS, accounts, decrypt, readers)]
        {
            if !principals.is_empty() {
                let mut statement = allow(sid, &accounts, &[action]);
                statement["Condition"] = json!({ "ArnLike": { "aws:PrincipalArn": principals } });
                statements.push(statement);
            }
        }
        canonical(&json!({ "Version": "2012-10-17", "Statement": statements }))
    }

    /// The fields of a policy: functions and readers, if it allows what it should and nothing else; else the policy itself, which shows as
    /// drift.
    fn fields_of(self, aws: &Clients, text: &str) -> [(&'static str, Value); 3] {
        let policy: Value = serde_json::from_str(text).map_or_else(|_| json!(text), |policy| canonical(&policy));
        let named = |sid: &str| -> BTreeSet<String> {
            let statements =
                policy["Statement"].as_array().map_or_else(|| vec![&policy["Statement"]], |all| all.iter().collect());
            let statement = statements.into_iter().find(|statement| statement["Sid"] == sid);
            match statement.map(|statement| &statement["Condition"]["ArnLike"]["aws:PrincipalArn"]) {
                Some(Value::String(one)) => BTreeSet::from([one.clone()]),
                Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                _ => BTreeSet::new(),
            }
        };
        let (functions, readers) = (named(FUNCTIONS), named(READERS));
        let is_own = policy == self.policy(aws, &functions, &readers);
        [
            ("functions", json!(functions)),
            ("readers", json!(readers)),
            ("policy", if is_own { json!(OWN_POLICY) } else { policy }),
        ]
    }
}

/// A key as KMS describes it, and whether the alias names it.
struct Found {
    id: String,
    arn: String,
    metadata: KeyMetadata,
    has_alias: bool,
}

impl Found {
    fn is_going(&self) -> bool {
        self.metadata.key_state == Some(KeyState::PendingDeletion)
    }
}

/// The alias of this name.
pub(crate) fn alias(name: &str) -> String {
    format!("alias/{name}")
}

pub(super) fn arn(aws: &Clients, name: &str) -> String {
    aws.arn("kms", &alias(name))
}

/// The key that the alias names, or that a run has made to be named so.
async fn find(cx: &Cx, name: &str) -> Result<Option<Found>, AwsError> {
    if let Some(found) = describe(cx, &alias(name), true).await? {
        return Ok(Some(found));
    }
    match listed(cx).await?.1.into_iter().find(|(wanted, _)| wanted == name) {
        Some((_, id)) => describe(cx, &id, false).await,
        None => Ok(None),
    }
}

async fn describe(cx: &Cx, key: &str, has_alias: bool) -> Result<Option<Found>, AwsError> {
    let answer = existing(answered(cx.aws.kms.describe_key().key_id(key).send().await))?;
    Ok(answer.and_then(|answer| answer.key_metadata).map(|metadata| {
        let (id, arn) = (metadata.key_id.clone(), metadata.arn.clone().unwrap_or_default());
        Found { id, arn, metadata, has_alias }
    }))
}

async fn aliases(cx: &Cx) -> Result<Vec<AliasListEntry>, AwsError> {
    all(cx.aws.kms.list_aliases().into_paginator().items().send()).await
}

/// All aliases, and the owner's keys that have none: the names that they should have, and their ids.
async fn listed(cx: &Cx) -> Result<(Vec<AliasListEntry>, Vec<(String, String)>), AwsError> {
    let kms = &cx.aws.kms;
    let aliases = aliases(cx);
    let keys = all(kms.list_keys().limit(1000).into_paginator().items().send());
    let (aliases, keys) = tokio::try_join!(aliases, keys)?;
    let is_named = |id: &String| aliases.iter().any(|alias| alias.target_key_id.as_ref() == Some(id));
    let ids = keys.into_iter().filter_map(|key| key.key_id).filter(|id| !is_named(id));
    let found = try_join_all(ids.map(async |id| match tags_of(cx, &id).await {
        Ok(tags) => Ok(tags.map(|tags| (id, tags))),
        // Somebody else's.
        Err(error) if error.is_denied() => Ok(None),
        Err(error) => Err(error),
    }))
    .await?;
    let ours = found.into_iter().flatten().filter(|(_, tags)| cx.owner.owns(Some(tags), Parent::None));
    let named = ours.filter_map(|(id, tags)| {
        let node = tags.get(NODE_TAG)?.strip_prefix("key.")?;
        let name = node.strip_suffix(INDEX.0).map_or_else(|| node.to_owned(), |key| format!("{key}{}", INDEX.1));
        Some((format!("{}-{name}", cx.owner.prefix()), id))
    });
    let nameless = named.collect();
    Ok((aliases, nameless))
}

/// The names of all keys that have an alias which begins like this, and of those that should have one, if these are wanted.
pub(super) async fn names(cx: &Cx, start: &str, nameless: bool) -> Result<Vec<String>, AwsError> {
    let (aliases, nameless) = if nameless { listed(cx).await? } else { (aliases(cx).await?, Vec::new()) };
    let names = aliases.into_iter().filter_map(|alias| alias.alias_name?.strip_prefix("alias/").map(str::to_owned));
    Ok(names.filter(|name| name.starts_with(start)).chain(nameless.into_iter().map(|(name, _)| name)).collect())
}

async fn tags_of(cx: &Cx, id: &str) -> Result<Option<Tags>, AwsError> {
    let tags = all(cx.aws.kms.list_resource_tags().key_id(id).into_paginator().items().send());
    let tags = existing(tags.await)?;
    Ok(tags.map(|tags| tags.into_iter().map(|tag| (tag.tag_key, tag.tag_value)).collect()))
}

/// The tags; `None` when there is no such key, or only one that is about to be deleted.
pub(super) async fn tags(cx: &Cx, name: &str) -> Result<Option<Tags>, AwsError> {
    match find(cx, name).await? {
        Some(found) if !found.is_going() => tags_of(cx, &found.id).await,
        _ => Ok(None),
    }
}

/// What becomes unreadable with the key, and when.
pub(super) async fn contents(cx: &Cx, name: &str) -> Result<Option<String>, AwsError> {
    let Some(found) = find(cx, name).await?.filter(|found| !found.is_going()) else { return Ok(None) };
    let days = window(tags_of(cx, &found.id).await?.as_ref());
    let what = match found.metadata.key_usage {
        Some(KeyUsageType::GenerateVerifyMac) => "the hashes that were made with it",
        _ => "what is encrypted with it",
    };
    let after = Duration::from_secs(u64::try_from(days).unwrap_or_default() * 24 * 3600);
    let last = jiff::Timestamp::try_from(cx.aws.now() + after).map(|at| at.strftime("%Y-%m-%d").to_string());
    let last = last.unwrap_or_else(|_| format!("{days} days from now"));
    Ok(Some(format!("{what} (unreadable from {last} on, and until then `up` brings the key back)")))
}

fn window(tags: Option<&Tags>) -> i32 {
    tags.and_then(|tags| tags.get(DELETION_WINDOW_TAG)?.parse().ok()).unwrap_or(LONGEST_WINDOW)
}

/// Plans the deletion.
pub(super) async fn delete(cx: &Cx, name: &str) -> anyhow::Result<()> {
    let Some(found) = find(cx, name).await?.filter(|found| !found.is_going()) else { return Ok(()) };
    let days = window(tags_of(cx, &found.id).await?.as_ref());
    let call = cx.aws.kms.schedule_key_deletion().key_id(&found.id).pending_window_in_days(days);
    match existing(answered(call.send().await)) {
        // Somebody else was quicker.
        Err(error) if error.is(&["KMSInvalidStateException"]) => Ok(()),
        answer => Ok(answer.map(drop)?),
    }
}

impl Key {
    /// The key's id, which calls that change it ask for.
    async fn id(&self, cx: &Cx) -> Result<String, AwsError> {
        let found = find(cx, &self.name).await?.filter(|found| !found.is_going());
        Ok(known(found, "the key")?.id)
    }

    fn policy(&self, cx: &Cx) -> String {
        self.document(&cx.aws).to_string()
    }

    /// The key policy.
    pub(crate) fn document(&self, aws: &Clients) -> Value {
        self.purpose.policy(aws, &self.functions, &self.readers)
    }

    /// The id and the description that KMS has.
    pub(crate) async fn description(&self, cx: &Cx) -> anyhow::Result<(String, String)> {
        let found = known(find(cx, &self.name).await?, "the key")?;
        Ok((found.id, found.metadata.description.unwrap_or_default()))
    }

    async fn make(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<String> {
        let tags = tags.iter().map(|(key, value)| Tag::builder().tag_key(key).tag_value(value).build());
        let tags: Result<Vec<Tag>, _> = tags.collect();
        let (usage, spec) = match self.purpose {
            KeyPurpose::Encryption => (KeyUsageType::EncryptDecrypt, KeySpec::SymmetricDefault),
            KeyPurpose::Index => (KeyUsageType::GenerateVerifyMac, KeySpec::Hmac256),
        };
        let call = cx.aws.kms.create_key().key_usage(usage).key_spec(spec).policy(self.policy(cx));
        let call = call.description(format!("streamkit: {}", self.name)).set_tags(Some(tags?));
        let made = answered(call.send().await)?;
        Ok(made.key_metadata.context("KMS answered without the key that it made")?.key_id)
    }

    async fn name_it(&self, cx: &Cx, id: &str) -> Result<(), AwsError> {
        let call = cx.aws.kms.create_alias().alias_name(alias(&self.name)).target_key_id(id);
        match cx.retry_until_known(|| call.clone().send()).await {
            Err(error) if error.is(&["AlreadyExistsException"]) => Ok(()),
            answer => answer.map(drop),
        }
    }
}

impl Resource for Key {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, aws: &Clients) -> String {
        arn(aws, &self.name)
    }

    fn desired(&self) -> Fields {
        let mut fields = Fields::from([
            ("alias", json!(alias(&self.name))),
            ("enabled", json!(true)),
            ("functions", json!(self.functions)),
            ("readers", json!(self.readers)),
            ("policy", json!(OWN_POLICY)),
        ]);
        if self.purpose == KeyPurpose::Encryption {
            fields.insert("rotation", json!(self.rotation));
        }
        fields
    }

    fn defaults(&self) -> Fields {
        let mut fields = self.desired();
        fields.remove("functions");
        fields.insert("readers", json!([]));
        if fields.contains_key("rotation") {
            fields.insert("rotation", json!(true));
        }
        fields
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let found = find(cx, &self.name).await?;
        let Some(found) = found.filter(|found| !found.is_going()) else { return Ok(None) };
        let kms = &cx.aws.kms;
        let policy = async || answered(kms.get_key_policy().key_id(&found.id).policy_name(POLICY).send().await);
        let rotation = async || match self.purpose {
            KeyPurpose::Encryption => answered(kms.get_key_rotation_status().key_id(&found.id).send().await).map(Some),
            KeyPurpose::Index => Ok(None),
        };
        let (policy, rotation, tags) = tokio::try_join!(policy(), rotation(), tags_of(cx, &found.id))?;
        let mut fields = Fields::from([
            ("alias", json!(found.has_alias.then(|| alias(&self.name)))),
            ("enabled", json!(found.metadata.enabled)),
        ]);
        fields.extend(self.purpose.fields_of(&cx.aws, policy.policy().unwrap_or_default()));
        if let Some(rotation) = rotation {
            fields.insert("rotation", json!(rotation.key_rotation_enabled));
        }
        let tags = known(tags, "the key's tags")?;
        Ok(Some(Observed { arn: found.arn, fields, tags: Some(tags), parent_tags: None, settled: true }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
        let Some(found) = find(cx, &self.name).await? else {
            let id = self.make(cx, tags).await?;
            self.name_it(cx, &id).await?;
            return Ok(Created::Made { ready: true });
        };
        if found.is_going() {
            let has = known(tags_of(cx, &found.id).await?, "the key's tags")?;
            if !cx.adopt && !cx.owner.owns(Some(&has), Parent::None) {
                let message = format!("KMS key ({}) is about to be deleted, and is not this pipeline's", self.name);
                return Err(Hint::error(message, "rename the section, or take the key over with --adopt"));
            }
            cx.note("cancelling the key's deletion");
            answered(cx.aws.kms.cancel_key_deletion().key_id(&found.id).send().await)?;
            answered(cx.aws.kms.enable_key().key_id(&found.id).send().await)?;
        }
        Ok(Created::Found)
    }

    fn as_made(&self, aws: &Clients, tags: &Tags) -> Observed {
        let mut fields = self.desired();
        if fields.contains_key("rotation") {
            fields.insert("rotation", json!(false));
        }
        Observed { arn: self.arn(aws), fields, tags: Some(tags.clone()), parent_tags: None, settled: true }
    }

    async fn change(&self, cx: &Cx, _seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        let (kms, id) = (&cx.aws.kms, self.id(cx).await?);
        for change in changes {
            match change.field.as_str() {
                "alias" => self.name_it(cx, &id).await?,
                "enabled" => drop(answered(kms.enable_key().key_id(&id).send().await)?),
                // All three are one policy, which is put once.
                "functions" | "readers" | "policy" => {}
                "rotation" if self.rotation => {
                    let call = kms.enable_key_rotation().key_id(&id);
                    cx.retry_until_known(|| call.clone().send()).await?;
                }
                _ => drop(answered(kms.disable_key_rotation().key_id(&id).send().await)?),
            }
        }
        if changes.iter().any(|change| ["functions", "readers", "policy"].contains(&change.field.as_str())) {
            let call = kms.put_key_policy().key_id(&id).policy_name(POLICY).policy(self.policy(cx));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        Ok(())
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        let (kms, id) = (&cx.aws.kms, self.id(cx).await?);
        if !set.is_empty() {
            let tags = set.iter().map(|(key, value)| Tag::builder().tag_key(key).tag_value(value).build());
            let tags: Result<Vec<Tag>, _> = tags.collect();
            let call = kms.tag_resource().key_id(&id).set_tags(Some(tags?));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        if !remove.is_empty() {
            let call = kms.untag_resource().key_id(&id).set_tag_keys(Some(remove.to_vec()));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        Ok(())
    }

    async fn ready(&self, _cx: &Cx) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        delete(cx, &self.name).await
    }
}
