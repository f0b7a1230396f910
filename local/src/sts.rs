//! STS: who the caller is (the account's root, whatever the credentials), and credentials for a role.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock;
use crate::error::CallError;
use crate::input::{integer, required};

/// Runs one operation. Every credential is accepted everywhere, so these are only well-formed.
pub(crate) fn call(account: &str, operation: &str, input: &Value) -> Result<Value, CallError> {
    let credentials = || {
        let random = Uuid::new_v4().simple().to_string().to_uppercase();
        let seconds = integer(&input["DurationSeconds"]).unwrap_or(3600);
        json!({
            "AccessKeyId": format!("ASIA{}", &random[..16]),
            "SecretAccessKey": Uuid::new_v4().simple().to_string(),
            "SessionToken": Uuid::new_v4().simple().to_string(),
            "Expiration": clock::iso(clock::now_ms() + seconds * 1000),
        })
    };
    match operation {
        "GetCallerIdentity" => {
            Ok(json!({"UserId": account, "Account": account, "Arn": format!("arn:aws:iam::{account}:root")}))
        }
        "GetSessionToken" => Ok(json!({"Credentials": credentials()})),
        "AssumeRole" => {
            let role = required(input, "RoleArn")?;
            let session = required(input, "RoleSessionName")?;
            let name = role.rsplit('/').next().unwrap_or(role);
            Ok(json!({
                "Credentials": credentials(),
                "AssumedRoleUser": {
                    "AssumedRoleId": format!("AROALOCAL:{session}"),
                    "Arn": format!("arn:aws:sts::{account}:assumed-role/{name}/{session}"),
                },
            }))
        }
        _ => Err(CallError::unknown_operation("sts", operation)),
    }
}
