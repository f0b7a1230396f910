//! How far functions were behind their sources during a run, for the page about it.

use std::time::{Duration, SystemTime};

use super::session::Session;
use crate::aws::{Metric, MinuteStatistic};
use crate::pipeline::Flow;
use crate::report::{FunctionLag, Reporter, RunHeader};

/// A metric's minutes begin with those of the clock.
const MINUTE: Duration = Duration::from_secs(60);

/// Reads the lag of functions since the run began, as far as CloudWatch has it. Where it can't be read, that is said.
pub(super) async fn lag(
    session: &Session,
    flows: &[&Flow],
    header: &RunHeader,
    reporter: &Reporter,
) -> Vec<FunctionLag> {
    let mut all = Vec::new();
    for flow in flows {
        let dimension = ("FunctionName", flow.function.as_str());
        let metric =
            Metric { namespace: "AWS/Lambda", name: "IteratorAge", dimension, statistic: MinuteStatistic::Maximum };
        match metric.minutes(&session.aws, header.started.elapsed() + MINUTE).await {
            Ok(minutes) => {
                let since = |at: SystemTime| at.duration_since(header.began.into()).unwrap_or_default().as_secs_f64();
                let minutes =
                    minutes.into_iter().map(|(at, milliseconds)| (since(at), milliseconds / 1_000.0)).collect();
                all.push(FunctionLag { function: flow.key.clone(), minutes });
            }
            Err(error) => reporter.note(&format!("the lag of function.{} is not in the report: {error}", flow.key)),
        }
    }
    all
}
