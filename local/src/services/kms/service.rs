//! The operations on keys and aliases.
//!
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_Operations.html>

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::{Value, json};
use streamkit_wire::input::{integer, list, required, text};
use streamkit_wire::{Call, CallError, Service, clock};
use uuid::Uuid;

use super::cipher;
use super::key::{Key, Usage, checked_policy, tags};
use crate::services::marker_page::{MarkerPage, page_after};
use crate::services::service::{AwsService, BoxFuture};

/// Aliases of the keys that AWS makes when one of its services first needs them.
const OF_AWS: &str = "alias/aws/";
const PAGE: usize = 100;
/// Longer plaintexts are refused; they are for data keys.
const LONGEST_PLAINTEXT: usize = 4096;

type Answer = Result<Value, CallError>;

/// All keys of a region.
pub(crate) struct Kms {
    region: String,
    account: String,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    all: BTreeMap<Uuid, Key>,
    /// With `alias/`.
    aliases: BTreeMap<String, Uuid>,
}

impl Kms {
    pub(crate) fn new(region: &str, account: &str) -> Self {
        Self { region: region.to_owned(), account: account.to_owned(), keys: Mutex::default() }
    }

    fn call(&self, operation: &str, input: &Value) -> Answer {
        match operation {
            "CreateKey" => {
                let key = Key::new(&self.region, &self.account, input)?;
                let shown = key.shown(&self.account);
                self.keys.lock().all.insert(key.id, key);
                Ok(json!({ "KeyMetadata": shown }))
            }
            "DescribeKey" => self.with(input, |key| Ok(json!({ "KeyMetadata": key.shown(&self.account) }))),
            "ListKeys" => {
                let keys = self.keys.lock();
                let shown = keys
                    .all
                    .values()
                    .map(|key| (key.id.to_string(), json!({ "KeyId": key.id.to_string(), "KeyArn": key.arn })));
                Ok(paged("Keys", input, shown))
            }
            "EnableKey" | "DisableKey" => self.with_key(input, |key| {
                key.check_kept()?;
                key.enabled = operation == "EnableKey";
                Ok(json!({}))
            }),
            "UpdateKeyDescription" => self.with_key(input, |key| {
                text(input, "Description").unwrap_or_default().clone_into(&mut key.description);
                Ok(json!({}))
            }),
            "ScheduleKeyDeletion" => self.with_key(input, |key| {
                key.check_kept()?;
                let days = integer(&input["PendingWindowInDays"]).unwrap_or(30);
                if !(7..=30).contains(&days) {
                    return Err(invalid("PendingWindowInDays must be between 7 and 30."));
                }
                let at = clock::seconds(key.delete_in(days));
                let state = key.state();
                Ok(json!({ "KeyId": key.arn, "DeletionDate": at, "KeyState": state, "PendingWindowInDays": days }))
            }),
            "CancelKeyDeletion" => self.with_key(input, |key| {
                if key.deletion_ms.is_none() {
                    let message = format!("{} is not pending deletion.", key.arn);
                    return Err(CallError::bad("KMSInvalidStateException", message));
                }
                (key.deletion_ms, key.enabled) = (None, false);
                Ok(json!({ "KeyId": key.arn }))
            }),
            "GetKeyPolicy" => self.with_key(input, |key| Ok(json!({ "Policy": key.policy, "PolicyName": "default" }))),
            "PutKeyPolicy" => self.with_key(input, |key| {
                key.policy = checked_policy(required(input, "Policy")?)?;
                Ok(json!({}))
            }),
            "ListKeyPolicies" => {
                self.with_key(input, |_| Ok(json!({ "PolicyNames": ["default"], "Truncated": false })))
            }
            "EnableKeyRotation" => self.with_key(input, |key| {
                key.rotate_every(integer(&input["RotationPeriodInDays"]))?;
                Ok(json!({}))
            }),
            "DisableKeyRotation" => self.with_key(input, |key| {
                key.check_usable()?;
                key.rotation = None;
                Ok(json!({}))
            }),
            "GetKeyRotationStatus" => self.with_key(input, |key| {
                let mut status = json!({ "KeyId": key.arn, "KeyRotationEnabled": key.rotation.is_some() });
                if let Some(days) = key.rotation {
                    status["RotationPeriodInDays"] = json!(days);
                }
                Ok(status)
            }),
            "ListGrants" => self.with_key(input, |_| Ok(json!({ "Grants": [], "Truncated": false }))),
            "TagResource" => self.with_key(input, |key| {
                key.check_kept()?;
                key.tags.extend(tags(&input["Tags"]));
                Ok(json!({}))
            }),
            "UntagResource" => self.with_key(input, |key| {
                key.check_kept()?;
                list(&input["TagKeys"]).iter().filter_map(Value::as_str).for_each(|name| drop(key.tags.remove(name)));
                Ok(json!({}))
            }),
            "ListResourceTags" => self.with_key(input, |key| {
                let tags = key.tags.iter().map(|(name, value)| json!({ "TagKey": name, "TagValue": value }));
                Ok(json!({ "Tags": tags.collect::<Vec<_>>(), "Truncated": false }))
            }),
            "CreateAlias" | "UpdateAlias" | "DeleteAlias" | "ListAliases" => self.of_aliases(operation, input),
            _ => self.encryption(operation, input),
        }
    }

