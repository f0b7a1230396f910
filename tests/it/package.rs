//! The package that AWS would get, run by the embedded AWS: built in full, so this takes minutes and only CI asks for it.

use serde_json::json;

use crate::harness::{Home, pipeline, runtime, sdk};
use crate::own_code::write_zip;
use crate::schema::assert_valid;

#[test]
#[ignore = "compiles the handler as for AWS, which takes minutes; `.ci/run` asks for it"]
fn package_for_aws_runs_in_the_embedded_aws() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    let up = home.local("up", &spec, &["--yes", "--package"]);
    assert_eq!(up["summary"]["failed"], 0, "{up:#}");
    let report = home.local("validate", &spec, &["--package"]);
    assert_eq!(report["ok"], true, "{report:#}");
    // The linked handler is other code: `up` without the option goes back to it.
    let linked = home.local("up", &spec, &["--yes"]);
    assert_eq!(crate::changes::changed_fields(&linked, "function.processor"), ["code"], "{linked:#}");
}

#[test]
fn package_of_aws_is_only_asked_for_with_local() {
    let output = Home::new().run(&["up", pipeline("retail-events.toml").to_str().unwrap(), "--package"]).expect(2);
    assert!(output.stderr.contains("--local"), "{output:#?}");
}

/// A spec whose function runs the handler that is linked into streamkit, from a zip file.
const ZIPPED: &str = r#"
name = "zipped"
[stream.events]
[function.f]
code = "own.zip"
source = { from = "stream.events" }
"#;

#[test]
fn package_that_was_built_once_is_the_code_of_every_stage() {
    let home = Home::new();
    let zipped = home.write("zipped.toml", ZIPPED);
    let script = format!("#!/bin/sh\nexec '{}' handler\n", env!("CARGO_BIN_EXE_streamkit"));
    write_zip(&home, "bootstrap", script.as_bytes(), 0o755);
    let zipped = zipped.to_str().unwrap();
    let package = home.run(&["package", zipped, "--local", "--json", "-o", "out.zip"]).expect(0).json();
    assert_valid("package", &package);
    assert_eq!((&package["path"], &package["functions"]), (&json!("out.zip"), &json!(["f"])));
    let bytes = std::fs::read(home.path().join("out.zip")).unwrap();
    assert_eq!(package["bytes"], bytes.len());
    assert_eq!(package["sha256"].as_str().unwrap().len(), 64);
    // It asks AWS nothing.
    home.run(&["local", "status"]).expect(1);

    let spec = home.retail(&[]);
    let lambda = aws_sdk_lambda::Client::new(&sdk(&home.endpoint()));
    for stage in ["dev", "prod"] {
        let with = ["--stage", stage, "--package", "out.zip"];
        home.local("up", &spec, &[&with[..], &["--yes"]].concat());
        let get = lambda.get_function_configuration().function_name(format!("retail-events-{stage}-processor"));
        let configuration = runtime().block_on(get.send()).unwrap();
        assert_eq!(configuration.code_sha256().unwrap(), package["code_sha256"].as_str().unwrap());
        assert_eq!(home.local("plan", &spec, &with)["summary"]["update"], 0);
        home.local("status", &spec, &with);
    }
    let report = home.local("validate", &spec, &["--stage", "prod", "--package", "out.zip"]);
    assert_eq!(report["ok"], true, "{report:#}");
    // Without the file the code is what fits here.
    let plan = home.local("plan", &spec, &["--stage", "prod"]);
    assert_eq!(crate::changes::changed_fields(&plan, "function.processor"), ["code"]);

    // A saved plan names its package, and is refused when that is another one by now.
    let saved =
        ["plan", spec.to_str().unwrap(), "--local", "--stage", "prod", "--package", "new.zip", "--out", "plan.json"];
    write_zip(&home, "bootstrap", format!("{script}# new\n").as_bytes(), 0o755);
    std::fs::copy(home.path().join("own.zip"), home.path().join("new.zip")).unwrap();
    home.run(&saved).expect(0);
    std::fs::copy(home.path().join("out.zip"), home.path().join("new.zip")).unwrap();
    let up = ["up", "--plan", "plan.json", "--local"];
    let refused = home.run(&up).expect(1);
    assert!(refused.stderr.contains("function.processor: its code has changed"), "{refused:#?}");
    std::fs::copy(home.path().join("own.zip"), home.path().join("new.zip")).unwrap();
    home.run(&up).expect(0);
    assert_eq!(home.local("plan", &spec, &["--stage", "prod", "--package", "new.zip"])["summary"]["update"], 0);
}

#[test]
fn package_takes_a_zip_file_or_none() {
    let home = Home::new();
    let spec = home.retail(&[]);
    let spec = spec.to_str().unwrap();
    // What does not end in .zip is the spec.
    let plan = home.run(&["plan", "--local", "--json", "--package", spec]).expect(0).json();
    assert_eq!(plan["pipeline"], "retail-events");
    home.write(
        "mixed.toml",
        &format!("{ZIPPED}[function.g]\ncode = \"other.zip\"\nsource = {{ from = \"stream.events\" }}\n"),
    );
    write_zip(&home, "bootstrap", b"#!/bin/sh\n", 0o755);
    std::fs::copy(home.path().join("own.zip"), home.path().join("other.zip")).unwrap();
    for (arguments, says) in [
        (vec!["up", "--package", spec], "is for --local"),
        (vec!["up", spec, "--package", "code.tar"], "`--package code.tar` names no zip file"),
        (vec!["up", spec, "--local", "--package", "missing.zip"], "there is no zip file missing.zip"),
        (vec!["up", "mixed.toml", "--local", "--package", "own.zip"], "they have different code"),
        (vec!["package", "mixed.toml", "-o", "out.zip"], "these functions have different code: f; g"),
        (vec!["package", "mixed.toml", "-o", "out.zip", "--function", "h"], "there is no function `h`"),
        (vec!["package", spec, "-o", "out"], "does not end in .zip"),
    ] {
        let output = home.run(&arguments).expect(2);
        assert!(output.stderr.contains(says), "{arguments:?}: {output:#?}");
    }
    home.run(&["package", "mixed.toml", "--local", "-o", "out.zip", "--function", "g"]).expect(0);
    assert!(home.path().join("out.zip").is_file());
}
