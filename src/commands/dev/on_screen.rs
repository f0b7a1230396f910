//! `dev` on the terminal: events change what is drawn, keys become orders.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use crossterm::event::{Event as Input, EventStream};
use futures_util::StreamExt as _;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::event::{Event, Run};
use super::feed::{Order, step};
use super::hands::Job;
use super::headless::{in_words, rate_text, stop};
use super::{Dev, Ears};
use crate::commands::live::setup;
use crate::commands::since::epoch_ms;
use crate::interrupt::Interrupt;
use crate::report::{Kept, Reporter};
use crate::screen::{Key, Mode, Model, Severity, Terminal, Theme, key};

/// How often the screen is drawn at least: a reload's seconds pass.
const TICK: Duration = Duration::from_millis(500);

/// Shows until the user quits or time is up, and all that was sent has been processed.
pub(super) async fn show(
    dev: &Dev<'_>,
    ears: &mut Ears,
    run: &mut Run,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> anyhow::Result<()> {
    let end = dev.args.end(tokio::time::Instant::now());
    interrupt.at_exit(Terminal::restore);
    let theme = Theme { colours: reporter.paint().is_on() };
    let mut terminal = Terminal::open(theme).context("taking the terminal")?;
    let mut screen =
        Screen { model: Model::new(Mode::Dev, setup(&dev.session(), dev.global)), rate: dev.args.rate, reload: None };
    let mut keys = EventStream::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !run.is_over(&dev.sent) {
        screen.refresh(dev, run);
        terminal.draw(&screen.model).context("drawing")?;
        tokio::select! {
            event = ears.events.recv() => {
                let Some(event) = event else { break };
                run.add(&event);
                screen.take(event, dev);
            }
            input = keys.next() => match input {
                Some(Ok(Input::Key(pressed))) => match key(&pressed) {
                    // The second one does not wait.
                    Some(Key::Quit) if run.is_ending() => break,
                    Some(Key::Quit) => stop(dev, ears, run),
                    Some(key) if !run.is_ending() => screen.press(key, ears),
                    _ => {}
                },
                Some(Ok(_)) => {}
                // The terminal has gone.
                Some(Err(_)) | None => break,
            },
            _ = ticks.tick() => {}
            () = sleep_until(end.unwrap_or_else(tokio::time::Instant::now)), if end.is_some() && !run.is_ending() => {
                stop(dev, ears, run);
            }
            () = interrupt.changed(), if !run.is_ending() => stop(dev, ears, run),
        }
    }
    Ok(())
}

struct Screen {
    model: Model,
    /// Events a second that are wanted.
    rate: f64,
    /// Since when a reload is under way, and what it says.
    reload: Option<(Instant, Kept)>,
}

impl Screen {
    /// Brings what passes by itself up to date.
    fn refresh(&mut self, dev: &Dev<'_>, run: &Run) {
        let rate = dev.sent.is_able().then_some(self.rate);
        self.model.sending(rate, dev.sent.events());
        let busy = self.reload.as_ref().map(|(since, kept)| {
            let wait = kept.wait();
            let what = if wait.is_empty() { String::new() } else { format!(": {wait}") };
            format!("reloading for {} s{what}", since.elapsed().as_secs())
        });
        self.model.busy(&busy.unwrap_or_default());
        if run.is_ending() {
            self.model.end();
        }
    }

    fn take(&mut self, event: Event, dev: &Dev<'_>) {
        let now_ms = epoch_ms(SystemTime::now());
        match event {
            Event::Sample(sample) => return self.model.add(sample),
            Event::Reloading { ref kept, .. } => self.reload = Some((Instant::now(), kept.clone())),
            Event::Reloaded { .. } => {
                self.reload = None;
                self.model.dismiss();
                self.model.set_up(setup(&dev.session(), dev.global));
            }
            Event::NotReloaded { ref error, .. } => {
                self.reload = None;
                return self.model.show("not reloaded: everything goes on as before", error);
            }
            Event::Broken(functions) => return self.model.set_broken(functions),
            Event::Note(severity, text) => return self.model.tell(now_ms, severity, &text),
        }
        self.model.tell(now_ms, Severity::Info, &in_words(&event));
    }

    fn press(&mut self, key: Key, ears: &Ears) {
        // Whoever takes orders may have ended.
        let order = |order| {
            let _ = ears.orders.send(order);
        };
        let job = |job| {
            let _ = ears.jobs.send(job);
        };
        match key {
            Key::Send => order(Order::Send),
            Key::Poison => order(Order::Poison),
            Key::Faster | Key::Slower => {
                self.rate = step(self.rate, key == Key::Faster);
                order(Order::Rate(self.rate));
                let text = format!("sending {}", rate_text(self.rate));
                self.model.tell(epoch_ms(SystemTime::now()), Severity::Info, &text);
            }
            Key::Break => {
                if let Some(function) = self.model.selected() {
                    job(Job::Break(function.to_owned()));
                }
            }
            Key::Redrive => job(Job::Redrive),
            Key::Next => self.model.next(),
            Key::Dismiss => self.model.dismiss(),
            Key::Quit => {}
        }
    }
}
