//! What makes a function or its source wrong, and what its recipe needs around it.

use std::collections::BTreeMap;
use std::ops::Range;

use streamkit_recipes::{self as recipes, KeyAttribute, KeyKind, Needs, Sampled, Samples, SourceKind, TableKey};

use super::{Checker, DAY, MINUTE, view};
use crate::spec::finding::did_you_mean;
use crate::spec::reference::{Reference, SectionKind};
use crate::spec::spanned::Spanned;
use crate::spec::types::{Allow, AttributeType, Consumer, Function, Key, Source, Table, named};
use crate::spec::values::Target;

/// The only retentions that CloudWatch Logs takes, in days.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html>
const LOG_RETENTION_DAYS: [u64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// What Lambda sets itself, besides all that begins with `AWS_`.
const RESERVED_VARIABLES: [&str; 4] = ["_HANDLER", "_X_AMZN_TRACE_ID", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"];

/// As many as a quota can be raised to; five without asking AWS.
const FILTERS: usize = 10;

/// A shard of a stream serves five GetRecords a second, and every mapping polls it once a second.
const STREAM_READERS: usize = 5;
/// A shard of a table's stream serves two readers before it throttles.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html>
const TABLE_READERS: usize = 2;

impl Checker<'_> {
    pub(super) fn function(&mut self, name: &Spanned<String>, function: &Function) {
        self.what_runs(name, function);
        self.number(&function.memory, 128..=10_240, "a function's memory in MB");
        self.duration(&function.timeout, 1..=15 * MINUTE, "a function may run");
        if let Some(concurrency) = &function.reserved_concurrency {
            self.number(concurrency, 0..=100_000, "a function's reserved concurrency");
        }
        let retention = function.log_retention.get_ref().0;
        if !retention.is_multiple_of(DAY) || !LOG_RETENTION_DAYS.contains(&(retention / DAY)) {
            let days: Vec<_> = LOG_RETENTION_DAYS.iter().map(|days| format!("{days}d")).collect();
            let message = format!("CloudWatch Logs has no retention of {}", function.log_retention.get_ref());
            self.say(function.log_retention.span(), message, format!("write one of {}", days.join(", ")));
        }
        for name in function.environment.keys() {
            self.variable(name);
        }
        if let Some(identity) = &function.identity {
            let of_table = function.source.get_ref().from.get_ref().kind == SectionKind::Table;
            if of_table {
                let message = "a table's changes have an identity of their own, which DynamoDB gives them";
                self.say(identity.span(), message, "remove `identity`");
            } else if identity.get_ref().is_empty() {
                let message = "an event's own id is in a field of its payload";
                self.say(identity.span(), message, "name that field, such as \"orderId\"");
            }
        }
        self.sinks(function);
        self.state_table(name, function);
        self.encryption(function);
        self.rights(function);
        self.function_regions(function);
        self.source(function.source.get_ref());
        if let (Some(recipe), Some(written)) = (function.recipe(), &function.recipe) {
            self.needs(function, recipe, written.span());
            self.memory(function, recipe, written.span());
        }
    }

    /// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>
    fn variable(&mut self, name: &Spanned<String>) {
        let text = name.get_ref();
        if text.starts_with("STREAMKIT_") || text.starts_with("AWS_") || RESERVED_VARIABLES.contains(&text.as_str()) {
            let message = format!("`{text}` is set by streamkit or Lambda itself");
            self.say(name.span(), message, "choose another name");
            return;
        }
        let begins_with_a_letter = text.starts_with(|c: char| c.is_ascii_alphabetic());
        let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !(begins_with_a_letter && is_word && text.len() >= 2) {
            self.say(
                name.span(),
                format!("Lambda takes no variable of the name `{text}`"),
                "a name has two or more letters, digits and underscores, and begins with a letter",
            );
        }
    }

    /// A recipe or code: one of them.
    fn what_runs(&mut self, name: &Spanned<String>, function: &Function) {
        match (&function.recipe, &function.code) {
            (None, None) => self.say(
                name.span(),
                format!("the function `{}` has nothing to run", name.get_ref()),
                "add `recipe = \"retail\"`, say, or `code = \"path/to/crate\"`",
            ),
            (Some(_), Some(code)) => {
                self.say(code.span(), "a function has `recipe` or `code`, not both", "remove one of them");
            }
            (Some(recipe), None) if function.recipe().is_none() => {
                let known: Vec<_> = recipes::all().iter().map(|recipe| recipe.name()).collect();
                let help = match did_you_mean(recipe.get_ref(), known.iter().copied()) {
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => {
                        format!("there are: {}; a crate of your own is `code = \"path/to/crate\"`", known.join(", "))
                    }
                };
                self.say(recipe.span(), format!("there is no recipe `{}`", recipe.get_ref()), help);
            }
            _ => {}
        }
    }

    fn sinks(&mut self, function: &Function) {
        let from = function.source.get_ref().from.get_ref();
        for (index, sink) in function.writes.iter().enumerate() {
            let kinds = [SectionKind::Table, SectionKind::Bucket, SectionKind::Stream];
            self.refers(sink, &kinds, "a function writes to tables, buckets and streams");
            if function.writes[..index].iter().any(|earlier| earlier.get_ref() == sink.get_ref()) {
                self.say(sink.span(), format!("`{}` is listed twice", sink.get_ref()), "remove one of them");
            }
            if sink.get_ref() == from {
                let word = from.kind.word();
                self.say(
                    sink.span(),
                    format!(
                        "this function would write to the {word} that it reads: each write would be its next event"
                    ),
                    format!("write to another {word}"),
                );
            }
        }
        if let Some(topic) = &function.publishes {
            self.refers(topic, &[SectionKind::Topic], "a function publishes to a topic");
        }
        if let Some(queue) = &function.dead_letters {
            self.refers(queue, &[SectionKind::Queue], "dead letters go to a queue");
        }
    }

    /// What only code of one's own may need: a recipe's rights follow from what it does.
    fn rights(&mut self, function: &Function) {
        if function.recipe.is_some() {
            let spans = function.reads.iter().map(Spanned::span).chain(function.allow.iter().map(Spanned::span));
            for span in spans.collect::<Vec<_>>() {
                self.say(span, "a recipe needs no more rights than follow from its sinks", "remove it, or use `code`");
            }
            return;
        }
        for read in &function.reads {
            self.refers(read, &[SectionKind::Table, SectionKind::Bucket], "a function reads tables and buckets");
        }
        for allowed in &function.allow {
            let Allow { actions, on } = allowed.get_ref();
            if actions.is_empty() || on.is_empty() {
                let help = "write { actions = [\"dynamodb:UpdateItem\"], on = [\"table.results\"] }, say";
                self.say(allowed.span(), "this allows nothing", help);
            }
            for action in actions {
                let is_name = |text: &str| {
                    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-*".contains(c))
                };
                let named = action.get_ref().split_once(':');
                if !named.is_some_and(|(service, name)| is_name(service) && !service.contains('*') && is_name(name)) {
                    let message = format!("`{}` is not an action of IAM", action.get_ref());
                    self.say(action.span(), message, "write service and action, such as \"dynamodb:UpdateItem\"");
                }
            }
            for target in on {
                if let Target::Section(section) = target.get_ref() {
                    if matches!(section.kind, SectionKind::Alarm | SectionKind::Key) {
                        let message = format!("`{section}` is nothing that a function acts on");
                        self.say(
                            target.span(),
                            message,
                            "name a stream, table, queue, bucket, topic or function, or an ARN",
                        );
                    } else {
                        self.exists(section, target.span());
                    }
                }
            }
        }
    }

    fn needs(&mut self, function: &Function, recipe: &dyn Sampled, written: Range<usize>) {
        let (name, needs) = (recipe.name(), recipe.needs());
        let table = self.one_sink(function, (name, &written), SectionKind::Table, needs.table.is_some());
        if let (Some(table), Some(wanted)) = (&table, &needs.table)
            && let Some(has) = named(&self.spec.table, &table.get_ref().name)
            && let Some(help) = other_keys(has, wanted)
        {
            let message = format!("the items of the recipe `{name}` don't fit the keys of `{}`", table.get_ref());
            self.say(table.span(), message, help);
        }
        self.one_sink(function, (name, &written), SectionKind::Bucket, needs.bucket.is_some());
        self.one_sink(function, (name, &written), SectionKind::Stream, needs.stream);
        match &function.publishes {
            None if needs.topic => self.say(
                written,
                format!("the recipe `{name}` publishes to a topic, and this function has none"),
                "add `publishes = \"topic.NAME\"`",
            ),
            Some(topic) if !needs.topic && !needs.optional_topic => {
                self.say(topic.span(), format!("the recipe `{name}` publishes nothing"), "remove `publishes`");
            }
            _ => {}
        }
        if needs.window && function.source.get_ref().tumbling_window.is_none() {
            self.say(
                function.source.span(),
                format!("the recipe `{name}` counts what comes in windows of time, and this source has none"),
                "add `tumbling_window = \"1m\"`, say",
            );
        }
        self.source_of_recipe(function.source.get_ref(), name, recipe.source(), &needs);
        let from = &function.source.get_ref().from;
        if let Samples::Table(samples) = recipe.samples()
            && let Some(wanted) = samples.table_key()
            && from.get_ref().kind == SectionKind::Table
            && let Some(has) = named(&self.spec.table, &from.get_ref().name)
            && let Some(help) = other_keys(has, &wanted)
        {
            let message = format!("the recipe `{name}` does not know items with the keys of `{}`", from.get_ref());
            self.say(from.span(), message, help);
        }
    }

    /// The only sink of a kind: there if the recipe wants one, and not if it does not.
    fn one_sink<'f>(
        &mut self,
        function: &'f Function,
        (recipe, written): (&str, &Range<usize>),
        kind: SectionKind,
        wanted: bool,
    ) -> Option<&'f Spanned<Reference>> {
        let mut sinks = function.writes.iter().filter(|sink| sink.get_ref().kind == kind);
        let first = sinks.next();
        let word = kind.word();
        match (first, wanted) {
            (None, true) => self.say(
                written.clone(),
                format!("the recipe `{recipe}` writes to a {word}, and this function has none"),
                format!("add \"{word}.NAME\" to `writes`"),
            ),
            (Some(sink), false) => {
                let message = format!("the recipe `{recipe}` writes to no {word}");
                self.say(sink.span(), message, format!("remove \"{}\" from `writes`", sink.get_ref()));
            }
            (Some(_), true) => {
                for more in sinks {
                    self.say(
                        more.span(),
                        format!("the recipe `{recipe}` writes to one {word}"),
                        format!("leave one {word} in `writes`"),
                    );
                }
            }
            (None, false) => {}
        }
        first
    }

    fn source_of_recipe(&mut self, source: &Source, recipe: &str, wanted: SourceKind, needs: &Needs) {
        let from = source.from.get_ref();
        let expected = match wanted {
            SourceKind::Stream => Some((SectionKind::Stream, "a stream's records")),
            SourceKind::Table => Some((SectionKind::Table, "a table's changes")),
            SourceKind::Any => None,
        };
        if let Some((kind, word)) = expected
            && from.kind != kind
            && matches!(from.kind, SectionKind::Stream | SectionKind::Table)
        {
            let message = format!("the recipe `{recipe}` reads {word}, and `{from}` has none");
            self.say(source.from.span(), message, format!("write from = \"{}.NAME\"", kind.word()));
            return;
        }
        self.findings.extend(view::too_narrow(self.spec, source, recipe, needs.images, None));
    }

    fn source(&mut self, source: &Source) {
        let from = source.from.get_ref();
        self.refers(
            &source.from,
            &[SectionKind::Stream, SectionKind::Table],
            "a function's source is a stream, or a table's changes",
        );
        if from.kind == SectionKind::Table
            && let Some(Table { stream: None, .. }) = named(&self.spec.table, &from.name)
        {
            self.say(
                source.from.span(),
                format!("`{from}` does not keep a stream of its changes"),
                format!("add `stream = \"new-and-old-images\"` to [{from}]"),
            );
        }
        self.number(&source.batch_size, 1..=10_000, "a mapping's batch size");
        self.duration(&source.batch_window, 0..=300, "a batch window is");
        self.number(&source.parallelization_factor, 1..=10, "a parallelization factor");
        if from.kind == SectionKind::Table && *source.consumer.get_ref() == Consumer::EnhancedFanOut {
            self.say(
                source.consumer.span(),
                "a table's stream has no consumers with a throughput of their own",
                "remove `consumer`",
            );
        }
        if source.filter.len() > FILTERS {
            self.say(
                source.filter[FILTERS].span(),
                format!("a mapping has at most {FILTERS} filter patterns"),
                "let one pattern stand for several: each field may list values",
            );
        }
        if let Some(window) = &source.tumbling_window {
            self.duration(window, 1..=15 * MINUTE, "a tumbling window lasts");
            if *source.parallelization_factor.get_ref() > 1 {
                self.say(
                    window.span(),
                    "a tumbling window carries one state for each shard, so nothing of a shard runs in parallel",
                    "remove `parallelization_factor` or `tumbling_window`",
                );
            }
        }
        self.number(&source.max_retries, -1..=10_000, "a mapping's retries (-1 is without limit)");
        if let Some(age) = &source.max_record_age {
            self.duration(age, MINUTE..=7 * DAY, "a mapping's maximum record age is");
        }
        if let Some(target) = &source.on_failure {
            self.refers(
                target,
                &[SectionKind::Queue, SectionKind::Topic, SectionKind::Bucket],
                "on-failure records go to a queue, a topic or a bucket",
            );
        }
    }

    /// More functions on one source than its shards can serve.
    pub(super) fn readers(&mut self) {
        let mut readers: BTreeMap<&Reference, usize> = BTreeMap::new();
        for function in self.spec.function.values() {
            let source = function.source.get_ref();
            // A consumer of its own does not share the shards' reads.
            if *source.consumer.get_ref() == Consumer::Shared {
                *readers.entry(source.from.get_ref()).or_default() += 1;
            }
        }
        for function in self.spec.function.values() {
            let from = &function.source.get_ref().from;
            let count = readers.get(from.get_ref()).copied().unwrap_or_default();
            match from.get_ref().kind {
                SectionKind::Stream if count > STREAM_READERS => self.say(
                    from.span(),
                    format!("more than five functions read `{}`", from.get_ref()),
                    "a shard serves five reads a second; write consumer = \"enhanced-fan-out\" for some of them",
                ),
                SectionKind::Table if count > TABLE_READERS => self.say(
                    from.span(),
                    format!("more than two functions read `{}`", from.get_ref()),
                    "a shard of a table's stream serves two readers; let one of them pass the changes on",
                ),
                _ => {}
            }
        }
    }
}

/// What to write where a table has other keys than these.
fn other_keys(has: &Table, wanted: &TableKey) -> Option<String> {
    let of_table = |key: &Spanned<Key>| (key.get_ref().name.clone(), key.get_ref().kind);
    let of_recipe = |key: &KeyAttribute| (key.name.clone().into_owned(), key_type(key.kind));
    let (partition, sort) = (of_recipe(&wanted.partition), wanted.sort.as_ref().map(of_recipe));
    if of_table(&has.partition_key) == partition && has.sort_key.as_ref().map(of_table) == sort {
        return None;
    }
    let text = |(name, kind): &(String, AttributeType)| format!("{{ name = \"{name}\", type = \"{kind:?}\" }}");
    let sort =
        sort.as_ref().map_or_else(|| ", without a sort key".to_owned(), |sort| format!(", sort_key = {}", text(sort)));
    Some(format!("give it partition_key = {}{sort}", text(&partition)))
}

fn key_type(kind: KeyKind) -> AttributeType {
    match kind {
        KeyKind::S => AttributeType::S,
        KeyKind::N => AttributeType::N,
        KeyKind::B => AttributeType::B,
    }
}
