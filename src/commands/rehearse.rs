//! `streamkit rehearse`: lets things go wrong in the embedded AWS; and the options of one that is slow, unreliable or strict.

mod region_down;

use std::path::Path;
use std::process::ExitCode;

use clap::{ArgGroup, Subcommand, ValueEnum};
use streamkit_local::Strictness;
use streamkit_local::rehearsal::{FaultRates, Latency, Rehearsal, Shown};

use crate::failure::Usage;
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::report::Reporter;
use crate::spec::read_text;

/// Let something go wrong in the embedded AWS, and see how the pipeline comes through
///
/// Example: streamkit rehearse region-down eu-west-1 pipelines/global-changes.toml
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    RegionDown(region_down::Args),
}

pub(crate) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::RegionDown(args) => Box::pin(region_down::run(args, global, reporter, interrupt)).await,
    }
}

/// What the user asks for; the files are not read yet.
#[derive(Debug, Clone, clap::Args)]
#[command(group = ArgGroup::new("rehearsal").args(["latency", "faults", "strict"]).multiple(true))]
pub(crate) struct Rehearse {
    /// Answer calls and change states at this pace [default: none]
    #[arg(long, value_name = "aws|none|FILE", help_heading = "Rehearsal")]
    latency: Option<String>,
    /// Let this many of 100 calls fail [default: none]
    #[arg(long, value_name = "PERCENT|FILE", help_heading = "Rehearsal")]
    faults: Option<String>,
    /// Be as strict as AWS where that takes its users time: all of it, or what is named [default: none]
    #[arg(
        long,
        value_name = "consistency,rates",
        value_delimiter = ',',
        num_args = 0..,
        require_equals = true,
        default_missing_value = "consistency,rates",
        hide_possible_values = true,
        help_heading = "Rehearsal"
    )]
    strict: Vec<Strict>,
    /// Repeat the times and faults of this seed [default: a new one, which is printed]
    #[arg(long, value_name = "N", requires = "rehearsal", help_heading = "Rehearsal")]
    seed: Option<u64>,
}

/// One thing to be strict about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Strict {
    /// Reads do not know at once what was just made, changed or deleted
    Consistency,
    /// What AWS allows per second, minute or hour
    Rates,
}

/// What latencies and faults are called when there are none.
const NONE: &str = "none";
/// Seeds that are chosen stay short enough to be read out.
const SEEDS: std::ops::Range<u64> = 1..1_000_000;

impl Rehearse {
    /// Chooses a seed, if one is needed.
    pub(crate) fn seeded(mut self) -> Self {
        if self.is_asked_for() {
            self.seed.get_or_insert_with(|| fastrand::u64(SEEDS));
        }
        self
    }

    /// The same as arguments.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let seed = self.seed.map(|seed| seed.to_string());
        let names: Vec<_> = self.strict.iter().filter_map(ValueEnum::to_possible_value).collect();
        let names: Vec<_> = names.iter().map(clap::builder::PossibleValue::get_name).collect();
        let strict = (!names.is_empty()).then(|| names.join(","));
        [("--latency", &self.latency), ("--faults", &self.faults), ("--strict", &strict), ("--seed", &seed)]
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)))
            .collect()
    }

    /// What to be strict about.
    pub(crate) fn strictness(&self) -> Strictness {
        Strictness {
            consistency: self.strict.contains(&Strict::Consistency),
            rates: self.strict.contains(&Strict::Rates),
        }
    }

    fn is_asked_for(&self) -> bool {
        self.latency.is_some() || self.faults.is_some() || !self.strict.is_empty()
    }

    /// Whether a running rehearsal is what is asked for.
    pub(crate) fn is_met_by(&self, running: Option<&Shown>, strictness: Strictness) -> bool {
        if !self.strict.is_empty() && self.strictness() != strictness {
            return false;
        }
        let wanted = self.shown();
        match (wanted, running) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wanted), Some(running)) => {
                wanted.latency == running.latency
                    && wanted.faults == running.faults
                    && self.seed.is_none_or(|seed| seed == running.seed)
            }
        }
    }

    fn shown(&self) -> Option<Shown> {
        let of = |given: &Option<String>| given.clone().unwrap_or_else(|| NONE.to_owned());
        self.is_asked_for().then(|| Shown {
            latency: of(&self.latency),
            faults: of(&self.faults),
            seed: self.seed.unwrap_or_default(),
        })
    }

    /// The rehearsal itself, from the files where the options name some.
    ///
    /// # Errors
    /// A file that cannot be read or that is not correct.
    pub(crate) fn read(&self) -> anyhow::Result<Rehearsal> {
        let latency = match self.latency.as_deref() {
            None | Some(NONE) => Latency::none(),
            Some("aws") => Latency::aws(),
            Some(file) => parsed(file, "--latency", "aws, none or a TOML file", Latency::parse)?,
        };
        let faults = match self.faults.as_deref() {
            None | Some(NONE) => FaultRates::default(),
            Some(given) => match given.strip_suffix('%').unwrap_or(given).parse() {
                Ok(percent) => FaultRates::percent(percent).map_err(Usage)?,
                Err(_) => parsed(given, "--faults", "a percentage or a TOML file", FaultRates::parse)?,
            },
        };
        Ok(Rehearsal { latency, faults, seed: self.seed.unwrap_or_default(), shown: self.shown() })
    }
}

fn parsed<T>(file: &str, option: &str, wanted: &str, parse: fn(&str) -> Result<T, String>) -> anyhow::Result<T> {
    let text = read_text(Path::new(file))
        .map_err(|error| Usage(format!("{option} takes {wanted}, and {file} cannot be read: {error}")))?;
    parse(&text).map_err(|mistake| Usage(format!("{file}: {mistake}")).into())
}
