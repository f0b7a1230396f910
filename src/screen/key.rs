//! Which key does what.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Send,
    Poison,
    Break,
    Redrive,
    Faster,
    Slower,
    /// The next function.
    Next,
    /// Take the message away.
    Dismiss,
    Quit,
}

/// What a key press means; `None` for one that means nothing.
pub(crate) fn key(event: &KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        // In raw mode, Ctrl-C is a key like any other.
        return matches!(event.code, KeyCode::Char('c' | 'd')).then_some(Key::Quit);
    }
    match event.code {
        KeyCode::Char('s') => Some(Key::Send),
        KeyCode::Char('p') => Some(Key::Poison),
        KeyCode::Char('b') => Some(Key::Break),
        KeyCode::Char('r') => Some(Key::Redrive),
        KeyCode::Char('+' | '=') | KeyCode::Up => Some(Key::Faster),
        KeyCode::Char('-' | '_') | KeyCode::Down => Some(Key::Slower),
        KeyCode::Tab | KeyCode::Right => Some(Key::Next),
        KeyCode::Esc => Some(Key::Dismiss),
        KeyCode::Char('q') => Some(Key::Quit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_quits_and_other_controls_do_nothing() {
        let press = |code, modifiers| key(&KeyEvent::new(code, modifiers));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit));
        assert_eq!(press(KeyCode::Char('s'), KeyModifiers::CONTROL), None);
        assert_eq!(press(KeyCode::Char('s'), KeyModifiers::NONE), Some(Key::Send));
        // As keyboards have it where `+` takes a shift.
        assert_eq!(press(KeyCode::Char('+'), KeyModifiers::SHIFT), Some(Key::Faster));
    }
}
