//! What is wrong across sections, and with values that AWS would refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};

use streamkit_recipes as recipes;
use toml::Spanned;

use super::finding::{Finding, did_you_mean};
use super::reference::{Kind, Reference};
use super::types::{Alarm, Function, Source, Spec, Stream, StreamMode, Topic};
use super::units::Seconds;
use super::values::{Billing, Encryption, Threshold};
use super::watch::{Measures, watched};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The only retentions that CloudWatch Logs takes, in days.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html>
const LOG_RETENTION_DAYS: [u64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

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
        if self.present.is_empty() {
            self.say(spec.name.span(), "this pipeline has nothing in it", "start from `streamkit init retail`");
        }
        for (key, value) in &spec.tags {
            if key.get_ref().starts_with("aws:") || key.get_ref().starts_with("streamkit:") {
                self.say(
                    key.span(),
                    format!("the tag `{}` uses a reserved prefix", key.get_ref()),
                    "choose another name",
                );
            }
            if key.get_ref().len() > 128 || value.get_ref().len() > 256 {
                self.say(key.span(), "this tag is too long", "a tag's key has at most 128 characters, its value 256");
            }
        }
        for stream in spec.stream.values() {
            self.stream(stream);
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
            if let Billing::Provisioned { read, write } = table.billing.get_ref()
                && (*read < 1 || *write < 1)
            {
                self.say(
                    table.billing.span(),
                    "provisioned capacity starts at 1 unit",
                    "write { read = 5, write = 5 }, say",
                );
            }
        }
        for queue in spec.queue.values() {
            self.duration(&queue.retention, MINUTE..=14 * DAY, "a queue keeps messages");
            self.duration(&queue.visibility, 0..=12 * HOUR, "a message's visibility timeout is");
        }
        for function in spec.function.values() {
            self.function(function);
        }
        self.readers();
        for (name, topic) in &spec.topic {
            self.topic(name.get_ref(), topic);
        }
        for (name, alarm) in &spec.alarm {
            self.alarm(name, alarm);
        }
    }

    fn stream(&mut self, stream: &Stream) {
        self.duration(&stream.retention, DAY..=365 * DAY, "a stream keeps records");
        if !stream.retention.get_ref().0.is_multiple_of(HOUR) {
            self.say(stream.retention.span(), "a stream's retention is counted in whole hours", "write \"24h\", say");
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

    fn function(&mut self, function: &Function) {
        if recipes::find(function.recipe.get_ref()).is_none() {
            let known: Vec<_> = recipes::all().iter().map(|recipe| recipe.name()).collect();
            let help = match did_you_mean(function.recipe.get_ref(), known.iter().copied()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("there are: {}", known.join(", ")),
            };
            self.say(function.recipe.span(), format!("there is no recipe `{}`", function.recipe.get_ref()), help);
        }
        self.number(&function.memory, 128..=10_240, "a function's memory in MB");
        self.duration(&function.timeout, 1..=15 * MINUTE, "a function may run");
        let retention = function.log_retention.get_ref().0;
        if !retention.is_multiple_of(DAY) || !LOG_RETENTION_DAYS.contains(&(retention / DAY)) {
            let days: Vec<_> = LOG_RETENTION_DAYS.iter().map(|days| format!("{days}d")).collect();
            let message = format!("CloudWatch Logs has no retention of {}", function.log_retention.get_ref());
            self.say(function.log_retention.span(), message, format!("write one of {}", days.join(", ")));
        }
        for name in function.environment.keys() {
            if name.get_ref().starts_with("STREAMKIT_") || name.get_ref().starts_with("AWS_") {
                self.say(
                    name.span(),
                    format!("`{}` is set by streamkit or Lambda itself", name.get_ref()),
                    "choose another name",
                );
            }
        }
        for sink in &function.writes {
            self.refers(sink, &[Kind::Table], "a function writes to tables");
        }
        if function.writes.len() > 1 {
            let second = &function.writes[1];
            self.say(second.span(), "a recipe writes to one table", "leave one table in `writes`");
        }
        if let Some(queue) = &function.dead_letters {
            self.refers(queue, &[Kind::Queue], "dead letters go to a queue");
        }
        self.table_keys(function);
        self.source(function.source.get_ref());
    }

    /// A recipe's items fit only a table with the keys that it writes.
    fn table_keys(&mut self, function: &Function) {
        let Some(recipe) = recipes::find(function.recipe.get_ref()) else { return };
        let Some(written) = function.writes.first() else {
            self.say(
                function.recipe.span(),
                format!("the recipe `{}` writes to a table, and this function has none", recipe.name()),
                "add `writes = [\"table.NAME\"]`",
            );
            return;
        };
        let Some(table) =
            self.spec.table.iter().find(|(name, _)| *name.get_ref() == written.get_ref().name).map(|(_, table)| table)
        else {
            return;
        };
        let Some(key) = recipe.needs().table else { return };
        let (partition, sort) = (&*key.partition.name, key.sort.as_ref().map(|sort| &*sort.name));
        let has = (
            table.partition_key.get_ref().name.as_str(),
            table.sort_key.as_ref().map(|key| key.get_ref().name.as_str()),
        );
        if has != (partition, sort) {
            let wanted = sort.map_or_else(
                || format!("partition key `{partition}`"),
                |sort| format!("partition key `{partition}` and sort key `{sort}`"),
            );
            self.say(
                written.span(),
                format!("the recipe `{}` needs a table with {wanted}", recipe.name()),
                format!("give [table.{}] those keys", written.get_ref().name),
            );
        }
    }

    fn source(&mut self, source: &Source) {
        self.refers(&source.from, &[Kind::Stream], "a function's source is a stream");
        self.number(&source.batch_size, 1..=10_000, "a mapping's batch size");
        self.duration(&source.batch_window, 0..=300, "a batch window is");
        self.number(&source.parallelization_factor, 1..=10, "a parallelization factor");
        self.number(&source.max_retries, -1..=10_000, "a mapping's retries (-1 is without limit)");
        if let Some(age) = &source.max_record_age {
            self.duration(age, MINUTE..=7 * DAY, "a mapping's maximum record age is");
        }
        if let Some(target) = &source.on_failure {
            self.refers(target, &[Kind::Queue, Kind::Topic], "on-failure records go to a queue or a topic");
        }
    }

    /// A shard serves five GetRecords a second, and every mapping polls it once a second.
    fn readers(&mut self) {
        let mut readers: BTreeMap<&Reference, usize> = BTreeMap::new();
        for function in self.spec.function.values() {
            *readers.entry(function.source.get_ref().from.get_ref()).or_default() += 1;
        }
        for function in self.spec.function.values() {
            let from = &function.source.get_ref().from;
            if readers.get(from.get_ref()).is_some_and(|count| *count > 5) {
                self.say(
                    from.span(),
                    format!("more than five functions read `{}`", from.get_ref()),
                    "a shard serves five reads a second; split the stream or its readers",
                );
            }
        }
    }

    fn topic(&mut self, name: &str, topic: &Topic) {
        let notified = self.spec.has_alarm_that_notifies(name);
        if let Some(encryption) = &topic.encryption
            && *encryption.get_ref() == Encryption::AwsManaged
            && notified
        {
            self.say(
                encryption.span(),
                "CloudWatch alarms can't publish to a topic with the AWS-managed key, so this topic would stay silent",
                "remove `encryption`, write \"none\", or name your own KMS key whose policy lets CloudWatch use it",
            );
        }
        let mut seen = BTreeSet::new();
        for subscriber in &topic.subscribers {
            if !seen.insert(subscriber.get_ref()) {
                self.say(subscriber.span(), "this subscriber is listed twice", "remove one of them");
            }
        }
    }

    fn alarm(&mut self, name: &Spanned<String>, alarm: &Alarm) {
        self.duration(&alarm.period, 10..=DAY, "an alarm's period is");
        let period = alarm.period.get_ref().0;
        if period != 10 && period != 30 && !period.is_multiple_of(MINUTE) {
            self.say(alarm.period.span(), "an alarm's period is 10s, 30s or whole minutes", "write \"1m\", say");
        }
        self.number(&alarm.evaluation_periods, 1..=100, "an alarm's evaluation periods");
        if let Some(datapoints) = &alarm.datapoints {
            self.number(
                datapoints,
                1..=*alarm.evaluation_periods.get_ref(),
                "an alarm's datapoints (at most its evaluation periods)",
            );
        }
        for target in &alarm.notify.0 {
            self.refers(target, &[Kind::Topic], "an alarm notifies topics");
        }
        match (&alarm.metric, &alarm.watch) {
            (Some(_), Some(watch)) => {
                self.say(watch.span(), "an alarm has `metric` or `watch`, not both", "remove one of them");
            }
            (None, None) => self.say(
                name.span(),
                format!("the alarm `{}` watches nothing", name.get_ref()),
                "add `watch = \"function.NAME.errors\"` or `metric = \"NAMESPACE/METRIC\"`",
            ),
            (Some(metric), None) => self.custom_metric(metric, alarm),
            (None, Some(watch)) => self.watch(watch, alarm),
        }
    }

    fn custom_metric(&mut self, metric: &Spanned<String>, alarm: &Alarm) {
        if metric.get_ref().rsplit_once('/').is_none_or(|(namespace, name)| namespace.is_empty() || name.is_empty()) {
            self.say(
                metric.span(),
                format!("`{}` is not a metric", metric.get_ref()),
                "write namespace and name, such as \"RetailEventProcessing/FailedEvents\"",
            );
        }
        if alarm.statistic.is_none() {
            self.say(
                metric.span(),
                "an alarm on a metric of your own needs a statistic",
                "add `statistic = \"sum\"`, say",
            );
        }
        if let Threshold::Duration(_) = alarm.threshold.get_ref() {
            self.say(
                alarm.threshold.span(),
                "the unit of a metric of your own is not known here",
                "write the threshold as a plain number",
            );
        }
    }

    fn watch(&mut self, watch: &Spanned<String>, alarm: &Alarm) {
        match watched(watch.get_ref()) {
            Err(message) => match message.split_once(": write ") {
                Some((what, rest)) => self.say(watch.span(), what, format!("write {rest}")),
                None => self.findings.push(Finding::new(watch.span(), message)),
            },
            Ok((reference, metric)) => {
                self.exists(&reference, watch.span());
                match (metric.measures, alarm.threshold.get_ref()) {
                    (Measures::Count, Threshold::Duration(_)) => {
                        self.say(
                            alarm.threshold.span(),
                            format!("`{}` counts things", metric.word),
                            "write the threshold as a plain number",
                        );
                    }
                    (Measures::Milliseconds | Measures::Seconds, Threshold::Number(_)) => {
                        self.say(
                            alarm.threshold.span(),
                            format!("`{}` measures time", metric.word),
                            "write the threshold with a unit, such as \"5m\"",
                        );
                    }
                    _ => {}
                }
            }
        }
    }

    fn refers(&mut self, reference: &Spanned<Reference>, kinds: &[Kind], rule: &str) {
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
            None => format!("add a section [{reference}]"),
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
