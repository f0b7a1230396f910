//! `streamkit dev`: the pipeline on this machine, with events flowing, following its files.

mod event;
mod feed;
mod files;
mod hands;
mod headless;
mod on_screen;
mod reload;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap_complete::ArgValueCompleter;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::event::{Event, Run, Sent};
use self::feed::{Order, feed};
use self::hands::{Job, set_broken, work};
use self::reload::follow;
use super::caller::Caller;
use super::live::Sampler;
use super::send::share::Share;
use super::session::{CodeArgument, Input, Session, SpecArgument};
use super::sources::node_of;
use super::status::logs;
use super::{down, up};
use crate::candidates::functions;
use crate::daemon::Start;
use crate::failure::{Hint, Shown};
use crate::interrupt::Interrupt;
use crate::lock::locked;
use crate::options::Global;
use crate::pipeline::Flow;
use crate::report::{Reporter, exit_code};
use crate::resources::Any;
use crate::screen::{Sample, Severity, Terminal};
use crate::spec::Seconds;

/// Work on a pipeline: run it in the embedded AWS, with events flowing, and follow its files
///
/// Starts the embedded AWS, brings the pipeline up, and sends events. When the spec, a function's crate
/// or (in a clone of streamkit) a recipe changes, the pipeline is changed in place: batches that run
/// are finished, and what is stored stays. What is wrong with a change is shown, and everything goes
/// on as before; what would lose data is not done, but said.
///
/// Shows a screen: the pipeline with its rates, lag, batches, durations, errors, dead letters, alarms
/// and logs. Keys: s sends an event, p one that is poison, b breaks the function or mends it, r plays
/// dead letters again, + and - change the rate, Tab selects a function, q quits. Quitting waits for what
/// is in flight, and leaves the pipeline up unless --down is given.
///
/// Without a terminal, and with --headless or --json, it prints a line for each thing that happens.
/// With --json each is a document with `event`: up, sample, reloading, reloaded, not-reloaded, broken,
/// note, and last of all ended, with all that was sent and what became of it.
///
/// Example: streamkit dev pipelines/retail-events.toml --rate 50
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    /// The function whose events to send; otherwise those of the first by name, if the pipeline has one source
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(functions))]
    function: Option<String>,
    /// Events a second; 0 for none
    #[arg(long, value_name = "PER_SECOND", default_value = "5", value_parser = rate)]
    rate: f64,
    /// How many percent of the events the recipe must reject, evenly spread, such as 2 or 0.5%
    #[arg(long, value_name = "PERCENT", conflicts_with = "from")]
    poison: Option<Share>,
    /// Send the lines of this file, again and again, instead of generated events
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Generate the same events as another run with this seed
    #[arg(long, value_name = "N", conflicts_with = "from")]
    seed: Option<u64>,
    /// Print lines instead of showing a screen
    #[arg(long)]
    headless: bool,
    /// End after this time, such as 30s
    #[arg(long = "for", value_name = "TIME", value_parser = Seconds::parse)]
    time: Option<Seconds>,
    /// Take the pipeline down in the end
    #[arg(long)]
    down: bool,
}

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long events in flight may be quiet besides the time for which batches wait.
const QUIET: Duration = Duration::from_secs(4);

/// Reads a number of events a second.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0 && *rate <= 10_000.0);
    rate.ok_or_else(|| format!("`{text}` is not a rate: write a number of events a second, from 0 to 10000"))
}

impl Args {
    fn end(&self, now: Instant) -> Option<Instant> {
        self.time.map(|time| now + Duration::from_secs(time.0))
    }
}

/// What all parts of a run share.
struct Dev<'a> {
    args: &'a Args,
    global: &'a Global,
    caller: Caller,
    session: watch::Sender<Arc<Session>>,
    sent: Sent,
    events: mpsc::UnboundedSender<Event>,
    /// The functions that fail on purpose.
    broken: Mutex<BTreeSet<String>>,
    /// Held by whoever changes the pipeline.
    changing: tokio::sync::Mutex<()>,
}

/// What a screen listens to, and whom it tells.
struct Ears {
    events: mpsc::UnboundedReceiver<Event>,
    orders: mpsc::UnboundedSender<Order>,
    jobs: mpsc::UnboundedSender<Job>,
}

impl Dev<'_> {
    fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session.borrow())
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more once the end has come.
        drop(self.events.send(event));
    }

    fn note(&self, severity: Severity, text: String) {
        self.tell(Event::Note(severity, text));
    }

    fn is_broken(&self, function: &str) -> bool {
        locked(&self.broken).contains(function)
    }

    fn set_broken(&self, change: impl FnOnce(&mut BTreeSet<String>)) {
        let mut broken = locked(&self.broken);
        let before = broken.clone();
        change(&mut broken);
        if *broken != before {
            self.tell(Event::Broken(broken.clone()));
        }
    }

    /// How long nothing may be seen of events in flight.
    fn quiet(&self) -> Duration {
        let session = self.session();
        let windows = session.pipeline.nodes.iter().filter_map(|node| match &node.resource {
            Any::Mapping(mapping) => Some(mapping.batch_window.0),
            _ => None,
        });
        QUIET + Duration::from_secs(windows.max().unwrap_or_default())
    }

    /// Looks at the pipeline again and again.
    async fn look(&self) {
        let mut sampler = Sampler::of_own();
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut said, mut before) = (None, 0);
        loop {
            ticks.tick().await;
            let session = self.session();
            let now = self.sent.events();
            match sampler.look(&session).await {
                Ok(mut sample) => {
                    said = None;
                    self.fill_source(&session, &mut sample, now - before);
                    before = now;
                    self.tell(Event::Sample(sample));
                }
                Err(error) if said.as_ref() == Some(&format!("{error:#}")) => {}
                Err(error) => {
                    self.note(Severity::Error, format!("looking at the pipeline: {error:#}"));
                    said = Some(format!("{error:#}"));
                }
            }
        }
    }
}

