//! Mistakes about regions: of a table's replicas, of a stream that is in another one, and of functions that are in several, or there.

use std::collections::BTreeSet;

use super::super::reference::{Reference, SectionKind};
use super::super::spanned::Spanned;
use super::super::stage::is_region;
use super::super::types::{Function, Stream, Table, ViewType, named};
use super::super::values::{Billing, Target};
use super::Checker;

impl Checker<'_> {
    /// What AWS needs of a table that has replicas.
    pub(super) fn replicas(&mut self, table: &Table) {
        let Some(first) = table.replicas.first() else { return };
        self.regions(&table.replicas);
        if table.stream != Some(ViewType::NewAndOldImages) {
            self.say(
                first.span(),
                "a table with replicas needs a stream with both images, from which DynamoDB replicates",
                "write stream = \"new-and-old-images\"",
            );
        }
        if *table.billing.get_ref() != Billing::OnDemand {
            self.say(
                table.billing.span(),
                "a table with replicas is paid for on demand: provisioned capacity would need autoscaling of its own in each \
                 region",
                "leave `billing` out",
            );
        }
    }

    /// What a stream needs that is in another region.
    pub(super) fn stream_region(&mut self, name: &Spanned<String>, stream: &Stream) {
        let Some(region) = &stream.region else { return };
        self.regions(std::slice::from_ref(region));
        let own = Reference::new(SectionKind::Stream, name.get_ref());
        let is_fed = self.spec.function.values().any(|function| {
            let reads_stream = function.source.get_ref().from.get_ref().kind == SectionKind::Stream;
            let is_here = reads_stream && self.spec.region_of_function(function).is_none();
            is_here && function.writes.iter().any(|sink| *sink.get_ref() == own)
        });
        if !is_fed {
            let name = name.get_ref();
            self.say(
                region.span(),
                format!(
                    "nothing copies a stream's records into `stream.{name}`, which is what one in another region is for"
                ),
                format!("add a function with recipe = \"mirror\" and writes = [\"stream.{name}\"], or remove `region`"),
            );
        }
    }

    /// What a function needs that reads a stream in another region, and so is there.
    fn function_elsewhere(&mut self, function: &Function, region: &Spanned<String>) {
        let tables = function.writes.iter().chain(&function.reads).chain(&function.state).map(Spanned::get_ref);
        for table in tables.filter(|table| table.kind == SectionKind::Table) {
            self.has_replicas(table, std::slice::from_ref(region));
        }
        if let Some(field) = function.encrypt.first() {
            let message =
                "fields are encrypted under a key of the pipeline's own region, and this function is in another one";
            self.say(field.span(), message, "remove `encrypt`");
        }
        for on in function.allow.iter().flat_map(|allowed| &allowed.get_ref().on) {
            if let Target::Section(section) = on.get_ref()
                && section.kind == SectionKind::Function
            {
                let message = format!("`{section}` is perhaps not in {}, where this function is", region.get_ref());
                self.say(on.span(), message, "write its ARN");
            }
        }
    }

    /// What a function needs that is in several regions, or takes the changes of one only.
    pub(super) fn function_regions(&mut self, function: &Function) {
        self.regions(&function.regions);
        let source = function.source.get_ref();
        let from = source.from.get_ref();
        let elsewhere = named(&self.spec.stream, &from.name).filter(|_| from.kind == SectionKind::Stream);
        if let Some(region) = elsewhere.and_then(|stream| stream.region.as_ref()) {
            self.function_elsewhere(function, region);
        }
        if let (Some(first), true) = (function.regions.first(), from.kind != SectionKind::Table) {
            self.say(
                first.span(),
                "a function in several regions reads a table's changes: a stream is in one region only",
                "let it read a table with `replicas` in these regions",
            );
        } else {
            let tables = function.writes.iter().chain(&function.reads).map(Spanned::get_ref);
            for table in tables.chain([from]).filter(|table| table.kind == SectionKind::Table) {
                self.has_replicas(table, &function.regions);
            }
        }
        if !function.regions.is_empty() {
            if let Some(state) = &function.state {
                self.say(
                    state.span(),
                    "a memory is in one region: in several, the last writer would win over what another has counted",
                    "remove `regions`",
                );
            }
            if let Some(field) = function.encrypt.first() {
                let message = "fields are encrypted under a key of one region, which others can't decrypt";
                self.say(field.span(), message, "remove `regions`");
            }
        }
        for allowed in &function.allow {
            for on in &allowed.get_ref().on {
                if let (Target::Section(section), Some(_)) = (on.get_ref(), function.regions.first())
                    && matches!(section.kind, SectionKind::Stream | SectionKind::Key)
                {
                    let message = format!("`{section}` is in one region only, and this function in several");
                    self.say(on.span(), message, "write its ARN");
                }
            }
        }
        if let Some(origin) = &source.origin {
            if from.kind != SectionKind::Table {
                self.say(
                    origin.span(),
                    "only a table's changes have an origin: the items of a global table are written in several regions",
                    "remove `origin`",
                );
            } else if named(&self.spec.table, &from.name)
                .is_some_and(|table| table.stream.is_some_and(|view| view != ViewType::NewAndOldImages))
            {
                self.say(
                    origin.span(),
                    "the origin of a change is in its images, and this stream lacks some of them",
                    format!("write stream = \"new-and-old-images\" in [{from}]"),
                );
            }
            if let Some(pattern) = source.filter.first() {
                self.say(
                    pattern.span(),
                    "`origin` makes the filter patterns itself",
                    "write the attribute into your own patterns, and remove `origin`",
                );
            }
        } else if let Some(changes) = &source.changes_from {
            self.say(changes.span(), "where a change was made is known by `origin` only", "name that attribute");
        }
    }

    fn has_replicas(&mut self, table: &Reference, regions: &[Spanned<String>]) {
        let Some(section) = named(&self.spec.table, &table.name) else { return };
        let is_first = |(place, region): &(usize, &Spanned<String>)| {
            !regions[..*place].iter().any(|earlier| earlier.get_ref() == region.get_ref())
        };
        for (_, region) in regions.iter().enumerate().filter(is_first) {
            if !section.replicas.iter().any(|replica| replica.get_ref() == region.get_ref()) {
                let region_name = region.get_ref();
                self.say(
                    region.span(),
                    format!("`{table}`, which this function uses, has no replica in {region_name}"),
                    format!("add it to `replicas` of [{table}]"),
                );
            }
        }
    }

    /// Names of regions, each once.
    pub(super) fn regions(&mut self, regions: &[Spanned<String>]) {
        let mut seen = BTreeSet::new();
        for region in regions {
            if !is_region(region.get_ref()) {
                self.say(
                    region.span(),
                    format!("`{}` is no AWS region", region.get_ref()),
                    "write something like \"eu-west-1\"",
                );
            } else if !seen.insert(region.get_ref()) {
                self.say(region.span(), format!("`{}` is named twice", region.get_ref()), "name it once");
            }
        }
    }
}
