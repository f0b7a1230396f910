//! The screen at usual sizes, as text.

use ratatui_core::backend::TestBackend;
use ratatui_core::style::Color;
use ratatui_core::terminal::Terminal;

use super::super::model::Setup;
use super::super::picture::Picture;
use super::super::sample::{AlarmSample, FunctionSample, QueueSample, Sample, SourceSample};
use super::*;
use crate::picture::{Arrow, ArrowKind, Drawing, Shape};
use crate::plan::ResourceKind;

fn setup() -> Setup {
    let shape = |(node, kind): (&str, ResourceKind)| Shape::new(node, kind, Vec::new());
    let arrow = |(from, to, kind)| Arrow { from, to, kind, label: Vec::new() };
    let drawing = Drawing {
        name: "retail-events".to_owned(),
        shapes: [
            ("stream.events", ResourceKind::Stream),
            ("function.processor", ResourceKind::Function),
            ("table.results", ResourceKind::Table),
            ("queue.dlq", ResourceKind::Queue),
        ]
        .map(shape)
        .into(),
        arrows: [(0, 1, ArrowKind::Reads), (1, 2, ArrowKind::Writes), (1, 3, ArrowKind::Failures)].map(arrow).into(),
    };
    Setup {
        name: "retail-events".to_owned(),
        place: "embedded AWS, us-east-1".to_owned(),
        picture: Picture::of(&drawing),
        functions: vec!["processor".to_owned()],
    }
}

fn model() -> Model {
    let mut model = Model::new(Mode::Dev, setup());
    model.sending(Some(50.0), 1_234);
    for second in 1..=4_u64 {
        let function = FunctionSample {
            function: "processor".to_owned(),
            invocations: 2,
            records: 50,
            processed: 48,
            rejected: 2,
            batch: Some(25.0),
            duration_ms: Some(3.0 * f64::from(u32::try_from(second).unwrap())),
            lag_ms: Some(120.0),
            mapping: Some("Enabled".to_owned()),
            ..FunctionSample::default()
        };
        let log = LogSample {
            time_ms: 1_000,
            function: "processor".to_owned(),
            severity: Severity::Warning,
            text: format!("record rejected\u{1b}[2J {second}"),
        };
        let failed = FailedSample {
            time_ms: 0,
            function: "processor".to_owned(),
            code: "missing_field".to_owned(),
            payload: r#"{"eventType":"view"}"#.to_owned(),
        };
        model.add(Sample {
            seconds: 1.0,
            sources: vec![SourceSample { node: "stream.events".to_owned(), per_second: Some(50.0) }],
            functions: vec![function],
            queues: vec![QueueSample { node: "queue.dlq".to_owned(), messages: 8, dead_letters: true }],
            alarms: vec![
                AlarmSample { name: "retail-events-lag".to_owned(), state: "OK".to_owned() },
                AlarmSample { name: "retail-events-dead-letters".to_owned(), state: "ALARM".to_owned() },
            ],
            log: vec![log],
            failed: Some(vec![failed]),
        });
    }
    model
}

fn drawn(model: &Model, width: u16, height: u16, colours: bool) -> (Vec<String>, bool) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, Theme { colours })).unwrap();
    let buffer = terminal.backend().buffer();
    let coloured = buffer.content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
    let rows = buffer.content().chunks(usize::from(width));
    let text =
        |row: &[ratatui_core::buffer::Cell]| row.iter().map(ratatui_core::buffer::Cell::symbol).collect::<String>();
    (rows.map(|row| text(row).trim_end().to_owned()).collect(), coloured)
}

#[test]
fn everything_is_on_a_screen_of_80_by_24() {
    let (lines, coloured) = drawn(&model(), 80, 24, true);
    assert!(coloured);
    let wanted = [
        (0, " retail-events  embedded AWS, us-east-1"),
        (0, "sending 50 events/s, 1234 sent"),
        (2, "send ──50/s─▶ stream.events ──50/s─▶ function.processor ┬─48/s─▶ table.results"),
        (3, "└─2.0/s▶ queue.dlq 8"),
        (4, "─ function.processor ─ mapping Enabled ──"),
        (5, " records         50/s  ████"),
        (6, " batch             25  ████"),
        (7, " duration       12 ms  ▃▅▆█"),
        (8, " lag           120 ms  ████"),
        (9, " errors             0  ▁▁▁▁"),
        (10, "─ dead letters ─ 8 ──"),
        (10, "─ alarms ─ 1 in ALARM ──"),
        (11, " 00:00:00 missing_field {\"eventType\":\"view\"}"),
        (11, " ALARM   dead-letters"),
        (12, " OK      lag"),
        (23, " s send  p poison  b break  r redrive  +/- rate  q quit"),
    ];
    for (row, text) in wanted {
        assert!(lines[row].contains(text), "row {row} lacks `{text}`: {lines:#?}");
    }
    // What a payload or a line says does not reach the terminal as an order.
    assert!(lines[19].contains(r"00:00:01 processor WARN record rejected\u{1b}[2J 4"), "{lines:#?}");
}

#[test]
fn without_colours_the_screen_says_the_same() {
    let model = model();
    for (width, height) in [(80, 24), (120, 40)] {
        let (plain, coloured) = drawn(&model, width, height, false);
        assert!(!coloured);
        assert_eq!(plain, drawn(&model, width, height, true).0);
        assert_eq!(plain.len(), usize::from(height));
        assert!(plain.last().unwrap().contains("q quit"));
    }
}

#[test]
fn a_message_stands_where_the_log_is_until_it_is_taken_away() {
    let mut model = model();
    model.show("not reloaded", "error: unknown key `shard`\n\n  --> streamkit.toml:4:1\n");
    let (lines, _) = drawn(&model, 80, 24, false);
    let at = lines.iter().position(|line| line.starts_with("─ not reloaded ─ Esc takes this away ─")).unwrap();
    assert_eq!(lines[at + 1..at + 3], [" error: unknown key `shard`", "   --> streamkit.toml:4:1"]);
    model.dismiss();
    assert!(drawn(&model, 80, 24, false).0.iter().any(|line| line.starts_with("─ log ─")));
}

#[test]
fn every_size_is_drawn() {
    let mut model = model();
    for width in (1..130).step_by(7) {
        for height in (1..50).step_by(3) {
            drawn(&model, width, height, true);
        }
    }
    model.set_up(Setup::default());
    assert!(drawn(&model, 80, 24, true).0.iter().any(|line| line.contains("no function")));
    assert!(drawn(&model, 40, 10, false).0[0].contains("40×10 is too small"));
}
