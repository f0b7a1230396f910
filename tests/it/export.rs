//! `export`: other tools take the pipeline over, and have nothing to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Home, pipeline};
use crate::schema::assert_valid;

/// The text of all files that were written.
fn text_of(folder: &Path) -> String {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn all_pipelines() -> Vec<PathBuf> {
    let pipelines = fs::read_dir(pipeline("")).unwrap().map(|file| file.unwrap().path());
    let mut pipelines: Vec<_> = pipelines.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    pipelines.sort();
    assert!(pipelines.len() >= 12);
    pipelines
}

#[test]
fn terraform_files_import_all_that_is_there_and_refer_to_it() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    home.local("up", &spec, &["--yes"]);
    let spec = spec.to_str().unwrap();
    let (before, _) = home.calls_after(0);
    let export = ["export", "terraform", spec, "--local", "--json", "-o", "out"];
    let told = home.run(&export).expect(0).json();
    assert_valid("export", &told);
    assert!(home.mutating_calls(before).is_empty(), "an export looks");
    assert_eq!(told["resources"], told["imports"], "{told:#}");
    assert_eq!((&told["pending"], &told["notes"]), (&0.into(), &serde_json::json!([])), "{told:#}");
    let text = text_of(&home.path().join("out"));
    assert_eq!(u64::try_from(text.matches("\nimport {").count()).ok(), told["imports"].as_u64(), "{text}");
    for part in [
        "resource \"aws_lambda_event_source_mapping\" \"processor\"",
        "event_source_arn                   = aws_kinesis_stream.events.arn",
        "STREAMKIT_TABLE                 = aws_dynamodb_table.results.name",
        "allowed_account_ids = [\"000000000000\"]",
        "  tags             = merge(local.tags, { \"streamkit:node\" = \"stream.events\" })",
        "starting_position                  = \"TRIM_HORIZON\"",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let output = home.run(&export).expect(1);
    assert!(output.stderr.contains("exists already"), "{output:#?}");
}

#[test]
fn an_export_has_no_secret_and_nothing_of_others() {
    let home = Home::new();
    let spec = home.retail(&[
        ("recipe = \"retail\"", "recipe = \"retail\"\nenvironment = { API_TOKEN = \"${env:API_TOKEN}\" }"),
        ("subscribers = []", "subscribers = [\"https://example.com/${env:PART}/in\"]"),
    ]);
    let variables = [("API_TOKEN", "hunter2hunter2"), ("PART", "s3cr3tpart")];
    let path = spec.to_str().unwrap();
    home.run_with(&["up", path, "--local", "--yes"], &variables).expect(0);
    let export = |folder: &str| home.run_with(&["export", "terraform", path, "--local", "-o", folder], &variables);
    let told = export("out").expect(0).stdout;
    let text = text_of(&home.path().join("out"));
    for secret in ["hunter2", "s3cr3t"] {
        assert!(!text.contains(secret) && !told.contains(secret), "{told}{text}");
    }
    assert!(text.contains("API_TOKEN                       = var.api_token"), "{text}");
    assert!(text.contains("variable \"api_token\"") && text.contains("sensitive   = true"), "{text}");
    assert!(told.contains("set TF_VAR_api_token"), "{told}");

    let foreign =
        home.changed(&fs::read_to_string(&spec).unwrap(), &[("name = \"retail-events\"", "name = \"retail\"")]);
    home.run_with(&["down", "--name", "retail-events", "--local", "--yes"], &variables).expect(0);
    let make = aws_sdk_sqs::Client::new(&crate::harness::sdk(&home.endpoint()));
    crate::harness::runtime().block_on(make.create_queue().queue_name("retail-dlq").send()).unwrap();
    let arguments = ["export", "terraform", foreign.to_str().unwrap(), "--local", "-o", "other"];
    let output = home.run_with(&arguments, &variables).expect(1);
    assert!(output.stderr.contains("does not belong to this pipeline"), "{output:#?}");
    assert!(!home.path().join("other").exists());
}

/// All pipelines of the project, each with what its plan would have to say.
#[test]
#[ignore = "needs terraform and its AWS provider"]
fn terraform_has_nothing_to_add_change_or_destroy() {
    let mut wrong = Vec::new();
    for spec in all_pipelines() {
        let home = Home::new();
        home.local("up", &spec, &["--yes"]);
        let arguments = ["export", "terraform", spec.to_str().unwrap(), "--local", "--json", "-o", "out"];
        let told = home.run(&arguments).expect(0).json();
        let endpoint = home.endpoint();
        let terraform = |arguments: &[&str]| {
            let output = Command::new("terraform")
                .args(arguments)
                .current_dir(home.path().join("out"))
                .env("AWS_ENDPOINT_URL", &endpoint)
                .env("AWS_ACCESS_KEY_ID", "local")
                .env("AWS_SECRET_ACCESS_KEY", "local")
                .output()
                .expect("terraform");
            let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            (output.status.success(), text.into_owned())
        };
        let name = spec.display();
        let (done, text) = terraform(&["fmt", "-check", "-diff"]);
        if !done {
            wrong.push(format!("{name}: {text}"));
        }
        let (done, text) = terraform(&["init", "-no-color"]);
        assert!(done, "{text}");
        let (_, text) = terraform(&["plan", "-no-color", "-parallelism=20"]);
        let nothing = format!("Plan: {} to import, 0 to add, 0 to change, 0 to destroy.", told["imports"]);
        if !text.contains(&nothing) {
            let differs = |line: &&str| {
                ["  # ", "~ ", "+ ", "- ", "Plan:", "Error"].iter().any(|start| line.trim_start().starts_with(start))
            };
            wrong.push(format!("{name}: {}", text.lines().filter(differs).collect::<Vec<_>>().join("\n")));
            continue;
        }
        // Once they are imported, there is nothing at all.
        let (done, text) = terraform(&["apply", "-auto-approve", "-no-color", "-parallelism=20"]);
        assert!(done, "{text}");
        let (done, text) = terraform(&["plan", "-no-color", "-detailed-exitcode", "-parallelism=20"]);
        if !done {
            wrong.push(format!("{name} after the import: {text}"));
        }
        // And streamkit goes on to see what it made.
        let plan = home.local("plan", &spec, &[]);
        assert!(plan["summary"]["unchanged"].as_u64() > Some(0) && plan["summary"]["update"] == 0, "{plan:#}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The template of each pipeline as other people's linter finds it.
#[test]
#[ignore = "needs cfn-lint"]
fn cfn_lint_finds_nothing_in_templates() {
    let home = Home::new();
    for spec in all_pipelines() {
        let name = spec.file_stem().unwrap().to_str().unwrap();
        let arguments = ["export", "cloudformation", spec.to_str().unwrap(), "--account", "123456789012"];
        home.run(&[&arguments[..], &["--region", "us-east-1", "-o", name]].concat()).expect(0);
        for file in fs::read_dir(home.path().join(name)).unwrap().map(|file| file.unwrap().path()) {
            let output = Command::new("cfn-lint").arg("-t").arg(&file).output().expect("cfn-lint");
            let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {text}", file.display());
        }
    }
}

#[test]
fn a_template_needs_nobody_and_names_what_is_there_to_import() {
    let home = Home::new();
    let spec = pipeline("fan-out.toml");
    let path = spec.to_str().unwrap();
    let offline =
        ["export", "cloudformation", path, "--account", "123456789012", "--region", "us-east-1", "-o", "offline"];
    home.run(&offline).expect(0);
    assert!(!home.path().join("state/local.json").exists(), "nobody was asked");
    let read =
        |file: &str| -> Value { serde_json::from_str(&fs::read_to_string(home.path().join(file)).unwrap()).unwrap() };
    let template = read("offline/template.json");
    let role = template["Resources"]["AnnounceRole"].to_string();
    assert!(
        role.contains(r#""Fn::Sub":"${OrdersTable.Arn}/stream/*""#) && role.contains(r#""Ref":"OrdersTopic""#),
        "{role}"
    );
    assert!(!home.path().join("offline/resources-to-import.json").exists());

    home.local("up", &spec, &["--yes"]);
    let told = home.run(&["export", "cloudformation", path, "--local", "--json", "-o", "live"]).expect(0).json();
    assert_valid("export", &told);
    let imports = read("live/resources-to-import.json");
    assert_eq!(u64::try_from(imports.as_array().unwrap().len()).ok(), told["imports"].as_u64());
    let live = read("live/template.json");
    for import in imports.as_array().unwrap() {
        let resource = &live["Resources"][import["LogicalResourceId"].as_str().unwrap()];
        assert_eq!(
            (&resource["Type"], &resource["DeletionPolicy"]),
            (&import["ResourceType"], &"Retain".into()),
            "{import}"
        );
    }
    // Queue policies and scaling policies alone can't be imported.
    let left: Vec<&str> = live["Resources"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(id, _)| !imports.as_array().unwrap().iter().any(|import| import["LogicalResourceId"] == id.as_str()))
        .map(|(_, resource)| resource["Type"].as_str().unwrap())
        .collect();
    assert!(left.iter().all(|kind| *kind == "AWS::SQS::QueuePolicy") && left.len() == 3, "{left:?}");
}
