//! XML answers of the query protocol, and the little that is read back out of XML errors.

use std::fmt::Write as _;

use serde_json::Value;
use uuid::Uuid;

use crate::clock;
use crate::request::Call;
use crate::service::Service;

/// Members that AWS models as maps, not structures.
const MAPS: [&str; 2] = ["Attributes", "ExtendedStatistics"];

/// Whether a member is a time: every one of `CloudWatch`'s is named like this.
pub(super) fn is_time(name: &str) -> bool {
    name.contains("Timestamp") || name == "LastModified"
}

pub(super) fn document(call: &Call, tree: &Value) -> String {
    let operation = &call.operation;
    let mut out = format!("<{operation}Response xmlns=\"{}\"><{operation}Result>", call.service.xml_namespace());
    // SQS's lists are flattened: the member's name is repeated, without a wrapper.
    members(&mut out, tree, call.service == Service::Sqs);
    let _ = write!(
        out,
        "</{operation}Result><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></{operation}Response>",
        Uuid::new_v4()
    );
    out
}

/// Escapes text for XML.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // A parser would fold a bare carriage return into a line feed.
            '\r' => out.push_str("&#xD;"),
            _ => out.push(letter),
        }
    }
    out
}

/// The text of the first element of that name.
pub(super) fn text_of(xml: &str, element: &str) -> Option<String> {
    let open = format!("<{element}>");
    let start = xml.find(&open)? + open.len();
    let end = start + xml[start..].find("</")?;
    Some(unescape(&xml[start..end]))
}

/// Text out of XML. A reference to what is no letter stays as it is.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let referred = after.split_once(';').and_then(|(name, after)| Some((letter(name)?, after)));
        let (letter, after) = referred.unwrap_or(('&', after));
        out.push(letter);
        rest = after;
    }
    out + rest
}

fn letter(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

/// What is in each element of this name, one after the other. Elements of one name must not be within each other.
pub fn elements<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (_, tag) = rest.split_once('<')?;
            rest = tag;
            let Some(after) = tag.strip_prefix(name) else { continue };
            if !after.starts_with(['>', '/', ' ', '\t', '\r', '\n']) {
                continue;
            }
            let (attributes, inner) = after.split_once('>')?;
            if attributes.ends_with('/') {
                rest = inner;
                return Some("");
            }
            let end = inner.match_indices("</").find(|(at, _)| {
                inner[at + 2..].strip_prefix(name).is_some_and(|after| after.trim_start().starts_with('>'))
            });
            let (end, _) = end?;
            rest = &inner[end..];
            return Some(&inner[..end]);
        }
    })
}

fn members(out: &mut String, tree: &Value, flat: bool) {
    let Value::Object(fields) = tree else { return };
    for (name, value) in fields {
        member(out, name, value, flat);
    }
}

fn member(out: &mut String, name: &str, value: &Value, flat: bool) {
    match value {
        Value::Null => {}
        Value::Array(items) if flat => items.iter().for_each(|item| member(out, name, item, flat)),
        _ => {
            let _ = write!(out, "<{name}>");
            content(out, name, value, flat);
            let _ = write!(out, "</{name}>");
        }
    }
}

fn content(out: &mut String, name: &str, value: &Value, flat: bool) {
    match value {
        Value::Null => {}
        Value::Bool(truth) => {
            let _ = write!(out, "{truth}");
        }
        Value::Number(number) if is_time(name) => {
            #[expect(clippy::cast_possible_truncation, reason = "epoch milliseconds fit")]
            let ms = (number.as_f64().unwrap_or_default() * 1000.0).round() as i64;
            out.push_str(&clock::iso(ms));
        }
        Value::Number(number) => {
            let _ = write!(out, "{number}");
        }
        Value::String(text) => out.push_str(&escape(text)),
        Value::Array(items) => {
            for item in items {
                out.push_str("<member>");
                content(out, name, item, flat);
                out.push_str("</member>");
            }
        }
        Value::Object(fields) if MAPS.contains(&name) && !flat => {
            for (key, value) in fields {
                let _ = write!(out, "<entry><key>{}</key><value>", escape(key));
                content(out, "", value, flat);
                out.push_str("</value></entry>");
            }
        }
        Value::Object(_) => members(out, value, flat),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_name_and_their_text_is_unescaped() {
        let body = "<Delete xmlns=\"x\"><Object><Key>a &amp;lt; &#xE9;&#13;</Key></Object>\n<Object><Key/></Object ><Objects></Objects></Delete>";
        let keys: Vec<_> =
            elements(body, "Object").map(|object| elements(object, "Key").next().map(unescape)).collect();
        assert_eq!(keys, [Some("a &lt; \u{e9}\r".to_owned()), Some(String::new())]);
        for broken in ["<Object", "<Object>", "<Object><", "</Object>", "<Object/", ""] {
            assert_eq!(elements(broken, "Object").count(), 0, "{broken}");
        }
    }
}
