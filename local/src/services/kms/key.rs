//! One key: its state and description.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use streamkit_wire::input::{flag, list, text};
use streamkit_wire::{CallError, clock};
use uuid::Uuid;

use super::cipher::{Material, material};

const DAY_MS: i64 = 86_400_000;

/// A symmetric key.
pub(super) struct Key {
    pub(super) id: Uuid,
    pub(super) arn: String,
    pub(super) material: Material,
    pub(super) description: String,
    pub(super) enabled: bool,
    /// When it is to be deleted.
    pub(super) deletion_ms: Option<i64>,
    pub(super) rotation: bool,
    pub(super) policy: String,
    pub(super) tags: BTreeMap<String, String>,
    /// Whether AWS made it, for the encryption of one of its services.
    pub(super) of_aws: bool,
    created_ms: i64,
}

impl Key {
    /// What a CreateKey asks for.
    pub(super) fn new(region: &str, account: &str, input: &Value) -> Result<Self, CallError> {
        let spec = text(input, "KeySpec").or_else(|| text(input, "CustomerMasterKeySpec"));
        let usage = text(input, "KeyUsage").unwrap_or("ENCRYPT_DECRYPT");
        let many = flag(&input["MultiRegion"]).unwrap_or(false);
        if spec.is_some_and(|spec| spec != "SYMMETRIC_DEFAULT") || usage != "ENCRYPT_DECRYPT" || many {
            let message = "The embedded AWS has symmetric keys of one region that encrypt and decrypt, and no others.";
            return Err(CallError::bad("UnsupportedOperationException", message));
        }
        let id = Uuid::new_v4();
        let of_account = json!({
            "Version": "2012-10-17",
            "Id": "key-default-1",
            "Statement": [{
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
                "Action": "kms:*",
                "Resource": "*",
            }],
        });
        Ok(Self {
            id,
            arn: format!("arn:aws:kms:{region}:{account}:key/{id}"),
            material: material()?,
            description: text(input, "Description").unwrap_or_default().to_owned(),
            enabled: true,
            deletion_ms: None,
            rotation: false,
            policy: text(input, "Policy").map_or_else(|| of_account.to_string(), str::to_owned),
            tags: tags(&input["Tags"]).collect(),
            of_aws: false,
            created_ms: clock::now_ms(),
        })
    }

    /// Its `KeyMetadata`.
    pub(super) fn shown(&self, account: &str) -> Value {
        let mut shown = json!({
            "AWSAccountId": account,
            "KeyId": self.id.to_string(),
            "Arn": self.arn,
            "CreationDate": clock::seconds(self.created_ms),
            "Enabled": self.enabled && self.deletion_ms.is_none(),
            "Description": self.description,
            "KeyUsage": "ENCRYPT_DECRYPT",
            "KeyState": self.state(),
            "Origin": "AWS_KMS",
            "KeyManager": if self.of_aws { "AWS" } else { "CUSTOMER" },
            "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
            "MultiRegion": false,
        });
        if let Some(ms) = self.deletion_ms {
            shown["DeletionDate"] = json!(clock::seconds(ms));
        }
        shown
    }

    pub(super) fn state(&self) -> &'static str {
        match (self.deletion_ms, self.enabled) {
            (Some(_), _) => "PendingDeletion",
            (None, true) => "Enabled",
            (None, false) => "Disabled",
        }
    }

    /// Plans the deletion after so many days; the time of it.
    pub(super) fn delete_in(&mut self, days: i64) -> i64 {
        let at = clock::now_ms() + days * DAY_MS;
        self.deletion_ms = Some(at);
        at
    }

    /// Refuses what a key that waits for its deletion is not there for any more.
    pub(super) fn check_kept(&self) -> Result<(), CallError> {
        if self.deletion_ms.is_none() {
            return Ok(());
        }
        Err(CallError::bad("KMSInvalidStateException", format!("{} is pending deletion.", self.arn)))
    }

    /// Refuses to encrypt or decrypt with a key that is not enabled.
    pub(super) fn check_usable(&self) -> Result<(), CallError> {
        self.check_kept()?;
        if self.enabled {
            return Ok(());
        }
        Err(CallError::bad("DisabledException", format!("{} is disabled.", self.arn)))
    }
}

/// `[{TagKey, TagValue}]` as pairs.
pub(super) fn tags(value: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    list(value).iter().filter_map(|tag| {
        Some((tag["TagKey"].as_str()?.to_owned(), tag["TagValue"].as_str().unwrap_or_default().to_owned()))
    })
}
