//! The command line's types, and the way from arguments to exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory as _, Parser, Subcommand, ValueEnum as _};
use clap_complete::CompleteEnv;

use crate::commands;
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::package::HANDLER_COMMAND;
use crate::report::{Reporter, arguments_ended, choose_colours, exit_code};

/// Recipe-as-code for AWS event streaming.
///
/// One TOML file describes a pipeline; streamkit makes AWS match it, proves that events flow, and takes it down again.
///
/// Exit codes: 0 done, 1 failed, 2 usage or bad spec, 3 `plan --exit-code` found changes, 130 interrupted.
///
/// Example: streamkit init retail && streamkit up --local
#[derive(Debug, Parser)]
#[command(name = "streamkit", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(commands::init::Args),
    Check(commands::check::Args),
    Plan(commands::plan::Args),
    Package(commands::package::Args),
    Up(commands::up::Args),
    Dev(commands::dev::Args),
    Status(commands::status::Args),
    Validate(commands::validate::Args),
    Send(commands::send::Args),
    Dlq(commands::dlq::Args),
    Replay(commands::replay::Args),
    Tail(commands::tail::Args),
    Logs(commands::logs::Args),
    Decrypt(commands::decrypt::Args),
    #[command(visible_alias = "cleanup")]
    Down(commands::down::Args),
    Policy(commands::policy::Args),
    Rehearse(commands::rehearse::Args),
    Graph(commands::graph::Args),
    Outputs(commands::outputs::Args),
    Cost(commands::cost::Args),
    Export(commands::export::Args),
    Import(commands::import::Args),
    Doctor(commands::doctor::Args),
    Schema(commands::schema::Args),
    Completions(commands::completions::Args),
    Local(commands::local::Args),
    #[command(hide = true)]
    Man(commands::man::Args),
    /// Run the linked handler as a Lambda function: what the embedded AWS starts
    #[command(name = HANDLER_COMMAND, hide = true)]
    Handler,
}

/// Parses the arguments, runs the command, reports how it ended.
pub fn main() -> ExitCode {
    // Ends the process where a shell asks what would complete a command line.
    CompleteEnv::with_factory(Cli::command).var(commands::completions::VARIABLE).complete();
    choose_colours(colours(std::env::args_os().skip(1)));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return arguments_ended(&answer),
    };
    // A function's process has no use for anything below, and its start-up time counts.
    if matches!(cli.command, Command::Handler) {
        return streamkit_handler::run_named();
    }
    let reporter = Reporter::new(cli.global.json, cli.global.quiet);
    if let Err(mistake) = reporter.start_log(cli.global.verbose) {
        return reporter.ended(Err(mistake.into()));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return reporter.ended(Err(error.into())),
    };
    let result = runtime.block_on(run(cli, &reporter));
    // A build or a read may still be running after an interrupt; nothing is waited for.
    runtime.shutdown_background();
    reporter.ended(result)
}

/// What `--color` says, looked for before clap reads the arguments: its own help and mistakes have colours too.
/// What is no choice, clap refuses.
fn colours(arguments: impl Iterator<Item = OsString>) -> ColorChoice {
    let mut arguments = arguments.take_while(|argument| argument != "--");
    let mut choice = ColorChoice::Auto;
    while let Some(argument) = arguments.next() {
        let value = match argument.to_str() {
            Some("--color") => arguments.next().and_then(|value| value.into_string().ok()),
            Some(argument) => argument.strip_prefix("--color=").map(str::to_owned),
            None => None,
        };
        choice = value.and_then(|value| ColorChoice::from_str(&value, true).ok()).unwrap_or(choice);
    }
    choice
}

/// Does blocking work beside the listening for signals, so that they end it.
async fn blocking(
    interrupt: &mut Interrupt,
    work: impl FnOnce() -> anyhow::Result<ExitCode> + Send + 'static,
) -> anyhow::Result<ExitCode> {
    interrupt.unless(async { tokio::task::spawn_blocking(work).await? }).await
}

