//! Tests of reading a spec: its mistakes, its stages, and its variables.

use super::*;

fn findings(text: &str, choice: StageChoice<'_>) -> Vec<Finding> {
    let variable = |name: &str| (name == "MAIL").then(|| "ops@example.com".to_owned());
    match parse(text, Path::new(""), choice, &variable) {
        Err(Wrong::Findings(findings)) => findings,
        Err(Wrong::Stage(error)) => panic!("{error:#}"),
        Ok(_) => Vec::new(),
    }
}

const NO_STAGE: StageChoice<'_> = StageChoice { name: None, required: true };

fn stage(name: &str) -> StageChoice<'_> {
    StageChoice { name: Some(name), required: true }
}

#[test]
fn mistakes_in_several_sections_are_reported_together() {
    let text = "name = 5\n[stream.a]\nshard = 2\nretention = \"1 eon\"\n[queue.b]\nretention = 3\n[table.t]\nbilling = \"free\"\n[topic.x]\n";
    let found: Vec<_> = findings(text, NO_STAGE).into_iter().map(|finding| finding.message).collect();
    assert!(found.iter().any(|m| m.contains("unknown key `shard`")), "{found:#?}");
    assert!(found.iter().any(|m| m.contains("`1 eon` is not a duration")), "{found:#?}");
    assert!(found.iter().any(|m| m.contains("not the number 3")), "{found:#?}");
    assert!(found.iter().any(|m| m.contains("`free` is not a billing")), "{found:#?}");
    assert!(found.iter().any(|m| m.contains("`partition_key` is missing")), "{found:#?}");
    assert!(found.iter().any(|m| m.contains("this must be a text, not the number 5")), "{found:#?}");
    assert!(!found.iter().any(|m| m.contains("`name` is missing")), "{found:#?}");
}

#[test]
fn an_unknown_key_gets_a_suggestion() {
    let findings = findings("name = \"a\"\n[stream.a]\nshard = 2\n", NO_STAGE);
    assert_eq!(findings[0].help.as_deref(), Some("did you mean `shards`?"));
    assert_eq!(findings[0].span, 22..27);
}

#[test]
fn what_people_write_first_is_answered_with_what_they_meant() {
    let of = |function: &str| {
        let text = format!(
            "name = \"a\"\n[stream.orders]\n[table.results]\npartition_key = {{ name = \"id\", type = \"S\" }}\n[queue.dlq]\n\
             [function.f]\nrecipe = \"retail\"\n{function}\n"
        );
        let found = findings(&text, NO_STAGE);
        found.into_iter().map(|finding| finding.help.unwrap_or_default()).collect::<Vec<_>>()
    };
    for (function, help) in [
        ("writes = \"table.results\"", "write [\"table.results\"]"),
        ("source = { from = \"orders\" }", "write \"stream.orders\""),
        ("source = { from = \"streams.orders\" }", "write \"stream.orders\""),
        ("source = { from = \"nowhere\" }", "write a kind and a name, such as \"queue.dlq\""),
        ("dead_letters = \"queue.dql\"\nsource = { from = \"stream.orders\" }", "did you mean \"queue.dlq\"?"),
        (
            "dead_letters = \"queue.other\"\nsource = { from = \"stream.orders\" }",
            "write \"queue.dlq\", or add a section [queue.other]",
        ),
        ("source = { from = \"stream.orders\", batch_size = \"5\" }", "write 5"),
        (
            "source = { from = \"stream.orders\", filter = [{ data = { type = \"purchase\" } }] }",
            "write the values of a field as a list, such as [\"purchase\"]",
        ),
        (
            "source = { from = \"stream.orders\", filter = { data = { type = [\"purchase\"] } } }",
            "write [{ data = { type = [\"purchase\"] } }]",
        ),
    ] {
        let helps = of(function);
        assert!(helps.contains(&help.to_owned()), "{function}: {helps:#?}");
    }
}

const STAGED: &str = r#"
name = "shop"
[stream.events]
shards = 1
[table.results]
partition_key = { name = "id", type = "S" }
[topic.alerts]
subscribers = []
[function.f]
recipe = "retail"
environment = { LEVEL = "info", MODE = "fast" }
source = { from = "stream.events", batch_size = 10, max_retries = 3 }
[stage.dev]
[stage.prod]
account = "123456789012"
regions = ["eu-central-1", "eu-west-1"]
[stage.prod.stream.events]
shards = 8
retention = "48h"
[stage.prod.table.results]
protect = true
[stage.prod.topic.alerts]
subscribers = ["email:${env:MAIL}"]
[stage.prod.function.f]
environment = { LEVEL = "warn" }
source = { batch_size = 500 }
"#;

