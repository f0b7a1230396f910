//! The elements of a list's answer, in JSON, CBOR or XML: left out, replaced and added.

use serde_json::Value;
use streamkit_wire::{Call, Protocol, arn, protocol};

/// One element of a list.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Element {
    Tree(Value),
    Xml(String),
}

/// What becomes of an element.
pub(super) enum Edit {
    Keep,
    Drop,
    Replace(Element),
}

/// The body of a list's answer.
pub(super) enum List {
    Tree(Protocol, Value),
    Xml(String),
}

impl List {
    /// Reads an answer to this call.
    pub(super) fn read(call: &Call, body: &[u8]) -> Option<Self> {
        if body.first()? == &b'<' {
            return Some(Self::Xml(String::from_utf8_lossy(body).into_owned()));
        }
        protocol::decode(call, body).ok().map(|tree| Self::Tree(call.protocol, tree))
    }

    pub(super) fn write(self) -> Vec<u8> {
        match self {
            // What was decoded can be encoded.
            Self::Tree(protocol, tree) => protocol::encode_tree(protocol, &tree).unwrap_or_default(),
            Self::Xml(text) => text.into_bytes(),
        }
    }

    /// Asks of each element of a container, by its name, what becomes of it, and adds others at the end.
    pub(super) fn edit(
        &mut self,
        container: &str,
        member: Option<&str>,
        mut decide: impl FnMut(&str, &Element) -> Edit,
        added: Vec<Element>,
    ) {
        let elements: Vec<Element> = match self {
            Self::Tree(_, tree) => {
                let elements = tree[container].as_array().cloned().unwrap_or_default();
                elements.into_iter().map(Element::Tree).collect()
            }
            Self::Xml(text) => {
                let content = content(text, container).map_or("", |(from, to)| &text[from..to]);
                items(content).into_iter().map(|item| Element::Xml(item.to_owned())).collect()
            }
        };
        let edited = elements.into_iter().filter_map(|element| match decide(&element.name(member)?, &element) {
            Edit::Keep => Some(element),
            Edit::Drop => None,
            Edit::Replace(other) => Some(other),
        });
        let edited: Vec<Element> = edited.chain(added).collect();
        match self {
            Self::Tree(_, tree) => {
                let trees = edited.into_iter().filter_map(|element| match element {
                    Element::Tree(tree) => Some(tree),
                    Element::Xml(_) => None,
                });
                let trees: Vec<Value> = trees.collect();
                if !trees.is_empty() || tree[container].is_array() {
                    tree[container] = Value::Array(trees);
                }
            }
            Self::Xml(text) => {
                let Some((from, to)) = content(text, container) else { return };
                let items = edited.into_iter().filter_map(|element| match element {
                    Element::Xml(item) => Some(item),
                    Element::Tree(_) => None,
                });
                let items: String = items.collect();
                text.replace_range(from..to, &items);
            }
        }
    }
}

impl Element {
    /// The name of what it shows.
    fn name(&self, member: Option<&str>) -> Option<String> {
        let name = match (self, member) {
            (Self::Tree(tree), None) => tree.as_str()?,
            (Self::Tree(tree), Some(member)) => tree[member].as_str()?,
            (Self::Xml(item), member) => {
                let (from, to) = member.map_or_else(|| inner(item), |member| content(item, member))?;
                &item[from..to]
            }
        };
        Some(arn::resource_name(name))
    }
}

/// Where the content of the first element of this name begins and ends.
fn content(xml: &str, name: &str) -> Option<(usize, usize)> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let from = xml.find(&open)? + open.len();
    Some((from, from + xml[from..].find(&close)?))
}

fn inner(item: &str) -> Option<(usize, usize)> {
    Some((item.find('>')? + 1, item.rfind("</")?))
}

/// The elements one after the other in some content, all of one name; those within them stay where they are.
fn items(content: &str) -> Vec<&str> {
    let Some(name) = content.trim_start().strip_prefix('<').and_then(|rest| rest.split(['>', '/', ' ']).next()) else {
        return Vec::new();
    };
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (mut items, mut depth, mut start, mut at) = (Vec::new(), 0_usize, 0, 0);
    while let Some(end) = content[at..].find(&close).map(|end| at + end) {
        if let Some(begin) = content[at..end].find(&open) {
            if depth == 0 {
                start = at + begin;
            }
            depth += 1;
            at += begin + open.len();
            continue;
        }
        depth = depth.saturating_sub(1);
        at = end + close.len();
        if depth == 0 {
            items.push(&content[start..at]);
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use streamkit_wire::Service;

    use super::*;

    fn edited(call: &Call, body: &[u8], container: &str, member: Option<&str>, added: Vec<Element>) -> Vec<u8> {
        let mut list = List::read(call, body).unwrap();
        let decide = |name: &str, _: &Element| if name == "new" { Edit::Drop } else { Edit::Keep };
        list.edit(container, member, decide, added);
        list.write()
    }

    fn call(protocol: Protocol) -> Call {
        Call { service: Service::Kinesis, operation: "ListStreams".to_owned(), protocol }
    }

    #[test]
    fn elements_leave_and_join_lists_of_json_and_cbor() {
        let names = json!({"StreamNames": ["a", "new"], "HasMoreStreams": false});
        let expected = json!({"StreamNames": ["a", "old"], "HasMoreStreams": false});
        for protocol in [Protocol::Json, Protocol::AwsCbor, Protocol::Cbor] {
            let body = protocol::encode_tree(protocol, &names).unwrap();
            let edited = edited(&call(protocol), &body, "StreamNames", None, vec![Element::Tree(json!("old"))]);
            assert_eq!(protocol::decode(&call(protocol), &edited).unwrap(), expected, "{protocol:?}");
        }
        let arns = json!({"Topics": [{"TopicArn": "arn:aws:sns:r:1:new"}]});
        let left = edited(&call(Protocol::Json), arns.to_string().as_bytes(), "Topics", Some("TopicArn"), Vec::new());
        assert_eq!(serde_json::from_slice::<Value>(&left).unwrap(), json!({"Topics": []}));
    }

    #[test]
    fn elements_leave_and_join_lists_of_xml() {
        let role = |name: &str| {
            format!("<member><Tags><member><Key>new</Key></member></Tags><RoleName>{name}</RoleName></member>")
        };
        let list = |names: &[&str]| {
            let roles: String = names.iter().map(|name| role(name)).collect();
            format!("<R><Roles>{roles}</Roles><IsTruncated>false</IsTruncated></R>")
        };
        let added = vec![Element::Xml(role("old"))];
        let left =
            edited(&call(Protocol::Query), list(&["a", "new", "b"]).as_bytes(), "Roles", Some("RoleName"), added);
        assert_eq!(String::from_utf8(left).unwrap(), list(&["a", "b", "old"]));
        let empty = edited(&call(Protocol::Query), b"<R><Roles></Roles></R>", "Roles", Some("RoleName"), Vec::new());
        assert_eq!(empty, b"<R><Roles></Roles></R>");
    }
}
