//! Data tests: every file in `tests/specs/valid` plans, every one in `invalid` is refused with the findings of its snapshot.

use std::path::Path;

use crate::harness::Home;

#[test]
fn invalid_specs_are_refused_with_all_their_mistakes() {
    insta::glob!("../specs/invalid", "*.toml", |path| {
        let home = Home::new();
        // A short name, so that the snapshot does not hold this machine's folders.
        let name = path.file_name().unwrap().to_str().unwrap();
        std::fs::copy(path, home.path().join(name)).unwrap();
        let output = home.run(&["up", name, "--local", "--yes"]);
        insta::assert_snapshot!(format!("exit code: {}\nstdout: {:?}\n{}", output.code, output.stdout, output.stderr));
        // A bad spec never reaches AWS: not even the embedded one was started.
        assert!(!home.path().join("state").exists());
    });
}

#[test]
fn advice_is_given_and_silenced_by_its_id() {
    let home = Home::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/specs/advice");
    let text = std::fs::read_to_string(folder.join("all.toml")).unwrap();
    std::fs::create_dir(home.path().join("crate")).unwrap();
    std::fs::copy(folder.join("crate/Cargo.toml"), home.path().join("crate/Cargo.toml")).unwrap();
    home.write("all.toml", &text);
    let output = home.run(&["check", "all.toml"]).expect(0);
    insta::assert_snapshot!(format!("stdout: {:?}\n{}", output.stdout, output.stderr));
    home.run(&["check", "all.toml", "--strict"]).expect(1);
    // Advice asks AWS nothing: not even the embedded one was started.
    assert!(!home.path().join("state").exists());

    let advice = home.run(&["check", "all.toml", "--json"]).expect(0).json();
    let named = advice["warnings"].as_array().unwrap().iter().map(|at| {
        let rule = at["rule"].as_str().unwrap();
        format!("\"{rule}:{}\"", at["node"].as_str().unwrap())
    });
    let all: Vec<_> = named.collect();
    home.write("silent.toml", &format!("{text}\n[lint]\nallow = [{}]\n", all.join(", ")));
    home.run(&["check", "silent.toml", "--strict"]).expect(0);
    home.write("unused.toml", "name = \"a\"\n[stream.s]\n[lint]\nallow = [\"no-bisect\", \"unencrypted:stream.s\"]\n");
    let unused = home.run(&["check", "unused.toml", "--strict", "--json"]).expect(1).json();
    let rules: Vec<_> = unused["warnings"].as_array().unwrap().iter().map(|at| at["rule"].clone()).collect();
    assert_eq!(rules, ["unused-allow", "unused-allow"]);
    home.write("wrong.toml", "name = \"a\"\n[stream.s]\n[lint]\nallow = [\"no-bisekt\", \"unencrypted:stream.t\"]\n");
    let wrong = home.run(&["check", "wrong.toml"]).expect(2);
    assert!(wrong.stderr.contains("there is no lint `no-bisekt`") && wrong.stderr.contains("no-bisect"), "{wrong:#?}");
    assert!(wrong.stderr.contains("there is no [stream.t] in this file"), "{wrong:#?}");
}

#[test]
fn the_projects_own_pipelines_need_no_advice() {
    let home = Home::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines")).unwrap() {
        home.run(&["check", entry.unwrap().path().to_str().unwrap(), "--strict"]).expect(0);
    }
}

#[test]
fn valid_specs_plan() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/specs/valid");
    let home = Home::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let plan = home.local("plan", &path, &[]);
        assert_eq!(plan["summary"]["failed"], 0, "{}: {plan:#}", path.display());
        count += 1;
    }
    assert!(count > 0);
}
