//! Draws the model: header, pipeline, one function's numbers, dead letters and alarms, log, keys.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui_core::layout::Rect;
use ratatui_core::terminal::Frame;
use ratatui_core::text::{Line, Span};

use super::history::History;
use super::model::{FunctionHistory, Mode, Model};
use super::sample::{FailedSample, LogSample, Severity};
use super::theme::{Theme, Tone};
use crate::report::{duration_text, escaped, rate_of};

/// The smallest terminal on which the screen says anything.
const LEAST: (u16, u16) = (60, 18);
/// The rows of a function's numbers.
const NUMBERS: u16 = 5;
/// The fewest rows of dead letters, and of the log.
const FEWEST: u16 = 2;
/// The widths of a number's name and of the number itself.
const LABEL: usize = 11;
const VALUE: usize = 9;
/// The alarms' share of the width, in percent.
const ALARMS: u16 = 36;

/// Draws everything.
pub(crate) fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme) {
    let area = frame.area();
    let mut canvas = Canvas { frame, theme };
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("{}×{} is too small: {}×{} is needed", area.width, area.height, LEAST.0, LEAST.1);
        return canvas.line(area, 0, vec![(text, Tone::Plain)]);
    }
    let [header, picture, numbers, letters, log, keys] = rows(area, model);
    canvas.header(header, model);
    canvas.picture(picture, model);
    canvas.numbers(numbers, model);
    let alarms = letters.width * ALARMS / 100;
    let (left, right) = (letters.width - alarms - 1, alarms);
    canvas.letters(Rect { width: left, ..letters }, model);
    canvas.alarms(Rect { x: letters.x + left + 1, width: right, ..letters }, model);
    match &model.message {
        Some((title, text)) => canvas.message(log, title, text),
        None => canvas.log(log, model),
    }
    canvas.keys(keys, model);
}

/// Who gets which rows; each pane has one for its title.
fn rows(area: Rect, model: &Model) -> [Rect; 6] {
    let fixed = 2 + (1 + NUMBERS) + 2 * (1 + FEWEST);
    let left = area.height - fixed;
    let picture = u16::try_from(model.setup.picture.height()).unwrap_or(u16::MAX).max(1).min(left - 1) + 1;
    let more = left - picture;
    let letters = 1 + FEWEST + more / 3;
    let log = 1 + FEWEST + more - more / 3;
    let mut y = area.y;
    [1, picture, 1 + NUMBERS, letters, log, 1].map(|height| {
        let row = Rect { y, height, ..area };
        y += height;
        row
    })
}

/// Texts, each with what it is.
type Texts = Vec<(String, Tone)>;

struct Canvas<'a, 'f> {
    frame: &'a mut Frame<'f>,
    theme: Theme,
}

impl Canvas<'_, '_> {
    /// One line of an area; what does not fit is cut.
    fn line(&mut self, area: Rect, row: u16, texts: Texts) {
        if row >= area.height {
            return;
        }
        let theme = self.theme;
        let spans: Vec<_> = texts.into_iter().map(|(text, tone)| Span::styled(text, theme.style(tone))).collect();
        let area = Rect { y: area.y + row, height: 1, ..area };
        self.frame.render_widget(Line::from(spans), area);
    }

    /// A pane's first line: its title in a rule.
    fn title(&mut self, area: Rect, title: &str, aside: &str, tone: Tone) {
        let used = title.chars().count() + aside.chars().count() + if aside.is_empty() { 4 } else { 6 };
        let rule = "─".repeat(usize::from(area.width).saturating_sub(used));
        let mut texts =
            vec![("─ ".to_owned(), Tone::Dim), (title.to_owned(), Tone::Strong), (" ".to_owned(), Tone::Dim)];
        if !aside.is_empty() {
            texts.extend([("─ ".to_owned(), Tone::Dim), (aside.to_owned(), tone), (" ".to_owned(), Tone::Dim)]);
        }
        texts.push((rule, Tone::Dim));
        self.line(area, 0, texts);
    }

    fn header(&mut self, area: Rect, model: &Model) {
        let left = format!(" {}", model.setup.name);
        let place = format!("  {}", model.setup.place);
        let right = match (model.mode, model.rate) {
            (Mode::Dev, Some(rate)) if rate > 0.0 => {
                format!("sending {}, {} sent ", rate_of(rate, "events"), model.sent)
            }
            (Mode::Dev, Some(_)) => format!("sending nothing, {} sent ", model.sent),
            _ => String::new(),
        };
        let used = left.chars().count() + place.chars().count() + right.chars().count();
        let gap = " ".repeat(usize::from(area.width).saturating_sub(used));
        self.line(area, 0, vec![(left, Tone::Strong), (place, Tone::Dim), (gap, Tone::Plain), (right, Tone::Strong)]);
    }

