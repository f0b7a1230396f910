//! The tables of AWS's documentation, and random patterns against a slow matcher that works another way.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::pattern::EventPattern;

fn lets_through(pattern: &Value, event: &Value) -> bool {
    EventPattern::parse(&pattern.to_string()).unwrap_or_else(|error| panic!("{pattern}: {error}")).matches(event)
}

#[track_caller]
fn check(pattern: &Value, yes: &[Value], no: &[Value]) {
    for event in yes {
        assert!(lets_through(pattern, event), "{pattern} should let {event} through");
    }
    for event in no {
        assert!(!lets_through(pattern, event), "{pattern} should keep {event} back");
    }
}

/// The same, for values of the field `x`; a null of Rust's kind is a field that is not there.
#[track_caller]
fn check_x(conditions: &Value, yes: &[Option<Value>], no: &[Option<Value>]) {
    let event = |x: &Option<Value>| x.as_ref().map_or(json!({}), |x| json!({ "x": x }));
    let events = |values: &[Option<Value>]| values.iter().map(event).collect::<Vec<_>>();
    check(&json!({ "x": conditions }), &events(yes), &events(no));
}

macro_rules! values {
    ($($values:tt)*) => { json!([$($values)*]).as_array().into_iter().flatten().cloned().map(Some).collect::<Vec<_>>() };
}

#[test]
fn exact_values_compare_by_type_and_numbers_as_numbers() {
    check_x(&json!(["a"]), &values!["a", ["b", "a"], [["a"]]], &values!["A", "ab", 1, null, [], {"a": "a"}]);
    check_x(&json!([300]), &values![300, 300.0, 3e2, [1, 300]], &values!["300", 301, 300.1]);
    check_x(&json!([true]), &values![true], &values![false, "true", 1]);
    check_x(&json!([null]), &values![null, [1, null]], &[None, Some(json!("")), Some(json!("null")), Some(json!([]))]);
    check_x(&json!([""]), &values![""], &[None, Some(json!(null)), Some(json!(" "))]);
    check_x(&json!(["a", 1, { "prefix": "z" }]), &values!["a", 1, "zebra"], &values!["b", 2]);
    check_x(
        &json!([9_007_199_254_740_993_i64]),
        &values![9_007_199_254_740_993_i64],
        &values![9_007_199_254_740_992_i64],
    );
}

#[test]
fn texts_are_compared_at_start_and_end_with_and_without_case() {
    check_x(&json!([{ "prefix": "US-" }]), &values!["US-East", ["x", "US-"]], &values!["us-east", 5, null]);
    check_x(&json!([{ "suffix": ".png" }]), &values!["a.png"], &values!["a.PNG", "png"]);
    check_x(&json!([{ "equals-ignore-case": "eUrope" }]), &values!["EUROPE", "europe"], &values!["europa"]);
    check_x(&json!([{ "prefix": { "equals-ignore-case": "us-" } }]), &values!["US-x", "us-"], &values!["u"]);
    check_x(&json!([{ "suffix": { "equals-ignore-case": ".Png" } }]), &values!["a.pNG"], &values!["a.jpg"]);
    check_x(&json!([{ "equals-ignore-case": "STRASSE ÄÖ" }]), &values!["strasse äö"], &values!["straße äö"]);
}

#[test]
fn anything_but_needs_a_value_that_is_none_of_these() {
    check_x(
        &json!([{ "anything-but": ["Raining"] }]),
        &values!["Sunny", 5, null, true],
        &[Some(json!("Raining")), None],
    );
    check_x(&json!([{ "anything-but": "a" }]), &values!["b", ["a", "b"]], &values!["a", ["a"], []]);
    check_x(&json!([{ "anything-but": [100, 500] }]), &values![101, "100"], &values![100, 100.0, 5e2]);
    check_x(&json!([{ "anything-but": 7 }]), &values![8], &values![7.0]);
    check_x(&json!([{ "anything-but": { "prefix": "order-" } }]), &values!["data", 1], &values!["order-1"]);
    check_x(&json!([{ "anything-but": { "suffix": ".png" } }]), &values!["a.gif"], &values!["a.png"]);
    check_x(&json!([{ "anything-but": { "prefix": ["a", "b"] } }]), &values!["c"], &values!["ab", "ba"]);
    check_x(&json!([{ "anything-but": { "equals-ignore-case": ["a", "b"] } }]), &values!["c"], &values!["A", "b"]);
}

