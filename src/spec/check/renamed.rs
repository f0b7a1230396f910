//! `renamed_from`: the section that another one was before it got its name.

use super::super::reference::{Reference, SectionKind};
use super::super::spanned::Spanned;
use super::Checker;

impl Checker<'_> {
    pub(super) fn renamed(&mut self) {
        let spec = self.spec;
        let each = |kind: SectionKind, name: &Spanned<String>, from: &Option<Spanned<Reference>>| {
            from.clone().map(|from| (Reference::new(kind, name.get_ref()), from))
        };
        let mut all: Vec<(Reference, Spanned<Reference>)> = Vec::new();
        all.extend(spec.stream.iter().filter_map(|(name, at)| each(SectionKind::Stream, name, &at.renamed_from)));
        all.extend(spec.table.iter().filter_map(|(name, at)| each(SectionKind::Table, name, &at.renamed_from)));
        all.extend(spec.queue.iter().filter_map(|(name, at)| each(SectionKind::Queue, name, &at.renamed_from)));
        all.extend(spec.bucket.iter().filter_map(|(name, at)| each(SectionKind::Bucket, name, &at.renamed_from)));
        all.extend(spec.topic.iter().filter_map(|(name, at)| each(SectionKind::Topic, name, &at.renamed_from)));
        all.extend(spec.key.iter().filter_map(|(name, at)| each(SectionKind::Key, name, &at.renamed_from)));
        all.extend(spec.function.iter().filter_map(|(name, at)| each(SectionKind::Function, name, &at.renamed_from)));
        for (index, (section, from)) in all.iter().enumerate() {
            let old = from.get_ref();
            if old.kind != section.kind {
                self.say(
                    from.span(),
                    format!("a {} was no {} before it got another name", section.kind.word(), old.kind.word()),
                    format!("write the section's old name, such as \"{}.old\"", section.kind.word()),
                );
            } else if self.present.contains(old) {
                self.say(
                    from.span(),
                    format!("[{old}] is still in this file, so [{section}] is not what became of it"),
                    "remove one of the two",
                );
            } else if all[..index].iter().any(|(_, other)| other.get_ref() == old) {
                self.say(from.span(), format!("another section was [{old}], too"), "remove one of the two");
            }
        }
    }
}
