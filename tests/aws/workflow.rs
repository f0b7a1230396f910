//! The GitHub Actions workflow that runs this in an account: what it must not lose.

use saphyr::{LoadableYamlNode as _, Yaml};

const WORKFLOW: &str = include_str!("../../.github/workflows/aws.yml");

/// The step that runs the lives, and the one that removes what they have left.
const RUN: &str = "cargo test --locked --test aws -- --ignored";
const CLEAN_UP: &str = "aws-clean-up.sh";

#[test]
fn workflow_assumes_a_role_runs_alone_and_always_cleans_up() {
    let documents = Yaml::load_from_str(WORKFLOW).expect("the workflow is YAML");
    let workflow = &documents[0];
    let triggers = &workflow["on"];
    assert!(triggers.contains_mapping_key("workflow_dispatch") && triggers.contains_mapping_key("schedule"));
    let text = |node: &Yaml<'_>| node.as_str().map(str::to_owned).unwrap_or_default();
    assert_eq!(text(&workflow["permissions"]["id-token"]), "write");
    // One at a time, and none that is stopped half-way by the next.
    assert_eq!(text(&workflow["concurrency"]["group"]), "aws");
    assert_eq!(workflow["concurrency"]["cancel-in-progress"].as_bool(), Some(false));

    let steps = workflow["jobs"]["lives"]["steps"].as_sequence().expect("steps");
    let place = |test: &dyn Fn(&Yaml<'_>) -> bool| steps.iter().position(test);
    let field = |step: &Yaml<'_>, key: &str| step.as_mapping_get(key).map(text).unwrap_or_default();
    let assumes = |step: &Yaml<'_>| field(step, "uses").starts_with("aws-actions/configure-aws-credentials@");
    let role = place(&assumes).expect("a step that assumes the role");
    assert_eq!(text(&steps[role]["with"]["role-to-assume"]), "${{ vars.AWS_TEST_ROLE }}");
    let run = place(&|step| field(step, "run") == RUN).expect("the step that runs the lives");
    let cleans = place(&|step| field(step, "run").contains(CLEAN_UP)).expect("the step that cleans up");
    assert!(role < run && run < cleans);
    let always: Vec<usize> = (0..steps.len()).filter(|at| field(&steps[*at], "if") == "always()").collect();
    assert!(always.contains(&cleans) && always.contains(&(cleans - 1)) && assumes(&steps[cleans - 1]));
    assert!(!WORKFLOW.contains("secrets."), "no key is kept");
}
