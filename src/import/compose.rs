//! The pipeline file of what was found.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::alarm::alarm;
use super::found::{Found, FoundThing, Gap, Thing};
use super::function::Writer;
use super::names::Names;
use super::sections::{Section, key_text, list, pattern, quoted};
use crate::aws::Tags;
use crate::resources::{Cx, Subscription};
use crate::spec::SectionKind;

/// A pipeline file, and what it could not say.
#[derive(Debug)]
pub(crate) struct Import {
    /// The pipeline's name.
    pub(crate) name: String,
    pub(crate) text: String,
    /// The sections of the file.
    pub(crate) sections: usize,
    pub(crate) gaps: Vec<Gap>,
    /// Variables of the environment that the file takes values from, which may be secret.
    pub(crate) secrets: Vec<String>,
}

/// Writes what was found, with `name` as the pipeline's name where that is given.
pub(crate) fn compose(cx: &Cx, mut found: Found, name: Option<&str>) -> Import {
    let names = Names::new(&cx.aws, &mut found, name);
    let mut gaps = std::mem::take(&mut found.gaps);
    let mut secrets = BTreeSet::new();
    let mut writer = Writer { cx, names: &names, gaps: &mut gaps, secrets: &mut secrets };
    let mut sections = Vec::new();
    let tags = common_tags(&found);
    if !tags.is_empty() {
        let mut section = Section::new("tags");
        for (key, value) in &tags {
            section.text(key, value);
        }
        sections.push(section);
    }
    for kind in [SectionKind::Stream, SectionKind::Table, SectionKind::Bucket, SectionKind::Queue, SectionKind::Key] {
        sections.extend(things(&mut writer, &found, kind));
    }
    for function in &found.functions {
        sections.extend(writer.function(function));
    }
    sections.extend(things(&mut writer, &found, SectionKind::Topic));
    sections.extend(found.alarms.iter().filter_map(|one| alarm(cx, &names, &found, one, &mut gaps)));
    if found.dashboards.contains(&format!("{}-{}", names.naming.prefix(), cx.aws.region)) {
        sections.push(Section::new("dashboard"));
    }
    let name = names.naming.pipeline.clone();
    let text = text(&name, &found, &sections, &gaps);
    Import {
        name,
        text,
        sections: sections.len(),
        gaps: gaps.into_iter().collect(),
        secrets: secrets.into_iter().collect(),
    }
}

fn text(name: &str, found: &Found, sections: &[Section], gaps: &BTreeSet<Gap>) -> String {
    let functions: Vec<&str> = found.functions.iter().map(|function| function.name.as_str()).collect();
    let mut text = format!("# {name}: {}, and what hangs on it, as AWS had it.\n", functions.join(", "));
    if !gaps.is_empty() {
        text.push_str("#\n# What this file does not say:\n");
    }
    for gap in gaps {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# - {}: {}", gap.what, gap.why.replace('\n', " "));
    }
    let _ = writeln!(text, "\nname = {}", quoted(name));
    for section in sections {
        text.push('\n');
        section.write(&mut text);
    }
    text
}

