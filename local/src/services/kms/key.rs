//! One key: its state and description.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use streamkit_wire::input::{flag, list, text};
use streamkit_wire::{CallError, clock};
use uuid::Uuid;

use super::cipher::{Material, material};

const DAY_MS: i64 = 86_400_000;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    Encrypt,
    Mac,
}

/// How often a key gets new material, where that is not said: as often as AWS does.
const ROTATION_DAYS: i64 = 365;

/// A key.
pub(super) struct Key {
    pub(super) id: Uuid,
    pub(super) arn: String,
    pub(super) material: Material,
    pub(super) description: String,
    pub(super) enabled: bool,
    /// When it is to be deleted.
    pub(super) deletion_ms: Option<i64>,
    /// How often it gets new material, in days; `None` for never.
    pub(super) rotation: Option<i64>,
    pub(super) usage: Usage,
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
        let usage = match (spec.unwrap_or("SYMMETRIC_DEFAULT"), usage) {
            ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT") if !many => Usage::Encrypt,
            ("HMAC_256", "GENERATE_VERIFY_MAC") if !many => Usage::Mac,
            _ => {
                let message = "The embedded AWS has symmetric keys of one region that encrypt and decrypt, HMAC_256 keys, and no others.";
                return Err(CallError::bad("UnsupportedOperationException", message));
            }
        };
        let policy = text(input, "Policy").map(checked_policy).transpose()?;
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
            rotation: None,
            usage,
            policy: policy.unwrap_or_else(|| of_account.to_string()),
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
            "KeyState": self.state(),
            "Origin": "AWS_KMS",
            "KeyManager": if self.of_aws { "AWS" } else { "CUSTOMER" },
            "MultiRegion": false,
        });
        let (usage, spec, algorithms, algorithm) = match self.usage {
            Usage::Encrypt => ("ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "EncryptionAlgorithms", "SYMMETRIC_DEFAULT"),
            Usage::Mac => ("GENERATE_VERIFY_MAC", "HMAC_256", "MacAlgorithms", "HMAC_SHA_256"),
        };
        shown["KeyUsage"] = json!(usage);
        shown["KeySpec"] = json!(spec);
        shown["CustomerMasterKeySpec"] = json!(spec);
        shown[algorithms] = json!([algorithm]);
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

    /// Refuses to do anything with a key that is not enabled.
    pub(super) fn check_usable(&self) -> Result<(), CallError> {
        self.check_kept()?;
        if self.enabled {
            return Ok(());
        }
        Err(CallError::bad("DisabledException", format!("{} is disabled.", self.arn)))
    }

    /// Refuses what the key is not for.
    pub(super) fn check_usable_to(&self, usage: Usage, operation: &str) -> Result<(), CallError> {
        self.check_usable()?;
        if self.usage == usage {
            return Ok(());
        }
        let message = format!("{} key usage is not valid for {operation}.", self.arn);
        Err(CallError::bad("InvalidKeyUsageException", message))
    }

    /// Gives the key new material after so many days, or, for none, after a year.
    pub(super) fn rotate_every(&mut self, days: Option<i64>) -> Result<(), CallError> {
        self.check_usable()?;
        if self.usage != Usage::Encrypt {
            let message = format!("{} does not support rotation.", self.arn);
            return Err(CallError::bad("UnsupportedOperationException", message));
        }
        let days = days.unwrap_or(ROTATION_DAYS);
        if !(90..=2560).contains(&days) {
            return Err(CallError::bad("ValidationException", "RotationPeriodInDays must be between 90 and 2560."));
        }
        self.rotation = Some(days);
        Ok(())
    }
}

/// A key policy, which has to be JSON with statements. Whether it leaves the caller a way to change it is not looked at.
pub(super) fn checked_policy(text: &str) -> Result<String, CallError> {
    let document: Option<Value> = serde_json::from_str(text).ok();
    let is_policy =
        document.is_some_and(|document| document["Statement"].is_array() || document["Statement"].is_object());
    let malformed = || CallError::bad("MalformedPolicyDocumentException", "The new key policy is not valid JSON.");
    if is_policy { Ok(text.to_owned()) } else { Err(malformed()) }
}

/// `[{TagKey, TagValue}]` as pairs.
pub(super) fn tags(value: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    list(value).iter().filter_map(|tag| {
        Some((tag["TagKey"].as_str()?.to_owned(), tag["TagValue"].as_str().unwrap_or_default().to_owned()))
    })
}
