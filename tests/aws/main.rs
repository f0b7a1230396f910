//! All pipelines through their whole life in the account of the environment: `cargo test --test aws -- --ignored`.
//!
//! The other tests here prove that run itself: against the embedded AWS at its strictest, interrupted, killed, and failing.

mod account;
mod clean_up;
mod command;
mod estimate;
mod life;
mod log;
mod observed;
mod proof;
mod refusals;
mod workflow;

use std::io::Write as _;
use std::path::PathBuf;

use crate::account::Account;
use crate::clean_up::CleanUp;
use crate::command::Runner;
use crate::observed::Observed;

/// Says something at once: what a test prints is otherwise kept back until it has failed.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Where the run leaves what it writes: below `target`, unless another folder is named.
fn folder() -> PathBuf {
    std::env::var_os("STREAMKIT_TEST_FOLDER").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from)
}

#[test]
#[ignore = "makes real resources in the account of the environment, which cost money"]
fn every_pipeline_lives_in_the_account_of_the_environment() -> anyhow::Result<()> {
    let runner = Runner::new()?;
    let pipelines = life::pipelines(&runner.stage)?;
    let account = Account::of_environment(&runner, &pipelines)?;
    say(&format!("account {}, {}, stage {}", account.id, account.region, runner.stage));
    say(&estimate::text(&pipelines));
    let clean_up = CleanUp::new(&runner, &account, &pipelines)?;
    say(&format!("if this is killed, `sh {}` removes what is left", clean_up.script.display()));

    let mut observed = Observed::default();
    let mut failed = Vec::new();
    for pipeline in &pipelines {
        let lived = life::live(&runner, &account, pipeline, &mut observed);
        observed.take(&runner);
        let gone = clean_up.remove(pipeline);
        for why in [lived, gone].into_iter().filter_map(Result::err) {
            say(&format!("{}: {why:#}", pipeline.name));
            failed.push(format!("{}: {why:#}", pipeline.name));
        }
        if command::is_interrupted() {
            break;
        }
    }
    observed.take(&runner);
    let file = observed.write(&account, &runner.stage)?;
    say(&format!("what was seen of AWS's times and refusals is in {}", file.display()));
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}