    fn picture(&mut self, area: Rect, model: &Model) {
        self.title(area, "pipeline", &model.busy, Tone::Warning);
        let entry = match model.mode {
            Mode::Dev => "send",
            Mode::Watch => "in",
        };
        let mut lines = model.setup.picture.lines(usize::from(area.width) - 1, entry, model);
        let space = usize::from(area.height) - 1;
        if lines.len() > space {
            let more = lines.len() - (space - 1);
            lines.truncate(space - 1);
            lines.push(vec![(format!("and {more} more rows, for which this terminal is too low"), Tone::Dim)]);
        }
        for (row, mut line) in (1..).zip(lines) {
            line.insert(0, (" ".to_owned(), Tone::Plain));
            self.line(area, row, line);
        }
    }

    fn numbers(&mut self, area: Rect, model: &Model) {
        let Some(function) = model.selected() else {
            return self.title(area, "no function", "", Tone::Plain);
        };
        let nothing = FunctionHistory::default();
        let history = model.histories.get(function).unwrap_or(&nothing);
        let (aside, tone) = mapping(history, model.broken.contains(function));
        let several = match model.setup.functions.len() {
            0 | 1 => String::new(),
            count => format!(" ({} of {count})", model.selected + 1),
        };
        self.title(area, &format!("function.{function}{several}"), &aside, tone);
        let rate = |value: f64| rate_of(value, "");
        let milliseconds = |value: f64| duration_text(value / 1_000.0);
        let errors = history.totals.errors;
        let of_errors = if errors > 0 { Tone::Bad } else { Tone::Plain };
        let rows: [(&str, &History, String, Tone); 5] = [
            ("records", &history.taken, shown(&history.taken, rate), Tone::Plain),
            ("batch", &history.batch, shown(&history.batch, |value| format!("{value:.0}")), Tone::Plain),
            ("duration", &history.duration_ms, shown(&history.duration_ms, milliseconds), Tone::Plain),
            ("lag", &history.lag_ms, shown(&history.lag_ms, milliseconds), Tone::Plain),
            ("errors", &history.errors, errors.to_string(), of_errors),
        ];
        let width = usize::from(area.width).saturating_sub(LABEL + VALUE + 3);
        for (row, (label, history, value, tone)) in (1..).zip(rows) {
            let label = format!(" {label:<LABEL$}");
            let line = vec![
                (label, Tone::Dim),
                (format!("{value:>VALUE$}  "), tone),
                (history.sparkline(width), if tone == Tone::Bad { Tone::Bad } else { Tone::Flow }),
            ];
            self.line(area, row, line);
        }
    }

    fn letters(&mut self, area: Rect, model: &Model) {
        let count: u64 = model.queues.iter().filter(|queue| queue.dead_letters).map(|queue| queue.messages).sum();
        let tone = if count > 0 { Tone::Bad } else { Tone::Good };
        let aside = if count > 0 { count.to_string() } else { "none".to_owned() };
        self.title(area, "dead letters", &aside, tone);
        let shown = model.failed.iter().filter(|_| count > 0);
        for (row, FailedSample { time_ms, code, payload, .. }) in (1..area.height).zip(shown) {
            let code = if code.is_empty() { "message" } else { code };
            let line = vec![
                (format!(" {} ", time(*time_ms)), Tone::Dim),
                (format!("{} ", escaped(code)), Tone::Bad),
                (escaped(payload), Tone::Plain),
            ];
            self.line(area, row, line);
        }
    }

