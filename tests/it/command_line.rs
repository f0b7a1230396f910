//! What users meet at the prompt: help, mistakes, and where data goes.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Home, finish, pipeline};
use crate::schema::assert_valid;

#[test]
fn help_shows_an_example_for_every_command() {
    let home = Home::new();
    for command in ["init", "plan", "up", "dev", "status", "validate", "send", "tail", "logs", "down", "local"] {
        let help = home.run(&[command, "--help"]).expect(0);
        assert!(help.stdout.contains("Example: streamkit "), "{help:#?}");
    }
    assert!(home.run(&["--help"]).expect(0).stdout.contains("Exit codes: 0 done"));
}

#[test]
fn bad_usage_exits_with_2_and_says_what_is_wrong() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    let spec = spec.to_str().unwrap();
    for (args, says) in [
        (vec!["upp"], "unrecognized subcommand 'upp'"),
        (vec!["up", "missing.toml", "--local"], "there is no spec missing.toml"),
        (vec!["up", spec, "--local", "--stage", "Dev!"], "`Dev!` can't be a stage's name"),
        (vec!["up", spec, "--endpoint-url", "localhost:5000"], "`localhost:5000` is not an endpoint"),
        (vec!["up", spec, "--local", "--endpoint-url", "http://127.0.0.1:1"], "cannot be used with"),
        (vec!["down", "--name", "Retail Events", "--local"], "`Retail Events` can't be a pipeline's name"),
        (vec!["init", "retial"], "there is no recipe or pipeline `retial`"),
        (vec!["init", "retial"], "hint: did you mean `retail`?"),
        (vec!["init", "xyz"], "hint: choose one of analytics, anomalies, archive, change"),
        (vec!["send", spec, "--local", "--poison", "200"], "200"),
        // Without a terminal there is nobody to ask.
        (vec!["up", spec, "--local"], "pass --yes"),
    ] {
        let output = home.run(&args).expect(2);
        assert!(output.stderr.contains(says), "{args:?}: {output:#?}");
        assert!(output.stdout.is_empty() || args == ["up", spec, "--local"], "{args:?}: {output:#?}");
    }
}

#[test]
fn missing_credentials_and_regions_are_explained() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    let spec = spec.to_str().unwrap();
    let output = home.run(&["plan", spec]).expect(1);
    assert!(
        output.stderr.contains("no AWS region is set") && output.stderr.contains("hint: pass --region"),
        "{output:#?}"
    );
    let keys = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    for (arguments, variables) in [
        (vec!["--profile", "nosuch"], &keys[..]),
        (vec![], &[("AWS_PROFILE", "nosuch"), ("AWS_REGION", "eu-west-1")][..]),
    ] {
        let run = |home: &Home| home.run_with(&[&["plan", spec], &arguments[..]].concat(), variables).expect(1);
        let output = run(&home);
        assert!(
            output
                .stderr
                .contains("error: there is no AWS profile `nosuch`\nhint: the AWS configuration files have none"),
            "{output:#?}"
        );
        let other = Home::new();
        std::fs::create_dir(other.path().join(".aws")).unwrap();
        other.write(".aws/config", "[profile work]\nregion = eu-west-1\n");
        other.write(".aws/credentials", "[private]\n");
        let output = run(&other);
        assert!(output.stderr.contains("hint: the AWS configuration files have private, work"), "{output:#?}");
    }
    let output = home.run(&["plan", spec, "--region", "eu-central-1"]).expect(1);
    assert!(output.stderr.contains("hint: no AWS credentials were found"), "{output:#?}");
    let keys = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    // Nothing listens on port 1, and no test can be given it.
    let endpoint = "http://127.0.0.1:1";
    let output =
        home.run_with(&["plan", spec, "--region", "eu-central-1", "--endpoint-url", endpoint], &keys).expect(1);
    assert!(output.stderr.contains("hint: the endpoint did not answer"), "{output:#?}");
}

#[test]
fn a_profile_of_aws_login_is_used() {
    use sha2::Digest as _;
    let home = Home::new();
    let session = "arn:aws:iam::000000000000:user/somebody";
    std::fs::create_dir_all(home.path().join(".aws/login/cache")).unwrap();
    home.write(".aws/config", &format!("[profile work]\nregion = us-east-1\nlogin_session = {session}\n"));
    let endpoint = home.endpoint();
    let spec = pipeline("retail-events.toml");
    let plan = ["plan", spec.to_str().unwrap(), "--profile", "work", "--endpoint-url", &endpoint, "--json"];
    let output = home.run(&plan).expect(1);
    assert!(output.stderr.contains("login/cache"), "{output:#?}");

    // As `aws login` leaves it; its key is needed only once the credentials have expired.
    let token = serde_json::json!({
        "accessToken": {
            "accessKeyId": "AKIDEXAMPLE", "secretAccessKey": "secret", "sessionToken": "token",
            "accountId": "000000000000", "expiresAt": "2999-01-01T00:00:00Z",
        },
        "tokenType": "aws_sigv4", "clientId": "arn:aws:signin:::devtools/same-device",
        "refreshToken": "refresh", "idToken": "id", "dpopKey": "-----BEGIN EC PRIVATE KEY-----",
    });
    let name = hex::encode(sha2::Sha256::digest(session));
    home.write(&format!(".aws/login/cache/{name}.json"), &token.to_string());
    let output = home.run(&plan).expect(0);
    assert_eq!(output.json()["account"], "000000000000", "{output:#?}");
}

