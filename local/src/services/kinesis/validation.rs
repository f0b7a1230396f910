//! What the engine checks of a request, with the limits that AWS has by now.

use ferrokinesis::actions::Operation;
use ferrokinesis::validation::{FieldDef, FieldType, check_types, check_validations};
use serde_json::Value;
use streamkit_wire::CallError;

use super::service::failed;

/// A record's data, whatever its stream allows.
const MAX_DATA: usize = 10 << 20;
const MAX_RETENTION_HOURS: f64 = 8760.0;
const MAX_RECORD_SIZE_KIB: (f64, f64) = (1024.0, 10240.0);

/// Errors in AWS's words unless the request has the form that its operation wants.
pub(super) fn check(operation: Operation, input: &Value) -> Result<(), CallError> {
    let mut rules = operation.validation_rules();
    for (name, rule) in &mut rules {
        raise(operation, name, rule);
    }
    if operation == Operation::CreateStream {
        let (least, most) = MAX_RECORD_SIZE_KIB;
        rules.push(("MaxRecordSizeInKiB", FieldDef::new(FieldType::Integer).gte(least).lte(most)));
    }
    let rules: Vec<(&str, &FieldDef)> = rules.iter().map(|(name, rule)| (*name, rule)).collect();
    let known = check_types(input, &rules).map_err(failed)?;
    check_validations(&known, &rules, None).map_err(failed)
}

fn raise(operation: Operation, name: &str, rule: &mut FieldDef) {
    let resized =
        matches!(operation, Operation::IncreaseStreamRetentionPeriod | Operation::DecreaseStreamRetentionPeriod);
    if resized && name == "RetentionPeriodHours" {
        rule.less_than_or_equal = Some(MAX_RETENTION_HOURS);
    }
    raise_data(name, rule);
}

/// `Data` of a record, and of each of several.
fn raise_data(name: &str, rule: &mut FieldDef) {
    match &mut rule.field_type {
        FieldType::Blob if name == "Data" => rule.length_less_than_or_equal = Some(MAX_DATA),
        FieldType::List { children } => raise_data(name, children),
        FieldType::Structure { children } => {
            for (name, rule) in children {
                raise_data(name, rule);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn retention_is_at_most_a_year() {
        let hours = |hours: u32| json!({"StreamName": "s", "RetentionPeriodHours": hours});
        check(Operation::IncreaseStreamRetentionPeriod, &hours(8760)).unwrap();
        let refused = check(Operation::IncreaseStreamRetentionPeriod, &hours(8761)).unwrap_err();
        assert_eq!(refused.code, "ValidationException");
        assert!(refused.message.ends_with("Member must have value less than or equal to 8760"), "{}", refused.message);
    }

    #[test]
    fn record_size_of_a_stream_is_checked_when_it_is_created() {
        let size = |size: u32| json!({"StreamName": "s", "ShardCount": 1, "MaxRecordSizeInKiB": size});
        check(Operation::CreateStream, &size(10240)).unwrap();
        assert_eq!(check(Operation::CreateStream, &size(10241)).unwrap_err().code, "ValidationException");
    }
}