fn parsed(text: &str, choice: StageChoice<'_>) -> Parsed {
    let text = text.replace("recipe = \"retail\"", "code = \"x.zip\"");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.zip"), "").unwrap();
    let variable = |name: &str| (name == "MAIL").then(|| "ops@example.com".to_owned());
    match parse(&text, folder.path(), choice, &variable) {
        Ok(parsed) => parsed,
        Err(wrong) => panic!("{wrong:#?}"),
    }
}

#[test]
fn a_stage_overrides_what_it_says_and_leaves_the_rest() {
    for (name, shards, protect, subscribers, level, batch_size) in
        [("dev", 1, false, 0, "info", 10), ("prod", 8, true, 1, "warn", 500)]
    {
        let Parsed { spec, pins, .. } = parsed(STAGED, stage(name));
        assert_eq!(spec.stream.values().next().unwrap().shards(), shards, "{name}");
        assert_eq!(spec.table.values().next().unwrap().protect, protect, "{name}");
        assert_eq!(spec.topic.values().next().unwrap().subscribers.len(), subscribers, "{name}");
        let function = spec.function.values().next().unwrap();
        let environment: Vec<_> = function.environment.values().map(String::as_str).collect();
        assert_eq!(environment, [level, "fast"]);
        let source = function.source.get_ref();
        assert_eq!((*source.batch_size.get_ref(), *source.max_retries.get_ref()), (batch_size, 3));
        let pins = pins.unwrap();
        let anywhere = name == "dev";
        assert_eq!(pins.check("000000000000", "eu-west-1").is_ok(), anywhere);
        assert_eq!(pins.check("123456789012", "us-east-1").is_ok(), anywhere);
        pins.check("123456789012", "eu-west-1").unwrap();
    }
    assert!(parsed(STAGED, StageChoice { name: None, required: false }).pins.is_some());
}

#[test]
fn a_stage_must_exist_once_there_is_any() {
    for (choice, says) in [(stage("prd"), "no stage `prd`; it has dev, prod"), (NO_STAGE, "none is chosen")] {
        let Err(Wrong::Stage(error)) = parse(STAGED, Path::new(""), choice, &|_| None) else { panic!("{choice:?}") };
        assert!(error.to_string().contains(says), "{error:#}");
    }
    let unstaged = &STAGED[..STAGED.find("[stage.dev]").unwrap()];
    assert!(parsed(unstaged, stage("any")).pins.is_none());
}

#[test]
fn mistakes_of_a_stage_are_found_where_they_are_written_whichever_stage_is_chosen() {
    for (wrong, at, says) in [
        ("[stage.prod.stream.events]\nshards = \"8\"", "\"8\"", "this must be a whole number"),
        ("[stage.prod.stream.events]\nshard = 8", "shard", "unknown key `shard`"),
        ("[stage.prod.stream.evnts]\nshards = 8", "evnts", "there is no [stream.evnts]"),
        ("[stage.prod.queue.dlq]\nretention = \"1d\"", "dlq", "there is no [queue.dlq]"),
        ("[stage.prod.strem.events]\nshards = 8", "strem", "unknown key `strem` of a stage"),
        ("[stage.prod]\nname = \"other\"", "name", "unknown key `name` of a stage"),
        ("[stage.prod]\naccount = \"12\"", "\"12\"", "this is no AWS account"),
        ("[stage.prod]\nregions = []", "[]", "this is no list of AWS regions"),
        ("[stage.prod]\ndashboard = {}", "dashboard", "there is no [dashboard]"),
        ("[stage.Prod]", "Prod", "can't be a stage's name"),
        ("[stage.prod.topic.alerts]\nsubscribers = [\"queue.none\"]", "\"queue.none\"", "queue.none"),
        ("[stage.prod.topic.alerts]\nsubscribers = [\"email:${env:MAIL\"]", "\"email:${env:MAIL\"", "no variable"),
    ] {
        let text = format!("name = \"shop\"\n[stream.events]\n[topic.alerts]\n[stage.dev]\n{wrong}\n");
        for choice in [stage("dev"), StageChoice { name: None, required: false }] {
            let found = findings(&text, choice);
            assert_eq!(found.len(), 1, "{wrong}: {found:#?}");
            assert!(found[0].message.contains(says), "{found:#?}");
            assert_eq!(&text[found[0].span.clone()], at, "{found:#?}");
        }
    }
}

#[test]
fn variables_must_be_set_for_the_stage_that_is_chosen() {
    let text = "name = \"shop\"\n[topic.alerts]\n[stage.dev]\n[stage.prod.topic.alerts]\nsubscribers = [\"email:${env:NOBODY}\"]\n";
    let unset = findings(text, stage("prod"));
    assert_eq!(unset[0].message, "the environment has no variable `NOBODY`");
    assert_eq!(&text[unset[0].span.clone()], "\"email:${env:NOBODY}\"");
    for choice in [stage("dev"), StageChoice { name: None, required: false }] {
        assert_eq!(findings(text, choice), []);
    }
}