#[test]
fn numbers_lie_in_ranges() {
    check_x(&json!([{ "numeric": ["=", 301.5] }]), &values![301.5, 3.015e2], &values![301, "301.5"]);
    check_x(&json!([{ "numeric": ["<", 5] }]), &values![4.999, -5], &values![5, null]);
    check_x(&json!([{ "numeric": ["<=", 5] }]), &values![5.0], &values![5.01]);
    check_x(&json!([{ "numeric": [">", 0] }]), &values![0.0001], &values![0, -1]);
    check_x(&json!([{ "numeric": [">=", 0] }]), &values![0], &values![-0.1]);
    check_x(&json!([{ "numeric": [">", 10, "<=", 20] }]), &values![11, 20, [5, 15]], &values![10, 21, [5, 25]]);
}

#[test]
fn existence_is_about_leaves() {
    let exists = json!([{ "exists": true }]);
    check_x(&exists, &values![1, null, "", [1]], &[None, Some(json!({"a": 1})), Some(json!([]))]);
    let absent = json!([{ "exists": false }]);
    check_x(&absent, &[None, Some(json!({"a": 1})), Some(json!([]))], &values![1, null, ""]);
    let nested = json!({ "a": { "b": [{ "exists": false }] } });
    check(
        &nested,
        &[json!({}), json!({"a": 1}), json!({"a": {"c": 1}}), json!({"a": []})],
        &[json!({"a": {"b": 1}}), json!({"a": [{"c": 1}, {"b": 1}]})],
    );
    check(&json!({ "x": [{ "exists": false }, "a"] }), &[json!({}), json!({"x": "a"})], &[json!({"x": "b"})]);
}

#[test]
fn addresses_lie_in_blocks() {
    check_x(&json!([{ "cidr": "10.0.0.0/24" }]), &values!["10.0.0.0", "10.0.0.255"], &values!["10.1.1.0", "x", 10]);
    check_x(&json!([{ "cidr": "2001:db8::/32" }]), &values!["2001:db8::1"], &values!["2001:db9::1", "10.0.0.1"]);
}

#[test]
fn fields_are_joined_by_and_and_choices_by_or() {
    let both = json!({ "Location": ["New York"], "Day": ["Monday"] });
    check(&both, &[json!({"Location": "New York", "Day": "Monday", "x": 1})], &[json!({"Location": "New York"})]);
    let either = json!({ "$or": [{ "Location": ["New York"] }, { "Day": ["Monday"] }], "z": [1] });
    check(
        &either,
        &[json!({"Day": "Monday", "z": 1}), json!({"Location": "New York", "z": 1})],
        &[json!({"Day": "Friday", "z": 1}), json!({"Day": "Monday", "z": 2})],
    );
    let nested = json!({ "a": { "$or": [{ "b": [1] }, { "c": [2], "$or": [{ "d": [3] }, { "e": [4] }] }] } });
    check(
        &nested,
        &[json!({"a": {"b": 1}}), json!({"a": {"c": 2, "e": 4}})],
        &[json!({"a": {"c": 2}}), json!({"b": 1})],
    );
    check(&json!({ "$or": ["x"] }), &[json!({"$or": "x"})], &[json!({})]);
}

#[test]
fn one_element_of_an_array_must_have_all_the_fields() {
    let pattern = json!({ "people": { "first": ["Ann"], "last": ["Fox"] } });
    let person = |first: &str, last: &str| json!({ "first": first, "last": last });
    check(
        &pattern,
        &[json!({ "people": [person("Bob", "Roe"), person("Ann", "Fox")] })],
        &[json!({ "people": [person("Ann", "Roe"), person("Bob", "Fox")] }), json!({ "people": [] })],
    );
}

