//! Colours: whether a stream gets them, and what each is for. No meaning is in a colour alone.

use anstream::AutoStream;
use anstream::stream::RawStream;
use anstyle::{AnsiColor, Color, Style};

use crate::plan::Action;

/// Colours text, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

const ERROR: Style = colour(AnsiColor::Red).bold();
const WARNING: Style = colour(AnsiColor::Yellow).bold();
const HINT: Style = colour(AnsiColor::Cyan).bold();
const GOOD: Style = colour(AnsiColor::Green);
const BAD: Style = colour(AnsiColor::Red);
const CHANGED: Style = colour(AnsiColor::Yellow);
const REPLACED: Style = colour(AnsiColor::Magenta);

/// One for each of several things of a kind, such as functions; none of those that say good or bad.
const SEVERAL: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightBlue,
];

const fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(colour)))
}

/// Makes the choice of `--color` that of the whole process, clap's help and mistakes included.
pub(crate) fn choose_colours(when: clap::ColorChoice) {
    let choice = match when {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

impl Paint {
    /// No colours.
    pub(crate) const NONE: Self = Self { on: false };

    /// Colours as chosen, and otherwise as NO_COLOR, CLICOLOR_FORCE, TERM and the stream say: only a terminal gets them.
    pub(super) fn of(stream: &impl RawStream) -> Self {
        Self { on: AutoStream::choice(stream) != anstream::ColorChoice::Never }
    }

    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    fn with(self, style: Style, text: &str) -> String {
        if self.on { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    pub(super) fn error(self) -> String {
        self.with(ERROR, "error")
    }

    pub(super) fn refused(self) -> String {
        self.with(ERROR, "refused")
    }

    pub(super) fn warning(self) -> String {
        self.with(WARNING, "warning")
    }

    pub(crate) fn hint(self) -> String {
        self.with(HINT, "hint")
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with(GOOD, text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with(BAD, text)
    }

    pub(crate) fn changed(self, text: &str) -> String {
        self.with(CHANGED, text)
    }

    /// What is read last.
    pub(crate) fn dim(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    /// What belongs to the thing of this number among several of a kind.
    pub(crate) fn of_several(self, number: usize, text: &str) -> String {
        self.with(colour(SEVERAL[number % SEVERAL.len()]), text)
    }

    /// The mark in front of a step: `+ ~ ± -`, or a space.
    pub(super) fn mark(self, action: Action) -> String {
        match action {
            Action::Create => self.good("+"),
            Action::Update => self.changed("~"),
            Action::Replace => self.with(REPLACED, "±"),
            Action::Delete => self.bad("-"),
            Action::Unchanged => " ".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_colours_stays_as_it_is() {
        let plain = Paint::NONE;
        let actions = [Action::Create, Action::Update, Action::Replace, Action::Delete, Action::Unchanged];
        assert_eq!(actions.map(|action| plain.mark(action)), ["+", "~", "±", "-", " "]);
        assert_eq!((plain.error(), plain.good("ok")), ("error".to_owned(), "ok".to_owned()));
        let coloured = Paint { on: true };
        assert_eq!(coloured.bad("FAILED"), "\u{1b}[31mFAILED\u{1b}[0m");
        assert_eq!(anstream::adapter::strip_str(&coloured.error()).to_string(), "error");
    }
}
