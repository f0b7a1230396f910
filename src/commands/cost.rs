//! `streamkit cost`: what a pipeline costs a month.

mod document;
mod load;
mod measure;
mod text;
mod update;

use std::process::ExitCode;

use rust_decimal::Decimal;

use self::document::{Document, of_it};
use self::load::{DailyProfile, batch_ms, bytes, daily_profile, positive};
use super::session::{Input, Session, SpecArgument, Whose};
use super::since::Since;
use crate::cost::{Load, Measured, Prices, Question, Traffic, advice, break_evens, estimate};
use crate::daemon::Start;
use crate::failure::Hint;
use crate::home::Home;
use crate::options::Global;
use crate::report::{Reporter, exit_code};
use crate::spec::Seconds;

/// How far back CloudWatch is asked.
const SINCE: Since = Since::Ago(Seconds(7 * 86_400));

/// Where AWS publishes its price list.
const PRICE_LIST: &str = "https://pricing.us-east-1.amazonaws.com";

/// Show what the pipeline costs a month, by resource, and what would save
///
/// Declared capacity, which is paid for whether anything comes or not, is kept apart from use. Without --events-per-second and
/// --measured only the former is shown. Asks AWS nothing, but for --measured and --update.
///
/// Example: streamkit cost pipelines/retail-events.toml --events-per-second 100 --region us-east-1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    /// Events a second into each stream or table that is read and that no function of the pipeline writes
    #[arg(long, value_name = "N", value_parser = positive, conflicts_with = "measured")]
    events_per_second: Option<Decimal>,
    /// Bytes of a record, such as 500, 2KB or 1MB [default: the mean of the recipe's sample events]
    #[arg(long, value_name = "SIZE", value_parser = bytes, requires = "events_per_second")]
    record_size: Option<Decimal>,
    /// 24 factors, one for each hour of the day, by which the events a second are multiplied, such as 0.2,0.2,…,3.5
    #[arg(long, value_name = "FACTORS", value_parser = daily_profile, requires = "events_per_second")]
    daily_profile: Option<DailyProfile>,
    /// How long an invocation takes, such as 40ms or 1.5s [default: made up from its records]
    #[arg(long, value_name = "TIME", value_parser = batch_ms, conflicts_with = "measured")]
    duration_per_batch: Option<Decimal>,
    /// GB that each table holds
    #[arg(long, value_name = "GB", value_parser = positive)]
    table_size: Option<Decimal>,
    /// Take what CloudWatch has counted in place of assumptions
    #[arg(long)]
    measured: bool,
    /// Since when, as an age such as 7d or a time [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = Since::parse, requires = "measured")]
    since: Option<Since>,
    /// Read AWS's public price list for the pipeline's regions, and use those prices from then on
    #[arg(long, conflicts_with_all = ["measured", "events_per_second"])]
    update: bool,
    /// Where the price list is, for those who have a copy of it
    #[arg(long, value_name = "URL", requires = "update", default_value = PRICE_LIST)]
    price_list: String,
}

pub(crate) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let input = Input::spec(&args.spec);
    let session = if args.measured {
        Session::open(&input, global, reporter, Start::Never).await?
    } else {
        // Nobody is asked, so what runs on this machine does not matter.
        let global = Global { local: false, region: region(global), ..global.clone() };
        Session::open_in(&input, &global, reporter, Start::Never, Whose::Any).await?
    };
    let home = Home::find()?;
    let regions = || session.pipeline.regions().into_iter().chain([session.aws.region.as_str()]);
    if args.update {
        let updated = update::update(regions(), &args.price_list, &home, reporter).await?;
        reporter.document(&updated)?;
        return Ok(exit_code::DONE);
    }
    let prices = Prices::load(&home, regions())?;
    let measured = if args.measured {
        let since = args.since.unwrap_or(SINCE);
        let measured = measure::measure(&session, since).await?;
        if measured.is_empty() {
            return Err(Hint::error(
                "CloudWatch has counted nothing of this pipeline in that time",
                "look further back with --since, or assume a load with --events-per-second",
            ));
        }
        measured
    } else {
        Measured::default()
    };
    let load = load_of(args);
    let question =
        Question { pipeline: &session.pipeline, aws: &session.aws, load: &load, measured: &measured, prices: &prices };
    let estimate = estimate(question)?;
    let (advices, break_evens) =
        if estimate.events.is_zero() { (Vec::new(), Vec::new()) } else { (advice(&estimate), break_evens(&estimate)) };
    let document = Document {
        pipeline: session.pipeline.naming.pipeline.clone(),
        stage: session.pipeline.naming.stage.clone(),
        region: session.aws.region.clone(),
        prices_of: prices.date(&session.aws.region).to_owned(),
        of_it: of_it(&estimate),
        break_evens,
        advices,
        estimate,
    };
    reporter.text(&text::text(&document));
    reporter.document(&document.json())?;
    Ok(exit_code::DONE)
}

/// The region of the command line or the environment: it decides what things cost.
fn region(global: &Global) -> Option<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|region| !region.is_empty());
    global.region.clone().or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"))
}

fn load_of(args: &Args) -> Load {
    let rate = args.events_per_second.unwrap_or_default();
    let traffic = match &args.daily_profile {
        Some(profile) => Traffic::daily(rate, &profile.0),
        None => Traffic::steady(rate),
    };
    Load {
        traffic,
        record_bytes: args.record_size,
        batch_ms: args.duration_per_batch,
        table_gb: args.table_size.unwrap_or_default(),
    }
}
