//! What a request of an eventually consistent operation asks about.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::body::Bytes;
use http::Request;
use serde_json::Value;
use streamkit_wire::input::texts;
use streamkit_wire::{Call, Service, access_key, arn, protocol, resource_name};

use crate::rehearsal::{Kind, Part};

/// Members that name several resources.
const PLURAL: [&str; 2] = ["AlarmNames", "DashboardNames"];

/// A request, as far as it names resources.
pub(super) struct Asked {
    service: Service,
    path: String,
    members: Value,
    resource: Option<String>,
    /// The same for the same question of the same caller.
    pub(super) hash: u64,
    /// Whether it asks for a consistent read.
    pub(super) consistent: bool,
}

impl Asked {
    pub(super) fn of(call: &Call, request: &Request<Bytes>) -> Self {
        let form = protocol::query_bytes(request);
        let members = protocol::decode(call, &form);
        let mut hasher = DefaultHasher::new();
        (call.operation.as_str(), request.method(), request.uri(), request.body(), access_key(request))
            .hash(&mut hasher);
        Self {
            service: call.service.clone(),
            path: request.uri().path().trim_matches('/').to_owned(),
            members: members.unwrap_or_default(),
            resource: resource_name(call, request),
            hash: hasher.finish(),
            consistent: says_consistent(request.body()),
        }
    }

    /// The resources of a kind that the request names. The one that it makes may be named by the answer only.
    pub(super) fn names(&self, kind: &Kind, part: Part, answer: Option<&[u8]>) -> Vec<String> {
        if let Some(named_by) = &kind.named_by {
            let name = match answer {
                Some(answer) if part == Part::Create => answer_member(answer, &named_by.answer),
                _ => self.members[&named_by.request].as_str().map(str::to_owned).or_else(|| self.last_of_path()),
            };
            return name.map(|name| arn::resource_name(&name)).into_iter().collect();
        }
        if !kind.key.is_empty() {
            let parts: Vec<&str> = kind.key.iter().filter_map(|member| self.members[member].as_str()).collect();
            return if parts.len() == kind.key.len() { vec![parts.join("/")] } else { Vec::new() };
        }
        if let Some(names) = PLURAL.iter().map(|member| texts(&self.members[*member])).find(|names| !names.is_empty()) {
            return names;
        }
        if let Some(tables) = self.members["RequestItems"].as_object() {
            return tables.keys().cloned().collect();
        }
        let until = match self.service {
            // A bucket may have any number of keys, and a function versions and aliases.
            Service::S3 => '/',
            Service::Lambda => ':',
            _ => '\0',
        };
        let name = self.resource.as_deref().map(|name| name.split(until).next().unwrap_or_default().to_owned());
        name.filter(|name| !name.is_empty()).into_iter().collect()
    }

    /// What the seed knows a resource by whose name AWS makes up.
    pub(super) fn is_for(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    /// The text of a member of the request.
    pub(super) fn member(&self, name: &str) -> String {
        self.members[name].as_str().unwrap_or_default().to_owned()
    }

    fn last_of_path(&self) -> Option<String> {
        (self.service == Service::Lambda).then(|| self.path.rsplit('/').next().unwrap_or_default().to_owned())
    }
}

fn says_consistent(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.match_indices("\"ConsistentRead\"").any(|(at, found)| {
        text[at + found.len()..]
            .trim_start()
            .strip_prefix(':')
            .is_some_and(|rest| rest.trim_start().starts_with("true"))
    })
}

/// A member of an answer: of JSON at the top, of XML the first of that name.
fn answer_member(body: &[u8], member: &str) -> Option<String> {
    if body.first() == Some(&b'{') {
        return serde_json::from_slice::<Value>(body).ok()?[member].as_str().map(str::to_owned);
    }
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once(&format!("<{member}>"))?;
    rest.split_once("</").map(|(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consistent_reads_are_recognised() {
        for (body, consistent) in [
            (r#"{"ConsistentRead": true}"#, true),
            (r#"{"RequestItems":{"t":{"ConsistentRead":true}}}"#, true),
            (r#"{"ConsistentRead":false,"TableName":"true"}"#, false),
            ("{}", false),
        ] {
            assert_eq!(says_consistent(body.as_bytes()), consistent, "{body}");
        }
    }

    #[test]
    fn made_up_names_are_those_of_the_answer() {
        assert_eq!(answer_member(br#"{"UUID":"u"}"#, "UUID").as_deref(), Some("u"));
        let xml = b"<R><SubscriptionArn>arn:aws:sns:r:1:t:u</SubscriptionArn></R>";
        assert_eq!(answer_member(xml, "SubscriptionArn").as_deref(), Some("arn:aws:sns:r:1:t:u"));
        assert_eq!(answer_member(b"", "UUID"), None);
    }
}
