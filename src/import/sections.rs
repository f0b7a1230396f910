//! The text of a pipeline file.

use std::fmt::Write as _;

use serde_json::Value;

/// `[path]` with its keys.
#[derive(Debug, Default)]
pub(super) struct Section {
    path: String,
    /// Key, value and what is said behind it.
    entries: Vec<(String, String, String)>,
}

impl Section {
    pub(super) fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// A key with a value as TOML has it.
    pub(super) fn raw(&mut self, key: &str, value: impl ToString) -> &mut Self {
        self.said(key, value, "")
    }

    pub(super) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.raw(key, quoted(value))
    }

    /// The same with a comment behind it.
    #[expect(clippy::needless_pass_by_value, reason = "a number or a truth value is passed as it is")]
    pub(super) fn said(&mut self, key: &str, value: impl ToString, says: &str) -> &mut Self {
        self.entries.push((key_text(key), value.to_string(), says.to_owned()));
        self
    }

    pub(super) fn write(&self, text: &mut String) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[{}]", self.path);
        for (key, value, says) in &self.entries {
            let _ = if says.is_empty() {
                writeln!(text, "{key} = {value}")
            } else {
                writeln!(text, "{:<33} # {says}", format!("{key} = {value}"))
            };
        }
    }
}

pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

pub(super) fn key_text(key: &str) -> String {
    let is_bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if is_bare { key.to_owned() } else { quoted(key) }
}

pub(super) fn list<T: AsRef<str>>(elements: impl IntoIterator<Item = T>) -> String {
    let elements: Vec<String> = elements.into_iter().map(|element| element.as_ref().to_owned()).collect();
    format!("[{}]", elements.join(", "))
}

/// JSON as TOML has it on one line; `None` where there is a null in it, which TOML does not know.
pub(super) fn inline(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::String(text) => quoted(text),
        Value::Array(values) => list(values.iter().map(inline).collect::<Option<Vec<_>>>()?),
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| Some(format!("{} = {}", key_text(key), inline(value)?));
            format!("{{ {} }}", entries.iter().map(entry).collect::<Option<Vec<_>>>()?.join(", "))
        }
        other => other.to_string(),
    })
}

/// A pattern: a table, or JSON text where it can't be one.
pub(super) fn pattern(value: &Value) -> String {
    inline(value).unwrap_or_else(|| quoted(&value.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_are_tables_or_where_they_have_a_null_text() {
        let value = json!({"data": {"a.b": [{"anything-but": ["x\"y"]}, 1.5, true]}});
        assert_eq!(pattern(&value), r#"{ data = { "a.b" = [{ anything-but = ['x"y'] }, 1.5, true] } }"#);
        assert_eq!(pattern(&json!({"a": [null]})), r#"'{"a":[null]}'"#);
    }
}