impl Dev<'_> {
    /// The flow whose source events are sent to.
    fn flow<'s>(&self, session: &'s Session) -> Option<&'s Flow> {
        let function = self.args.function.as_deref();
        let flow = if self.args.from.is_some() { session.flow(function) } else { session.first_flow(function) };
        flow.ok()
    }

    /// The functions that get every event that is sent, and say in their logs what became of it.
    fn readers(&self) -> Vec<String> {
        let session = self.session();
        let Some(fed) = self.flow(&session) else { return Vec::new() };
        let flows = session.pipeline.flows.iter().filter(|flow| flow.source == fed.source && flow.filter.is_empty());
        flows.filter(|flow| flow.recipe.is_some()).map(|flow| flow.key.clone()).collect()
    }

    /// What goes into the source of the events that are sent from here.
    fn fill_source(&self, session: &Session, sample: &mut Sample, events: u64) {
        let Some(node) = self.flow(session).and_then(|flow| node_of(session, &flow.source).ok()) else { return };
        #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
        let per_second = (sample.seconds > 0.0).then(|| events as f64 / sample.seconds);
        for source in sample.sources.iter_mut().filter(|source| source.node == node) {
            source.per_second = per_second;
        }
    }
}

pub(crate) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    if global.endpoint_url.is_some() {
        return Err(Hint::usage(
            "`dev` runs a pipeline in the embedded AWS, and nowhere else",
            "leave --endpoint-url out; `streamkit status --watch` shows a pipeline wherever it is",
        ));
    }
    let global = &Global { local: true, ..global.clone() };
    let on_screen = !args.headless && !global.json && !global.quiet && !logs(global) && Terminal::is_there();
    let started = Instant::now();
    bring_up(args, global, reporter, &interrupt).await?;
    let input = Input::spec(&args.spec);
    let session = Box::pin(Session::open(&input, global, reporter, Start::Never));
    let session = Arc::new(interrupt.unless(session).await?);
    let (events, heard) = mpsc::unbounded_channel();
    let (orders, taken) = mpsc::unbounded_channel();
    let (jobs, given) = mpsc::unbounded_channel();
    let spec = args.spec.spec.as_ref().map(|spec| spec.display().to_string());
    let dev = Dev {
        args,
        global,
        caller: Caller::new(spec.as_deref(), global),
        session: watch::Sender::new(Arc::clone(&session)),
        sent: Sent::default(),
        events: events.clone(),
        broken: Mutex::default(),
        changing: tokio::sync::Mutex::default(),
    };
    let mut ears = Ears { events: heard, orders, jobs };
    let mut run = Run::new();
    reporter.line(&serde_json::json!({
        "event": "up", "pipeline": session.pipeline.naming.prefix(), "endpoint": session.aws.endpoint, "took": started.elapsed().as_secs_f64(),
    }))?;
    let parts = async {
        tokio::join!(
            feed(args, dev.session.subscribe(), taken, &dev.sent, &events),
            dev.look(),
            follow(&dev, &interrupt),
            work(&dev, given, &interrupt)
        )
    };
    let mut listening = interrupt.clone();
    let shown = async {
        if on_screen {
            on_screen::show(&dev, &mut ears, &mut run, reporter, &mut listening).await
        } else {
            headless::tell(&dev, &mut ears, &mut run, reporter, &mut listening).await
        }
    };
    tokio::select! {
        shown = Box::pin(shown) => shown?,
        _ = Box::pin(parts) => {}
    }
    end(&dev, &run, reporter, interrupt).await
}

/// Brings the pipeline up; with `--json` only its mistakes are shown.
async fn bring_up(args: &Args, global: &Global, reporter: &Reporter, interrupt: &Interrupt) -> anyhow::Result<()> {
    let up = up::Args::unasked(args.spec.clone(), CodeArgument::default());
    if !global.json {
        return Box::pin(up::run(&up, global, reporter, interrupt.clone())).await.map(drop);
    }
    let (keeping, kept) = Reporter::keeping();
    let result = Box::pin(up::run(&up, global, &keeping, interrupt.clone())).await;
    if result.as_ref().is_err_and(anyhow::Error::is::<Shown>) {
        reporter.pass_on(&kept);
    }
    result.map(drop)
}

/// Mends what was broken on purpose, says what it all came to, and takes the pipeline down if that is wanted.
async fn end(dev: &Dev<'_>, run: &Run, reporter: &Reporter, interrupt: Interrupt) -> anyhow::Result<ExitCode> {
    let broken = locked(&dev.broken).clone();
    for function in &broken {
        set_broken(dev, function, false).await?;
    }
    let ended = run.ended(&dev.sent, dev.args.down);
    if dev.args.down {
        let down = down::Args::unasked(dev.args.spec.path());
        let (keeping, kept) = Reporter::keeping();
        let result = Box::pin(down::run(&down, dev.global, &keeping, interrupt)).await;
        if let Err(error) = result {
            reporter.pass_on(&kept);
            return Err(error);
        }
    }
    reporter.text(&ended.text());
    reporter.line(&ended)?;
    if !dev.args.down {
        reporter.note(&format!(
            "the pipeline stays up: `{}` takes it down, `streamkit local stop` the embedded AWS with all that it holds",
            dev.caller.command("down", "--yes")
        ));
    }
    Ok(exit_code::DONE)
}