    fn of_aliases(&self, operation: &str, input: &Value) -> Answer {
        let arn = |alias: &str| format!("arn:aws:kms:{}:{}:{alias}", self.region, self.account);
        if operation == "ListAliases" {
            let of = text(input, "KeyId").map(|_| self.with(input, |key| Ok(json!(key.id.to_string())))).transpose()?;
            let keys = self.keys.lock();
            let found = keys.aliases.iter().filter(|(_, id)| of.as_ref().is_none_or(|of| json!(id.to_string()) == *of));
            let shown = found.map(|(alias, id)| {
                (alias.clone(), json!({ "AliasName": alias, "AliasArn": arn(alias), "TargetKeyId": id.to_string() }))
            });
            return Ok(paged("Aliases", input, shown));
        }
        let alias = required(input, "AliasName")?;
        if alias.strip_prefix("alias/").is_none_or(str::is_empty) {
            return Err(invalid("Alias must start with the prefix \"alias/\"."));
        }
        if alias.starts_with(OF_AWS) {
            return Err(CallError::bad("NotAuthorizedException", "Aliases that begin with alias/aws/ are AWS's own."));
        }
        let mut keys = self.keys.lock();
        let there = keys.aliases.contains_key(alias);
        match operation {
            "CreateAlias" if there => {
                let message = format!("An alias with the name {} already exists", arn(alias));
                return Err(CallError::bad("AlreadyExistsException", message));
            }
            "UpdateAlias" | "DeleteAlias" if !there => {
                return Err(missing(&format!("Alias {} is not found.", arn(alias))));
            }
            "DeleteAlias" => {
                keys.aliases.remove(alias);
            }
            _ => {
                let target = required(input, "TargetKeyId")?;
                not_an_alias(target)?;
                let key = self.find(&mut keys, target)?;
                key.check_kept()?;
                let id = key.id;
                keys.aliases.insert(alias.to_owned(), id);
            }
        }
        Ok(json!({}))
    }

    fn encryption(&self, operation: &str, input: &Value) -> Answer {
        let context = cipher::context(&input["EncryptionContext"]);
        match operation {
            "GenerateRandom" => {
                let count = integer(&input["NumberOfBytes"]).and_then(|count| usize::try_from(count).ok());
                let count = count.filter(|count| (1..=1024).contains(count));
                let count = count.ok_or_else(|| invalid("NumberOfBytes must be between 1 and 1024."))?;
                Ok(json!({ "Plaintext": STANDARD.encode(cipher::random(count)?) }))
            }
            "GenerateDataKey" | "GenerateDataKeyWithoutPlaintext" => {
                let spec = match (text(input, "KeySpec"), integer(&input["NumberOfBytes"])) {
                    (Some("AES_256"), None) => Some(32),
                    (Some("AES_128"), None) => Some(16),
                    (None, Some(count)) => usize::try_from(count).ok().filter(|count| (1..=1024).contains(count)),
                    _ => None,
                };
                let spec = spec.ok_or_else(|| invalid("Please specify either number of bytes or key spec."))?;
                let data_key = cipher::random(spec)?;
                let mut answer = self.encrypted(input, &data_key, &context)?;
                if operation == "GenerateDataKey" {
                    answer["Plaintext"] = json!(STANDARD.encode(data_key));
                }
                Ok(answer)
            }
            "Encrypt" => {
                let plaintext = bytes(input, "Plaintext")?;
                if plaintext.is_empty() || plaintext.len() > LONGEST_PLAINTEXT {
                    return Err(invalid(
                        "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length between 1 and 4096",
                    ));
                }
                let mut answer = self.encrypted(input, &plaintext, &context)?;
                answer["EncryptionAlgorithm"] = json!("SYMMETRIC_DEFAULT");
                Ok(answer)
            }
            "GenerateMac" | "VerifyMac" => self.with(input, |key| {
                key.check_usable_to(Usage::Mac, operation)?;
                if text(input, "MacAlgorithm") != Some("HMAC_SHA_256") {
                    return Err(invalid("MacAlgorithm must be HMAC_SHA_256, as the key's is."));
                }
                let mut answer = json!({ "KeyId": key.arn, "MacAlgorithm": "HMAC_SHA_256" });
                let mac = cipher::mac(&key.material, &bytes(input, "Message")?);
                if operation == "GenerateMac" {
                    answer["Mac"] = json!(STANDARD.encode(mac));
                } else if bytes(input, "Mac")? == mac {
                    answer["MacValid"] = json!(true);
                } else {
                    return Err(CallError::bad("KMSInvalidMacException", "The MAC is not the message's."));
                }
                Ok(answer)
            }),
            "Decrypt" => {
                let (plaintext, arn) = self.decrypted(input, "KeyId", &context)?;
                Ok(json!({
                    "Plaintext": STANDARD.encode(plaintext),
                    "KeyId": arn,
                    "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
                }))
            }
            "ReEncrypt" => {
                let before = cipher::context(&input["SourceEncryptionContext"]);
                let (plaintext, source) = self.decrypted(input, "SourceKeyId", &before)?;
                let after = cipher::context(&input["DestinationEncryptionContext"]);
                let to = json!({ "KeyId": input["DestinationKeyId"] });
                let mut answer = self.encrypted(&to, &plaintext, &after)?;
                answer["SourceKeyId"] = json!(source);
                Ok(answer)
            }
            _ => Err(CallError::unknown_operation(Service::Kms.name(), operation)),
        }
    }

