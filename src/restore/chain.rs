//! The changes of each item in order, by the digests of its images, and where in them the target's item stands.

use std::collections::HashMap;

use streamkit_handler::attribute::attribute_values;
use streamkit_recipes::{ChangeKind, Item};

use super::audit::{AuditedChange, place};
use super::image::ImageDigest;
use crate::spool::Place;

/// All changes that are to be written, by the item's key.
#[derive(Default)]
pub(super) struct Chains {
    by_key: HashMap<Item, usize>,
    pub(super) all: Vec<Chain>,
}

/// The changes of one item.
pub(super) struct Chain {
    pub(super) key: Item,
    pub(super) links: Vec<Link>,
}

/// One change.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// The key of its audit object.
    pub(super) object: String,
    /// Where the object's body is kept, if it is.
    pub(super) body: Option<Place>,
    before: Before,
    /// None after a deletion.
    after: Option<ImageDigest>,
}

/// What the item was before a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Absent,
    Image(ImageDigest),
    /// The stream carried no such image.
    Unknown,
}

/// Where the target's item stands in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The change of this place is the next one to write; all are written where it is the number of changes.
    Next(usize),
    /// It is neither absent nor what the item was at any time: others have changed it since.
    Conflict,
}

impl Chains {
    pub(super) fn add(&mut self, object: String, body: Option<Place>, change: &AuditedChange) {
        let digest = |image: &Item| ImageDigest::of(&attribute_values(image));
        let before = match (change.kind, &change.old) {
            (ChangeKind::Insert, _) => Before::Absent,
            (_, Some(old)) => Before::Image(digest(old)),
            (_, None) => Before::Unknown,
        };
        let after = change.new.as_ref().filter(|_| change.kind != ChangeKind::Remove).map(digest);
        let at = *self.by_key.entry(change.keys.clone()).or_insert_with(|| {
            self.all.push(Chain { key: change.keys.clone(), links: Vec::new() });
            self.all.len() - 1
        });
        self.all[at].links.push(Link { object, body, before, after });
    }

    /// Puts each item's changes in order.
    pub(super) fn sort(&mut self) {
        self.by_key.clear();
        for chain in &mut self.all {
            chain.links.sort_by(|one, two| place(&one.object).cmp(&place(&two.object)));
        }
    }
}

impl Chain {
    /// What the item is after all of its changes.
    pub(super) fn end(&self) -> Option<ImageDigest> {
        self.links.last().and_then(|link| link.after)
    }

    /// `current` is the target's item.
    pub(super) fn standing(&self, current: Option<ImageDigest>) -> Standing {
        let Some(current) = current else { return Standing::Next(0) };
        // The latest place where it was so: a run that is made again has nothing left to write.
        if let Some(at) = self.links.iter().rposition(|link| link.after == Some(current)) {
            return Standing::Next(at + 1);
        }
        match self.links.iter().rposition(|link| link.before == Before::Image(current)) {
            Some(at) => Standing::Next(at),
            None => Standing::Conflict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(changes: &[(ChangeKind, Option<&str>, Option<&str>)]) -> Chain {
        let key: Item = [("id".to_owned(), streamkit_recipes::Attribute::S("x".to_owned()))].into();
        let mut chains = Chains::default();
        // Objects are found in any order.
        for (number, (kind, old, new)) in changes.iter().enumerate().rev() {
            let change = AuditedChange {
                kind: *kind,
                table: "t".to_owned(),
                view: "NEW_AND_OLD_IMAGES".to_owned(),
                changed_ms: 0,
                keys: key.clone(),
                old: old.map(image),
                new: new.map(image),
            };
            chains.add(format!("audit-logs/2026/01/02/03/{}-e.json", 98 + number), None, &change);
        }
        chains.sort();
        assert_eq!(chains.all.len(), 1);
        chains.all.remove(0)
    }

    fn image(text: &str) -> Item {
        [("id".to_owned(), streamkit_recipes::Attribute::S(text.to_owned()))].into()
    }

    fn digest(text: &str) -> ImageDigest {
        ImageDigest::of(&attribute_values(&image(text)))
    }

    use ChangeKind::{Insert, Modify, Remove};

    #[test]
    fn an_item_stands_where_it_last_was_so() {
        let changes = chain(&[
            (Modify, Some("a"), Some("b")),
            (Modify, Some("b"), Some("a")),
            (Modify, Some("a"), Some("c")),
            (Remove, Some("c"), None),
            (Insert, None, Some("d")),
        ]);
        assert_eq!(changes.standing(None), Standing::Next(0));
        assert_eq!(changes.end(), Some(digest("d")));
        assert_eq!(chain(&[(Insert, None, Some("a")), (Remove, Some("a"), None)]).end(), None);
        assert_eq!(changes.standing(Some(digest("b"))), Standing::Next(1));
        assert_eq!(changes.standing(Some(digest("a"))), Standing::Next(2));
        assert_eq!(changes.standing(Some(digest("c"))), Standing::Next(3));
        assert_eq!(changes.standing(Some(digest("d"))), Standing::Next(5));
        assert_eq!(changes.standing(Some(digest("other"))), Standing::Conflict);
    }

    #[test]
    fn what_an_item_was_before_its_first_change_is_known_too() {
        let changes = chain(&[(Modify, Some("a"), Some("b")), (Modify, Some("x"), Some("y"))]);
        assert_eq!(changes.standing(Some(digest("a"))), Standing::Next(0));
        // The log has lost what made it so.
        assert_eq!(changes.standing(Some(digest("x"))), Standing::Next(1));
        let unknown = chain(&[(Modify, None, Some("b"))]);
        assert_eq!(unknown.standing(Some(digest("a"))), Standing::Conflict);
        assert_eq!(unknown.standing(Some(digest("b"))), Standing::Next(1));
    }
}
