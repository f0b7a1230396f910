//! Members of a table description that AWS always gives, and the engine only where they were set.

use serde_json::{Value, json};

/// What an on-demand table can take from the first moment.
const ON_DEMAND_READS: i64 = 12_000;
const ON_DEMAND_WRITES: i64 = 4_000;

/// Fills them in.
pub(super) fn complete(description: &mut Value) {
    if !description.is_object() {
        return;
    }
    if description["DeletionProtectionEnabled"].is_null() {
        description["DeletionProtectionEnabled"] = json!(false);
    }
    let on_demand = description["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST";
    if on_demand && description["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"].is_null() {
        // Nobody is billed, so when it began is not noted; no table was on demand before it was made.
        let made = description["CreationDateTime"].clone();
        description["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"] = made;
    }
    warm(description, on_demand);
    for index in description["GlobalSecondaryIndexes"].as_array_mut().into_iter().flatten() {
        warm(index, on_demand);
    }
}

/// What a table or an index can take at once: what it is provisioned with, or what on-demand tables begin with.
fn warm(described: &mut Value, on_demand: bool) {
    if !described["WarmThroughput"].is_null() {
        return;
    }
    let provisioned = &described["ProvisionedThroughput"];
    let units = |member: &str, default| if on_demand { json!(default) } else { provisioned[member].clone() };
    let warm = json!({
        "ReadUnitsPerSecond": units("ReadCapacityUnits", ON_DEMAND_READS),
        "WriteUnitsPerSecond": units("WriteCapacityUnits", ON_DEMAND_WRITES),
        "Status": "ACTIVE",
    });
    described["WarmThroughput"] = warm;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_say_what_a_table_can_take() {
        let mut provisioned = json!({"ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}});
        complete(&mut provisioned);
        let warm = json!({"ReadUnitsPerSecond": 5, "WriteUnitsPerSecond": 6, "Status": "ACTIVE"});
        assert_eq!((&provisioned["WarmThroughput"], &provisioned["DeletionProtectionEnabled"]), (&warm, &json!(false)));
        let mut on_demand = json!({
            "CreationDateTime": 1.5, "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
            "GlobalSecondaryIndexes": [{"IndexName": "i"}], "DeletionProtectionEnabled": true,
        });
        complete(&mut on_demand);
        assert_eq!(on_demand["DeletionProtectionEnabled"], true);
        assert_eq!(on_demand["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"], 1.5);
        assert_eq!(on_demand["GlobalSecondaryIndexes"][0]["WarmThroughput"]["ReadUnitsPerSecond"], 12_000);
    }
}
