//! What a file's sections are to each other: all that can be referred to, and who refers to them.

use super::reference::{Reference, SectionKind};
use super::types::{Sections, Spec};

impl Spec {
    /// True when an alarm publishes to the topic of this name.
    pub(crate) fn has_alarm_that_notifies(&self, topic: &str) -> bool {
        let topic = Reference::new(SectionKind::Topic, topic);
        self.alarm.values().any(|alarm| alarm.notify.0.iter().any(|target| *target.get_ref() == topic))
    }

    /// Every section that can be referred to, with the place of its name.
    pub(crate) fn sections(&self) -> Vec<(Reference, std::ops::Range<usize>)> {
        fn named<T>(
            kind: SectionKind,
            sections: &Sections<T>,
        ) -> impl Iterator<Item = (Reference, std::ops::Range<usize>)> + '_ {
            sections.keys().map(move |name| (Reference::new(kind, name.get_ref()), name.span()))
        }
        named(SectionKind::Stream, &self.stream)
            .chain(named(SectionKind::Table, &self.table))
            .chain(named(SectionKind::Queue, &self.queue))
            .chain(named(SectionKind::Bucket, &self.bucket))
            .chain(named(SectionKind::Function, &self.function))
            .chain(named(SectionKind::Topic, &self.topic))
            .chain(named(SectionKind::Key, &self.key))
            .chain(named(SectionKind::Alarm, &self.alarm))
            .collect()
    }
}
