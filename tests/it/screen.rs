//! The screen on a real terminal: it draws the pipeline, keys do what they say, and the terminal is given back as it was.
#![cfg(unix)]

use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

use crate::harness::{Home, until};

const LIMIT: Duration = Duration::from_secs(120);

/// A shell on a terminal of its own that says how the terminal is, runs a command, and says it again.
struct Session {
    child: Child,
    pty: Arc<Pty>,
    screen: Arc<Mutex<vt100::Parser>>,
    /// All that was ever written to it.
    written: Arc<Mutex<Vec<u8>>>,
}

impl Session {
    fn start(home: &Home, rows: u16, columns: u16, arguments: &str, variables: &[(&str, &str)]) -> Self {
        let (pty, pts) = open().unwrap();
        let pty = Arc::new(pty);
        pty.resize(Size::new(rows, columns)).unwrap();
        let script = format!(
            "echo \"@was $(stty -g)\"; '{}' {arguments}; echo \"@code $?\"; echo \"@is $(stty -g)\"; read end",
            env!("CARGO_BIN_EXE_streamkit")
        );
        let mut command = Command::new("sh").args(["-c", &script]).env_clear().current_dir(home.path());
        for (name, value) in home.command().get_envs() {
            if let Some(value) = value {
                command = command.env(name, value);
            }
        }
        command = command.env("TERM", "xterm-256color");
        for (name, value) in variables {
            command = command.env(name, value);
        }
        let child = command.spawn(pts).unwrap();
        let size = |size: u16| NonZeroU16::new(size).unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(size(rows), size(columns), 200)));
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let (shown, all, reader) = (Arc::clone(&screen), Arc::clone(&written), Arc::clone(&pty));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // A terminal whose last program has ended can't be read.
            while let Ok(count @ 1..) = (&*reader).read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..count]);
                all.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, pty, screen, written }
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    #[track_caller]
    fn shows(&self, wanted: &str) {
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(wanted, LIMIT, || self.text().contains(wanted).then_some(()));
        }));
        assert!(shown.is_ok(), "no `{wanted}`:\n{}", self.text());
    }

    fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    /// True when no cell has a colour.
    fn is_plain(&self) -> bool {
        let screen = self.screen.lock().unwrap();
        let (rows, columns) = screen.screen().size();
        let (rows, columns) = (rows.get(), columns.get());
        (0..rows).all(|row| {
            (0..columns).all(|column| {
                let cell = screen.screen().cell(row, column).unwrap();
                cell.fgcolor() == vt100::Color::Default && cell.bgcolor() == vt100::Color::Default
            })
        })
    }

    /// Waits for the command's end, and expects that the terminal is what it was.
    #[track_caller]
    fn ends(mut self) {
        self.shows("@is ");
        let written = String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned();
        let line = |start: &str| {
            let rest = written.split(start).nth(1).unwrap_or_else(|| panic!("no {start}: {written}"));
            rest.lines().next().unwrap().trim().to_owned()
        };
        assert_eq!(line("@code "), "0", "{written}");
        assert_eq!(line("@was "), line("@is "), "{written}");
        let screen = self.screen.lock().unwrap();
        assert!(!screen.screen().alternate_screen() && !screen.screen().hide_cursor());
        drop(screen);
        self.press("\n");
        assert!(self.child.wait().unwrap().success());
    }
}

fn spec(home: &Home) -> String {
    let spec = home.retail(&[("batch_window = \"5s\"", "batch_window = \"0s\"")]);
    spec.to_str().unwrap().to_owned()
}

#[test]
fn dev_shows_the_pipeline_takes_keys_and_gives_the_terminal_back() {
    let home = Home::new();
    let spec = spec(&home);
    let session = Session::start(&home, 24, 80, &format!("dev '{spec}' --rate 0"), &[]);
    session.shows("s send  p poison  b break  r redrive  +/- rate  q quit");
    for text in ["stream.events", "function.processor", "table.results", "queue.dlq", "mapping Enabled"] {
        session.shows(text);
    }
    assert!(!session.is_plain());
    session.shows("sending nothing, 0 sent");
    session.press("s");
    session.shows("1 sent");
    session.shows("batch processed records=1 processed=1");
    session.press("p");
    session.shows("─ dead letters ─ 1 ─");
    session.press("b");
    session.shows("function.processor fails from now on");
    session.shows("b mend");
    session.press("b");
    session.shows("function.processor is mended");
    session.press("r");
    session.shows("0 came through, 1 failed again");
    session.press("+");
    session.shows("sending 1.0 events/s");

    // A mistake is shown, and taken away when it is mended.
    let good = std::fs::read_to_string(Path::new(&spec)).unwrap();
    std::fs::write(&spec, good.replace("shards = 1 ", "shard = 1 ")).unwrap();
    session.shows("not reloaded: everything goes on as before");
    session.shows("shard");
    std::fs::write(&spec, good.replace("memory = 256 ", "memory = 512 ")).unwrap();
    session.shows("update function.processor: memory");
    session.press("q");
    session.ends();
}

#[test]
fn status_watches_on_the_same_screen_and_changes_nothing() {
    let home = Home::new();
    let spec = spec(&home);
    home.run(&["up", &spec, "--local", "--yes", "--quiet"]).expect(0);
    let before = home.calls().len();
    let arguments = format!("status '{spec}' --local --watch");
    let session = Session::start(&home, 40, 120, &arguments, &[("NO_COLOR", "1")]);
    for text in ["in   ─", "function.processor", "table.results", "mapping Enabled", "─ dead letters ─ none"] {
        session.shows(text);
    }
    assert!(session.is_plain());
    // Keys of `dev` mean nothing here.
    session.press("spbr");
    home.run(&["send", &spec, "--local", "--count", "7", "--quiet"]).expect(0);
    session.shows("batch processed");
    let changed = home.mutating_calls(before);
    let of_events = ["PutRecords", "PutItem", "BatchWriteItem", "UpdateItem"];
    let others: Vec<_> = changed.iter().filter(|call| !of_events.iter().any(|it| call.contains(it))).collect();
    assert!(others.is_empty(), "{others:?}");
    session.press("\u{3}");
    session.ends();
}
