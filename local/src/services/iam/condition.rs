//! The conditions of policy statements.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>

use std::net::IpAddr;

use serde_json::Value;
use streamkit_wire::input;

use super::pattern::{arn_like, like, resolved};
use super::policy::{Context, one_or_more};

/// Whether a statement's conditions hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Yes,
    No,
    /// One of them is not known here, so nobody can tell.
    Unknown,
}

/// How the values of a key in the request are compared with those of the policy.
#[derive(Clone, Copy)]
enum Comparison {
    Text,
    TextInAnyCase,
    Like,
    Arn,
    Bool,
    Ip,
    Number(Order),
    Date(Order),
}

#[derive(Clone, Copy)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// How many of the values in the request must fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quantity {
    Single,
    All,
    Any,
}

/// Whether all conditions of a statement hold.
pub(super) fn held(condition: &Value, context: &Context) -> Held {
    let operators = match condition {
        Value::Null => return Held::Yes,
        Value::Object(operators) => operators,
        _ => return Held::Unknown,
    };
    let mut all = Held::Yes;
    for (operator, keys) in operators {
        let Some(keys) = keys.as_object() else { return Held::Unknown };
        for (key, wanted) in keys {
            match operator_holds(operator, &key.to_lowercase(), wanted, context) {
                Some(true) => {}
                // One that surely fails decides, whatever the unknown ones say.
                Some(false) => return Held::No,
                None => all = Held::Unknown,
            }
        }
    }
    all
}

/// Whether one operator holds for one key; `None` for an operator or a value that is not known.
fn operator_holds(operator: &str, key: &str, wanted: &Value, context: &Context) -> Option<bool> {
    let present = context.get(key);
    let wanted: Vec<String> = one_or_more(wanted).iter().filter_map(as_text).collect();
    let (quantity, name) = match operator.split_once(':') {
        None => (Quantity::Single, operator),
        Some(("ForAllValues", name)) => (Quantity::All, name),
        Some(("ForAnyValue", name)) => (Quantity::Any, name),
        Some(_) => return None,
    };
    if name == "Null" {
        return wanted.first()?.parse().ok().map(|absent: bool| absent == present.is_none());
    }
    let (name, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |name| (name, true));
    let (comparison, negated) = comparison(name)?;
    let Some(values) = present.filter(|values| !values.is_empty()) else {
        return Some(match quantity {
            _ if if_exists => true,
            Quantity::All => true,
            Quantity::Any => false,
            Quantity::Single => negated,
        });
    };
    let fits = |value: &String| wanted.iter().any(|wanted| compared(comparison, wanted, value, context)) != negated;
    Some(match quantity {
        Quantity::All => values.iter().all(fits),
        // A key of several values under an operator for one: any that fits, none where that is what is forbidden.
        Quantity::Single if negated => values.iter().all(fits),
        Quantity::Any | Quantity::Single => values.iter().any(fits),
    })
}

/// What an operator compares, and whether it asks for the opposite.
fn comparison(name: &str) -> Option<(Comparison, bool)> {
    let order = |name: &str| {
        Some(match name {
            "Equals" => (Order::Equal, false),
            "NotEquals" => (Order::Equal, true),
            "LessThan" => (Order::Less, false),
            "LessThanEquals" => (Order::LessOrEqual, false),
            "GreaterThan" => (Order::Greater, false),
            "GreaterThanEquals" => (Order::GreaterOrEqual, false),
            _ => return None,
        })
    };
    Some(match name {
        "StringEquals" | "BinaryEquals" => (Comparison::Text, false),
        "StringNotEquals" => (Comparison::Text, true),
        "StringEqualsIgnoreCase" => (Comparison::TextInAnyCase, false),
        "StringNotEqualsIgnoreCase" => (Comparison::TextInAnyCase, true),
        "StringLike" => (Comparison::Like, false),
        "StringNotLike" => (Comparison::Like, true),
        "ArnEquals" | "ArnLike" => (Comparison::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Comparison::Arn, true),
        "Bool" => (Comparison::Bool, false),
        "IpAddress" => (Comparison::Ip, false),
        "NotIpAddress" => (Comparison::Ip, true),
        _ => {
            if let Some(name) = name.strip_prefix("Numeric") {
                let (order, negated) = order(name)?;
                (Comparison::Number(order), negated)
            } else {
                let (order, negated) = order(name.strip_prefix("Date")?)?;
                (Comparison::Date(order), negated)
            }
        }
    })
}

fn compared(comparison: Comparison, wanted: &str, value: &str, context: &Context) -> bool {
    match comparison {
        Comparison::Text => resolved(wanted, context).is_some_and(|wanted| wanted == value),
        Comparison::TextInAnyCase => {
            resolved(wanted, context).is_some_and(|wanted| wanted.to_lowercase() == value.to_lowercase())
        }
        Comparison::Like => like(wanted, value, context),
        Comparison::Arn => arn_like(wanted, value, context),
        Comparison::Bool => wanted.eq_ignore_ascii_case(value),
        Comparison::Ip => value.parse().is_ok_and(|address| within(wanted, address)),
        Comparison::Number(order) => both(wanted.parse().ok(), value.parse().ok(), order),
        Comparison::Date(order) => {
            #[expect(clippy::cast_precision_loss, reason = "epoch milliseconds are far below 2^52")]
            let time = |text: &str| input::time_ms(&Value::from(text)).map(|ms| ms as f64);
            both(time(wanted), time(value), order)
        }
    }
}

