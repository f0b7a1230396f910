//! `streamkit outputs`: the names, ARNs and URLs of a pipeline's resources, for other programs.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use super::policy::account;
use super::session::{Input, Session, SpecArgument, Whose};
use crate::daemon::Start;
use crate::options::Global;
use crate::pipeline::Node;
use crate::plan::{Place, ResourceKind};
use crate::report::{Reporter, exit_code};
use crate::resources::{Any, Resource as _};

/// Print names, ARNs and URLs of everything in the pipeline file, whether it is there already or not
///
/// They follow from the file, the account and the region. What AWS makes up itself (the ARN of a table's stream, the id of a
/// mapping) is not among them. With --account nothing is asked of AWS.
///
/// Example: eval "$(streamkit outputs --env)" && echo "$STREAM_EVENTS_NAME"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    /// Print assignments for a shell or an env file, such as QUEUE_DLQ_URL=…
    #[arg(long, conflicts_with = "json")]
    env: bool,
    /// The account to print them for, instead of asking STS whose the credentials are
    #[arg(long, value_name = "ID", value_parser = account)]
    account: Option<String>,
}

#[derive(Debug, Serialize)]
struct Outputs {
    #[serde(flatten)]
    place: Place,
    outputs: Vec<Output>,
}

/// What other programs call a resource.
#[derive(Debug, Serialize)]
struct Output {
    node: String,
    kind: &'static str,
    name: String,
    arn: Option<String>,
    /// Of a queue.
    url: Option<String>,
}

pub(crate) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let whose = args.account.clone().map_or(Whose::Asked, Whose::Known);
    let session = Session::open_in(&Input::spec(&args.spec), global, reporter, Start::Never, whose).await?;
    let outputs: Vec<Output> = session.pipeline.nodes.iter().filter_map(|node| output(node, &session)).collect();
    if args.env {
        reporter.text(&outputs.iter().map(Output::assignments).collect::<String>());
    } else {
        let widest = outputs.iter().map(|output| output.node.len()).max().unwrap_or(0);
        reporter.text(&outputs.iter().map(|output| output.lines(widest)).collect::<String>());
    }
    reporter.document(&Outputs { place: session.place(), outputs })?;
    Ok(exit_code::DONE)
}

/// `None` for what has no name of its own.
fn output(node: &Node, session: &Session) -> Option<Output> {
    let (resource, aws) = (&node.resource, &session.aws);
    let kind = resource.kind();
    if matches!(kind, ResourceKind::Mapping | ResourceKind::Consumer) {
        return None;
    }
    let arn = resource.arn(aws);
    let there = resource.region().map(|region| aws.in_region(region));
    let there = there.as_ref().unwrap_or(aws);
    Some(Output {
        node: node.id.clone(),
        kind: kind.text(),
        name: resource.name().to_owned(),
        arn: (!arn.is_empty()).then_some(arn),
        url: matches!(resource.inner(), Any::Queue(_)).then(|| there.queue_url(resource.name())),
    })
}

impl Output {
    fn lines(&self, widest: usize) -> String {
        let mut lines = format!("{:<widest$}  {}\n", self.node, self.name);
        for more in [&self.arn, &self.url].into_iter().flatten() {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{:<widest$}  {more}", "");
        }
        lines
    }

    /// Names and ARNs have no character that a shell would take for anything else.
    fn assignments(&self) -> String {
        let upper = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
        let variable: String = self.node.chars().map(upper).collect();
        let values = [("NAME", Some(&self.name)), ("ARN", self.arn.as_ref()), ("URL", self.url.as_ref())];
        let lines = values.into_iter().filter_map(|(what, value)| Some(format!("{variable}_{what}={}\n", value?)));
        lines.collect()
    }
}