/// The tags that all have, but streamkit's and AWS's own.
fn common_tags(found: &Found) -> Tags {
    let all =
        found.things.values().map(|thing| &thing.tags).chain(found.functions.iter().map(|function| &function.tags));
    let all: Vec<&Tags> = all.collect();
    let Some((first, rest)) = all.split_first() else { return Tags::new() };
    let is_theirs = |key: &str| !key.starts_with("streamkit:") && !key.starts_with("aws:");
    let is_common = |key: &String, value: &String| rest.iter().all(|tags| tags.get(key) == Some(value));
    let common = first.iter().filter(|(key, value)| is_theirs(key) && is_common(key, value));
    common.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn things(writer: &mut Writer<'_>, found: &Found, kind: SectionKind) -> Vec<Section> {
    let of_kind = found.things.iter().filter(|((one, _), _)| *one == kind);
    of_kind.map(|(thing, seen)| section(writer, thing, seen)).collect()
}

fn section(writer: &mut Writer<'_>, thing: &Thing, seen: &FoundThing) -> Section {
    let Writer { cx, names, gaps, secrets } = writer;
    let (kind, name) = thing;
    let mut section = Section::new(format!("{}.{}", kind.word(), key_text(names.key(*kind, name))));
    let mut gap = |why: String| {
        gaps.insert(Gap { what: format!("{} {name}", kind.word()), why });
    };
    let field = |name: &str| seen.fields.get(name).unwrap_or(&Value::Null);
    let text = |name: &str| field(name).as_str();
    match kind {
        SectionKind::Stream => {
            if text("mode") == Some("on-demand") {
                section.text("mode", "on-demand");
            } else {
                section.raw("shards", field("shards"));
            }
            copy(&mut section, seen, &["retention", "encryption"]);
            if text("max_record_size") != Some("1MiB") {
                copy(&mut section, seen, &["max_record_size"]);
            }
        }
        SectionKind::Table => table(&mut section, seen),
        SectionKind::Queue => {
            copy(&mut section, seen, &["retention", "visibility"]);
            if let Some(arn) = text("dead_letters") {
                match super::discover::thing(cx, arn)
                    .ok()
                    .flatten()
                    .and_then(|(kind, name)| names.reference(kind, &name))
                {
                    Some(reference) => {
                        section.text("dead_letters", &reference.to_string());
                        section.raw("max_receives", field("max_receives"));
                    }
                    None => gap(format!("its dead letter queue {arn} is no queue of this account and region")),
                }
            }
            if !field("fed_by").is_array() {
                gap("its policy: a queue's policy follows from the topics that feed it, and `up` would replace it"
                    .to_owned());
            }
            // The end of a FIFO queue's name, in just these letters.
            if name.strip_suffix(".fifo").is_some() {
                gap("it is a FIFO queue: streamkit's are standard queues".to_owned());
            }
        }
        SectionKind::Bucket => {
            if Names::is_account_regional(name) {
                section.text("namespace", "account-regional");
            }
            if let Some(encryption) = text("encryption").filter(|encryption| *encryption != "s3-managed") {
                section.text("encryption", encryption);
            }
            if field("versioning") == true {
                section.raw("versioning", true);
            }
            copy(&mut section, seen, &["expire"]);
            if let Some((class, after)) = text("transition").and_then(transition) {
                section.raw("transition", format!("{{ after = {}, to = {} }}", quoted(&after), quoted(&class)));
            }
            if field("other_rules").as_array().is_some_and(|rules| !rules.is_empty()) {
                gap("its lifecycle rules: a file has `expire` and `transition`, and `up` would replace the others"
                    .to_owned());
            }
        }
        SectionKind::Topic => {
            let mut lines = Vec::new();
            for subscription in &seen.subscriptions {
                let whole = subscription.address();
                // Whoever knows a webhook's address can call it.
                let secret = secret_address(&whole, names.key(*kind, name), secrets.len() + 1);
                let address = secret.as_ref().map_or(whole, |(address, _)| address.clone());
                let Some(line) = subscriber(cx, names, subscription, &address) else { continue };
                lines.push(format!("\n    {line},"));
                if let Some((address, variable)) = secret {
                    gap(format!(
                        "the rest of the address {address} may be secret: it is what {variable} is to be set to"
                    ));
                    secrets.insert(variable);
                }
            }
            let lost = seen.subscriptions.len() - lines.len();
            section
                .raw("subscribers", if lines.is_empty() { "[]".to_owned() } else { format!("[{}\n]", lines.concat()) });
            if lost > 0 {
                gap(format!("{lost} of its subscriptions go to what a file has no words for: they stay as they are"));
            }
            copy(&mut section, seen, &["encryption"]);
        }
        SectionKind::Key => {
            if field("rotation") == false {
                section.raw("rotation", false);
            }
            section.raw("readers", list(strings(field("readers")).iter().map(|reader| quoted(reader))));
            if field("policy").is_object() {
                gap("its key policy: a file says who may encrypt and decrypt, and `up` would replace the policy"
                    .to_owned());
            }
        }
        SectionKind::Function | SectionKind::Alarm => {}
    }
    section
}

/// Fields that the file has under the same names.
fn copy(section: &mut Section, seen: &FoundThing, fields: &[&'static str]) {
    for field in fields {
        if let Some(Value::String(text)) = seen.fields.get(field) {
            section.text(field, text);
        }
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn table(section: &mut Section, seen: &FoundThing) {
    let field = |name: &str| seen.fields.get(name).unwrap_or(&Value::Null);
    for (key, attribute) in ["partition_key", "sort_key"].into_iter().zip(strings(field("keys"))) {
        let (name, kind) = attribute.rsplit_once(' ').unwrap_or((attribute.as_str(), "S"));
        section.raw(key, format!("{{ name = {}, type = {} }}", quoted(name), quoted(kind)));
    }
    section.raw("billing", billing(field("billing").as_str().unwrap_or_default(), field("autoscaling").as_str()));
    copy(section, seen, &["ttl"]);
    if let Some(view) = field("stream").as_str() {
        section.text("stream", &view.to_lowercase().replace('_', "-"));
    }
    if !seen.replicas.is_empty() {
        section.raw("replicas", list(seen.replicas.iter().map(|region| quoted(region))));
    }
    for name in ["point_in_time_recovery", "protect"] {
        if field(name) == true {
            section.raw(name, true);
        }
    }
}

/// `billing` from what plans say of it, such as `read 5, write 5` and `read 5 to 50 at 70 %, write 5 to 50 at 70 %`.
fn billing(billing: &str, autoscaling: Option<&str>) -> String {
    if billing == "on-demand" {
        return quoted(billing);
    }
    let numbers = |text: &str| -> Vec<i64> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
    };
    let scaled = autoscaling.map(numbers);
    match (scaled.as_deref(), numbers(billing).as_slice()) {
        (Some([read, max_read, target, write, max_write, _]), _) => format!(
            "{{ read = {read}, write = {write}, autoscaling = {{ max_read = {max_read}, max_write = {max_write}, target = {target} }} }}"
        ),
        (_, [read, write]) => format!("{{ read = {read}, write = {write} }}"),
        _ => quoted("on-demand"),
    }
}

/// The storage class and the age from `to STANDARD_IA after 30d`.
fn transition(text: &str) -> Option<(String, String)> {
    let (class, after) = text.strip_prefix("to ")?.split_once(" after ")?;
    Some((class.to_lowercase().replace('_', "-"), after.to_owned()))
}

/// An https address whose end is a variable of the environment, and the variable's name; `None` where nothing follows the host, and
/// for other addresses.
fn secret_address(address: &str, topic: &str, number: usize) -> Option<(String, String)> {
    let rest = address.strip_prefix("https://")?;
    let host =
        if rest.split('/').next()?.contains('@') { 0 } else { rest.find('/').map_or(rest.len(), |slash| slash + 1) };
    if rest[host..].is_empty() {
        return None;
    }
    let word: String =
        topic.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let variable = format!("{word}_ADDRESS_{number}");
    Some((format!("https://{}${{env:{variable}}}", &rest[..host]), variable))
}

/// A subscriber as a topic's section has it; `None` for what it has no words for.
fn subscriber(cx: &Cx, names: &Names, subscription: &Subscription, address: &str) -> Option<String> {
    let to = match subscription.protocol.as_str() {
        "sqs" => {
            let (kind, name) = super::discover::thing(cx, &subscription.endpoint).ok().flatten()?;
            names.reference(kind, &name)?.to_string()
        }
        "email" | "sms" | "https" => address.to_owned(),
        _ => return None,
    };
    let mut more = String::new();
    if subscription.raw {
        more.push_str(", raw = true");
    }
    if let Some(filter) = &subscription.filter {
        let _ = write!(more, ", filter = {}", pattern(&filter.0));
        if subscription.filter_on_body {
            more.push_str(", filter_on = \"body\"");
        }
    }
    Some(if more.is_empty() { quoted(&to) } else { format!("{{ to = {}{more} }}", quoted(&to)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_host_of_an_address_is_not_written() {
        let of = |address: &str| secret_address(address, "on-call", 2).map(|(address, _)| address);
        let hidden = Some("https://hooks.example.com/${env:ON_CALL_ADDRESS_2}".to_owned());
        assert_eq!(of("https://hooks.example.com/services/T1/s3cret?x=1"), hidden);
        assert_eq!(of("https://user:s3cret@example.com/"), Some("https://${env:ON_CALL_ADDRESS_2}".to_owned()));
        assert_eq!(
            (of("https://hooks.example.com/"), of("https://hooks.example.com"), of("email:a@example.com")),
            (None, None, None)
        );
    }

    #[test]
    fn capacity_and_transitions_are_read_from_what_plans_say() {
        assert_eq!(billing("on-demand", None), "\"on-demand\"");
        assert_eq!(billing("read 5, write 6", None), "{ read = 5, write = 6 }");
        assert_eq!(
            billing("read 9, write 6", Some("read 5 to 50 at 70 %, write 6 to 60 at 70 %")),
            "{ read = 5, write = 6, autoscaling = { max_read = 50, max_write = 60, target = 70 } }"
        );
        assert_eq!(transition("to STANDARD_IA after 30d"), Some(("standard-ia".to_owned(), "30d".to_owned())));
    }
}
