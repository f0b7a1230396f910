//! Advice on a spec that AWS would take and that would surprise later. Each rule has an id, by which the spec can silence it.

mod pattern;
mod rule;
mod source;
mod watching;

use std::ops::Range;
use std::path::PathBuf;

use streamkit_recipes::{Record, Sampled, Samples, Settings, StreamRecord, TumblingWindow};

pub(crate) use rule::Rule;

use super::finding::{Finding, did_you_mean};
use super::reference::{Reference, SectionKind};
use super::spanned::Spanned;
use super::types::{Queue, Spec, Stream, Table, Topic};
use super::values::Encryption;
use crate::plan::Warning;

/// Enough that an event of every kind is among them.
const SAMPLES: usize = 100;

/// In mebibytes: four of them are 5.6 million characters of base64.
const LARGEST_RECORD: i64 = 4;

/// One piece of advice.
#[derive(Debug, Clone)]
pub(crate) struct Advice {
    pub(crate) rule: Rule,
    /// The section that it is about; `None` for `[lint]` itself.
    pub(crate) section: Option<Reference>,
    pub(crate) finding: Finding,
}

/// All advice on one spec file, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Advices {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) all: Vec<Advice>,
}

impl Advices {
    /// The advice as data.
    pub(crate) fn warnings(&self) -> Vec<Warning> {
        let line = |start: usize| self.text[..start.min(self.text.len())].matches('\n').count() + 1;
        let warning = |advice: &Advice| Warning {
            rule: advice.rule.id(),
            node: advice.section.as_ref().map_or_else(|| "lint".to_owned(), Reference::to_string),
            line: Some(line(advice.finding.span.start)),
            message: advice.finding.message.clone(),
            help: advice.finding.help.clone(),
        };
        self.all.iter().map(warning).collect()
    }
}

/// Looks through a checked spec; what the spec allows is left out.
pub(super) fn lint(spec: &Spec) -> Vec<Advice> {
    let mut linter = Linter { spec, all: Vec::new() };
    for (name, stream) in &spec.stream {
        linter.stream(name, stream);
        linter.record_size(name, stream);
    }
    for (name, queue) in &spec.queue {
        linter.queue(name, queue);
    }
    for (name, table) in &spec.table {
        linter.expiry(name.get_ref(), table);
    }
    for (name, topic) in &spec.topic {
        linter.topic(name, topic);
        linter.subscribers(name, topic);
    }
    for (name, function) in &spec.function {
        linter.function(name.get_ref(), function);
    }
    for (name, alarm) in &spec.alarm {
        linter.alarm(name, alarm);
    }
    linter.without_what_is_allowed()
}

/// True where an item of the recipe's samples has the attribute, or none can be made here.
fn sets(recipe: &dyn Sampled, attribute: &str) -> bool {
    let Samples::Stream(samples) = recipe.samples() else { return true };
    let mut generator = samples.generator(0);
    let settings = Settings::defaults(recipe.settings());
    let window = TumblingWindow { start_ms: 0, end_ms: 1000, shard_id: "", settings: &settings };
    (0..SAMPLES).any(|_| {
        let event = generator.next(0);
        let record = StreamRecord { partition_key: &event.partition_key, data: &event.data, ..StreamRecord::default() };
        let record = Record::Stream(record);
        let mut items = recipe.process(&record, 0).map_or_else(|_| Vec::new(), |effects| effects.items);
        if let Some(windowed) = recipe.windowed() {
            let mut state = serde_json::json!({});
            windowed.add(&window, &mut state, &[record]);
            items.extend(windowed.stored().and_then(|stored| stored.part(&window, &state)));
        }
        items.iter().any(|item| item.contains_key(attribute))
    })
}

struct Linter<'a> {
    spec: &'a Spec,
    all: Vec<Advice>,
}

