//! Which fields are encrypted: paths of names, as a tree that a value is walked along with.

use serde::{Deserialize, Serialize};

/// A field that is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Names with dots between them, from the outermost object inwards, such as `card.number`.
    pub field: String,
    /// Whether its keyed hash is kept beside it, so that equal values can be found.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub index: bool,
}

impl Field {
    /// The name of the member beside the field that has its keyed hash, where the field's own is `name`.
    pub(super) fn index_member(name: &str) -> String {
        format!("{name}_index")
    }

    /// The attribute of items that has the field's keyed hash, such as `card_number_index`.
    pub fn index_attribute(&self) -> String {
        Self::index_member(&self.field.replace('.', "_"))
    }
}

/// The fields below some object, by their next names.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    below: Vec<(String, Node)>,
}

/// What is to become of a member.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// It is encrypted: the field of this number.
    Encrypt(usize),
    /// Something within it is.
    Within(Names),
}

impl Names {
    /// Of two fields one of which lies in the other, the outer one counts.
    pub(super) fn of(fields: &[Field]) -> Self {
        let mut all = Self::default();
        for (number, field) in fields.iter().enumerate() {
            let names: Vec<&str> = field.field.split('.').collect();
            all.add(&names, number);
        }
        all
    }

    fn add(&mut self, names: &[&str], number: usize) {
        let Some((first, rest)) = names.split_first() else { return };
        let at = self.below.iter().position(|(name, _)| name == first).unwrap_or_else(|| {
            self.below.push(((*first).to_owned(), Node::Within(Self::default())));
            self.below.len() - 1
        });
        let node = &mut self.below[at].1;
        if rest.is_empty() {
            *node = Node::Encrypt(number);
        } else if let Node::Within(names) = node {
            names.add(rest, number);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.below.iter().find(|(other, _)| other == name).map(|(_, node)| node)
    }

    /// The first of the fields in here, for a value that ends before a path does: it is encrypted as that one.
    pub(super) fn first(&self) -> Option<usize> {
        self.below.iter().find_map(|(_, node)| match node {
            Node::Encrypt(number) => Some(*number),
            Node::Within(names) => names.first(),
        })
    }
}
