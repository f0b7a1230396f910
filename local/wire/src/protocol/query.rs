//! The form of the query protocol as a tree: `A.member.1.B=x` is `{"A": [{"B": "x"}]}`, `A.entry.1.key=k` is a map.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The deepest member of AWS's query protocols has ten names. Deeper ones belong to no operation and are left out, as AWS ignores
/// parameters that it does not know: each level costs stack.
const MAX_DEPTH: usize = 32;

enum Node {
    Leaf(String),
    Branch(BTreeMap<String, Node>),
}

/// Reads a form; all leaves are strings.
pub fn form_tree(form: &[u8]) -> Value {
    let mut root = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(form) {
        let depth = 1 + name.bytes().filter(|byte| *byte == b'.').count();
        if name != "Action" && name != "Version" && depth <= MAX_DEPTH {
            insert(&mut root, &name, value.into_owned());
        }
    }
    Value::Object(root.into_iter().map(|(name, node)| (name, tree(node))).collect())
}

fn insert(level: &mut BTreeMap<String, Node>, path: &str, value: String) {
    match path.split_once('.') {
        None => {
            level.insert(path.to_owned(), Node::Leaf(value));
        }
        Some((head, rest)) => {
            let node = level.entry(head.to_owned()).or_insert_with(|| Node::Branch(BTreeMap::new()));
            if let Node::Leaf(_) = node {
                *node = Node::Branch(BTreeMap::new());
            }
            if let Node::Branch(inner) = node {
                insert(inner, rest, value);
            }
        }
    }
}

fn tree(node: Node) -> Value {
    let mut members = match node {
        Node::Leaf(text) => return Value::String(text),
        Node::Branch(members) => members,
    };
    if members.len() == 1 {
        if let Some(inner) = members.remove("member") {
            return tree(inner);
        }
        if let Some(inner) = members.remove("entry") {
            return map_of(tree(inner));
        }
    }
    if members.keys().all(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        let mut items: Vec<(u64, Node)> =
            members.into_iter().map(|(at, node)| (at.parse().unwrap_or(u64::MAX), node)).collect();
        items.sort_by_key(|(at, _)| *at);
        return Value::Array(items.into_iter().map(|(_, node)| tree(node)).collect());
    }
    Value::Object(members.into_iter().map(|(name, node)| (name, tree(node))).collect())
}

fn map_of(entries: Value) -> Value {
    let Value::Array(entries) = entries else { return entries };
    let mut map = Map::new();
    for mut entry in entries {
        let value = ["value", "Value"].iter().find_map(|name| entry.get_mut(*name).map(Value::take));
        let key = ["key", "Name"].iter().find_map(|name| entry[*name].as_str());
        if let Some(key) = key {
            map.insert(key.to_owned(), value.unwrap_or_default());
        }
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::form_tree;

    #[test]
    fn form_lists_and_maps_become_a_tree() {
        let form = "Action=X&A.member.2.B=two&A.member.1.B=one&M.entry.1.key=k&M.entry.1.value=caf%C3%A9&P=a%2Bb+c";
        assert_eq!(
            form_tree(form.as_bytes()),
            json!({"A": [{"B": "one"}, {"B": "two"}], "M": {"k": "caf\u{e9}"}, "P": "a+b c"})
        );
    }

    #[test]
    fn names_that_are_too_deep_are_left_out() {
        for deep in ["a.".repeat(1_000_000), ".".repeat(1_000_000), format!("a{}", ".member".repeat(100_000))] {
            assert_eq!(form_tree(format!("{deep}=1&P=x").as_bytes()), json!({"P": "x"}));
        }
    }
}