    fn alarms(&mut self, area: Rect, model: &Model) {
        let on = model.alarms.iter().filter(|alarm| alarm.state == "ALARM").count();
        let (aside, tone) = match (model.alarms.len(), on) {
            (0, _) => ("none".to_owned(), Tone::Dim),
            (_, 0) => ("no alarm".to_owned(), Tone::Good),
            (_, on) => (format!("{on} in ALARM"), Tone::Bad),
        };
        self.title(area, "alarms", &aside, tone);
        let mut alarms: Vec<_> = model.alarms.iter().collect();
        alarms.sort_by_key(|alarm| alarm.state != "ALARM");
        for (row, alarm) in (1..area.height).zip(alarms) {
            let (state, tone) = match alarm.state.as_str() {
                "ALARM" => ("ALARM", Tone::Bad),
                "OK" => ("OK", Tone::Good),
                _ => ("no data", Tone::Dim),
            };
            // The pipeline's name says nothing that is not in the header.
            let name = alarm.name.strip_prefix(model.setup.name.as_str()).unwrap_or(&alarm.name);
            let name = name.trim_start_matches('-').to_owned();
            self.line(area, row, vec![(format!(" {state:<8}"), tone), (name, Tone::Plain)]);
        }
    }

    fn log(&mut self, area: Rect, model: &Model) {
        self.title(area, "log", "", Tone::Plain);
        let space = usize::from(area.height) - 1;
        let newest = model.log.iter().skip(model.log.len().saturating_sub(space));
        for (row, LogSample { time_ms, function, severity, text }) in (1..).zip(newest) {
            let tone = match severity {
                Severity::Info => Tone::Plain,
                Severity::Warning => Tone::Warning,
                Severity::Error => Tone::Bad,
            };
            let word = match severity {
                Severity::Info => "",
                Severity::Warning => "WARN ",
                Severity::Error => "ERROR ",
            };
            let who = if function.is_empty() { "streamkit" } else { function };
            let line = vec![
                (format!(" {} ", time(*time_ms)), Tone::Dim),
                (format!("{who} "), Tone::Strong),
                (word.to_owned(), tone),
                (escaped(text), if *severity == Severity::Info { Tone::Plain } else { tone }),
            ];
            self.line(area, row, line);
        }
    }

    fn message(&mut self, area: Rect, title: &str, text: &str) {
        self.title(area, title, "Esc takes this away", Tone::Dim);
        for (row, line) in (1..area.height).zip(text.lines().filter(|line| !line.trim().is_empty())) {
            self.line(area, row, vec![(format!(" {}", escaped(line)), Tone::Bad)]);
        }
    }

    fn keys(&mut self, area: Rect, model: &Model) {
        if model.ending {
            let text = " stopping: what is in flight is processed first; q again stops at once";
            return self.line(area, 0, vec![(text.to_owned(), Tone::Warning)]);
        }
        let mut keys: Vec<(&str, &str)> = match (model.mode, model.rate) {
            (Mode::Watch, _) => Vec::new(),
            (Mode::Dev, None) => vec![("b", "break"), ("r", "redrive")],
            (Mode::Dev, Some(_)) => {
                vec![("s", "send"), ("p", "poison"), ("b", "break"), ("r", "redrive"), ("+/-", "rate")]
            }
        };
        if model.setup.functions.len() > 1 {
            keys.push(("Tab", "function"));
        }
        keys.push(("q", "quit"));
        let is_broken = model.selected().is_some_and(|function| model.broken.contains(function));
        let texts = keys.into_iter().flat_map(|(key, what)| {
            let what = if key == "b" && is_broken { "mend" } else { what };
            [(format!(" {key}"), Tone::Strong), (format!(" {what} "), Tone::Plain)]
        });
        self.line(area, 0, texts.collect());
    }
}

/// How the function's mapping is.
fn mapping(history: &FunctionHistory, is_broken: bool) -> (String, Tone) {
    if is_broken {
        return ("broken on purpose: b mends it".to_owned(), Tone::Bad);
    }
    let Some(sample) = history.last() else { return ("not looked at yet".to_owned(), Tone::Dim) };
    match (&sample.problem, sample.mapping.as_deref()) {
        (Some(problem), _) => (format!("last batch failed: {}", escaped(problem)), Tone::Bad),
        (None, None) => ("no mapping".to_owned(), Tone::Bad),
        (None, Some("Enabled")) => ("mapping Enabled".to_owned(), Tone::Good),
        (None, Some(state)) => (format!("mapping {}", escaped(state)), Tone::Warning),
    }
}

/// The newest value in words, or a dash.
fn shown(history: &History, text: impl Fn(f64) -> String) -> String {
    history.last().map_or_else(|| "–".to_owned(), text)
}

/// The time of day, in UTC as in logs.
fn time(time_ms: i64) -> String {
    let time = Timestamp::from_millisecond(time_ms).unwrap_or_default();
    time.to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests;
