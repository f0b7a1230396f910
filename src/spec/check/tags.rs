//! What makes tags wrong.

use super::Checker;

/// AWS takes 50 tags a resource. Streamkit's own, of which a function has most, are pipeline, stage, node, the keys of `[tags]`,
/// code and the place to resume from.
const MOST: usize = 50 - 6;

impl Checker<'_> {
    pub(super) fn tags(&mut self) {
        for (key, value) in &self.spec.tags {
            let lower = key.get_ref().to_lowercase();
            if lower.starts_with("aws:") || lower.starts_with("streamkit:") {
                self.say(
                    key.span(),
                    format!("the tag `{}` uses a reserved prefix", key.get_ref()),
                    "choose another name",
                );
            }
            if key.get_ref().is_empty() {
                self.say(key.span(), "a tag's key is empty", "name it");
            }
            if key.get_ref().chars().count() > 128 || value.get_ref().chars().count() > 256 {
                self.say(key.span(), "this tag is too long", "a tag's key has at most 128 characters, its value 256");
            }
            for (text, span) in [(key.get_ref(), key.span()), (value.get_ref(), value.span())] {
                if let Some(wrong) = text.chars().find(|c| !is_allowed(*c)) {
                    self.say(
                        span,
                        format!("AWS takes no `{}` in a tag", wrong.escape_default()),
                        "a tag has letters, digits, spaces and + - = . _ : / @",
                    );
                }
            }
        }
        if let Some((key, _)) = self.spec.tags.iter().nth(MOST) {
            self.say(
                key.span(),
                format!(
                    "{} tags are too many: a resource has at most 50, of which streamkit needs {}",
                    self.spec.tags.len(),
                    50 - MOST
                ),
                format!("leave {MOST}"),
            );
        }
    }
}

/// What all services take.
/// <https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html#id_tags_naming_best_practices>
fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c)
}
