//! Sends events at a rate that can be changed, and single ones when they are asked for.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use streamkit_recipes::{Event, Samples, Writer};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::Args;
use super::event::{self, Sent};
use crate::commands::send::pace::Pace;
use crate::commands::send::source::{Next, Source, now_ms};
use crate::commands::session::Session;
use crate::failure::{Hint, Usage};
use crate::pipeline::Flow;
use crate::producer::{Batch, Producer, RECORD_BYTES};
use crate::screen::Severity;
use crate::table_writer::{self, TableWriter, with_origin};

/// How long an event may wait for others to share its call.
const TICK: Duration = Duration::from_millis(50);

/// What the sender is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Order {
    /// Events a second; 0 for none.
    Rate(f64),
    /// One now.
    Send,
    /// One now that the recipe rejects.
    Poison,
    /// No more.
    Stop,
}

/// Where events come from, and where they go.
enum Feed {
    Stream { source: Source, producer: Producer },
    Lines { lines: Vec<Vec<u8>>, next: usize, producer: Producer },
    Table { samples: Box<dyn Writer + Send>, origin: Option<(String, String)>, writer: TableWriter },
}

/// Sends until it is stopped; when the session becomes another one, events of that.
pub(super) async fn feed(
    args: &Args,
    mut sessions: watch::Receiver<Arc<Session>>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    sent: &Sent,
    events: &mpsc::UnboundedSender<event::Event>,
) {
    let note = |severity, text: String| {
        // Nobody listens any more once the end has come.
        let _ = events.send(event::Event::Note(severity, text));
    };
    let mut rate = args.rate;
    let mut pace = pace(rate);
    loop {
        let session = Arc::clone(&sessions.borrow_and_update());
        let opened = Feed::open(args, &session).await;
        sent.is_able.store(opened.is_ok(), Ordering::Relaxed);
        let mut feed = match opened {
            Ok(feed) => Some(feed),
            Err(error) => {
                note(Severity::Warning, format!("nothing is sent: {error:#}"));
                None
            }
        };
        let mut said = None;
        loop {
            let due = pace.as_ref().map(Pace::due).filter(|_| feed.is_some());
            let tick = due.map(|due| due.max(Instant::now() + TICK));
            let order = tokio::select! {
                biased;
                order = orders.recv() => order,
                changed = sessions.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    break;
                }
                () = sleep_until(tick.unwrap_or_else(Instant::now)), if tick.is_some() => Some(Order::Rate(rate)),
            };
            let result = match (order, &mut feed) {
                (None | Some(Order::Stop), _) => return,
                (Some(Order::Rate(wanted)), _) if (wanted - rate).abs() > f64::EPSILON => {
                    rate = wanted;
                    pace = self::pace(rate);
                    continue;
                }
                (_, None) => continue,
                (Some(Order::Rate(_)), Some(feed)) => feed.send_due(pace.as_mut(), sent).await,
                (Some(Order::Send), Some(feed)) => feed.send_one(false, sent).await,
                (Some(Order::Poison), Some(feed)) => feed.send_one(true, sent).await,
            };
            match result {
                Ok(()) => said = None,
                // While a stream is missing, every event would say so.
                Err(error) if said.as_ref() == Some(&format!("{error:#}")) => {}
                Err(error) => {
                    note(Severity::Error, format!("not sent: {error:#}"));
                    said = Some(format!("{error:#}"));
                }
            }
        }
    }
}

fn pace(rate: f64) -> Option<Pace> {
    (rate > 0.0).then(|| Pace::new(rate, Instant::now()))
}

impl Feed {
    async fn open(args: &Args, session: &Session) -> anyhow::Result<Self> {
        let flow = match &args.from {
            Some(_) => session.flow(args.function.as_deref())?,
            None => session.first_flow(args.function.as_deref())?,
        };
        let producer = Producer::new(&session.aws, flow.source.name());
        if let Some(file) = &args.from {
            return Ok(Self::Lines { lines: lines(file)?, next: 0, producer });
        }
        let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
        match samples(session, flow)? {
            Samples::Stream(samples) => {
                let source = Source::generator(samples, seed, args.poison, &flow.identity);
                Ok(Self::Stream { source, producer })
            }
            Samples::Table(samples) => {
                let table = flow.source.name();
                let key = table_writer::describe(&session.aws, table).await?.key;
                let origin = flow.origin.clone().map(|attribute| (attribute, session.aws.region.clone()));
                let samples = samples.writer(seed, &key);
                Ok(Self::Table { samples, origin, writer: TableWriter::new(&session.aws, table) })
            }
            Samples::OfOthers => anyhow::bail!("no recipe has events for the source of `{}`", flow.key),
        }
    }

