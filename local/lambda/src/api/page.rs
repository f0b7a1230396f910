//! Paging of the list operations, and the query string that asks for it.

use crate::api_error::ApiError;

/// The decoded query string of a request.
#[derive(Debug, Default, Clone)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The part of a list that `Marker` and `MaxItems` ask for, and the marker of the next.
pub(crate) fn page<'a, T>(all: &'a [T], query: &Query, most: usize) -> Result<(&'a [T], Option<String>), ApiError> {
    let from: usize = match query.get("Marker") {
        None | Some("") => 0,
        Some(marker) => {
            marker.parse().ok().filter(|from| *from <= all.len()).ok_or_else(|| ApiError::invalid("Invalid marker."))?
        }
    };
    let count = match query.get("MaxItems") {
        None => most,
        Some(text) => match text.parse::<usize>() {
            Ok(count) if (1..=10_000).contains(&count) => count.min(most),
            _ => return Err(ApiError::constraint(text, "maxItems", "have value between 1 and 10000")),
        },
    };
    let to = all.len().min(from.saturating_add(count));
    Ok((&all[from..to], (to < all.len()).then(|| to.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let all = [1, 2, 3, 4, 5];
        let (mut seen, mut marker) = (Vec::new(), String::new());
        loop {
            let (part, next) = page(&all, &Query::parse(&format!("MaxItems=2&Marker={marker}")), 50).unwrap();
            seen.extend_from_slice(part);
            match next {
                Some(next) => marker = next,
                None => break,
            }
        }
        assert_eq!(seen, all);
        assert!(page(&all, &Query::parse("Marker=99"), 50).is_err());
        assert!(page(&all, &Query::parse("MaxItems=0"), 50).is_err());
    }
}
