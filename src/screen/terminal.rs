//! The terminal: taken for the screen, and given back as it was, whatever ends the process.

use std::io::{self, IsTerminal as _, Stdout};
use std::sync::Once;

use crossterm::cursor::{Hide, Show};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{execute, terminal};
use ratatui_crossterm::CrosstermBackend;

use super::draw::draw;
use super::model::Model;
use super::theme::Theme;

/// The terminal while the screen is on it. Dropped, it is as it was.
pub(crate) struct Terminal {
    drawn: ratatui_core::terminal::Terminal<CrosstermBackend<Stdout>>,
    theme: Theme,
}

static HOOK: Once = Once::new();

impl Terminal {
    /// True where a screen can be drawn and keys be read.
    pub(crate) fn is_there() -> bool {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        io::stdout().is_terminal() && io::stdin().is_terminal() && !is_dumb
    }

    /// Takes the terminal.
    pub(crate) fn open(theme: Theme) -> io::Result<Self> {
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                // Else its message would vanish with the screen.
                Self::restore();
                before(panic);
            }));
        });
        enable_raw_mode()?;
        let opened = execute!(io::stdout(), EnterAlternateScreen, Hide)
            .and_then(|()| ratatui_core::terminal::Terminal::new(CrosstermBackend::new(io::stdout())));
        match opened {
            Ok(drawn) => Ok(Self { drawn, theme }),
            Err(error) => {
                Self::restore();
                Err(error)
            }
        }
    }

    /// Draws the model as it is now.
    pub(crate) fn draw(&mut self, model: &Model) -> io::Result<()> {
        let theme = self.theme;
        self.drawn.draw(|frame| draw(frame, model, theme)).map(drop)
    }

    /// Gives the terminal back. Doing so twice does no harm.
    pub(crate) fn restore() {
        if terminal::is_raw_mode_enabled().unwrap_or(false) {
            // A terminal that has gone needs nothing.
            drop(execute!(io::stdout(), LeaveAlternateScreen, Show));
            drop(disable_raw_mode());
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        Self::restore();
    }
}
