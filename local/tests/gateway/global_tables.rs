//! Global tables: replicas made and removed, writes that reach the other regions, conflicts, and what AWS refuses.

use serde_json::{Value, json};
use streamkit_local::{Options, Rehearsal};

use crate::{Answer, Aws, DEADLINE};

const HOME: &str = "eu-west-1";
const AWAY: &str = "us-east-1";

impl Aws {
    async fn in_region(&self, region: &str, target: &str, body: Value) -> Answer {
        let scope = format!("x/20260101/{region}/dynamodb/aws4_request");
        let signature = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let headers =
            [("X-Amz-Target", target), ("Content-Type", "application/x-amz-json-1.0"), ("Authorization", &*signature)];
        self.send("POST", "/", &headers, body.to_string().as_bytes()).await
    }

    async fn tables_in(&self, region: &str, operation: &str, body: Value) -> Value {
        let answer = self.in_region(region, &format!("DynamoDB_20120810.{operation}"), body).await;
        assert_eq!(answer.status, 200, "{region} {operation}: {}", answer.body);
        answer.json()
    }

    async fn refused_in(&self, region: &str, operation: &str, body: Value) -> String {
        let answer = self.in_region(region, &format!("DynamoDB_20120810.{operation}"), body).await;
        assert_eq!(answer.status, 400, "{region} {operation}: {}", answer.body);
        answer.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    async fn update_replicas(&self, region: &str, update: Value) -> Value {
        self.tables_in(region, "UpdateTable", json!({"TableName": "things", "ReplicaUpdates": [update]})).await
    }

    /// A table with a stream in the home region.
    async fn table_at_home(&self) {
        let table = json!({
            "TableName": "things",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}, {"AttributeName": "n", "AttributeType": "N"}],
            "GlobalSecondaryIndexes": [{
                "IndexName": "by-n", "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        });
        self.tables_in(HOME, "CreateTable", table).await;
    }

    /// The same with a replica.
    async fn global_table(&self) {
        self.table_at_home().await;
        self.update_replicas(HOME, json!({"Create": {"RegionName": AWAY}})).await;
    }

    async fn put_in(&self, region: &str, id: &str, n: i64) {
        let item = json!({"id": {"S": id}, "n": {"N": n.to_string()}});
        self.tables_in(region, "PutItem", json!({"TableName": "things", "Item": item})).await;
    }

    async fn n_in(&self, region: &str, id: &str) -> Option<String> {
        let get = json!({"TableName": "things", "Key": {"id": {"S": id}}});
        self.tables_in(region, "GetItem", get).await["Item"]["n"]["N"].as_str().map(str::to_owned)
    }

    /// Waits until nothing is on its way, and gives for each region how many conflicts it has seen.
    async fn settled(&self) -> Vec<(String, u64)> {
        let settled = async {
            loop {
                let shown = self.send("GET", "/_streamkit/replication", &[], b"").await.json();
                let replicas = shown["replicas"].as_array().expect("replicas").clone();
                if replicas.iter().all(|replica| replica["pending"] == 0) {
                    let conflicts = |replica: &Value| {
                        let region = replica["region"].as_str().expect("a region").to_owned();
                        (region, replica["conflicts"].as_u64().expect("a count"))
                    };
                    return replicas.iter().map(conflicts).collect();
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, settled).await.expect("the replicas settle")
    }

    /// Waits until an item is so in a region: what was taken from the way may still be being written.
    async fn until_n(&self, region: &str, id: &str, n: Option<&str>) {
        let seen = async {
            while self.n_in(region, id).await.as_deref() != n {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, seen).await.expect("the write arrives");
    }

    /// What the table's stream in a region has: name, key and who made the change.
    async fn records_in(&self, region: &str) -> Vec<(String, String, Value)> {
        let table = self.tables_in(region, "DescribeTable", json!({"TableName": "things"})).await;
        let stream = &table["Table"]["LatestStreamArn"];
        let ask = async |operation: &str, body: Value| {
            let answer = self.in_region(region, &format!("DynamoDBStreams_20120810.{operation}"), body).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            answer.json()
        };
        let described = ask("DescribeStream", json!({"StreamArn": stream})).await;
        let shard = &described["StreamDescription"]["Shards"][0]["ShardId"];
        let from = json!({"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
        let iterator = ask("GetShardIterator", from).await["ShardIterator"].take();
        let page = ask("GetRecords", json!({"ShardIterator": iterator})).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let records = page["Records"].as_array().expect("records").iter();
        let summary = |record: &Value| {
            let key = text(&record["dynamodb"]["Keys"]["id"]["S"]);
            (text(&record["eventName"]), key, record["userIdentity"].clone())
        };
        records.map(summary).collect()
    }
}

#[tokio::test]
async fn replica_has_the_items_settings_and_stream_of_its_table() {
    let aws = Aws::start().await;
    aws.table_at_home().await;
    aws.put_in(HOME, "old", 1).await;
    let ttl = json!({"TableName": "things", "TimeToLiveSpecification": {"Enabled": true, "AttributeName": "until"}});
    aws.tables_in(HOME, "UpdateTimeToLive", ttl).await;
    let updated = aws.update_replicas(HOME, json!({"Create": {"RegionName": AWAY}})).await;
    assert_eq!(updated["TableDescription"]["TableStatus"], "UPDATING");

    for (region, other) in [(HOME, AWAY), (AWAY, HOME)] {
        let table = aws.tables_in(region, "DescribeTable", json!({"TableName": "things"})).await;
        let table = &table["Table"];
        assert_eq!(table["TableArn"], format!("arn:aws:dynamodb:{region}:000000000000:table/things"));
        assert_eq!(table["Replicas"], json!([{"RegionName": other, "ReplicaStatus": "ACTIVE"}]));
        assert_eq!(table["GlobalTableVersion"], "2019.11.21");
        assert_eq!(table["StreamSpecification"]["StreamViewType"], "NEW_AND_OLD_IMAGES");
        assert_eq!(table["GlobalSecondaryIndexes"][0]["IndexName"], "by-n");
        assert_eq!(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST");
        let ttl = aws.tables_in(region, "DescribeTimeToLive", json!({"TableName": "things"})).await;
        assert_eq!(ttl["TimeToLiveDescription"]["AttributeName"], "until", "{region}");
        assert_eq!(aws.n_in(region, "old").await.as_deref(), Some("1"));
    }
    assert_eq!(aws.records_in(AWAY).await, [], "the stream of a replica begins after the items that it was made with");

    // Settings of one go to all; those of each replica do not.
    let update =
        json!({"TableName": "things", "SSESpecification": {"Enabled": true}, "DeletionProtectionEnabled": true});
    aws.tables_in(AWAY, "UpdateTable", update).await;
    let table = aws.tables_in(HOME, "DescribeTable", json!({"TableName": "things"})).await;
    assert_eq!(table["Table"]["SSEDescription"]["Status"], "ENABLED");
    assert_eq!(table["Table"]["DeletionProtectionEnabled"], false);
    let tags = json!({"ResourceArn": "arn:aws:dynamodb:eu-west-1:000000000000:table/things", "Tags": [{"Key": "k", "Value": "v"}]});
    aws.tables_in(HOME, "TagResource", tags).await;
    let there = json!({"ResourceArn": "arn:aws:dynamodb:us-east-1:000000000000:table/things"});
    assert_eq!(aws.tables_in(AWAY, "ListTagsOfResource", there).await["Tags"], json!([]));
    aws.stop().await;
}

#[tokio::test]
async fn writes_of_each_region_reach_the_other_and_its_stream_unmarked() {
    let aws = Aws::start().await;
    aws.global_table().await;
    aws.put_in(HOME, "here", 1).await;
    aws.put_in(AWAY, "there", 2).await;
    aws.until_n(AWAY, "here", Some("1")).await;
    aws.until_n(HOME, "there", Some("2")).await;
    aws.tables_in(AWAY, "DeleteItem", json!({"TableName": "things", "Key": {"id": {"S": "here"}}})).await;
    aws.until_n(HOME, "here", None).await;
    for region in [HOME, AWAY] {
        let mut records = aws.records_in(region).await;
        records.sort_by(|one, other| (&one.1, &one.0).cmp(&(&other.1, &other.0)));
        let told: Vec<_> = records.iter().map(|(name, key, _)| (name.as_str(), key.as_str())).collect();
        assert_eq!(told, [("INSERT", "here"), ("REMOVE", "here"), ("INSERT", "there")], "{region}");
        assert!(records.iter().all(|(.., identity)| identity.is_null()), "{records:?}");
    }
    assert!(aws.settled().await.iter().all(|(_, conflicts)| *conflicts == 0));
    aws.stop().await;
}

#[tokio::test]
async fn last_writer_wins_in_all_regions_and_the_conflict_is_counted() {
    let latency = streamkit_local::rehearsal::Latency::parse("[changes]\nreplication = \"400ms\"\n").expect("a file");
    let aws =
        Aws::with(Options { rehearsal: Rehearsal { latency, ..Rehearsal::default() }, ..Options::default() }).await;
    aws.global_table().await;
    // Neither has heard of the other when it is made.
    aws.put_in(HOME, "same", 1).await;
    aws.put_in(AWAY, "same", 2).await;
    assert_eq!(aws.n_in(HOME, "same").await.as_deref(), Some("1"));
    aws.until_n(HOME, "same", Some("2")).await;
    let conflicts = aws.settled().await;
    assert_eq!(aws.n_in(AWAY, "same").await.as_deref(), Some("2"));
    assert_eq!(conflicts.iter().map(|(_, conflicts)| conflicts).sum::<u64>(), 1);
    aws.stop().await;
}

#[tokio::test]
async fn expired_item_is_marked_only_in_the_region_that_deleted_it() {
    let aws = Aws::start().await;
    aws.global_table().await;
    let ttl = json!({"TableName": "things", "TimeToLiveSpecification": {"Enabled": true, "AttributeName": "n"}});
    aws.tables_in(AWAY, "UpdateTimeToLive", ttl).await;
    // An expiry that is long over.
    aws.put_in(AWAY, "short", 1_700_000_000).await;
    aws.until_n(HOME, "short", None).await;
    aws.until_n(AWAY, "short", None).await;
    let mut marked = 0;
    for region in [HOME, AWAY] {
        let records = aws.records_in(region).await;
        let removals: Vec<_> = records.iter().filter(|(name, ..)| name == "REMOVE").collect();
        assert_eq!(removals.len(), 1, "{region}: {records:?}");
        marked += usize::from(removals[0].2["principalId"] == "dynamodb.amazonaws.com");
    }
    assert_eq!(marked, 1);
    aws.stop().await;
}

#[tokio::test]
async fn what_aws_refuses_of_global_tables_is_refused() {
    let aws = Aws::start().await;
    aws.table_at_home().await;
    let update = |update: Value| json!({"TableName": "things", "ReplicaUpdates": [update]});
    let name = json!({"TableName": "things"});
    let said = aws.refused_in(HOME, "UpdateTable", update(json!({"Create": {"RegionName": HOME}}))).await;
    assert!(said.contains("local region"), "{said}");
    let said = aws.refused_in(HOME, "UpdateTable", update(json!({"Create": {"RegionName": "nowhere"}}))).await;
    assert!(said.contains("nowhere"), "{said}");
    let said = aws.refused_in(HOME, "UpdateTable", update(json!({"Delete": {"RegionName": AWAY}}))).await;
    assert!(said.contains("does not exist"), "{said}");
    let stream = json!({"TableName": "things", "StreamSpecification": {"StreamEnabled": false}});
    aws.tables_in(HOME, "UpdateTable", stream.clone()).await;
    let said = aws.refused_in(HOME, "UpdateTable", update(json!({"Create": {"RegionName": AWAY}}))).await;
    assert!(said.contains("NEW_AND_OLD_IMAGES"), "{said}");
    let on = json!({"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"});
    aws.tables_in(HOME, "UpdateTable", json!({"TableName": "things", "StreamSpecification": on})).await;
    aws.update_replicas(HOME, json!({"Create": {"RegionName": AWAY}})).await;

    let said = aws.refused_in(HOME, "UpdateTable", update(json!({"Create": {"RegionName": AWAY}}))).await;
    assert!(said.contains("already exists"), "{said}");
    let said = aws.refused_in(HOME, "UpdateTable", stream).await;
    assert!(said.contains("stream"), "{said}");
    let said = aws.refused_in(HOME, "DeleteTable", name.clone()).await;
    assert!(said.contains("acted as a source region"), "{said}");
    aws.tables_in(AWAY, "UpdateTable", json!({"TableName": "things", "DeletionProtectionEnabled": true})).await;
    let said = aws.refused_in(HOME, "UpdateTable", update(json!({"Delete": {"RegionName": AWAY}}))).await;
    assert!(said.contains("protected"), "{said}");
    aws.tables_in(AWAY, "UpdateTable", json!({"TableName": "things", "DeletionProtectionEnabled": false})).await;

    aws.update_replicas(HOME, json!({"Delete": {"RegionName": AWAY}})).await;
    let gone = aws.refused_in(AWAY, "DescribeTable", name.clone()).await;
    assert!(gone.contains("not found"), "{gone}");
    let table = aws.tables_in(HOME, "DescribeTable", name.clone()).await;
    assert!(table["Table"].get("Replicas").is_none(), "the last one is a table like others: {table}");
    aws.tables_in(HOME, "DeleteTable", name).await;
    aws.stop().await;
}

#[tokio::test]
async fn replica_is_creating_and_deleting_for_its_time() {
    let times = "[changes]\nreplica-create = \"300ms\"\nreplica-delete = \"300ms\"\n";
    let latency = streamkit_local::rehearsal::Latency::parse(times).expect("a file");
    let aws =
        Aws::with(Options { rehearsal: Rehearsal { latency, ..Rehearsal::default() }, ..Options::default() }).await;
    aws.table_at_home().await;
    let status = async || {
        let table = aws.tables_in(HOME, "DescribeTable", json!({"TableName": "things"})).await;
        let table = &table["Table"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&table["TableStatus"]), text(&table["Replicas"][0]["ReplicaStatus"]))
    };
    let until = async |wanted: (&str, &str)| {
        let seen = async {
            loop {
                let (table, replica) = status().await;
                if (table.as_str(), replica.as_str()) == wanted {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, seen).await.is_ok(), "{wanted:?}");
    };
    for (update, during, after) in [
        (json!({"Create": {"RegionName": AWAY}}), ("UPDATING", "CREATING"), ("ACTIVE", "ACTIVE")),
        (json!({"Delete": {"RegionName": AWAY}}), ("UPDATING", "DELETING"), ("ACTIVE", "")),
    ] {
        aws.update_replicas(HOME, update).await;
        until(during).await;
        until(after).await;
    }
    aws.stop().await;
}

#[tokio::test]
async fn region_that_is_cut_off_answers_nothing_and_catches_up_when_it_is_back() {
    let aws = Aws::start().await;
    aws.global_table().await;
    let switch = async |region: &str, to: &str| {
        aws.send("POST", &format!("/_streamkit/regions/{region}/{to}"), &[], b"").await.status
    };
    assert_eq!((switch("sa-east-1", "down").await, switch(AWAY, "off").await), (404, 404));
    aws.put_in(AWAY, "before", 1).await;
    assert_eq!(switch(AWAY, "down").await, 202);
    let refused = aws.in_region(AWAY, "DynamoDB_20120810.ListTables", json!({})).await;
    assert_eq!((refused.status, refused.body.contains("cut off")), (503, true));
    aws.put_in(HOME, "meanwhile", 2).await;
    let shown = aws.send("GET", "/_streamkit/replication", &[], b"").await.json();
    let away = shown["replicas"].as_array().expect("replicas").iter().find(|replica| replica["region"] == AWAY);
    assert!(away.is_some_and(|replica| replica["pending"] == 1), "{shown}");
    assert_eq!(switch(AWAY, "up").await, 202);
    aws.until_n(AWAY, "meanwhile", Some("2")).await;
    aws.until_n(HOME, "before", Some("1")).await;
    aws.stop().await;
}
