//! The check on replicas: what is written in one region of a global table is there in the others.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use streamkit_handler::attribute::attribute_values;
use tokio::time::{Instant, sleep};

use super::check::Verdict;
use super::table::run::TableRun;
use crate::aws::answered;
use crate::commands::since::epoch_ms;
use crate::resources::{Any, Resource as _};

/// The number of the item that is looked for, among the run's canaries.
const NUMBER: usize = 1_000_000;
const PAUSE: Duration = Duration::from_millis(50);

/// The other regions that have the items of the run's table.
pub(super) fn regions(run: &TableRun<'_>) -> Vec<String> {
    let (pipeline, table) = (&run.validation.session.pipeline, run.validation.flow.source.name());
    let of_table = pipeline.nodes.iter().filter(|node| node.resource.name() == table);
    let replicas = of_table.filter_map(|node| match (node.resource.region(), node.resource.inner()) {
        (Some(region), Any::Replica(_)) => Some(region.to_owned()),
        // Of a region that is not the pipeline's own, the pipeline's own is one of the others.
        (None, Any::Replica(replica)) => Some(replica.home.clone()),
        _ => None,
    });
    replicas.collect()
}

/// Puts an item, and looks until all of the regions have it.
pub(super) async fn check(run: &mut TableRun<'_>, regions: &[String]) -> anyhow::Result<Verdict> {
    let deadline = run.validation.deadline();
    let now_ms = epoch_ms(SystemTime::now());
    let canary = run.samples.canary(&run.validation.run_id, NUMBER, now_ms, run.key());
    let key = canary.key(run.key());
    run.make(vec![canary], true).await?;
    let started = Instant::now();
    let (table, aws) = (run.validation.flow.source.name(), &run.validation.session.aws);
    let mut seen = Vec::new();
    for region in regions {
        let dynamodb = &aws.in_region(region).dynamodb;
        loop {
            let get = dynamodb.get_item().table_name(table).set_key(Some(attribute_values(&key)));
            let answer =
                answered(get.send().await).with_context(|| format!("reading an item of {table} in {region}"))?;
            if answer.item.is_some() {
                seen.push(format!("{region} after {:.1} s", started.elapsed().as_secs_f64()));
                break;
            }
            if Instant::now() >= deadline {
                let observed = format!("not in {region} after {} s", run.validation.limit.as_secs());
                return Ok(Verdict::new(false, observed).or_hint("see the metric ReplicationLatency of AWS/DynamoDB"));
            }
            sleep(PAUSE).await;
        }
    }
    Ok(Verdict::new(true, seen.join(", ")))
}