    fn encrypted(&self, input: &Value, plaintext: &[u8], context: &[u8]) -> Answer {
        self.with(input, |key| {
            key.check_usable_to(Usage::Encrypt, "encryption")?;
            let blob = cipher::encrypt(key.id, &key.material, plaintext, context)?;
            Ok(json!({ "CiphertextBlob": STANDARD.encode(blob), "KeyId": key.arn }))
        })
    }

    /// The plaintext of a ciphertext, and the ARN of its key, which must be the one in `member` if that is given.
    fn decrypted(&self, input: &Value, member: &str, context: &[u8]) -> Result<(Vec<u8>, String), CallError> {
        let blob = bytes(input, "CiphertextBlob")?;
        let id = cipher::key_of(&blob)?;
        let mut keys = self.keys.lock();
        if let Some(named) = text(input, member)
            && self.find(&mut keys, named)?.id != id
        {
            let message = "The key ID in the request does not identify a CMK that can perform this operation.";
            return Err(CallError::bad("IncorrectKeyException", message));
        }
        let key = keys.all.get(&id).ok_or_else(cipher::invalid)?;
        key.check_usable()?;
        Ok((cipher::decrypt(&key.material, &blob, context)?, key.arn.clone()))
    }

    fn with(&self, input: &Value, act: impl FnOnce(&mut Key) -> Answer) -> Answer {
        let named = required(input, "KeyId")?;
        act(self.find(&mut self.keys.lock(), named)?)
    }

    /// The same for operations that take no alias.
    fn with_key(&self, input: &Value, act: impl FnOnce(&mut Key) -> Answer) -> Answer {
        not_an_alias(required(input, "KeyId")?)?;
        self.with(input, act)
    }

    /// The key of an id, an alias, or the ARN of either.
    fn find<'a>(&self, keys: &'a mut Keys, named: &str) -> Result<&'a mut Key, CallError> {
        let name = named.rsplit_once(':').map_or(named, |(_, resource)| resource);
        if name.starts_with(OF_AWS) && !keys.aliases.contains_key(name) {
            let mut key = Key::new(&self.region, &self.account, &json!({}))?;
            key.of_aws = true;
            key.description = format!("Default key that protects what {} keeps", &name[OF_AWS.len()..]);
            keys.aliases.insert(name.to_owned(), key.id);
            keys.all.insert(key.id, key);
        }
        let arn = format!("arn:aws:kms:{}:{}", self.region, self.account);
        let id = if name.starts_with("alias/") {
            let found = keys.aliases.get(name).copied();
            found.ok_or_else(|| missing(&format!("Alias {arn}:{name} is not found.")))?
        } else {
            name.trim_start_matches("key/").parse().unwrap_or_default()
        };
        let gone = || missing(&format!("Key '{arn}:key/{}' does not exist", name.trim_start_matches("key/")));
        keys.all.get_mut(&id).ok_or_else(gone)
    }
}

impl AwsService for Kms {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move { self.call(&call.operation, &input) })
    }

    /// Deletes the keys whose time has come.
    fn housekeeping(&self) -> BoxFuture<'_, ()> {
        let now = clock::now_ms();
        let mut keys = self.keys.lock();
        keys.all.retain(|_, key| key.deletion_ms.is_none_or(|at| at > now));
        let Keys { all, aliases } = &mut *keys;
        aliases.retain(|_, id| all.contains_key(id));
        Box::pin(async {})
    }
}

/// Base64 in a member.
fn bytes(input: &Value, member: &str) -> Result<Vec<u8>, CallError> {
    STANDARD.decode(required(input, member)?).map_err(|_| invalid(&format!("{member} is not Base64.")))
}

/// The page of a list that is asked for.
fn paged(member: &str, input: &Value, elements: impl Iterator<Item = (String, Value)>) -> Value {
    let size = integer(&input["Limit"]).and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE).max(1);
    let MarkerPage { shown, marker } = page_after(text(input, "Marker"), size, elements);
    let mut page = json!({ member: shown, "Truncated": marker.is_some() });
    if let Some(marker) = marker {
        page["NextMarker"] = json!(marker);
    }
    page
}

/// Refuses an alias, or its ARN, where AWS takes the key's own id or ARN only.
fn not_an_alias(named: &str) -> Result<(), CallError> {
    if named.contains("alias/") {
        return Err(missing(&format!("Invalid keyId '{named}'")));
    }
    Ok(())
}

fn invalid(message: &str) -> CallError {
    CallError::bad("ValidationException", message)
}

fn missing(message: &str) -> CallError {
    CallError::bad("NotFoundException", message)
}
