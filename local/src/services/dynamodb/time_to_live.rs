//! `UpdateTimeToLive`, which AWS refuses where the engine changes nothing.

use serde_json::{Value, json};
use streamkit_wire::{CallError, clock};

use super::service::{DynamoDb, read, table_name};

impl DynamoDb {
    pub(super) async fn update_time_to_live(&self, body: &str) -> Result<(u16, String), CallError> {
        let input = read(body)?;
        let name = table_name(&input).to_owned();
        let (status, text) = self.engine("DescribeTimeToLive", json!({"TableName": name}).to_string()).await;
        if status == 200 {
            check(&read(&text)?["TimeToLiveDescription"], &input["TimeToLiveSpecification"])?;
            self.rates.check_time_to_live(&name, clock::now_ms())?;
        }
        let (status, text) = self.translated("UpdateTimeToLive", body).await;
        if status == 200 {
            self.rates.changed_time_to_live(&name, clock::now_ms());
            self.change_replicas("UpdateTimeToLive", &input).await;
        }
        Ok((status, text))
    }
}

/// A change must change something, and one attribute goes before another comes.
fn check(current: &Value, wanted: &Value) -> Result<(), CallError> {
    let is_on = current["TimeToLiveStatus"] == "ENABLED";
    let refused = match wanted["Enabled"].as_bool() {
        Some(true) if is_on && current["AttributeName"] != wanted["AttributeName"] => {
            let name = current["AttributeName"].as_str().unwrap_or_default();
            format!("TimeToLive is active on a different AttributeName: current AttributeName is {name}")
        }
        Some(true) if is_on => "TimeToLive is already enabled".to_owned(),
        Some(false) if !is_on => "TimeToLive is already disabled".to_owned(),
        _ => return Ok(()),
    };
    Err(CallError::bad("ValidationException", refused))
}
