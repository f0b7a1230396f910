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