#[expect(clippy::large_futures, reason = "one of them runs, once, from the start of the process to its end")]
async fn run(cli: Cli, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let global = cli.global;
    // The server ends by itself, on the first signal.
    if let Command::Local(args) = cli.command {
        return commands::local::run(args, &global, reporter).await;
    }
    let mut interrupt = Interrupt::listen();
    match cli.command {
        Command::Init(args) => {
            let reporter = reporter.clone();
            blocking(&mut interrupt, move || commands::init::run(&args, &reporter)).await
        }
        Command::Check(args) => {
            let reporter = reporter.clone();
            blocking(&mut interrupt, move || commands::check::run(&args, &global, &reporter)).await
        }
        Command::Plan(args) => interrupt.unless(commands::plan::run(&args, &global, reporter)).await,
        Command::Package(args) => interrupt.unless(commands::package::run(&args, &global, reporter)).await,
        Command::Up(args) => commands::up::run(&args, &global, reporter, interrupt).await,
        Command::Dev(args) => commands::dev::run(&args, &global, reporter, interrupt).await,
        Command::Status(args) => commands::status::run(&args, &global, reporter, interrupt).await,
        Command::Validate(args) => commands::validate::run(&args, &global, reporter, interrupt).await,
        Command::Send(args) => commands::send::run(&args, &global, reporter, interrupt).await,
        Command::Dlq(args) => commands::dlq::run(&args, &global, reporter, interrupt).await,
        Command::Replay(args) => commands::replay::run(&args, &global, reporter, interrupt).await,
        Command::Tail(args) => commands::tail::run(&args, &global, reporter, interrupt).await,
        Command::Logs(args) => commands::logs::run(&args, &global, reporter, interrupt).await,
        Command::Decrypt(args) => interrupt.unless(commands::decrypt::run(&args, &global, reporter)).await,
        Command::Down(args) => commands::down::run(&args, &global, reporter, interrupt).await,
        Command::Rehearse(args) => commands::rehearse::run(&args, &global, reporter, interrupt).await,
        Command::Policy(args) => interrupt.unless(commands::policy::run(&args, &global, reporter)).await,
        Command::Graph(args) => interrupt.unless(commands::graph::run(&args, &global, reporter)).await,
        Command::Outputs(args) => interrupt.unless(commands::outputs::run(&args, &global, reporter)).await,
        Command::Cost(args) => interrupt.unless(commands::cost::run(&args, &global, reporter)).await,
        Command::Export(args) => interrupt.unless(commands::export::run(&args, &global, reporter)).await,
        Command::Import(args) => interrupt.unless(commands::import::run(&args, &global, reporter)).await,
        Command::Doctor(args) => interrupt.unless(commands::doctor::run(&args, &global, reporter)).await,
        Command::Schema(args) => commands::schema::run(&args, reporter),
        Command::Man(args) => commands::man::run(&args, Cli::command(), reporter),
        Command::Completions(args) => commands::completions::run(&args, reporter),
        Command::Local(_) | Command::Handler => Ok(exit_code::DONE),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The command and all below it that people see, each with the words that call it.
    fn visible(command: &clap::Command, words: &str, all: &mut Vec<(String, clap::Command)>) {
        all.push((words.to_owned(), command.clone()));
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
            visible(inner, &format!("{words} {}", inner.get_name()), all);
        }
    }

    #[test]
    fn every_command_has_a_short_help_and_an_example() {
        let mut all = Vec::new();
        visible(&Cli::command(), "streamkit", &mut all);
        assert!(all.len() > 25, "{}", all.len());
        for (words, mut command) in all {
            let (short, long) = (command.render_help().to_string(), command.render_long_help().to_string());
            let first = short.lines().next().unwrap_or_default();
            assert!(!first.is_empty() && first.len() < 130, "{words} -h begins with: {first}");
            assert!(!short.contains("Example"), "{words} -h is short: {short}");
            assert!(long.contains("Example: "), "{words} --help has an example: {long}");
        }
    }

    /// The words of a line's first command, with quotes as a shell has them.
    fn words(line: &str) -> Vec<String> {
        let (mut all, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for c in line.chars() {
            match (c, quote) {
                ('#' | '>' | '|' | '&' | ';', None) if word.is_none() => break,
                (' ', None) => all.extend(word.take()),
                ('\'' | '"', None) => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (c, Some(open)) if c == open => quote = None,
                (c, _) => word.get_or_insert_default().push(c),
            }
        }
        all.extend(word);
        all
    }

    #[test]
    fn the_commands_of_the_documents_exist() {
        let mut count = 0;
        for document in ["README.md", "skills/streamkit/SKILL.md"] {
            let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
            let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
            for line in blocks.flat_map(str::lines) {
                let line =
                    line.strip_prefix("cargo run -- ").map_or(line.to_owned(), |rest| format!("streamkit {rest}"));
                if !line.starts_with("streamkit ") {
                    continue;
                }
                count += 1;
                if let Err(error) = Cli::try_parse_from(words(&line)) {
                    assert!(!error.use_stderr(), "{document}: {line}\n{error}");
                }
            }
        }
        assert!(count > 40, "{count}");
    }
}
