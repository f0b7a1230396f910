//! Table settings that the engine lacks: point-in-time recovery, and encryption changed after creation. Both are kept and
//! given back; nothing is backed up, nothing is encrypted.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use streamkit_wire::{CallError, clock};

#[derive(Default)]
pub(super) struct Settings {
    tables: Mutex<HashMap<String, Table>>,
}

#[derive(Default)]
struct Table {
    /// Recovery is on since then, epoch seconds.
    recovery_since: Option<i64>,
    recovery_days: i64,
    /// What `SSESpecification` was last changed to; `Null` for the key that AWS owns.
    encryption: Option<Value>,
}

impl Settings {
    pub(super) fn forget(&self, table: &str) {
        self.tables().remove(table);
    }

    pub(super) fn set_encryption(&self, table: &str, specification: &Value, scope: &str) {
        let enabled = specification["Enabled"].as_bool().unwrap_or_default();
        let key = specification["KMSMasterKeyId"].as_str().unwrap_or("alias/aws/dynamodb");
        let description = json!({
            "Status": "ENABLED",
            "SSEType": "KMS",
            "KMSMasterKeyArn": if key.starts_with("arn:") { key.to_owned() } else { format!("arn:aws:kms{scope}{}", key_path(key)) },
        });
        let encryption = if enabled { description } else { Value::Null };
        self.tables().entry(table.to_owned()).or_default().encryption = Some(encryption);
    }

    /// Puts a changed encryption into a table description.
    pub(super) fn describe(&self, description: &mut Value) {
        let Some(name) = description["TableName"].as_str().map(str::to_owned) else { return };
        let tables = self.tables();
        let Some(encryption) = tables.get(&name).and_then(|table| table.encryption.as_ref()) else { return };
        let Some(members) = description.as_object_mut() else { return };
        if encryption.is_null() {
            members.remove("SSEDescription");
        } else {
            members.insert("SSEDescription".into(), encryption.clone());
        }
    }

    /// `UpdateContinuousBackups` and `DescribeContinuousBackups` of a table that exists.
    pub(super) fn continuous_backups(&self, table: &str, operation: &str, input: &Value) -> Result<Value, CallError> {
        let now = clock::now_ms() / 1000;
        let mut tables = self.tables();
        let table = tables.entry(table.to_owned()).or_default();
        if operation == "UpdateContinuousBackups" {
            let wanted = &input["PointInTimeRecoverySpecification"];
            let enabled = wanted["PointInTimeRecoveryEnabled"].as_bool().ok_or_else(|| {
                CallError::bad(
                    "ValidationException",
                    "PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled is required",
                )
            })?;
            table.recovery_since = if enabled { table.recovery_since.or(Some(now)) } else { None };
            table.recovery_days = wanted["RecoveryPeriodInDays"].as_i64().unwrap_or(35);
        }
        let recovery = match table.recovery_since {
            None => json!({"PointInTimeRecoveryStatus": "DISABLED"}),
            Some(since) => json!({
                "PointInTimeRecoveryStatus": "ENABLED",
                "RecoveryPeriodInDays": table.recovery_days,
                "EarliestRestorableDateTime": since,
                "LatestRestorableDateTime": now,
            }),
        };
        Ok(json!({"ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": recovery,
        }}))
    }

    fn tables(&self) -> MutexGuard<'_, HashMap<String, Table>> {
        self.tables.lock()
    }
}

fn key_path(key: &str) -> String {
    if key.starts_with("alias/") { key.to_owned() } else { format!("key/{key}") }
}