    /// Sends what is due by now, as far as one call takes it.
    async fn send_due(&mut self, pace: Option<&mut Pace>, sent: &Sent) -> anyhow::Result<()> {
        let Some(pace) = pace else { return Ok(()) };
        if let Self::Table { .. } = self {
            while pace.due() <= Instant::now() {
                pace.took(Instant::now());
                self.send_one(false, sent).await?;
            }
            return Ok(());
        }
        let mut batch = Batch::default();
        let mut poison = 0;
        while pace.due() <= Instant::now() && !batch.is_full() {
            let Some((event, is_poison)) = self.next(false) else { break };
            pace.took(Instant::now());
            poison += u64::from(is_poison);
            if batch.push(event).is_err() {
                break;
            }
        }
        self.put(batch, poison, sent).await
    }

    /// Sends one event.
    async fn send_one(&mut self, poison: bool, sent: &Sent) -> anyhow::Result<()> {
        if let Self::Table { samples, origin, writer, .. } = self {
            if poison {
                return Err(Usage("a table's changes are never poison".to_owned()).into());
            }
            let write = samples.next(now_ms());
            let write = match origin {
                Some((attribute, region)) => with_origin(write, attribute, region),
                None => write,
            };
            let result = writer.write(&write).await;
            count(if result.is_ok() { &sent.events } else { &sent.failed }, 1);
            return result.map(drop).context("changing an item");
        }
        let Some((event, is_poison)) = self.next(poison) else {
            return Err(Usage("the lines of a file are sent as they are: none is known to be poison".to_owned()).into());
        };
        let mut batch = Batch::default();
        // An empty batch takes any event.
        drop(batch.push(event));
        self.put(batch, u64::from(is_poison), sent).await
    }

    /// The next event for a stream, and whether it is poison.
    fn next(&mut self, poison: bool) -> Option<(Event, bool)> {
        match self {
            Self::Stream { source, .. } if poison => source.poison().map(|event| (event, true)),
            Self::Stream { source, .. } => match source.ready()?.ok()? {
                Next::Event { event, poison, .. } => Some((event, poison)),
                Next::TooLong { .. } | Next::End => None,
            },
            Self::Lines { .. } if poison => None,
            Self::Lines { lines, next, .. } => {
                let data = lines.get(*next % lines.len())?.clone();
                *next += 1;
                Some((Event { partition_key: format!("{:016x}", fastrand::u64(..)), data }, false))
            }
            Self::Table { .. } => None,
        }
    }

    async fn put(&self, batch: Batch, poison: u64, sent: &Sent) -> anyhow::Result<()> {
        let (Self::Stream { producer, .. } | Self::Lines { producer, .. }) = self else { return Ok(()) };
        if batch.is_empty() {
            return Ok(());
        }
        let put = producer.put(&batch).await;
        let accepted = put.positions.iter().flatten().count();
        count(&sent.events, accepted);
        count(&sent.failed, put.positions.len() - accepted);
        if accepted == put.positions.len() {
            sent.poison.fetch_add(poison, Ordering::Relaxed);
        }
        put.error.map_or(Ok(()), |error| Err(error).context("putting records into the stream"))
    }
}

fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
}

fn samples<'s>(session: &'s Session, flow: &'s Flow) -> anyhow::Result<Samples<'static>> {
    session.pipeline.samples(flow).map_err(|error| {
        if flow.recipe.is_some() {
            return error;
        }
        Hint::error(
            format!("only the function `{}` knows what its events are; give some with --from FILE", flow.key),
            "each line of the file is sent as an event, again and again",
        )
    })
}

/// The lines of a file that a stream takes.
fn lines(file: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let lines: Vec<Vec<u8>> =
        text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        return Err(Usage(format!("{} has no line to send", file.display())).into());
    }
    if let Some(place) = lines.iter().position(|line| line.len() + 16 > RECORD_BYTES) {
        return Err(Usage(format!("line {} of {} is larger than a record may be", place + 1, file.display())).into());
    }
    Ok(lines)
}

/// The next rate up or down: 1, 2, 5, 10, 20, 50 and so on, down to none and up to what one sender manages.
pub(super) fn step(rate: f64, up: bool) -> f64 {
    const STEPS: [f64; 14] =
        [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0];
    let next = if up { STEPS.iter().find(|step| **step > rate) } else { STEPS.iter().rev().find(|step| **step < rate) };
    next.copied().unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_go_up_and_down_in_steps() {
        let rates = [(0.0, true), (5.0, true), (7.5, true), (7.5, false), (1.0, false), (0.0, false), (10_000.0, true)];
        let stepped = rates.map(|(rate, up)| step(rate, up));
        assert_eq!(stepped.map(|rate| rate.to_string()), ["1", "10", "10", "5", "0", "0", "10000"]);
    }
}
