//! What a recipe reads from, and which resources it needs, so that a spec can be checked before anything is created.

use std::borrow::Cow;

/// What a recipe's records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A Kinesis data stream.
    Stream,
    /// A DynamoDB table's stream.
    Table,
    /// Either of them.
    Any,
}

impl SourceKind {
    /// Whether records of `source` are among these.
    pub fn takes(self, source: Self) -> bool {
        self == Self::Any || self == source
    }
}

/// What a recipe needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a need of its own, set by name")]
pub struct Needs {
    /// A table for its items, with these keys.
    pub table: Option<TableKey>,
    /// A bucket for its objects, whose keys all begin with this prefix (such as `audit/`).
    pub bucket: Option<&'static str>,
    /// A stream for its records.
    pub stream: bool,
    /// A topic for its notifications.
    pub topic: bool,
    /// A topic for its notifications, if there is one: it works without, and publishes nothing then.
    pub optional_topic: bool,
    /// A `tumbling_window` of its source: without one it would store nothing.
    pub window: bool,
    /// The images without which it cannot work: a table whose view type lacks one is no source for it.
    pub images: Images,
    /// The images that it makes use of. What a view type lacks of these, the effects lack too, and say so.
    pub uses_images: Images,
    /// What it makes use of them for, such as `to tell which attributes a change touches`; empty if it uses none.
    pub image_use: &'static str,
}

/// Images of an item that a stream's view type may carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// The item before the change.
    pub old: bool,
    /// The item after the change.
    pub new: bool,
}

impl Images {
    /// No image.
    pub const NONE: Self = Self { old: false, new: false };
    /// Both images.
    pub const BOTH: Self = Self { old: true, new: true };

    /// Whether all of these are among `others`.
    pub fn are_in(self, others: Self) -> bool {
        (!self.old || others.old) && (!self.new || others.new)
    }
}

/// What a table's stream records carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The key alone.
    KeysOnly,
    /// The item after the change.
    NewImage,
    /// The item before the change.
    OldImage,
    /// Both.
    NewAndOldImages,
}

impl View {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::KeysOnly, Self::NewImage, Self::OldImage, Self::NewAndOldImages];

    /// DynamoDB's name of it, such as `NEW_AND_OLD_IMAGES`.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeysOnly => "KEYS_ONLY",
            Self::NewImage => "NEW_IMAGE",
            Self::OldImage => "OLD_IMAGE",
            Self::NewAndOldImages => "NEW_AND_OLD_IMAGES",
        }
    }

    /// Finds a view type by DynamoDB's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }

    /// The images that it carries.
    pub fn images(self) -> Images {
        Images {
            old: matches!(self, Self::OldImage | Self::NewAndOldImages),
            new: matches!(self, Self::NewImage | Self::NewAndOldImages),
        }
    }
}

/// A table's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableKey {
    /// The partition key.
    pub partition: KeyAttribute,
    /// The sort key.
    pub sort: Option<KeyAttribute>,
}

impl TableKey {
    /// The attributes' names, the partition key's first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.partition).chain(&self.sort).map(|attribute| &*attribute.name)
    }
}

/// An attribute of a table's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAttribute {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its type.
    pub kind: KeyKind,
}

impl KeyAttribute {
    /// A key attribute of this name and type.
    pub fn new(name: impl Into<Cow<'static, str>>, kind: KeyKind) -> Self {
        Self { name: name.into(), kind }
    }
}

/// The types that a key attribute may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A string.
    S,
    /// A number.
    N,
    /// Bytes.
    B,
}

impl KeyKind {
    /// DynamoDB's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_any_kind_are_taken_where_either_is() {
        use SourceKind::{Any, Stream, Table};
        assert!(Any.takes(Stream) && Any.takes(Table) && Stream.takes(Stream));
        assert!(!Stream.takes(Table) && !Table.takes(Stream) && !Stream.takes(Any));
    }

    #[test]
    fn views_carry_the_images_of_their_names() {
        for view in View::ALL {
            assert_eq!(View::from_name(view.name()), Some(view));
            assert!(Images::NONE.are_in(view.images()));
        }
        assert!(Images::BOTH.are_in(View::NewAndOldImages.images()));
        assert!(!Images::BOTH.are_in(View::NewImage.images()));
        assert!(Images { old: true, new: false }.are_in(View::OldImage.images()));
        assert_eq!(View::from_name("new_image"), None);
    }
}
