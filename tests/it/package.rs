//! The package that AWS would get, run by the embedded AWS: built in full, so this takes minutes and only CI asks for it.

use crate::harness::{Home, pipeline};

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