#[test]
fn change_of_a_table_and_record_of_a_queue_are_filtered_by_nested_fields() {
    let pattern = json!({
        "eventName": ["MODIFY"],
        "dynamodb": { "NewImage": { "city": { "S": [{ "anything-but": ["Oslo"] }] }, "n": { "N": ["5"] } } },
    });
    let change = |city: &str, n: &str| json!({ "eventName": "MODIFY", "dynamodb": { "NewImage": { "city": { "S": city }, "n": { "N": n } } } });
    check(&pattern, &[change("Rome", "5")], &[change("Oslo", "5"), change("Rome", "6")]);
    check(
        &json!({ "body": { "RequestCode": ["BBBB"] } }),
        &[json!({ "body": { "RequestCode": "BBBB" } })],
        &[json!({ "body": "BBBB" })],
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (pattern, error) in [
        ("", "not valid JSON: EOF while parsing a value at line 1 column 0"),
        ("[]", "Filter is not an object"),
        ("{}", "Empty objects are not allowed"),
        (r#"{"a":{}}"#, "Empty objects are not allowed (at a)"),
        (r#"{"a":{"b":"c"}}"#, "\"b\" must be an object or an array (at a.b)"),
        (r#"{"a":[]}"#, "Empty arrays are not allowed (at a)"),
        (r#"{"a":[["b"]]}"#, "Match value must be String, number, true, false, or null (at a)"),
        (r#"{"a":[{"wildcard":"b*"}]}"#, "Unrecognized match type wildcard (at a)"),
        (r#"{"a":[{"prefix":1}]}"#, "prefix match pattern must be a string (at a)"),
        (r#"{"a":[{"prefix":{"suffix":"x"}}]}"#, "Unsupported prefix pattern: suffix (at a)"),
        (r#"{"a":[{"prefix":"x","suffix":"y"}]}"#, "Only one key allowed in match expression (at a)"),
        (r#"{"a":[{"exists":"x"}]}"#, "exists match pattern must be either true or false. (at a)"),
        (
            r#"{"a":[{"anything-but":[1,"x"]}]}"#,
            "Inside anything but list, either all values are number or string, mixed type is not supported (at a)",
        ),
        (
            r#"{"a":[{"anything-but":null}]}"#,
            "Value of anything-but must be an array or single string/number value. (at a)",
        ),
        (r#"{"a":[{"anything-but":[]}]}"#, "Empty arrays are not allowed (at a)"),
        (r#"{"a":[{"numeric":[]}]}"#, "Invalid member in numeric match: ] (at a)"),
        (r#"{"a":[{"numeric":["!=",1]}]}"#, "Unrecognized numeric range operator: != (at a)"),
        (r#"{"a":[{"numeric":["<","x"]}]}"#, "Value of < must be numeric (at a)"),
        (r#"{"a":[{"numeric":["<"]}]}"#, "Value of < must be numeric (at a)"),
        (r#"{"a":[{"numeric":[">",5,"<",5]}]}"#, "Bottom must be less than top (at a)"),
        (r#"{"a":[{"numeric":[">",5,">",6]}]}"#, "Bad numeric range operator: > (at a)"),
        (r#"{"a":[{"numeric":["=",5,"<",6]}]}"#, "Too many elements in numeric expression (at a)"),
        (r#"{"a":[{"cidr":"10.0.0.0"}]}"#, "Malformed CIDR: 10.0.0.0 (at a)"),
        (r#"{"$or":[{"a":["x"]},{"b":"y"}]}"#, "\"b\" must be an object or an array (at $or.b)"),
    ] {
        assert_eq!(EventPattern::parse(pattern).err().as_deref(), Some(error), "{pattern}");
    }
}

#[test]
fn size_is_counted_as_sns_does() {
    let size = |pattern: &str| {
        let size = EventPattern::parse(pattern).unwrap().size();
        (size.fields, size.combinations, size.depth)
    };
    assert_eq!(size(r#"{"a":["x","y","z"],"b":["x"],"c":["x","y"]}"#), (3, 6, 1));
    // The example of the documentation: 4 values at depth 4 times 3 values at depth 3.
    let deep = r#"{"a":{"b":{"c":{"d":["1","2","3","4"]}},"e":{"f":["1","2","3"]}}}"#;
    assert_eq!(size(deep), (2, 4 * 4 * 3 * 3, 4));
    assert_eq!(size(r#"{"a":["x","y"],"$or":[{"b":[1,2,3]},{"c":[4],"d":[5]}]}"#), (3, 8, 1));
}

/// The other way: a pattern is a sum of products of (path, condition), an event a flat list of (path, which element of each
/// array on the way, leaf); a product holds if leaves can be chosen for it that are in the same elements.
mod naive {
    use super::*;

    type Product = Vec<(String, Vec<Value>)>;
    type Leaf = (String, Vec<(String, usize)>, Value);

    pub(super) fn matches(pattern: &Value, event: &Value) -> bool {
        let mut leaves = Vec::new();
        flatten(event, "", &[], &mut leaves);
        products(pattern, "").iter().any(|product| choose(product, &leaves, &[]))
    }

    fn products(pattern: &Value, path: &str) -> Vec<Product> {
        let mut sum = vec![Vec::new()];
        for (name, rule) in pattern.as_object().unwrap() {
            let inner = format!("{path}/{name}");
            let factor: Vec<Product> = match rule {
                Value::Object(_) => products(rule, &inner),
                _ if name == "$or" => {
                    rule.as_array().unwrap().iter().flat_map(|choice| products(choice, path)).collect()
                }
                _ => vec![vec![(inner, rule.as_array().unwrap().clone())]],
            };
            sum = sum
                .iter()
                .flat_map(|left| factor.iter().map(move |right| [left.clone(), right.clone()].concat()))
                .collect();
        }
        sum
    }

    fn flatten(value: &Value, path: &str, place: &[(String, usize)], leaves: &mut Vec<Leaf>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    flatten(value, &format!("{path}/{name}"), place, leaves);
                }
            }
            Value::Array(items) => {
                // An array in an array is at the same path, but another one.
                let depth = place.iter().filter(|(array, _)| array.trim_end_matches("[]") == path).count();
                let array = format!("{path}{}", "[]".repeat(depth));
                for (index, item) in items.iter().enumerate() {
                    flatten(item, path, &[place, &[(array.clone(), index)]].concat(), leaves);
                }
            }
            leaf => leaves.push((path.to_owned(), place.to_vec(), leaf.clone())),
        }
    }

    fn choose(product: &[(String, Vec<Value>)], leaves: &[Leaf], chosen: &[(String, usize)]) -> bool {
        let Some(((path, conditions), rest)) = product.split_first() else { return true };
        let here: Vec<&Leaf> = leaves.iter().filter(|(at, ..)| at == path).collect();
        let absent = conditions.iter().any(|condition| condition["exists"] == json!(false)) && here.is_empty();
        (absent && choose(rest, leaves, chosen))
            || here.iter().any(|(_, place, leaf)| {
                // An array of leaves may be passed once for each field; an array of objects only in one place.
                let fits = place.iter().all(|(array, index)| {
                    array.trim_end_matches("[]") == path
                        || chosen.iter().all(|(other, at)| other != array || at == index)
                });
                fits && conditions.iter().any(|condition| holds(condition, leaf))
                    && choose(rest, leaves, &[chosen, place].concat())
            })
    }

    fn holds(condition: &Value, leaf: &Value) -> bool {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let Some((name, operand)) = condition.as_object().and_then(|it| it.iter().next()) else {
            return leaf.to_string().trim_end_matches(".0") == condition.to_string().trim_end_matches(".0");
        };
        match name.as_str() {
            "exists" => operand == &json!(true),
            "prefix" => text(leaf).is_some_and(|leaf| leaf.starts_with(&text(operand).unwrap())),
            "anything-but" => !operand.as_array().unwrap().iter().any(|unwanted| holds(unwanted, leaf)),
            "numeric" => leaf.as_f64().is_some_and(|leaf| leaf < operand[1].as_f64().unwrap()),
            other => panic!("{other}"),
        }
    }
}

fn leaf() -> impl Strategy<Value = Value> + Clone {
    prop_oneof![
        "[ab]{0,2}".prop_map(Value::from),
        (0..3_i32).prop_map(Value::from),
        (0..3_i32).prop_map(|number| json!(f64::from(number))),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ]
}

fn object(inner: impl Strategy<Value = Value> + Clone, least: usize) -> impl Strategy<Value = Value> + Clone {
    prop::collection::btree_map("[xyz]", inner, least..4).prop_map(|members| json!(members))
}

fn event() -> impl Strategy<Value = Value> {
    let value = leaf().prop_recursive(3, 24, 3, |inner| {
        prop_oneof![object(inner.clone(), 0), prop::collection::vec(inner, 0..3).prop_map(Value::from)]
    });
    object(value, 0)
}

fn pattern() -> impl Strategy<Value = Value> {
    let condition = prop_oneof![
        3 => leaf(),
        1 => any::<bool>().prop_map(|wanted| json!({ "exists": wanted })),
        1 => "[ab]".prop_map(|text| json!({ "prefix": text })),
        1 => prop::collection::vec(0..3_i32, 1..3).prop_map(|unwanted| json!({ "anything-but": unwanted })),
        1 => prop::collection::vec("[ab]", 1..3).prop_map(|unwanted| json!({ "anything-but": unwanted })),
        1 => (0..3_i32).prop_map(|bound| json!({ "numeric": ["<", bound] })),
    ];
    let rule = prop::collection::vec(condition, 1..3).prop_map(Value::from);
    let nested = rule.prop_recursive(3, 12, 3, |inner| {
        let fields = object(inner, 1);
        let choices = prop::collection::vec(fields.clone(), 2..3).prop_map(|choices| json!({ "$or": choices }));
        prop_oneof![fields, choices]
    });
    object(nested, 1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn random_patterns_match_as_the_naive_matcher_says(pattern in pattern(), events in prop::collection::vec(event(), 1..6)) {
        for event in events {
            prop_assert_eq!(lets_through(&pattern, &event), naive::matches(&pattern, &event), "{} on {}", pattern, event);
        }
    }
}
