//! Pages of keys in order, with what comes after a prefix up to a delimiter rolled up.

use std::collections::BTreeMap;
use std::ops::Bound;

/// What is listed, and where it begins.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    pub(super) prefix: &'a str,
    pub(super) delimiter: &'a str,
    /// The key, or the rolled-up prefix, after which it begins.
    pub(super) after: Option<&'a str>,
    /// Whether that key itself may have some more.
    pub(super) and_itself: bool,
    pub(super) max: usize,
}

/// Some of what is listed.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// The prefixes that stand for more than one key each.
    pub(super) prefixes: Vec<String>,
    /// The key and the id after which the next page begins; none when this is the last.
    pub(super) next: Option<(String, String)>,
}

/// One page. `items_of` gives what is listed of a key: nothing for one that is not seen.
pub(super) fn page<'a, V, T>(
    all: &'a BTreeMap<String, V>,
    wanted: &Wanted<'_>,
    items_of: impl Fn(&'a str, &'a V) -> Vec<(String, T)>,
) -> Page<T> {
    let mut page = Page { items: Vec::new(), prefixes: Vec::new(), next: None };
    let mut last = None;
    let mut from = beginning(wanted);
    while wanted.max > 0
        && let Some((key, value)) = all.range::<str, _>((as_ref(&from), Bound::Unbounded)).next()
        && let Some(rest) = key.strip_prefix(wanted.prefix)
    {
        from = Bound::Excluded(key.clone());
        let items = items_of(key, value);
        if items.is_empty() {
            continue;
        }
        let rolled = Some(wanted.delimiter).filter(|delimiter| !delimiter.is_empty());
        if let Some((head, _)) = rolled.and_then(|delimiter| rest.split_once(delimiter)) {
            let prefix = format!("{}{head}{}", wanted.prefix, wanted.delimiter);
            let Some(next) = beyond(&prefix) else { break };
            from = Bound::Included(next);
            if wanted.after == Some(&*prefix) {
                continue;
            }
            if page.len() == wanted.max {
                page.next = last;
                break;
            }
            last = Some((prefix.clone(), String::new()));
            page.prefixes.push(prefix);
            continue;
        }
        for (id, item) in items {
            if page.len() == wanted.max {
                page.next = last;
                return page;
            }
            last = Some((key.clone(), id));
            page.items.push(item);
        }
    }
    page
}

impl<T> Page<T> {
    pub(super) fn len(&self) -> usize {
        self.items.len() + self.prefixes.len()
    }
}

fn beginning(wanted: &Wanted<'_>) -> Bound<String> {
    match wanted.after {
        Some(after) if after >= wanted.prefix && wanted.and_itself => Bound::Included(after.to_owned()),
        Some(after) if after >= wanted.prefix => Bound::Excluded(after.to_owned()),
        _ => Bound::Included(wanted.prefix.to_owned()),
    }
}

fn as_ref(bound: &Bound<String>) -> Bound<&str> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// The first text after all that begin with this prefix.
fn beyond(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(letter) = text.pop() {
        let next = match u32::from(letter) + 1 {
            // No letters, but halves of some.
            0xD800..=0xDFFF => Some('\u{E000}'),
            next => char::from_u32(next),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(names: &[&str]) -> BTreeMap<String, usize> {
        names.iter().map(|name| ((*name).to_owned(), 1)).collect()
    }

    /// Every key as often as its number says.
    fn some(all: &BTreeMap<String, usize>, wanted: &Wanted<'_>) -> Page<String> {
        page(all, wanted, |key, count| (0..*count).map(|id| (id.to_string(), key.to_owned())).collect())
    }

    #[test]
    fn keys_after_a_delimiter_are_rolled_up_and_count_as_one() {
        let all = keys(&["a", "b/1", "b/2", "c/d/e", "c/f", "d"]);
        let found = some(&all, &Wanted { delimiter: "/", max: 1000, ..Wanted::default() });
        assert_eq!((found.items, found.prefixes), (vec!["a".into(), "d".into()], vec!["b/".into(), "c/".into()]));
        let found = some(&all, &Wanted { prefix: "c/", delimiter: "/", max: 1000, ..Wanted::default() });
        assert_eq!((found.items, found.prefixes), (vec!["c/f".into()], vec!["c/d/".into()]));
        let found = some(&all, &Wanted { delimiter: "/", max: 2, ..Wanted::default() });
        assert_eq!(found.next, Some(("b/".into(), String::new())));
        let found = some(&all, &Wanted { delimiter: "/", after: Some("b/"), max: 1, ..Wanted::default() });
        assert_eq!((found.prefixes, found.next), (vec!["c/".to_owned()], Some(("c/".into(), String::new()))));
        assert_eq!(some(&all, &Wanted { max: 0, ..Wanted::default() }).next, None);
    }

    #[test]
    fn keys_of_which_nothing_is_seen_make_no_prefix() {
        let all: BTreeMap<String, usize> = [("a/1".to_owned(), 0), ("b/1".to_owned(), 0), ("b/2".to_owned(), 1)].into();
        let found = some(&all, &Wanted { delimiter: "/", max: 10, ..Wanted::default() });
        assert_eq!(found.prefixes, ["b/"]);
    }

    #[test]
    fn text_beyond_a_prefix_is_the_first_after_all_that_begin_with_it() {
        assert_eq!(beyond("a/"), Some("a0".to_owned()));
        assert_eq!(beyond("a\u{D7FF}"), Some("a\u{E000}".to_owned()));
        assert_eq!(beyond("a\u{10FFFF}"), Some("b".to_owned()));
        assert_eq!(beyond("\u{10FFFF}"), None);
    }

    proptest! {
        #[test]
        fn pages_of_any_size_give_what_one_page_gives(
            names in prop::collection::btree_map("[ab/\u{e9}]{1,5}", 0_usize..2, 0..30),
            prefix in "[ab/]{0,2}",
            delimiter in prop::sample::select(vec!["", "/", "ab"]),
            max in 1_usize..5,
        ) {
            let all = some(&names, &Wanted { prefix: &prefix, delimiter, max: 1000, ..Wanted::default() });
            prop_assert_eq!(&all.next, &None);
            let (mut items, mut prefixes, mut after) = (Vec::new(), Vec::new(), None::<String>);
            loop {
                let wanted = Wanted { prefix: &prefix, delimiter, after: after.as_deref(), max, ..Wanted::default() };
                let page = some(&names, &wanted);
                prop_assert!(page.len() <= max);
                items.extend(page.items);
                prefixes.extend(page.prefixes);
                let Some((next, _)) = page.next else { break };
                prop_assert!(after.as_ref().is_none_or(|after| *after < next));
                after = Some(next);
            }
            let expected: Vec<&String> = names.iter().filter(|(_, count)| **count > 0).map(|(key, _)| key)
                .filter(|key| key.strip_prefix(&*prefix).is_some_and(|rest| delimiter.is_empty() || !rest.contains(delimiter)))
                .collect();
            prop_assert_eq!(items.iter().collect::<Vec<_>>(), expected);
            prop_assert_eq!(items, all.items);
            prop_assert_eq!(prefixes, all.prefixes);
        }
    }
}
