//! Runs in two regions at the same time.

use std::process::Stdio;

use serde_json::json;

use crate::harness::{Home, finish, pipeline};

#[test]
fn two_regions_at_once_do_not_meet() {
    let home = Home::new();
    home.run(&["local", "start", "--strict"]).expect(0);
    let spec = pipeline("retail-events.toml");
    let regions = ["us-east-1", "eu-west-1"];
    let both = |command: &str| {
        let start = |region: &str| {
            let mut child = home.command();
            child.args([command, spec.to_str().unwrap(), "--local", "--json", "--region", region]);
            if command != "validate" {
                child.arg("--yes");
            }
            child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        regions.map(start).map(|child| finish(child).expect(0).json())
    };
    for up in both("up") {
        assert_eq!((&up["summary"]["create"], &up["summary"]["failed"]), (&json!(13), &json!(0)), "{up:#}");
    }
    for up in both("up") {
        assert_eq!(up["summary"]["unchanged"], 13, "{up:#}");
    }
    for validated in both("validate") {
        assert_eq!(validated["ok"], true, "{validated:#}");
    }
    // One goes, the other still works.
    home.local("down", &spec, &["--yes", "--region", "eu-west-1"]);
    assert_eq!(home.local("up", &spec, &["--yes"])["summary"]["unchanged"], 13);
    for down in both("down") {
        assert_eq!(down["summary"]["failed"], 0, "{down:#}");
    }
}
