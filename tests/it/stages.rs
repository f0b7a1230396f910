//! One pipeline, several stages: what a stage overrides, where it may be, and what comes from the environment.

use serde_json::json;

use crate::harness::Home;

const STAGES: &str = r#"
[stage.dev]

[stage.prod]
account = "000000000000"
regions = ["eu-central-1"]

[stage.prod.stream.events]
shards = 2

[stage.prod.table.results]
protect = true

[stage.prod.topic.alerts]
subscribers = ["email:${env:ALERT_EMAIL}", "https://example.com/${env:HOOK}"]

[stage.prod.alarm.lag]
threshold = "1m"

[stage.other]
account = "111111111111"
"#;

/// The retail pipeline with stages.
fn staged(home: &Home) -> String {
    let text = std::fs::read_to_string(crate::harness::pipeline("retail-events.toml")).unwrap();
    home.write("staged.toml", &format!("{text}{STAGES}")).to_str().unwrap().to_owned()
}

const MAIL: (&str, &str) = ("ALERT_EMAIL", "ops@example.com");
const HOOK: (&str, &str) = ("HOOK", "hunter2");

#[test]
fn stages_override_settings_and_stand_side_by_side() {
    let home = Home::new();
    let spec = staged(&home);
    let prod = |command: &str, more: &[&str]| {
        let arguments = [command, &spec, "--local", "--stage", "prod", "--region", "eu-central-1", "--json"];
        home.run_with(&[&arguments, more].concat(), &[MAIL, HOOK])
    };
    // What prod needs of the environment is nothing that dev needs.
    let dev = home.run(&["up", &spec, "--local", "--stage", "dev", "--json", "--yes"]).expect(0).json();
    assert_eq!(dev["summary"]["create"], 13, "{dev:#}");
    let plan = prod("plan", &["--out", "plan.json"]).expect(0);
    assert!(plan.stdout.contains("email:ops@example.com") && plan.stdout.contains("https://example.com/(hidden)"));
    let saved = std::fs::read_to_string(home.path().join("plan.json")).unwrap();
    assert!(!plan.stdout.contains("hunter2") && !saved.contains("hunter2"), "{saved}");
    let plan = plan.json();
    let to = |node: &str, field: &str| {
        let node = plan["resources"].as_array().unwrap().iter().find(|at| at["node"] == node).unwrap();
        node["changes"].as_array().unwrap().iter().find(|at| at["field"] == field).unwrap()["to"].clone()
    };
    assert_eq!((to("stream.events", "shards"), to("table.results", "protect")), (json!(2), json!(true)));
    assert_eq!(to("alarm.lag", "threshold"), "1m");
    assert_eq!(to("function.processor", "memory"), 256);

    // Another value is another plan.
    let up = ["up", "--plan", "plan.json", "--local", "--region", "eu-central-1"];
    let refused = home.run_with(&up, &[MAIL, ("HOOK", "hunter3")]).expect(1);
    assert!(
        refused.stderr.contains("topic.alerts: SNS topic retail-events-prod-alerts would get other settings"),
        "{refused:#?}"
    );
    home.run_with(&up, &[MAIL, HOOK]).expect(0);
    assert_eq!(prod("plan", &[]).expect(0).json()["summary"]["unchanged"], 13);
    let changed = home.run_with(
        &["plan", &spec, "--local", "--stage", "prod", "--region", "eu-central-1"],
        &[MAIL, ("HOOK", "hunter3")],
    );
    assert!(
        changed.stdout.contains("+ https://example.com/(hidden)\n") && !changed.stdout.contains("hunter"),
        "{changed:#?}"
    );
    assert_eq!(
        home.run(&["plan", &spec, "--local", "--stage", "dev", "--json"]).expect(0).json()["summary"]["unchanged"],
        13
    );
}

#[test]
fn stages_are_refused_in_other_places_and_other_stages_everywhere() {
    let home = Home::new();
    let spec = staged(&home);
    home.endpoint();
    let before = home.calls().len();
    for command in ["plan", "up", "status", "validate", "send", "down"] {
        for (stage, region, code, says) in [
            ("prod", "us-east-1", 1, "stage prod belongs into eu-central-1, and this is us-east-1"),
            ("other", "us-east-1", 1, "stage other belongs into account 111111111111, and this is 000000000000"),
            ("prd", "us-east-1", 2, "no stage `prd`; it has dev, other, prod"),
        ] {
            let arguments = [command, &spec, "--local", "--stage", stage, "--region", region];
            let output = home.run_with(&arguments, &[MAIL, HOOK]).expect(code);
            assert!(output.stderr.contains(says), "{command}: {output:#?}");
        }
        let output = home.run(&[command, &spec, "--local"]).expect(2);
        assert!(output.stderr.contains("hint: choose one of dev, other, prod with --stage"), "{output:#?}");
    }
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    let output = home.run(&["plan", &spec, "--local", "--stage", "prd"]).expect(2);
    assert!(output.stderr.contains("hint: did you mean `prod`?"), "{output:#?}");
    let output = home.run_with(&["plan", &spec, "--local", "--stage", "prod", "--json"], &[HOOK]).expect(2).json();
    let finding = &output["findings"][0];
    assert_eq!(
        (&finding["id"], &finding["help"]),
        (&json!("unset-variable"), &json!("set it, as in `ALERT_EMAIL=… streamkit up`"))
    );
    // All stages are checked where none is chosen.
    home.run(&["check", &spec, "--strict"]).expect(0);
    let text = std::fs::read_to_string(&spec).unwrap().replace("shards = 2\n", "shard = 2\n");
    home.write("wrong.toml", &text);
    for stage in [&[][..], &["--stage", "dev"]] {
        // Without the variables only the stages that need none are read.
        let output = home.run_with(&[&["check", "wrong.toml"], stage].concat(), &[MAIL, HOOK]).expect(2);
        assert!(output.stderr.contains("unknown key `shard`"), "{output:#?}");
    }
}