impl Linter<'_> {
    fn say(
        &mut self,
        rule: Rule,
        section: Reference,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.all.push(Advice { rule, section: Some(section), finding: Finding::new(span, message).help(help) });
    }

    fn stream(&mut self, name: &Spanned<String>, stream: &Stream) {
        if stream.encryption == Encryption::None {
            self.say(
                Rule::Unencrypted,
                Reference::new(SectionKind::Stream, name.get_ref()),
                name.span(),
                "this stream's records are stored unencrypted",
                "remove `encryption`: AWS's own key costs nothing but its calls",
            );
        }
    }

    /// A record comes to a function in base64, which is a third longer, within an event of at most 6 MB.
    fn record_size(&mut self, name: &Spanned<String>, stream: &Stream) {
        let section = Reference::new(SectionKind::Stream, name.get_ref());
        let is_read = |function: &super::Function| *function.source.get_ref().from.get_ref() == section;
        if stream.max_record_size.get_ref().0 <= LARGEST_RECORD || !self.spec.function.values().any(is_read) {
            return;
        }
        self.say(
            Rule::RecordTooLargeForLambda,
            section.clone(),
            stream.max_record_size.span(),
            "Lambda takes events of 6 MB, in which a record is a third larger: the largest of this stream never reach their function",
            format!("write at most max_record_size = \"{LARGEST_RECORD}MiB\", and let producers put larger payloads into a bucket"),
        );
    }

    fn topic(&mut self, name: &Spanned<String>, topic: &Topic) {
        let Some(encryption) = &topic.encryption else { return };
        if *encryption.get_ref() == Encryption::None && !self.spec.has_alarm_that_notifies(name.get_ref()) {
            self.say(
                Rule::Unencrypted,
                Reference::new(SectionKind::Topic, name.get_ref()),
                encryption.span(),
                "this topic's messages are stored unencrypted",
                "remove `encryption`",
            );
        }
    }

    /// A topic that tells of alarms, and nobody listens.
    fn subscribers(&mut self, name: &Spanned<String>, topic: &Topic) {
        let own = Reference::new(SectionKind::Topic, name.get_ref());
        let notifies = |alarm: &&super::Alarm| alarm.notify.0.iter().any(|target| *target.get_ref() == own);
        let alarms = self.spec.alarm.values().filter(notifies).count();
        if topic.subscribers.is_empty() && alarms > 0 {
            let alarms = if alarms == 1 { "an alarm notifies".to_owned() } else { format!("{alarms} alarms notify") };
            self.say(
                Rule::NobodySubscribed,
                own,
                name.span(),
                format!("{alarms} this topic, and nobody is subscribed to it"),
                "write subscribers = [\"email:you@example.com\"], say, with an address that somebody reads",
            );
        }
    }

    /// Items expire by an attribute that nothing sets, as far as can be seen.
    fn expiry(&mut self, name: &str, table: &Table) {
        let Some(ttl) = &table.ttl else { return };
        let own = Reference::new(SectionKind::Table, name);
        let is_written = |function: &&super::Function| function.writes.iter().any(|sink| *sink.get_ref() == own);
        let mut writers = self.spec.function.values().filter(is_written).peekable();
        // What code of one's own writes is not known, nor what else writes to a table that no function does.
        if writers.peek().is_none()
            || writers.any(|function| function.recipe().is_none_or(|recipe| sets(recipe, ttl.get_ref())))
        {
            return;
        }
        self.say(
            Rule::NothingExpires,
            own,
            ttl.span(),
            format!(
                "no item expires by `{}`: the recipe that writes to this table sets no such attribute",
                ttl.get_ref()
            ),
            "remove `ttl`, or name an attribute that items have",
        );
    }

    fn queue(&mut self, name: &Spanned<String>, queue: &Queue) {
        let section = Reference::new(SectionKind::Queue, name.get_ref());
        let target = queue.dead_letters.as_ref().map(Spanned::get_ref);
        let dead = target.and_then(|target| super::named(&self.spec.queue, &target.name));
        if let (Some(target), Some(dead)) = (target, dead)
            && dead.retention.get_ref() <= queue.retention.get_ref()
        {
            let (kept, before) = (dead.retention.get_ref(), queue.retention.get_ref());
            self.say(
                Rule::DeadLettersExpireFirst,
                section.clone(),
                name.span(),
                format!(
                    "a message keeps its age when it moves to `{target}`: after up to {before} here, little of the {kept} there is left"
                ),
                format!("write a longer `retention` in [{target}], such as \"14d\""),
            );
        }
        if self.holds_what_failed(&section) && !self.is_watched(&section) {
            self.say(
                Rule::UnwatchedDeadLetters,
                section.clone(),
                name.span(),
                "what fails ends in this queue, and no alarm says so",
                format!("add an alarm with watch = \"{section}.depth\" and threshold = 0"),
            );
        }
    }

    fn holds_what_failed(&self, queue: &Reference) -> bool {
        let is = |target: &Option<Spanned<Reference>>| target.as_ref().is_some_and(|target| target.get_ref() == queue);
        self.spec
            .function
            .values()
            .any(|function| is(&function.dead_letters) || is(&function.source.get_ref().on_failure))
            || self.spec.queue.values().any(|other| is(&other.dead_letters))
    }

    /// Leaves out what `[lint] allow` names, and says which entries of it have become useless.
    fn without_what_is_allowed(self) -> Vec<Advice> {
        let entries = self.spec.lint.as_ref().map_or(&[][..], |lint| &lint.allow);
        let parsed: Vec<_> = entries.iter().filter_map(|entry| Some((entry, allowed(entry.get_ref()).ok()?))).collect();
        let mut used = vec![false; parsed.len()];
        let mut all: Vec<Advice> = self
            .all
            .into_iter()
            .filter(|advice| {
                let mut said = true;
                for ((_, (rule, section)), used) in parsed.iter().zip(&mut used) {
                    if *rule == advice.rule && (section.is_none() || *section == advice.section) {
                        *used = true;
                        said = false;
                    }
                }
                said
            })
            .collect();
        for ((entry, (rule, section)), _) in parsed.into_iter().zip(used).filter(|(_, used)| !used) {
            all.push(Advice {
                rule: Rule::UnusedAllow,
                section,
                finding: Finding::new(entry.span(), format!("nothing here needs `{}` to be allowed", rule.id()))
                    .help("remove it"),
            });
        }
        all.sort_by_key(|advice| (advice.finding.span.start, advice.rule));
        all
    }
}

/// Reads an entry of `[lint] allow`: a rule, or a rule and the section in which it does not count.
///
/// # Errors
/// Says which rules there are.
pub(super) fn allowed(text: &str) -> Result<(Rule, Option<Reference>), String> {
    let (id, section) = match text.split_once(':') {
        Some((id, section)) => (id, Some(Reference::parse(section.trim())?)),
        None => (text, None),
    };
    let ids = || Rule::ALL.iter().map(|rule| rule.id());
    let rule = Rule::ALL.into_iter().find(|rule| rule.id() == id.trim()).ok_or_else(|| {
        match did_you_mean(id.trim(), ids()) {
            Some(meant) => format!("there is no lint `{id}`: write \"{meant}\", if that is what was meant"),
            None => format!("there is no lint `{id}`: write one of {}", ids().collect::<Vec<_>>().join(", ")),
        }
    })?;
    Ok((rule, section))
}
