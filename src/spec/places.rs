//! Which region a section is in, where that is another one than the pipeline's own: streams that name it, and what follows them.

use std::collections::BTreeSet;

use super::reference::{Reference, SectionKind};
use super::types::{Function, Spec, named};
use super::watch::watched;

impl Spec {
    /// The region that a stream names.
    pub(crate) fn region_of_stream(&self, name: &str) -> Option<&str> {
        named(&self.stream, name)?.region.as_ref().map(|region| region.get_ref().as_str())
    }

    /// All regions that it names as others than the pipeline's own.
    pub(crate) fn other_regions(&self) -> BTreeSet<&str> {
        let of_functions = self.function.values().flat_map(|function| &function.regions);
        let of_tables = self.table.values().flat_map(|table| &table.replicas);
        let of_streams = self.stream.values().filter_map(|stream| stream.region.as_ref());
        of_functions.chain(of_tables).chain(of_streams).map(|region| region.get_ref().as_str()).collect()
    }

    /// The other region that a function is in instead of the pipeline's own: that of the stream that it reads.
    pub(crate) fn region_of_function(&self, function: &Function) -> Option<&str> {
        let from = function.source.get_ref().from.get_ref();
        if from.kind == SectionKind::Stream { self.region_of_stream(&from.name) } else { None }
    }

    /// The regions into which functions put what they read from this stream.
    pub(crate) fn regions_fed_by(&self, stream: &str) -> BTreeSet<&str> {
        let from = Reference::new(SectionKind::Stream, stream);
        let readers = self.function.values().filter(|function| *function.source.get_ref().from.get_ref() == from);
        let sinks = readers.flat_map(|function| &function.writes).map(super::Spanned::get_ref);
        sinks
            .filter(|sink| sink.kind == SectionKind::Stream)
            .filter_map(|sink| self.region_of_stream(&sink.name))
            .collect()
    }

    /// What is not in the pipeline's own region: streams that name another one, the functions that read these, and the alarms on
    /// either.
    pub(crate) fn only_elsewhere(&self) -> BTreeSet<Reference> {
        let streams = self.stream.iter().filter(|(_, stream)| stream.region.is_some());
        let streams = streams.map(|(name, _)| Reference::new(SectionKind::Stream, name.get_ref()));
        let functions = self.function.iter().filter(|(_, function)| self.region_of_function(function).is_some());
        let functions = functions.map(|(name, _)| Reference::new(SectionKind::Function, name.get_ref()));
        let mut all: BTreeSet<_> = streams.chain(functions).collect();
        let alarms = self.alarm.iter().filter(|(_, alarm)| {
            let watch = alarm.watch.as_ref().and_then(|watch| watched(watch.get_ref(), self).ok());
            watch.is_some_and(|(section, _)| all.contains(&section))
        });
        let alarms: Vec<_> = alarms.map(|(name, _)| Reference::new(SectionKind::Alarm, name.get_ref())).collect();
        all.extend(alarms);
        all
    }
}
