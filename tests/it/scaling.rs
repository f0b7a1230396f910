//! A table's autoscaling: set, changed, left alone where AWS makes use of it, ended, and gone with the table.

use aws_sdk_applicationautoscaling::types::ServiceNamespace;
use aws_sdk_dynamodb::types::ProvisionedThroughput;
use serde_json::json;

use crate::changes::changed_fields;
use crate::harness::{Home, runtime, sdk};

const TABLE: &str = "scaled-orders";

fn spec(billing: &str) -> String {
    format!(
        "name = \"scaled\"\n[table.orders]\npartition_key = {{ name = \"id\", type = \"S\" }}\nbilling = {billing}\nttl = \"expires\"\n"
    )
}

/// The limits of the table's scalable targets and the targets of their policies, in the order of their names.
fn scaling(endpoint: &str) -> (Vec<(i32, i32)>, Vec<f64>) {
    let client = aws_sdk_applicationautoscaling::Client::new(&sdk(endpoint));
    runtime().block_on(async {
        let targets = client.describe_scalable_targets().service_namespace(ServiceNamespace::Dynamodb).send();
        let mut targets = targets.await.unwrap().scalable_targets.unwrap_or_default();
        targets.sort_by_key(|target| target.scalable_dimension.as_str().to_owned());
        let policies = client.describe_scaling_policies().service_namespace(ServiceNamespace::Dynamodb).send();
        let mut policies = policies.await.unwrap().scaling_policies.unwrap_or_default();
        policies.sort_by_key(|policy| policy.scalable_dimension.as_ref().to_owned());
        let tracked =
            policies.iter().map(|policy| policy.target_tracking_scaling_policy_configuration.as_ref().unwrap());
        (
            targets.iter().map(|target| (target.min_capacity, target.max_capacity)).collect(),
            tracked.map(|tracking| tracking.target_value).collect(),
        )
    })
}

/// The table's units, after setting them to something else if given: what AWS does by itself.
fn capacity(endpoint: &str, becomes: Option<(i64, i64)>) -> (i64, i64) {
    let client = aws_sdk_dynamodb::Client::new(&sdk(endpoint));
    runtime().block_on(async {
        if let Some((read, write)) = becomes {
            let units = ProvisionedThroughput::builder().read_capacity_units(read).write_capacity_units(write);
            let units = units.build().unwrap();
            client.update_table().table_name(TABLE).provisioned_throughput(units).send().await.unwrap();
        }
        let table = client.describe_table().table_name(TABLE).send().await.unwrap().table.unwrap();
        let units = table.provisioned_throughput.unwrap();
        (units.read_capacity_units.unwrap(), units.write_capacity_units.unwrap())
    })
}

#[test]
fn a_tables_capacity_follows_its_use_within_limits() {
    let home = Home::new();
    let endpoint = home.endpoint();
    let file = |billing: &str| home.write("scaled.toml", &spec(billing));
    let silent = |billing: &str| {
        let before = home.calls().len();
        home.local("up", &file(billing), &["--yes"]);
        assert_eq!(home.mutating_calls(before), Vec::<String>::new(), "{billing}");
    };
    let up = |billing: &str, fields: &[&str]| {
        let spec = file(billing);
        let planned = home.local_output("plan", &spec, &["--exit-code"]).expect(3).json();
        assert_eq!(changed_fields(&planned, "table.orders"), fields, "{planned:#}");
        let done = home.local("up", &spec, &["--yes"]);
        assert_eq!(done["summary"]["update"], 1, "{done:#}");
        silent(billing);
    };

    let scaled = "{ read = 5, write = 5, autoscaling = { max_read = 50, max_write = 20 } }";
    home.local("up", &file(scaled), &["--yes"]);
    assert_eq!(scaling(&endpoint), (vec![(5, 50), (5, 20)], vec![70.0, 70.0]));
    silent(scaled);

    // Other limits and another aim. AWS has raised what can be read meanwhile: that stays.
    capacity(&endpoint, Some((30, 5)));
    silent(scaled);
    let wider = "{ read = 5, write = 5, autoscaling = { max_read = 40, max_write = 40, target = 50 } }";
    up(wider, &["autoscaling"]);
    assert_eq!(scaling(&endpoint), (vec![(5, 40), (5, 40)], vec![50.0, 50.0]));
    assert_eq!(capacity(&endpoint, None), (30, 5));

    // What is outside of the limits is nobody's but a stranger's doing.
    capacity(&endpoint, Some((30, 60)));
    up(wider, &["billing"]);
    assert_eq!(capacity(&endpoint, None), (5, 5));

    // Without autoscaling the capacity is what the file says again.
    capacity(&endpoint, Some((12, 8)));
    up("{ read = 5, write = 5 }", &["autoscaling", "billing"]);
    assert_eq!((scaling(&endpoint), capacity(&endpoint, None)), ((vec![], vec![]), (5, 5)));

    // From provisioned to on-demand and back, which ends and begins it.
    up(wider, &["autoscaling"]);
    up("\"on-demand\"", &["autoscaling", "billing"]);
    assert_eq!(scaling(&endpoint), (vec![], vec![]));
    up(scaled, &["autoscaling", "billing"]);
    assert_eq!(scaling(&endpoint).0, [(5, 50), (5, 20)]);

    // A policy that somebody removed comes again, under the name that it had.
    let client = aws_sdk_applicationautoscaling::Client::new(&sdk(&endpoint));
    runtime().block_on(async {
        let call = client.describe_scaling_policies().service_namespace(ServiceNamespace::Dynamodb).send();
        let policy = call.await.unwrap().scaling_policies.unwrap_or_default().remove(0);
        let call = client.delete_scaling_policy().service_namespace(ServiceNamespace::Dynamodb);
        let call = call.resource_id(&policy.resource_id).scalable_dimension(policy.scalable_dimension);
        call.policy_name(&policy.policy_name).send().await.unwrap();
    });
    up(scaled, &["autoscaling"]);
    assert_eq!(scaling(&endpoint).1, [70.0, 70.0]);

    // `down` by name knows nothing of the spec.
    home.run(&["down", "--name", "scaled", "--local", "--yes"]).expect(0);
    assert_eq!(scaling(&endpoint), (vec![], vec![]));
}

#[test]
fn a_table_that_is_not_scaled_costs_no_failing_call() {
    let home = Home::new();
    for (billing, calls) in [("\"on-demand\"", 0), ("{ read = 5, write = 5 }", 1)] {
        let spec = home.write("scaled.toml", &spec(billing));
        home.local("up", &spec, &["--yes"]);
        let before = home.calls().len();
        // An endpoint without the service has nothing that scales.
        home.fault("application-autoscaling", "DescribeScalableTargets", calls, 501, "UnknownOperationException");
        let plan = home.local("plan", &spec, &[]);
        assert_eq!(plan["summary"]["unchanged"], json!(1), "{plan:#}");
        let all = home.calls();
        let asked = all[before..].iter().filter(|call| call["service"] == "application-autoscaling").count();
        assert_eq!(asked, calls as usize, "{billing}: {:#?}", &all[before..]);
    }
}
