//! What is wrong across sections, and with values that AWS would refuse.

mod alarm;
mod encrypt;
mod function;
mod memory;
mod messages;
mod regions;
mod renamed;
mod tags;
mod view;

pub(super) use view::image_not_carried;

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

use super::finding::{Finding, did_you_mean};
use super::lint;
use super::reference::{Reference, SectionKind};
use super::spanned::Spanned;
use super::types::{Bucket, Spec, StorageClass, Stream, StreamMode};
use super::units::Seconds;
use super::values::{Billing, Encryption};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Finds all that is wrong in a spec whose sections can be read. `present` also holds sections that could not be.
pub(crate) fn check(spec: &Spec, present: &BTreeSet<Reference>) -> Vec<Finding> {
    let mut checker = Checker { spec, present, findings: Vec::new() };
    checker.all();
    checker.findings
}

struct Checker<'a> {
    spec: &'a Spec,
    present: &'a BTreeSet<Reference>,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn say(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.findings.push(Finding::new(span, message).help(help));
    }

    fn all(&mut self) {
        let spec = self.spec;
        self.renamed();
        if self.present.is_empty() {
            self.say(spec.name.span(), "this pipeline has nothing in it", "start from `streamkit init retail`");
        }
        self.tags();
        for (name, stream) in &spec.stream {
            self.stream(stream);
            self.stream_region(name, stream);
        }
        for table in spec.table.values() {
            if let Some(sort) = &table.sort_key
                && sort.get_ref().name == table.partition_key.get_ref().name
            {
                self.say(
                    sort.span(),
                    "the partition key and the sort key are the same attribute",
                    "name another attribute for one of them",
                );
            }
            self.billing(&table.billing);
            self.replicas(table);
        }
        self.queues();
        for bucket in spec.bucket.values() {
            self.bucket(bucket);
        }
        for (name, function) in &spec.function {
            self.function(name, function);
        }
        for (name, key) in &spec.key {
            self.key(name, key);
        }
        self.readers();
        for (name, topic) in &spec.topic {
            self.topic(name.get_ref(), topic);
        }
        if let Some(dashboard) = &spec.dashboard {
            let period = &dashboard.get_ref().period;
            self.duration(period, MINUTE..=DAY, "a dashboard's period is");
            if !period.get_ref().0.is_multiple_of(MINUTE) {
                self.say(period.span(), "a dashboard's period is whole minutes", "write \"1m\", say");
            }
        }
        for (name, alarm) in &spec.alarm {
            self.alarm(name, alarm);
        }
        for entry in spec.lint.iter().flat_map(|lint| &lint.allow) {
            match lint::allowed(entry.get_ref()) {
                Err(message) => match message.split_once(": write ") {
                    Some((what, rest)) => self.say(entry.span(), what, format!("write {rest}")),
                    None => self.findings.push(Finding::new(entry.span(), message)),
                },
                Ok((_, Some(section))) => self.exists(&section, entry.span()),
                Ok((_, None)) => {}
            }
        }
    }

    fn billing(&mut self, billing: &Spanned<Billing>) {
        let Billing::Provisioned { read, write, autoscaling } = *billing.get_ref() else { return };
        if read < 1 || write < 1 {
            self.say(billing.span(), "provisioned capacity starts at 1 unit", "write { read = 5, write = 5 }, say");
        }
        let Some(autoscaling) = autoscaling else { return };
        for (what, least, most) in [("read", read, autoscaling.max_read), ("write", write, autoscaling.max_write)] {
            if most < least {
                self.say(
                    billing.span(),
                    format!("`max_{what} = {most}` is less than `{what} = {least}`, which is what there is at least"),
                    format!("write max_{what} = {}, say", least.saturating_mul(10)),
                );
            }
            if most > i64::from(i32::MAX) {
                self.say(
                    billing.span(),
                    format!("`max_{what} = {most}` is more than AWS takes"),
                    format!("write at most {}", i32::MAX),
                );
            }
        }
        if !(20..=90).contains(&autoscaling.target) {
            self.say(
                billing.span(),
                format!("autoscaling can't aim at {} % of the capacity", autoscaling.target),
                "DynamoDB takes a target from 20 to 90: write target = 70, say",
            );
        }
    }

    fn stream(&mut self, stream: &Stream) {
        self.duration(&stream.retention, DAY..=365 * DAY, "a stream keeps records");
        if !stream.retention.get_ref().0.is_multiple_of(HOUR) {
            self.say(stream.retention.span(), "a stream's retention is counted in whole hours", "write \"24h\", say");
        }
        let size = stream.max_record_size.get_ref().0;
        if !(1..=10).contains(&size) {
            let message = format!("a stream's records may have 1MiB to 10MiB, not {size}MiB");
            self.findings.push(Finding::new(stream.max_record_size.span(), message));
        }
        if let Some(shards) = &stream.shards {
            if stream.mode() == StreamMode::OnDemand {
                self.say(
                    shards.span(),
                    "an on-demand stream has no shard count",
                    "remove `shards`, or write mode = \"provisioned\"",
                );
            }
            self.number(shards, 1..=10_000, "a stream's shards");
        }
    }

    fn bucket(&mut self, bucket: &Bucket) {
        if let Some(encryption) = &bucket.encryption
            && *encryption.get_ref() == Encryption::None
        {
            self.say(
                encryption.span(),
                "S3 encrypts every object",
                "remove `encryption` for S3's own keys, or write \"aws-managed\" or a KMS key ARN",
            );
        }
        let whole_days = |age: Seconds| age.0 >= DAY && age.0.is_multiple_of(DAY);
        if let Some(expire) = &bucket.expire
            && !whole_days(*expire.get_ref())
        {
            self.say(expire.span(), "objects expire after whole days", "write \"365d\", say");
        }
        let Some(transition) = &bucket.transition else { return };
        let (after, to) = (transition.get_ref().after, transition.get_ref().to);
        if !whole_days(after) {
            self.say(
                transition.span(),
                "objects move after whole days",
                "write { after = \"30d\", to = \"standard-ia\" }, say",
            );
        } else if after.0 < 30 * DAY && matches!(to, StorageClass::StandardIa | StorageClass::OnezoneIa) {
            self.say(
                transition.span(),
                "an object must be 30 days old before it can move to an infrequent-access class",
                "write after = \"30d\" or more",
            );
        }
        if let Some(expire) = &bucket.expire
            && expire.get_ref().0 <= after.0
        {
            self.say(
                transition.span(),
                "objects would expire before they move",
                "let them move sooner or expire later",
            );
        }
    }

    fn refers(&mut self, reference: &Spanned<Reference>, kinds: &[SectionKind], rule: &str) {
        if !kinds.contains(&reference.get_ref().kind) {
            let words: Vec<_> = kinds.iter().map(|kind| format!("\"{}.NAME\"", kind.word())).collect();
            self.say(
                reference.span(),
                format!("`{}` does not fit here: {rule}", reference.get_ref()),
                format!("write {}", words.join(" or ")),
            );
            return;
        }
        self.exists(reference.get_ref(), reference.span());
    }

    fn exists(&mut self, reference: &Reference, span: Range<usize>) {
        if self.present.contains(reference) {
            return;
        }
        let same_kind: Vec<_> =
            self.present.iter().filter(|other| other.kind == reference.kind).map(|other| other.name.as_str()).collect();
        let help = match did_you_mean(&reference.name, same_kind.iter().copied()) {
            Some(meant) => format!("did you mean \"{}.{meant}\"?", reference.kind.word()),
            None if same_kind.is_empty() => format!("add a section [{reference}]"),
            None => {
                let there: Vec<_> =
                    same_kind.iter().map(|name| format!("\"{}.{name}\"", reference.kind.word())).collect();
                format!("write {}, or add a section [{reference}]", there.join(" or "))
            }
        };
        self.say(span, format!("there is no [{reference}] in this file"), help);
    }

    fn number(&mut self, number: &Spanned<i64>, range: RangeInclusive<i64>, what: &str) {
        if !range.contains(number.get_ref()) {
            let message = format!("{what} must be from {} to {}, not {}", range.start(), range.end(), number.get_ref());
            self.findings.push(Finding::new(number.span(), message));
        }
    }

    fn duration(&mut self, duration: &Spanned<Seconds>, range: RangeInclusive<u64>, what: &str) {
        if !range.contains(&duration.get_ref().0) {
            let (low, high) = (Seconds(*range.start()), Seconds(*range.end()));
            let message = format!("{what} from {low} to {high}, not {}", duration.get_ref());
            self.findings.push(Finding::new(duration.span(), message));
        }
    }
}
