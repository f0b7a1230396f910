//! How large an item is as DynamoDB counts it: the bytes of its names and values.
//!
//! See <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>.

use base64::engine::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

/// What a list or a map takes by itself.
const CONTAINER: usize = 3;

/// The bytes of an item's names and values.
pub(super) fn item(attributes: &Value) -> usize {
    attributes.as_object().into_iter().flatten().map(|(name, value)| name.len() + attribute(value)).sum()
}

fn attribute(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|members| members.iter().next()) else { return 0 };
    let elements = || value.as_array().into_iter().flatten();
    let texts = || elements().filter_map(Value::as_str);
    match kind.as_str() {
        "S" => value.as_str().map_or(0, str::len),
        "N" => value.as_str().map_or(0, number),
        "B" => value.as_str().map_or(0, binary),
        "SS" => texts().map(str::len).sum(),
        "NS" => texts().map(number).sum(),
        "BS" => texts().map(binary).sum(),
        "L" => CONTAINER + elements().map(|element| 1 + attribute(element)).sum::<usize>(),
        "M" => CONTAINER + value.as_object().map_or(0, serde_json::Map::len) + item(value),
        // BOOL and NULL.
        _ => 1,
    }
}

/// A byte for every two significant digits, one more for the number, and one for a minus.
fn number(text: &str) -> usize {
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    let negative = usize::from(digits.starts_with('-'));
    let mut significant: String = digits.chars().filter(char::is_ascii_digit).collect();
    let leading = significant.len() - significant.trim_start_matches('0').len();
    significant.drain(..leading);
    significant.trim_end_matches('0').len().div_ceil(2) + 1 + negative
}

fn binary(text: &str) -> usize {
    BASE64.decode(text).map_or(text.len(), |bytes| bytes.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn items_are_as_large_as_their_names_and_values() {
        assert_eq!(item(&json!({"id": {"S": "Fred"}})), 6);
        assert_eq!(item(&json!({"n": {"N": "-120"}})), 1 + 3);
        assert_eq!(item(&json!({"n": {"N": "0.00123"}})), 1 + 3);
        assert_eq!(item(&json!({"b": {"B": "AAECAw=="}})), 1 + 4);
        assert_eq!(item(&json!({"s": {"SS": ["a", "bc"]}, "t": {"BOOL": true}})), 1 + 3 + 1 + 1);
        assert_eq!(item(&json!({"l": {"L": [{"S": "ab"}, {"NULL": true}]}})), 1 + 3 + 1 + 2 + 1 + 1);
        assert_eq!(item(&json!({"m": {"M": {"k": {"S": "v"}}}})), 1 + 3 + 1 + 1 + 1);
    }
}
