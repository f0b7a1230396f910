//! The styles of the screen. Without colours bold and dim remain, and no meaning is in a colour alone.

use ratatui_core::style::{Color, Modifier, Style};

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    /// A title, or a name.
    Strong,
    /// What is read last.
    Dim,
    Good,
    Warning,
    Bad,
    /// Something that flows.
    Flow,
}

/// With colours or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Theme {
    pub(crate) colours: bool,
}

impl Theme {
    pub(crate) fn style(self, tone: Tone) -> Style {
        let style = match tone {
            Tone::Plain | Tone::Flow | Tone::Good => Style::new(),
            Tone::Strong | Tone::Warning | Tone::Bad => Style::new().add_modifier(Modifier::BOLD),
            Tone::Dim => Style::new().add_modifier(Modifier::DIM),
        };
        if !self.colours {
            return style;
        }
        match tone {
            Tone::Plain | Tone::Strong | Tone::Dim => style,
            Tone::Good => style.fg(Color::Green),
            Tone::Warning => style.fg(Color::Yellow),
            Tone::Bad => style.fg(Color::Red),
            Tone::Flow => style.fg(Color::Cyan),
        }
    }
}
