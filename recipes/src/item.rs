//! A DynamoDB item: attributes by name.

use std::borrow::Cow;
use std::fmt;
use std::ops::Index;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::Attribute;
use crate::json::push_item;

/// A DynamoDB item, or the key of one: attributes in the order of their names, each name once.
///
/// Items have a dozen attributes, and a function makes thousands of items for each batch, so this is a list and not a tree.
/// A name that stands in a recipe's code, such as `"userId"`, is not copied.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item(Vec<(Cow<'static, str>, Attribute)>);

impl Item {
    /// An item without attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// An item without attributes, and with room for so many.
    pub fn with_capacity(attributes: usize) -> Self {
        Self(Vec::with_capacity(attributes))
    }

    /// Takes attributes in any order; of two with the same name the later one counts.
    fn sorted(mut attributes: Vec<(Cow<'static, str>, Attribute)>) -> Self {
        if !attributes.is_sorted_by(|(one, _), (two, _)| one < two) {
            attributes.sort_by(|(one, _), (two, _)| one.cmp(two));
            attributes.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                if same {
                    std::mem::swap(later, earlier);
                }
                same
            });
        }
        Self(attributes)
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(name))
    }

    /// The attribute of this name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        // Most names differ in length already.
        if self.0.len() <= 16 {
            return self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        }
        self.place(name).ok().map(|place| &self.0[place].1)
    }

    /// Whether there is an attribute of this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Sets an attribute, and returns what it was.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: Attribute) -> Option<Attribute> {
        let name = name.into();
        // Who sets them in order need not look.
        if self.0.last().is_none_or(|(last, _)| *last < name) {
            self.0.push((name, value));
            return None;
        }
        match self.place(&name) {
            Ok(place) => Some(std::mem::replace(&mut self.0[place].1, value)),
            Err(place) => {
                self.0.insert(place, (name, value));
                None
            }
        }
    }

    /// Removes an attribute, and returns what it was.
    pub fn remove(&mut self, name: &str) -> Option<Attribute> {
        self.place(name).ok().map(|place| self.0.remove(place).1)
    }

    /// Keeps only those attributes of which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Attribute) -> bool) {
        self.0.retain(|(name, value)| keep(name, value));
    }

    /// The item in DynamoDB's JSON, as [`Serialize`] gives it, and quicker.
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.push_json(&mut json);
        json
    }

    /// Appends the item in DynamoDB's JSON.
    pub fn push_json(&self, json: &mut String) {
        push_item(json, self);
    }

    /// The number of attributes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no attributes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// The names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// The values, in the order of the names.
    pub fn values(&self) -> impl Iterator<Item = &Attribute> {
        self.iter().map(|(_, value)| value)
    }
}

impl<N: Into<Cow<'static, str>>, const LEN: usize> From<[(N, Attribute); LEN]> for Item {
    fn from(attributes: [(N, Attribute); LEN]) -> Self {
        attributes.into_iter().collect()
    }
}

impl<N: Into<Cow<'static, str>>> FromIterator<(N, Attribute)> for Item {
    fn from_iter<I: IntoIterator<Item = (N, Attribute)>>(attributes: I) -> Self {
        Self::sorted(attributes.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl<N: Into<Cow<'static, str>>> Extend<(N, Attribute)> for Item {
    fn extend<I: IntoIterator<Item = (N, Attribute)>>(&mut self, attributes: I) {
        for (name, value) in attributes {
            self.insert(name, value);
        }
    }
}

impl IntoIterator for Item {
    type Item = (Cow<'static, str>, Attribute);
    type IntoIter = std::vec::IntoIter<(Cow<'static, str>, Attribute)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Index<&str> for Item {
    type Output = Attribute;

    fn index(&self, name: &str) -> &Attribute {
        self.get(name).expect("the item has an attribute of this name")
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// An object, as DynamoDB has items in JSON.
impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Attributes;

        impl<'de> Visitor<'de> for Attributes {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
                let mut attributes = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Attribute>()? {
                    attributes.push((Cow::Owned(name), value));
                }
                Ok(Item::sorted(attributes))
            }
        }

        deserializer.deserialize_map(Attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(number: u32) -> Attribute {
        Attribute::N(number.to_string())
    }

    #[test]
    fn attributes_stand_in_order_and_once() {
        let mut item = Item::from([("b", n(1)), ("a", n(2)), ("b", n(3)), ("a", n(4)), ("c", n(5)), ("b", n(6))]);
        assert_eq!(item, Item::from([("a", n(4)), ("b", n(6)), ("c", n(5))]));
        assert_eq!((item.keys().collect::<String>(), item.len()), ("abc".to_owned(), 3));
        assert_eq!((item.insert("b", n(7)), item.insert("aa", n(8))), (Some(n(6)), None));
        assert_eq!(format!("{item:?}"), r#"{"a": N("4"), "aa": N("8"), "b": N("7"), "c": N("5")}"#);
        assert_eq!((item.remove("a"), item.remove("a"), item.get("c")), (Some(n(4)), None, Some(&n(5))));
        item.extend([("c", n(9)), ("0", n(0))]);
        item.retain(|name, _| name != "aa");
        assert_eq!(serde_json::to_string(&item).unwrap(), r#"{"0":{"N":"0"},"b":{"N":"7"},"c":{"N":"9"}}"#);
        assert!(item.contains_key("0") && !item.contains_key("aa") && Item::new().is_empty());
    }

    #[test]
    fn items_compare_as_maps_do() {
        let items =
            [Item::new(), Item::from([("a", n(1))]), Item::from([("a", n(1)), ("b", n(0))]), Item::from([("b", n(0))])];
        assert!(items.is_sorted_by(|one, two| one < two));
        let twice: Item = serde_json::from_str(r#"{"b":{"N":"1"},"a":{"N":"2"},"b":{"N":"3"}}"#).unwrap();
        assert_eq!(twice, Item::from([("a", n(2)), ("b", n(3))]));
    }
}
