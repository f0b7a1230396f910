//! Tables with replicas in other regions: made, tagged, changed, taken up again after a killed run, and gone everywhere.

use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteReplicationGroupMemberAction, ReplicationGroupUpdate, TableDescription,
};
use serde_json::{Value, json};

use crate::changes::changed_fields;
use crate::harness::{Home, runtime, sdk, until};

const TABLE: &str = "audited-accounts";
const LIMIT: Duration = Duration::from_secs(20);

fn spec(replicas: &str, more: &str) -> String {
    format!(
        "name = \"audited\"\n[table.accounts]\npartition_key = {{ name = \"id\", type = \"S\" }}\n\
         stream = \"new-and-old-images\"\nreplicas = {replicas}\n{more}\n"
    )
}

/// A client's configuration in a region.
pub(crate) fn sdk_in(endpoint: &str, region: &str) -> SdkConfig {
    sdk(endpoint).into_builder().region(Region::new(region.to_owned())).build()
}

fn table_in(endpoint: &str, region: &str) -> Option<TableDescription> {
    let client = Client::new(&sdk_in(endpoint, region));
    runtime().block_on(async { client.describe_table().table_name(TABLE).send().await.ok()?.table })
}

fn tags_in(endpoint: &str, region: &str) -> Value {
    let client = Client::new(&sdk_in(endpoint, region));
    let arn = table_in(endpoint, region).unwrap().table_arn.unwrap();
    let tags = runtime().block_on(async { client.list_tags_of_resource().resource_arn(arn).send().await.unwrap() });
    tags.tags
        .unwrap_or_default()
        .into_iter()
        .map(|tag| (tag.key, json!(tag.value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn replicas_are_made_changed_and_gone_in_every_region() {
    let home = Home::new();
    let endpoint = home.endpoint();
    let file = |replicas: &str, more: &str| home.write("audited.toml", &spec(replicas, more));
    let silent = |replicas: &str, more: &str| {
        let before = home.calls().len();
        home.local("up", &file(replicas, more), &["--yes"]);
        assert_eq!(home.mutating_calls(before), Vec::<String>::new(), "{replicas}");
    };
    let two = "[\"eu-west-1\", \"ap-south-1\"]";
    let made = home.local("up", &file("[\"eu-west-1\"]", ""), &["--yes"]);
    assert_eq!(made["summary"]["create"], 2, "{made:#}");
    silent("[\"eu-west-1\"]", "");
    let replica = table_in(&endpoint, "eu-west-1").unwrap();
    assert_eq!(replica.replicas.unwrap()[0].region_name.as_deref(), Some("us-east-1"));
    let tags = tags_in(&endpoint, "eu-west-1");
    assert_eq!(
        (&tags["streamkit:pipeline"], &tags["streamkit:node"]),
        (&json!("audited"), &json!("table.accounts@eu-west-1"))
    );

    // An item that is written there is here, too.
    let client = Client::new(&sdk_in(&endpoint, "eu-west-1"));
    let put = client.put_item().table_name(TABLE).item("id", AttributeValue::S("a".to_owned()));
    runtime().block_on(put.send()).unwrap();
    let client = Client::new(&sdk(&endpoint));
    let get = || client.get_item().table_name(TABLE).key("id", AttributeValue::S("a".to_owned())).send();
    until("the item", LIMIT, || runtime().block_on(get()).unwrap().item);

    // Another replica, and settings that each has for itself; the time to live is the same in all.
    let more = "protect = true\npoint_in_time_recovery = true\nttl = \"until\"";
    let planned = home.local_output("plan", &file(two, more), &["--exit-code"]).expect(3).json();
    assert_eq!(
        changed_fields(&planned, "table.accounts@eu-west-1"),
        ["point_in_time_recovery", "protect", "tags.streamkit:protect"]
    );
    home.local("up", &file(two, more), &["--yes"]);
    silent(two, more);
    for region in ["us-east-1", "eu-west-1", "ap-south-1"] {
        let table = table_in(&endpoint, region).unwrap();
        assert_eq!((table.deletion_protection_enabled, table.replicas.unwrap().len()), (Some(true), 2), "{region}");
        let client = Client::new(&sdk_in(&endpoint, region));
        let ttl = runtime().block_on(client.describe_time_to_live().table_name(TABLE).send()).unwrap();
        assert_eq!(ttl.time_to_live_description.unwrap().attribute_name.as_deref(), Some("until"), "{region}");
    }
    let refused = home.run(&["down", "--name", "audited", "--local", "--yes"]).expect(1);
    assert!(
        refused.stderr.contains("protected") && refused.stderr.contains("table.accounts@eu-west-1"),
        "{refused:#?}"
    );
    home.local("up", &file(two, ""), &["--yes"]);

    // What leaves the file holds data: it goes only when it is named.
    let one = file("[\"ap-south-1\"]", "");
    let refused = home.local_output("up", &one, &["--yes"]).expect(1);
    assert!(refused.stderr.contains("--allow-delete table.accounts@eu-west-1"), "{refused:#?}");
    home.local("up", &one, &["--yes", "--allow-delete", "table.accounts@eu-west-1"]);
    assert!(table_in(&endpoint, "eu-west-1").is_none());
    silent("[\"ap-south-1\"]", "");

    // From the replica's region this is somebody else's.
    let there = home.local_output("up", &one, &["--yes", "--region", "ap-south-1"]);
    assert_ne!(there.code, 0, "{there:#?}");
    let other = file("[\"eu-west-1\"]", "");
    let there = home.local_output("up", &other, &["--yes", "--region", "ap-south-1"]).expect(1);
    assert!(there.stderr.contains("the pipeline of another region"), "{there:#?}");
    let there = home.run(&["down", "--name", "audited", "--local", "--yes", "--region", "ap-south-1"]).expect(1);
    assert!(there.stderr.contains("us-east-1"), "{there:#?}");

    home.run(&["down", "--name", "audited", "--local", "--yes"]).expect(0);
    for region in ["us-east-1", "eu-west-1", "ap-south-1"] {
        assert!(table_in(&endpoint, region).is_none(), "{region}");
    }
}

#[test]
fn killed_and_disturbed_runs_converge_with_their_replicas() {
    let home = Home::new();
    let endpoint = home.endpoint();
    let file = home.write("audited.toml", &spec("[\"eu-west-1\"]", ""));
    // The replica is made and its tags are not: as if the run had been killed between the two.
    home.fault("dynamodb", "TagResource", 1, 400, "AccessDeniedException");
    home.local_output("up", &file, &["--yes"]).expect(1);
    assert_eq!(tags_in(&endpoint, "eu-west-1"), json!({}));
    home.local("up", &file, &["--yes"]);
    assert_eq!(tags_in(&endpoint, "eu-west-1")["streamkit:pipeline"], "audited");
    // Its own removal may be what got lost.
    home.run(&["down", "--name", "audited", "--local", "--yes"]).expect(0);
    home.fault("dynamodb", "TagResource", 1, 400, "AccessDeniedException");
    home.local_output("up", &file, &["--yes"]).expect(1);
    home.run(&["down", "--name", "audited", "--local", "--yes"]).expect(0);
    assert!(table_in(&endpoint, "eu-west-1").is_none() && table_in(&endpoint, "us-east-1").is_none());

    // The answer to the call that makes it is lost.
    home.lose_answer("dynamodb", "UpdateTable");
    home.local("up", &file, &["--yes"]);
    // Somebody removes it behind our back: it comes again.
    let client = Client::new(&sdk(&endpoint));
    let delete = DeleteReplicationGroupMemberAction::builder().region_name("eu-west-1").build().unwrap();
    let update = ReplicationGroupUpdate::builder().delete(delete).build();
    runtime().block_on(client.update_table().table_name(TABLE).replica_updates(update).send()).unwrap();
    assert!(table_in(&endpoint, "eu-west-1").is_none());
    let mended = home.local("up", &file, &["--yes"]);
    assert_eq!(mended["summary"]["create"], 1, "{mended:#}");
    assert!(table_in(&endpoint, "eu-west-1").is_some());

    // Other keys need another table, and with it another replica.
    let text = spec("[\"eu-west-1\"]", "").replace("\"id\"", "\"key\"");
    let other = home.write("audited.toml", &text);
    home.local("up", &other, &["--yes", "--allow-replace", "table.accounts"]);
    for region in ["us-east-1", "eu-west-1"] {
        let table = table_in(&endpoint, region).unwrap();
        assert_eq!(table.key_schema.unwrap()[0].attribute_name, "key", "{region}");
        assert_eq!(table.replicas.unwrap().len(), 1, "{region}");
    }
    let before = home.calls().len();
    home.local("up", &other, &["--yes"]);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    home.run(&["down", "--name", "audited", "--local", "--yes"]).expect(0);
    assert!(table_in(&endpoint, "eu-west-1").is_none() && table_in(&endpoint, "us-east-1").is_none());
}
