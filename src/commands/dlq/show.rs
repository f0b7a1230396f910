//! `streamkit dlq show`: each failed record or batch, with payload, error and place.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::Which;
use super::held::{Held, MOST, give_all_back};
use super::reading::{age_seconds, facts_of, failed_ms, location, payload};
use super::stores::{self, Place, flow_of};
use crate::commands::session::Session;
use crate::commands::since::epoch_ms;
use crate::dead_letters::{Kind, Message};
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::report::{Paint, Reporter, duration_text, escaped, exit_code};

/// Between looks for new messages.
const PAUSE: Duration = Duration::from_secs(2);
/// The most characters of a payload that people are shown, and the most records of a batch.
const SHOWN: usize = 2_000;
const SHOWN_RECORDS: usize = 10;

/// Show each failed record: payload, error, place in the stream, attempts
///
/// Of a batch that a mapping gave up, the records are read from the stream again, as far as it
/// still has them. Messages are given back at once; their receive counts rise by one.
///
/// Example: streamkit dlq show pipelines/retail-events.toml --local --select 'code = "missing_field"'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Show this many at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Go on with what fails from now on, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

pub(super) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    let (session, places) = interrupt.unless(args.which.open(global, reporter)).await?;
    stores::expect_some(&places)?;
    let mut seen = HashSet::new();
    let mut looked_at = HashSet::new();
    let mut shown = 0;
    loop {
        for place in &places {
            if let Some(why) = &place.unread {
                if seen.insert(place.node.clone()) && args.which.queue.is_some() {
                    reporter.note(&format!("{} is not looked at: {why}", place.node));
                }
                continue;
            }
            // Look after look would move its messages on.
            if place.usage.max_receives.is_some() && !looked_at.insert(place.node.clone()) {
                continue;
            }
            shown += look(&session, place, args, &mut seen, shown, reporter, &interrupt).await?;
        }
        if !args.follow || interrupt.is_set() || args.count.is_some_and(|count| shown >= count) {
            break;
        }
        // Ctrl-C is how following ends.
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = interrupt.changed() => break,
        }
    }
    if shown == 0 && !args.follow {
        reporter.text("nothing has failed\n");
    }
    Ok(exit_code::DONE)
}

async fn look(
    session: &Session,
    place: &Place,
    args: &Args,
    seen: &mut HashSet<String>,
    before: u64,
    reporter: &Reporter,
    interrupt: &Interrupt,
) -> anyhow::Result<u64> {
    let mut held = Held::new(&place.store);
    let mut shown = 0;
    let is_enough = |shown: u64| args.count.is_some_and(|count| before + shown >= count);
    let mut looked = async || {
        while !is_enough(shown) && held.len() < MOST && !interrupt.is_set() {
            let most = args.count.map_or(MOST, |count| usize::try_from(count).unwrap_or(MOST));
            let messages = held.receive(most).await?;
            if messages.is_empty() {
                break;
            }
            for message in messages {
                if is_enough(shown) || !seen.insert(message.id.clone()) {
                    continue;
                }
                if let Some(shown_message) = describe(session, place, args, &message).await? {
                    reporter.line(&shown_message)?;
                    reporter.text(&text(&shown_message, reporter.paint()));
                    shown += 1;
                }
            }
        }
        anyhow::Ok(())
    };
    let looked = looked().await;
    give_all_back(vec![held], looked).await?;
    Ok(shown)
}

/// The message as `--json` has it; `None` if it is not meant.
async fn describe(session: &Session, place: &Place, args: &Args, message: &Message) -> anyhow::Result<Option<Value>> {
    let now_ms = epoch_ms(session.aws.now());
    let flow = flow_of(session, message);
    let chosen = args.which.chosen();
    if !chosen.includes(message, flow, now_ms) {
        return Ok(None);
    }
    let at = location(&message.kind);
    let mut shown = json!({
        "id": message.id,
        "kind": message.kind.name(),
        "code": message.kind.code(),
        "message": message.kind.message(),
        "function": flow.map(|flow| flow.key.as_str()).or(message.kind.function()),
        "stream": at.as_ref().map(|at| &at.stream),
        "shard": at.as_ref().map(|at| &at.shard),
        "sequence_numbers": at.map(|at| at.sequence_numbers).unwrap_or_default(),
        "queue": place.node,
        "age_seconds": age_seconds(failed_ms(message), now_ms),
        "receives": message.receives,
    });
    match &message.kind {
        Kind::Letter(letter) => {
            shown["event_id"] = json!(letter.event_id);
            shown["key"] = json!(letter.record.key());
            shown["payload"] = if letter.without_payload { Value::Null } else { payload(&letter.record) };
        }
        Kind::OnFailure(batch) => {
            let filter: &[Value] = flow.map_or(&[], |flow| &flow.filter);
            let mut read = batch.reread(&session.aws, filter).await?;
            if let Some(selection) = chosen.selection
                && selection.needs_record()
            {
                read.records
                    .retain(|record| facts_of(message, flow, Some(record), now_ms, |facts| selection.includes(facts)));
                if read.records.is_empty() {
                    return Ok(None);
                }
            }
            shown["attempts"] = json!(batch.invocations);
            shown["records"] = json!(batch.records);
            shown["expired"] = json!(read.expired);
            shown["payload"] = read.records.iter().map(payload).collect();
        }
        Kind::Other => {
            shown["payload"] = serde_json::from_str(&message.body).unwrap_or_else(|_| json!(message.body));
        }
    }
    Ok(Some(shown))
}

/// The same for people.
fn text(shown: &Value, paint: Paint) -> String {
    // What a message says must not move the terminal's cursor.
    let field = |name: &str| match &shown[name] {
        Value::String(text) => escaped(text),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let mut text = String::new();
    let code = field("code");
    let code = if code.is_empty() { field("kind") } else { code };
    let age = duration_text(shown["age_seconds"].as_f64().unwrap_or_default());
    let _ = writeln!(text, "{}  {}  {age} ago, in {}", paint.bad(&code), field("function"), field("queue"));
    if !field("message").is_empty() {
        let _ = writeln!(text, "  {}", field("message"));
    }
    let numbers: Vec<_> =
        shown["sequence_numbers"].as_array().into_iter().flatten().filter_map(Value::as_str).map(escaped).collect();
    if !numbers.is_empty() {
        let shard = field("shard");
        let at = [field("stream"), shard, numbers.join(" to ")];
        let at: Vec<_> = at.iter().filter(|part| !part.is_empty()).map(String::as_str).collect();
        let _ = writeln!(text, "  at {}", at.join("  "));
    }
    if shown["expired"].as_u64().is_some_and(|expired| expired > 0) {
        let _ = writeln!(text, "  {} of its records have expired in the stream", field("expired"));
    }
    match &shown["payload"] {
        Value::Null => {
            text.push_str(
                "  the payload was too large for the message; it is read from the stream when it is played\n",
            );
        }
        Value::Array(all) if shown["kind"] == "on_failure" => {
            for payload in all.iter().take(SHOWN_RECORDS) {
                let _ = writeln!(text, "  {}", cut(payload));
            }
            if all.len() > SHOWN_RECORDS {
                let _ = writeln!(text, "  and {} more", all.len() - SHOWN_RECORDS);
            }
        }
        payload => drop(writeln!(text, "  {}", cut(payload))),
    }
    text.push('\n');
    text
}

fn cut(payload: &Value) -> String {
    let text = match payload {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text = escaped(&text);
    if text.chars().count() <= SHOWN { text } else { format!("{}…", text.chars().take(SHOWN).collect::<String>()) }
}