#[test]
fn a_taken_port_is_said_and_leaves_nothing_running() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = home.run(&["local", "start", "--port", &port]).expect(1);
    assert!(output.stderr.contains("in use"), "{output:#?}");
    home.run(&["local", "status"]).expect(1);
}

#[test]
fn the_embedded_aws_starts_once_and_stops() {
    let home = Home::new();
    let first = home.run(&["local", "start", "--json"]).expect(0).json();
    let second = home.run(&["local", "start", "--json"]).expect(0).json();
    assert_eq!(first, second);
    assert!(first["endpoint"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{first:#}");
    assert!(first["pid"].as_u64().is_some(), "{first:#}");
    assert_eq!(home.run(&["local", "status", "--json"]).expect(0).json()["pid"], first["pid"]);
    let spec = pipeline("retail-events.toml");
    let output = home.run(&["send", spec.to_str().unwrap(), "--local", "--function", "other"]).expect(2);
    assert!(output.stderr.contains("there is no function `other`"), "{output:#?}");
    home.run(&["local", "stop"]).expect(0);
    home.run(&["local", "status"]).expect(1);
    home.run(&["local", "stop"]).expect(0);
}

#[test]
fn the_embedded_aws_says_where_it_listens_and_how_strict_it_is() {
    let home = Home::new();
    home.run(&["local", "start", "--allow-host", "http://aws.test"]).expect(2);
    home.run(&["local", "start", "--strict=latency"]).expect(2);
    let arguments = ["local", "start", "--strict=rates", "--seed", "7", "--allow-host", "aws.test", "--json"];
    let started = home.run(&arguments).expect(0).json();
    let status = home.run(&["local", "status", "--json"]).expect(0).json();
    assert_eq!(status, started);
    assert_valid("local-status", &status);
    assert_eq!(status["strict"], true);
    assert_eq!(status["strictness"], json!({"consistency": false, "rates": true}));
    assert_eq!((&status["bind"], &status["regions"]), (&json!("127.0.0.1"), &json!(["us-east-1"])));
    assert!(home.run(&["local", "status"]).expect(0).stdout.contains("strict: rates\n"));
    // Neither of these is what runs.
    for other in ["--strict", "--allow-host=other.test"] {
        let output = home.run(&["local", "start", other]).expect(1);
        assert!(output.stderr.contains("hint: stop it first"), "{output:#?}");
    }
    home.run(&["local", "stop"]).expect(0);
    assert_eq!(home.run(&["local", "start", "--strict", "--json"]).expect(0).json()["strict"], true);
    home.run(&["local", "stop"]).expect(0);
    assert_eq!(home.run(&["local", "start", "--json"]).expect(0).json()["strict"], false);
}

#[test]
#[cfg(unix)]
fn in_the_foreground_it_serves_until_it_is_told_to_end() {
    let home = Home::new();
    let mut served = home.command();
    let mut served =
        served.args(["local", "start", "--foreground"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(served.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("export AWS_ENDPOINT_URL=http://127.0.0.1:"), "{line}");
    let status = home.run(&["local", "status", "--json"]).expect(0).json();
    assert_eq!(status["pid"], served.id());
    home.run(&["local", "start", "--foreground"]).expect(1);
    assert!(Command::new("kill").arg(served.id().to_string()).status().unwrap().success());
    finish(served);
    home.run(&["local", "status"]).expect(1);
}

#[test]
fn init_writes_a_spec_that_plans_and_never_overwrites() {
    let home = Home::new();
    let known = home.run(&["init", "--json"]).expect(0).json();
    assert_valid("init", &known);
    let recipes: Vec<_> = known.as_array().unwrap().iter().map(|one| one["recipe"].as_str().unwrap()).collect();
    assert!(recipes.len() >= 4, "{recipes:?}");
    for recipe in recipes {
        let file = format!("{recipe}.toml");
        home.run(&["init", "--recipe", recipe, "--output", &file]).expect(0);
        home.local("plan", &home.path().join(&file), &[]);
    }
    home.run(&["init", "retail"]).expect(0);
    let plan: Value = home.run(&["plan", "--local", "--json"]).expect(0).json();
    assert!(plan["summary"]["create"].as_u64().unwrap() > 10, "{plan:#}");
    let output = home.run(&["init", "retail"]).expect(1);
    assert!(output.stderr.contains("streamkit.toml exists already"), "{output:#?}");
    assert_eq!(
        home.run(&["plan", "--local", "--json", "--exit-code"]).expect(3).json()["summary"]["create"],
        plan["summary"]["create"]
    );
}
