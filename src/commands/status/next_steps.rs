//! What to do next: for each thing that is wrong, the command that shows more of it or mends it.

use super::document::{Document, FunctionState, NextStep};
use crate::commands::caller::Caller;

/// The steps, in the order in which they help.
pub(super) fn next_steps(document: &Document, caller: &Caller) -> Vec<NextStep> {
    let mut steps = Vec::new();
    let mut step = |why: String, command: String| steps.push(NextStep { why, command });
    for function in &document.functions {
        if let Some(why) = failing(function) {
            // What the handler could not store is a warning: its batch goes on, and Lambda delivers it again.
            let more = format!("--function {} --level warn", function.function);
            step(why, caller.command("logs", &more));
        }
    }
    let not_as_wanted: Vec<_> = document
        .resources
        .iter()
        .filter(|node| matches!(node.state, "missing" | "different"))
        .map(|node| format!("{} is {}", node.node, node.state))
        .collect();
    if !not_as_wanted.is_empty() {
        step(not_as_wanted.join(", "), caller.command("up", ""));
    }
    for function in document.functions.iter().filter(|function| is_off(function)) {
        // What is different is told above.
        let mapping = format!("function.{}.source", function.function);
        if document.resources.iter().all(|node| node.node != mapping || node.state == "ok") {
            let why = format!(
                "function.{} reads nothing: its mapping is off, as the spec says; write enabled = true in its source, and run",
                function.function
            );
            step(why, caller.command("up", ""));
        }
    }
    for queue in document.queues.iter().filter(|queue| queue.dead_letters && queue.messages > 0) {
        let s = if queue.messages == 1 { "" } else { "s" };
        let why = format!("{} dead letter{s} in {}", queue.messages, queue.node);
        step(why, caller.command("dlq show", &format!("--queue {}", queue.node)));
        step(
            "when the cause is mended, play them again".to_owned(),
            caller.command("dlq redrive", &format!("--queue {}", queue.node)),
        );
    }
    steps
}

fn is_off(function: &FunctionState) -> bool {
    function.mapping.as_ref().is_some_and(super::document::MappingState::is_off)
}

/// Why somebody should read the function's log.
fn failing(function: &FunctionState) -> Option<String> {
    let mut reasons = Vec::new();
    if function.mapping.as_ref().is_some_and(|mapping| mapping.problem().is_some()) {
        reasons.push("failed on its last batch".to_owned());
    }
    for (count, what) in [(function.errors, "error"), (function.throttles, "throttle")] {
        if let Some(count) = count.filter(|count| *count > 0) {
            let s = if count > 1 { "s" } else { "" };
            reasons.push(format!("had {count} {what}{s} lately"));
        }
    }
    (!reasons.is_empty()).then(|| format!("function.{} {}", function.function, reasons.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::super::document::{MappingState, NodeState, QueueState};
    use super::*;
    use crate::options::Global;

    fn caller() -> Caller {
        let global = Global {
            local: true,
            endpoint_url: None,
            region: None,
            profile: None,
            stage: Some("dev".to_owned()),
            json: false,
            quiet: false,
            color: clap::ColorChoice::Auto,
            verbose: 0,
            parallelism: 1,
        };
        Caller::new(Some("my pipeline.toml"), &global)
    }

    fn function(last_result: &str, errors: u64) -> FunctionState {
        FunctionState {
            function: "f".to_owned(),
            mapping: Some(MappingState {
                state: Some("Enabled".to_owned()),
                reason: None,
                last_result: Some(last_result.to_owned()),
            }),
            iterator_age_ms: None,
            lag_trend: None,
            errors: Some(errors),
            throttles: Some(0),
            counted_seconds: 300,
            queue_depth: None,
        }
    }

    fn document() -> Document {
        Document {
            pipeline: "p".to_owned(),
            stage: None,
            resources: Vec::new(),
            functions: vec![function("OK", 0)],
            queues: Vec::new(),
            alarms: Vec::new(),
            warnings: Vec::new(),
            next: Vec::new(),
        }
    }

    #[test]
    fn nothing_is_to_be_done_where_nothing_is_wrong() {
        assert_eq!(next_steps(&document(), &caller()), []);
    }

    #[test]
    fn what_failed_is_shown_mended_and_played_again_with_the_users_arguments() {
        let mut document = document();
        document.functions = vec![function("PROBLEM: Function call failed", 2)];
        let (kind, name, arn) = ("DynamoDB table", String::new(), String::new());
        document.resources =
            vec![NodeState { node: "table.t".to_owned(), kind, name, arn, state: "missing", changes: Vec::new() }];
        document.queues = vec![QueueState {
            node: "queue.dlq".to_owned(),
            name: "p-dlq".to_owned(),
            dead_letters: true,
            messages: 152,
            in_flight: 0,
            oldest_seconds: None,
        }];
        let steps = next_steps(&document, &caller());
        let steps: Vec<_> = steps.iter().map(|step| (step.why.as_str(), step.command.as_str())).collect();
        let with = "'my pipeline.toml' --local --stage dev";
        assert_eq!(
            steps,
            [
                (
                    "function.f failed on its last batch and had 2 errors lately",
                    format!("streamkit logs {with} --function f --level warn").as_str()
                ),
                ("table.t is missing", format!("streamkit up {with}").as_str()),
                ("152 dead letters in queue.dlq", format!("streamkit dlq show {with} --queue queue.dlq").as_str()),
                (
                    "when the cause is mended, play them again",
                    format!("streamkit dlq redrive {with} --queue queue.dlq").as_str()
                ),
            ]
        );
    }
}
