//! `streamkit logs`: the functions' logs, laid out for people.

mod layout;
mod level;
pub(super) mod line;
pub(super) mod platform;
pub(super) mod reader;

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use clap_complete::ArgValueCompleter;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::time::sleep;

use self::layout::{Layout, json_line};
pub(super) use self::level::Level;
use self::line::{Line, Source};
use self::reader::{Event, Readers};
use super::session::{Input, RegionArgument, Session, SpecArgument};
use super::since::Since;
use crate::candidates::functions;
use crate::daemon::Start;
use crate::failure::{Hint, Interrupted};
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::report::{Reporter, exit_code};

/// Show what the functions log, as it comes with --follow
///
/// Each line has its time, function, level and message, then its fields. The lines of Lambda itself
/// are shown too, those that only carry metrics are not. With --json each line is one document: as
/// it is, if it is JSON.
///
/// Example: streamkit logs pipelines/retail-events.toml --local --follow --level warn
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    #[command(flatten)]
    region: RegionArgument,
    /// Go on with what comes, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// From which moment on: an age such as 10m, or a time such as 2026-11-22T09:30:00Z
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = Since::parse)]
    since: Since,
    /// Leave out what is below this level
    #[arg(long, value_name = "LEVEL", value_enum)]
    level: Option<Level>,
    /// Only the lines of the invocation with this request id
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Only this function; may be given several times
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(functions))]
    function: Vec<String>,
    /// Show the lines that carry metrics too
    #[arg(long)]
    metrics: bool,
    /// Stop after so many lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// How often to look for more: CloudWatch Logs takes five such requests a second of a whole account.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    tokio::select! {
        biased;
        result = show(args, global, reporter) => result,
        // Whoever follows ends it so.
        () = interrupt.changed() => if args.follow { Ok(exit_code::DONE) } else { Err(Interrupted { left: 0 }.into()) },
        () = reporter.reader_left() => Ok(exit_code::DONE),
    }
}

async fn show(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let session = Box::pin(Session::open(&Input::spec(&args.spec), global, reporter, Start::Never)).await?;
    let session = args.region.choose(session)?;
    let flows = session.flows(&args.function)?;
    let since_ms = args.since.epoch_ms(session.aws.now());
    let mut readers = Readers::new(&session.aws, flows.iter().map(|flow| flow.log_group.as_str()), since_ms);
    let layout = Layout {
        paint: reporter.paint(),
        functions: flows.iter().map(|flow| flow.key.clone()).collect(),
        today: Timestamp::try_from(session.aws.now())?.to_zoned(TimeZone::UTC).date(),
        one_request: args.request.is_some(),
    };
    let mut chosen = Chosen { args, running: HashMap::new() };
    let (mut left, mut told) = (args.count, false);
    loop {
        while let Some(event) = readers.next().await? {
            let line = Line::parse(&event.message);
            if !chosen.has(&event, &line) {
                continue;
            }
            reporter.data(&if global.json {
                json_line(&event, &layout.functions[event.function])
            } else {
                layout.line(&event, &line)
            });
            left = left.map(|left| left - 1);
            if left == Some(0) || reporter.has_no_reader() {
                return Ok(exit_code::DONE);
            }
        }
        let missing = readers.missing();
        if missing.len() == flows.len() {
            return Err(Hint::error(
                format!("there is no log group {}", missing.join(", ")),
                "bring the pipeline up with `streamkit up` first",
            ));
        }
        if !missing.is_empty() && !told {
            reporter.note(&format!("there is no log group {}", missing.join(", ")));
            told = true;
        }
        if !args.follow {
            return Ok(exit_code::DONE);
        }
        sleep(FOLLOW_EVERY).await;
        readers.again();
    }
}

/// Which lines are wanted.
struct Chosen<'a> {
    args: &'a Args,
    /// The invocation that runs in an execution environment, by function and log stream: what it prints need not say so.
    running: HashMap<(usize, String), String>,
}

impl Chosen<'_> {
    fn has(&mut self, event: &Event, line: &Line) -> bool {
        let of_request = self.is_of_request(event, line);
        let by_level = self.args.level.is_none_or(|level| line.weight() >= level);
        let by_kind = self.args.metrics || line.source != Source::Metrics;
        of_request && by_level && by_kind
    }

    fn is_of_request(&mut self, event: &Event, line: &Line) -> bool {
        let Some(wanted) = &self.args.request else { return true };
        let environment = (event.function, event.stream.clone());
        let Some(request) = &line.request else { return self.running.get(&environment) == Some(wanted) };
        if line.source == Source::Platform {
            self.running.insert(environment, request.clone());
        }
        request == wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Seconds;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn args(given: &[&str]) -> Args {
        <Command as clap::Parser>::try_parse_from([&["logs"], given].concat()).unwrap().args
    }

    fn shown<'a>(args: &Args, messages: &[&'a str]) -> Vec<&'a str> {
        let mut chosen = Chosen { args, running: HashMap::new() };
        let event = |message: &str| Event {
            function: 0,
            id: String::new(),
            time_ms: 0,
            stream: "s".to_owned(),
            message: message.to_owned(),
        };
        messages.iter().copied().filter(|message| chosen.has(&event(message), &Line::parse(message))).collect()
    }

    const METRICS: &str = r#"{"_aws":{"CloudWatchMetrics":[]},"Failed":1}"#;

    #[test]
    fn the_last_minutes_of_everything_are_shown_unless_it_is_said() {
        let args = args(&[]);
        assert_eq!(args.since, Since::Ago(Seconds(600)));
        assert_eq!(shown(&args, &["START RequestId: a Version: 1", "text", METRICS]).len(), 2);
    }

    #[test]
    fn lines_below_the_level_and_metrics_are_left_out() {
        let lines = ["text", r#"{"level":"WARN"}"#, r#"{"level":"ERROR"}"#, METRICS];
        assert_eq!(shown(&args(&["--level", "warn"]), &lines), lines[1..3]);
        assert_eq!(shown(&args(&["--level", "error"]), &lines), lines[2..3]);
        assert_eq!(shown(&args(&["--metrics"]), &lines), lines);
    }

    #[test]
    fn what_an_invocation_prints_belongs_to_it_whether_it_says_so_or_not() {
        let lines = [
            "of nobody",
            "START RequestId: a Version: $LATEST",
            "of a",
            "END RequestId: a",
            "START RequestId: b Version: $LATEST",
            "of b",
            r#"{"requestId":"a","message":"late"}"#,
        ];
        assert_eq!(shown(&args(&["--request", "a"]), &lines), [lines[1], lines[2], lines[3], lines[6]]);
        assert_eq!(shown(&args(&["--request", "b"]), &lines), lines[4..6]);
    }
}
