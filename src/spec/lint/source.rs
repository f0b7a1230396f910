//! Advice on functions and how they read their source.

use streamkit_handler::batch::STATE_EXPIRY;
use streamkit_recipes::{Images, Samples};

use super::pattern::{Never, never_matches};
use super::{Advice, Linter, Rule};
use crate::spec::check::image_not_carried;
use crate::spec::reference::{Reference, SectionKind};
use crate::spec::types::{Function, Source, StartingPosition, Stream, StreamMode, named};
use crate::spec::units::Seconds;

/// A table's stream keeps its changes for a day, always.
const TABLE_STREAM: Seconds = Seconds(86_400);

impl Linter<'_> {
    pub(super) fn function(&mut self, name: &str, function: &Function) {
        let section = Reference::new(SectionKind::Function, name);
        let source = function.source.get_ref();
        self.failures(&section, function, source);
        self.place(&section, source);
        self.capacity(&section, function, source);
        self.filters(&section, function, source);
        self.images(&section, function);
        self.states(&section, function);
    }

    /// A table of states that only grows.
    fn states(&mut self, section: &Reference, function: &Function) {
        let Some(state) = &function.state else { return };
        if named(&self.spec.table, &state.get_ref().name).is_some_and(|table| table.ttl.is_none()) {
            self.say(
                Rule::StatesNeverExpire,
                section.clone(),
                state.span(),
                "the states of keys that nobody uses any more stay for ever",
                format!("add `ttl = \"{STATE_EXPIRY}\"` to [{}]", state.get_ref()),
            );
        }
    }

    /// What becomes of records that fail.
    fn failures(&mut self, section: &Reference, function: &Function, source: &Source) {
        let from = source.from.span();
        let unlimited = *source.max_retries.get_ref() < 0 && source.max_record_age.is_none();
        if unlimited {
            self.say(
                Rule::UnlimitedRetries,
                section.clone(),
                from.clone(),
                "a batch that always fails is tried until its records expire, and blocks its shard until then",
                "add `max_retries = 3` or `max_record_age = \"1h\"` to the source, say",
            );
        } else if source.on_failure.is_none() {
            self.say(
                Rule::NoOnFailure,
                section.clone(),
                from.clone(),
                "records that have used up their retries are dropped, and nothing says which",
                "add `on_failure = \"queue.NAME\"` to the source",
            );
        }
        // One that looks at whole batches rejects no record.
        let rejects = function.recipe().is_some_and(|recipe| recipe.batched().is_none());
        if let Some(recipe) = function.recipe.as_ref().filter(|_| rejects)
            && function.dead_letters.is_none()
        {
            self.say(
                Rule::NoDeadLetters,
                section.clone(),
                recipe.span(),
                "a record that can never succeed is retried like any other, and its payload is kept nowhere",
                "add `dead_letters = \"queue.NAME\"`",
            );
        }
        if !source.bisect_on_error && *source.batch_size.get_ref() > 1 {
            self.say(
                Rule::NoBisect,
                section.clone(),
                from,
                "when an invocation fails as a whole, every record of its batch is retried, and in the end given up, with the bad one",
                "add `bisect_on_error = true` to the source",
            );
        }
    }

    /// Where reading starts, and how long it may take.
    fn place(&mut self, section: &Reference, source: &Source) {
        if let Some(position) = &source.starting_position
            && *position.get_ref() == StartingPosition::Latest
        {
            self.say(
                Rule::StartsAtLatest,
                section.clone(),
                position.span(),
                "AWS begins to read up to minutes after the mapping is made, and what is put before that is never seen",
                "remove `starting_position`: a new stream is then read from its beginning, another from now on",
            );
        }
        let from = source.from.get_ref();
        let kept = match from.kind {
            SectionKind::Table => Some(TABLE_STREAM),
            _ => named(&self.spec.stream, &from.name).map(|stream| *stream.retention.get_ref()),
        };
        if let (Some(age), Some(kept)) = (&source.max_record_age, kept)
            && *age.get_ref() > kept
        {
            self.say(
                Rule::AgeBeyondRetention,
                section.clone(),
                age.span(),
                format!("`{from}` drops its records after {kept}, before this age is reached: they go without a trace"),
                format!("write a shorter `max_record_age`, or a longer `retention` in [{from}]"),
            );
        }
    }

    fn capacity(&mut self, section: &Reference, function: &Function, source: &Source) {
        let Some(reserved) = &function.reserved_concurrency else { return };
        let from = source.from.get_ref();
        let stream = named(&self.spec.stream, &from.name).filter(|_| from.kind == SectionKind::Stream);
        let shards = stream.filter(|stream| stream.mode() == StreamMode::Provisioned).map_or(1, Stream::shards);
        let wanted = shards * source.parallelization_factor.get_ref();
        if *reserved.get_ref() < wanted {
            let message = match reserved.get_ref() {
                0 => "with no concurrency at all this function never runs".to_owned(),
                _ => format!("the source keeps up to {wanted} invocations going, and this throttles them"),
            };
            self.say(
                Rule::Throttled,
                section.clone(),
                reserved.span(),
                message,
                format!("write {wanted} or more, or remove `reserved_concurrency`"),
            );
        }
    }

    fn filters(&mut self, section: &Reference, function: &Function, source: &Source) {
        let carried = self.carried(source);
        for pattern in &source.filter {
            let samples = function.recipe().map(|recipe| recipe.samples());
            let samples = match &samples {
                Some(Samples::Stream(samples)) => Some(*samples),
                _ => None,
            };
            let Some(Never { why, help }) =
                never_matches(&pattern.get_ref().0, source.from.get_ref().kind, carried, samples)
            else {
                continue;
            };
            self.say(Rule::FilterNeverMatches, section.clone(), pattern.span(), why, help);
        }
    }

    /// The images that the source's records carry.
    fn carried(&self, source: &Source) -> Images {
        let from = source.from.get_ref();
        let view = named(&self.spec.table, &from.name)
            .filter(|_| from.kind == SectionKind::Table)
            .and_then(|table| table.stream);
        view.map_or(Images::NONE, |view| view.view().images())
    }

    fn images(&mut self, section: &Reference, function: &Function) {
        if let Some(finding) = image_not_carried(self.spec, function) {
            self.all.push(Advice { rule: Rule::ImageNotCarried, section: Some(section.clone()), finding });
        }
    }
}
