//! How far functions were behind their sources during a run, for the page about it.

use std::time::{Duration, SystemTime};

use super::session::Session;
use crate::aws::{Metric, MinuteStatistic};
use crate::pipeline::Flow;
use crate::report::{FunctionLag, LagMinute, Reporter, RunHeader};

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
    // On AWS's clock, as the minutes are.
    let began = session.aws.now() - header.started.elapsed();
    for flow in flows {
        let dimension = ("FunctionName", flow.function.as_str());
        let metric =
            Metric { namespace: "AWS/Lambda", name: "IteratorAge", dimension, statistic: MinuteStatistic::Maximum };
        match metric.minutes(&session.aws, header.started.elapsed() + MINUTE).await {
            Ok(minutes) => {
                let minutes = minutes.into_iter().filter_map(|(at, milliseconds)| of_run(at, milliseconds, began));
                all.push(FunctionLag { function: flow.key.clone(), minutes: minutes.collect() });
            }
            Err(error) => reporter.note(&format!("the lag of function.{} is not in the report: {error}", flow.key)),
        }
    }
    all
}

/// The minute that began at `at`, as far as it is in a run; `None` if it was over when that began: its lag is of something else.
fn of_run(at: SystemTime, milliseconds: f64, began: SystemTime) -> Option<LagMinute> {
    let to = (at + MINUTE).duration_since(began).ok().filter(|to| !to.is_zero())?;
    let from = at.duration_since(began).unwrap_or_default();
    Some(LagMinute { from: from.as_secs_f64(), to: to.as_secs_f64(), lag: milliseconds / 1_000.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_of_before_the_run_are_left_out_and_its_first_one_is_cut() {
        let clock = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_040);
        let began = clock + Duration::from_secs(45);
        let minutes = [clock - 2 * MINUTE, clock - MINUTE, clock, clock + MINUTE];
        let minutes = minutes.map(|at| of_run(at, 1_500.0, began));
        let minute = |from, to| Some(LagMinute { from, to, lag: 1.5 });
        assert_eq!(minutes, [None, None, minute(0.0, 15.0), minute(15.0, 75.0)]);
        assert_eq!(of_run(began - MINUTE, 1_500.0, began), None, "it ended when the run began");
    }
}
