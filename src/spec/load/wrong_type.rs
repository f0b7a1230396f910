//! What a value of the wrong type is, what belongs in its place, and how that is written.

/// The longest text that is repeated in a message.
const SHOWN: usize = 40;

/// Says serde's `invalid type: FOUND, expected WANTED` in the words of the file, and how to mend it if that is plain. `written` is
/// the value as the file has it.
pub(super) fn wrong_type(message: &str, written: &str) -> Option<(String, Option<String>)> {
    let (found, wanted) = message.strip_prefix("invalid type: ")?.rsplit_once(", expected ")?;
    let help = match wanted {
        "a sequence" if !found.starts_with("map") || written.starts_with('{') => Some(format!("[{written}]")),
        "a string" if found.contains('`') => Some(format!("\"{written}\"")),
        _ if is_number(wanted) => unquoted(written).filter(|text| text.parse::<f64>().is_ok()).map(str::to_owned),
        "a boolean" => unquoted(written).filter(|text| matches!(*text, "true" | "false")).map(str::to_owned),
        _ => None,
    };
    // Only what is on one line can be repeated, and a section of its own is no value.
    let help = help
        .filter(|text| !text.contains('\n') && text.chars().count() <= SHOWN && !text.starts_with("[["))
        .map(|text| format!("write {text}"));
    Some((format!("this must be {}, not {}", wanted_text(wanted), found_text(found)), help))
}

fn is_number(wanted: &str) -> bool {
    let bits = wanted.trim_start_matches(['i', 'u', 'f']);
    bits.len() < wanted.len() && (bits == "size" || bits.parse::<u8>().is_ok())
}

fn unquoted(written: &str) -> Option<&str> {
    ['"', '\''].into_iter().find_map(|quote| written.strip_prefix(quote)?.strip_suffix(quote))
}

fn wanted_text(wanted: &str) -> &str {
    match wanted {
        "a sequence" => "a list",
        "a map" => "a table",
        "a string" => "a text",
        "a boolean" => "true or false",
        _ if wanted.starts_with("struct ") => "a table",
        _ if wanted.starts_with('f') && is_number(wanted) => "a number",
        _ if is_number(wanted) => "a whole number",
        other => other,
    }
}

fn found_text(found: &str) -> String {
    let value = found.split('`').nth(1).unwrap_or_default();
    match found {
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        _ if found.starts_with("integer") || found.starts_with("floating point") => format!("the number {value}"),
        _ if found.starts_with("boolean") => value.to_owned(),
        _ => match found.strip_prefix("string ") {
            Some(text) if text.chars().count() <= SHOWN => format!("the text {text}"),
            Some(_) => "a text".to_owned(),
            None => found.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_said_in_the_words_of_the_file() {
        let said = |message: &str, written: &str| {
            let (message, help) = wrong_type(&format!("invalid type: {message}"), written).unwrap();
            format!("{message}; {}", help.unwrap_or_default())
        };
        for (message, written, text) in [
            ("string \"4\", expected i64", "\"4\"", "this must be a whole number, not the text \"4\"; write 4"),
            ("string \"four\", expected i64", "\"four\"", "this must be a whole number, not the text \"four\"; "),
            ("string \"t\", expected a sequence", "\"t\"", "this must be a list, not the text \"t\"; write [\"t\"]"),
            ("map, expected a sequence", "{ data = {} }", "this must be a list, not a table; write [{ data = {} }]"),
            ("map, expected a sequence", "[function.f.source.filter]", "this must be a list, not a table; "),
            (
                "string \"true\", expected a boolean",
                "\"true\"",
                "this must be true or false, not the text \"true\"; write true",
            ),
            ("integer `5`, expected a string", "5", "this must be a text, not the number 5; write \"5\""),
            ("boolean `true`, expected struct Source", "true", "this must be a table, not true; "),
            (
                "integer `24`, expected a duration such as \"24h\"",
                "24",
                "this must be a duration such as \"24h\", not the number 24; ",
            ),
        ] {
            assert_eq!(said(message, written), text);
        }
        assert_eq!(wrong_type("missing field `name`", ""), None);
    }
}