fn both(wanted: Option<f64>, value: Option<f64>, order: Order) -> bool {
    let Some(found) = value.zip(wanted).and_then(|(value, wanted)| value.partial_cmp(&wanted)) else { return false };
    match order {
        Order::Equal => found.is_eq(),
        Order::Less => found.is_lt(),
        Order::LessOrEqual => found.is_le(),
        Order::Greater => found.is_gt(),
        Order::GreaterOrEqual => found.is_ge(),
    }
}

/// Whether an address lies in a block such as `10.0.0.0/8`.
fn within(block: &str, address: IpAddr) -> bool {
    let (network, length) = match block.split_once('/') {
        Some((network, length)) => (network, length.parse().ok()),
        None => (block, Some(128_u32)),
    };
    match (network.parse(), address, length) {
        (Ok(IpAddr::V4(network)), IpAddr::V4(address), Some(length)) => {
            let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (Ok(IpAddr::V6(network)), IpAddr::V6(address), Some(length)) => {
            let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

/// Policies may write flags and numbers without quotes.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_operator_is_compared_as_documented() {
        let context: Context = [
            ("aws:username", vec!["ada"]),
            ("aws:sourceip", vec!["10.1.2.3"]),
            ("aws:currenttime", vec!["2026-05-01T00:00:00Z"]),
            ("aws:securetransport", vec!["false"]),
            ("s3:max-keys", vec!["10"]),
            ("aws:principalarn", vec!["arn:aws:iam::1:user/team/ada"]),
            ("aws:tagkeys", vec!["stage", "cost"]),
        ]
        .into_iter()
        .map(|(key, values)| (key.to_owned(), values.into_iter().map(str::to_owned).collect()))
        .collect();
        let (yes, no, unknown) = (Held::Yes, Held::No, Held::Unknown);
        for (operator, key, wanted, expected) in [
            ("StringEquals", "aws:UserName", json!("ada"), yes),
            ("StringEquals", "aws:username", json!(["bob", "ada"]), yes),
            ("StringEquals", "aws:username", json!("ad?"), no),
            ("StringEquals", "aws:username", json!("${aws:username}"), yes),
            ("StringNotEquals", "aws:username", json!(["bob", "ada"]), no),
            ("StringNotEquals", "aws:absent", json!("x"), yes),
            ("StringEqualsIgnoreCase", "aws:username", json!("ADA"), yes),
            ("StringLike", "aws:username", json!("a*"), yes),
            ("StringNotLike", "aws:username", json!("a*"), no),
            ("StringEquals", "aws:absent", json!("x"), no),
            ("StringEqualsIfExists", "aws:absent", json!("x"), yes),
            ("StringEqualsIfExists", "aws:username", json!("x"), no),
            ("ArnLike", "aws:PrincipalArn", json!("arn:aws:iam::*:user/team/*"), yes),
            ("ArnLike", "aws:PrincipalArn", json!("arn:*"), no),
            ("ArnNotEquals", "aws:PrincipalArn", json!("arn:aws:iam::1:user/team/ada"), no),
            ("Bool", "aws:SecureTransport", json!("false"), yes),
            ("Bool", "aws:SecureTransport", json!(true), no),
            ("Null", "aws:absent", json!("true"), yes),
            ("Null", "aws:username", json!(true), no),
            ("NumericLessThanEquals", "s3:max-keys", json!("10"), yes),
            ("NumericGreaterThan", "s3:max-keys", json!(10), no),
            ("NumericNotEquals", "s3:max-keys", json!("11"), yes),
            ("DateLessThan", "aws:CurrentTime", json!("2026-06-01T00:00:00Z"), yes),
            ("DateGreaterThan", "aws:CurrentTime", json!("2026-06-01T00:00:00Z"), no),
            ("IpAddress", "aws:SourceIp", json!("10.0.0.0/8"), yes),
            ("IpAddress", "aws:SourceIp", json!("10.1.2.4"), no),
            ("NotIpAddress", "aws:SourceIp", json!("192.168.0.0/16"), yes),
            ("IpAddress", "aws:SourceIp", json!("0.0.0.0/0"), yes),
            ("ForAllValues:StringEquals", "aws:TagKeys", json!(["stage", "cost", "team"]), yes),
            ("ForAllValues:StringEquals", "aws:TagKeys", json!("stage"), no),
            ("ForAllValues:StringEquals", "aws:absent", json!("stage"), yes),
            ("ForAnyValue:StringEquals", "aws:TagKeys", json!("cost"), yes),
            ("ForAnyValue:StringEquals", "aws:absent", json!("cost"), no),
            ("ForAnyValue:StringNotEquals", "aws:TagKeys", json!(["stage", "cost"]), no),
            ("StringMatches", "aws:username", json!("ada"), unknown),
            ("ForSomeValues:StringEquals", "aws:username", json!("ada"), unknown),
        ] {
            assert_eq!(held(&json!({ operator: { key: wanted } }), &context), expected, "{operator} {key} {wanted}");
        }
        let both = json!({ "StringMatches": { "aws:username": "ada" }, "StringEquals": { "aws:username": "bob" } });
        assert_eq!(held(&both, &context), Held::No);
    }
}
