//! Pages of lists in the order of names, whose marker is the name of the last element shown.

use serde_json::Value;

/// A page, and its marker where more follows.
pub(super) struct MarkerPage {
    pub(super) shown: Value,
    pub(super) marker: Option<String>,
}

/// The page of so many elements after the marker.
pub(super) fn page_after(
    marker: Option<&str>,
    size: usize,
    elements: impl Iterator<Item = (String, Value)>,
) -> MarkerPage {
    let after = marker.unwrap_or_default();
    let mut elements: Vec<(String, Value)> = elements.filter(|(name, _)| name.as_str() > after).collect();
    elements.sort_by(|(a, _), (b, _)| a.cmp(b));
    let more = elements.len() > size;
    elements.truncate(size);
    let marker = elements.last().filter(|_| more).map(|(name, _)| name.clone());
    MarkerPage { shown: elements.into_iter().map(|(_, shown)| shown).collect(), marker }
}
