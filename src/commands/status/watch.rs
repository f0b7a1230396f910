//! `status --watch` on a terminal: the screen of `dev`, for a pipeline wherever it is. Nothing is sent or changed.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use crossterm::event::{Event as Input, EventStream};
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep_until};

use crate::commands::live::{Sampler, setup};
use crate::commands::session::Session;
use crate::commands::since::epoch_ms;
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::report::{Reporter, exit_code};
use crate::screen::{Key, Mode, Model, Severity, Terminal, Theme, key};

/// How often to look: CloudWatch hears of most things by the minute, and each look costs some calls.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same in the embedded AWS.
const LOOK_EVERY_LOCAL: Duration = Duration::from_secs(1);
/// How much of the time before is shown at first.
const BEFORE: Duration = Duration::from_secs(60);

/// Shows the screen until the user quits. `differs` is what is not as the spec says.
pub(super) async fn show(
    session: &Session,
    differs: &[String],
    global: &Global,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> anyhow::Result<ExitCode> {
    let every = if global.local { LOOK_EVERY_LOCAL } else { LOOK_EVERY };
    let mut sampler = Sampler::of_others(BEFORE);
    let mut model = Model::new(Mode::Watch, setup(session, global));
    // What is wrong at the first look will be at the next, and is said where it stays.
    model.add(Box::pin(interrupt.unless(sampler.look(session))).await?);
    let say = |model: &mut Model, severity, text: &str| model.tell(epoch_ms(session.aws.now()), severity, text);
    for text in differs {
        say(&mut model, Severity::Warning, text);
    }
    interrupt.at_exit(Terminal::restore);
    let theme = Theme { colours: reporter.paint().is_on() };
    let mut terminal = Terminal::open(theme).context("taking the terminal")?;
    let mut keys = EventStream::new();
    loop {
        let due = Instant::now() + every;
        terminal.draw(&model).context("drawing")?;
        let look = async {
            sleep_until(due).await;
            Box::pin(sampler.look(session)).await
        };
        let mut look = std::pin::pin!(look);
        // A key must not make a look begin again.
        let seen = loop {
            tokio::select! {
                seen = &mut look => break seen,
                input = keys.next() => match input {
                    Some(Ok(Input::Key(pressed))) => match key(&pressed) {
                        Some(Key::Quit) => return Ok(exit_code::DONE),
                        Some(Key::Next) => model.next(),
                        Some(Key::Dismiss) => model.dismiss(),
                        _ => {}
                    },
                    Some(Ok(_)) => {}
                    // The terminal has gone.
                    Some(Err(_)) | None => return Ok(exit_code::DONE),
                },
                () = interrupt.changed() => return Ok(exit_code::DONE),
            }
            terminal.draw(&model).context("drawing")?;
        };
        match seen {
            Ok(sample) => model.add(sample),
            Err(error) => say(&mut model, Severity::Error, &format!("{error:#}")),
        }
    }
}
