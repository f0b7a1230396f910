//! Text of strangers on a terminal and in files: what would be an order to it, or what a file can't hold, is shown instead.

/// The text with its control characters written out, tabs excepted.
pub(crate) fn escaped(text: &str) -> String {
    if !text.contains(is_order) {
        return text.to_owned();
    }
    let shown = |c: char| if is_order(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// The text for XML and HTML, whose own marks the templates escape: control characters are written out, lines stay, and what
/// no XML may have is a replacement character.
pub(super) fn shown(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n").replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

fn is_order(c: char) -> bool {
    c.is_control() && c != '\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_to_a_terminal_are_shown() {
        assert_eq!(escaped("a\tb ü"), "a\tb ü");
        assert_eq!(escaped("a\u{1b}]0;x\u{7}"), "a\\u{1b}]0;x\\u{7}");
    }

    #[test]
    fn lines_stay_in_files() {
        assert_eq!(shown("a\r\nb\u{0}"), "a\nb\\u{0}");
    }
}
