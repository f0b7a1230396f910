//! Streams of tables: what makes a record, what it says, and how shards are described.

use serde_json::{Value, json};

use super::Aws;

impl Aws {
    pub(super) async fn dynamodb(&self, operation: &str, input: Value) -> Value {
        self.ok(&format!("DynamoDB_20120810.{operation}"), input).await
    }

    pub(super) async fn table_stream(&self, operation: &str, input: Value) -> Value {
        self.ok(&format!("DynamoDBStreams_20120810.{operation}"), input).await
    }

    /// Creates a table with the key `id`, and returns the ARN of its stream.
    async fn table(&self, name: &str, view: &str) -> String {
        let input = json!({
            "TableName": name,
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": view},
        });
        let table = self.dynamodb("CreateTable", input).await;
        table["TableDescription"]["LatestStreamArn"].as_str().expect("a stream").to_owned()
    }

    /// All records of a stream, from the oldest.
    async fn changes(&self, stream: &str) -> Vec<Value> {
        let described = self.table_stream("DescribeStream", json!({"StreamArn": stream})).await;
        let shard = &described["StreamDescription"]["Shards"][0]["ShardId"];
        let input = json!({"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
        let iterator = self.table_stream("GetShardIterator", input).await["ShardIterator"].take();
        let mut page = self.table_stream("GetRecords", json!({"ShardIterator": iterator})).await;
        match page["Records"].take() {
            Value::Array(records) => records,
            other => panic!("no records: {other}"),
        }
    }
}

fn summary(changes: &[Value]) -> Vec<(&str, &str)> {
    changes
        .iter()
        .map(|change| {
            let key = change["dynamodb"]["Keys"]["id"]["S"].as_str().expect("a key");
            (change["eventName"].as_str().expect("a name"), key)
        })
        .collect()
}

#[tokio::test]
async fn open_shard_has_a_beginning_and_no_end() {
    let aws = Aws::start().await;
    let stream = aws.table("things", "NEW_IMAGE").await;
    for _ in 0..2 {
        let described = aws.table_stream("DescribeStream", json!({"StreamArn": stream})).await;
        let described = &described["StreamDescription"];
        let range = &described["Shards"][0]["SequenceNumberRange"];
        assert!(range["StartingSequenceNumber"].as_str().is_some_and(|number| number.len() >= 21), "{described}");
        assert!(range.get("EndingSequenceNumber").is_none(), "{described}");
        assert_eq!(described["KeySchema"], json!([{"AttributeName": "id", "KeyType": "HASH"}]));
        aws.dynamodb("PutItem", json!({"TableName": "things", "Item": {"id": {"S": "a"}}})).await;
    }
    let off = json!({"TableName": "things", "StreamSpecification": {"StreamEnabled": false}});
    let table = aws.dynamodb("UpdateTable", off).await;
    assert!(table["TableDescription"].get("StreamSpecification").is_none(), "{table}");
    let described = aws.table_stream("DescribeStream", json!({"StreamArn": stream})).await;
    let described = &described["StreamDescription"];
    assert_eq!(described["StreamStatus"], "DISABLED");
    assert!(described["Shards"][0]["SequenceNumberRange"]["EndingSequenceNumber"].is_string(), "{described}");
    assert_eq!(summary(&aws.changes(&stream).await), [("INSERT", "a")]);

    let on = json!({"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"});
    let table = aws.dynamodb("UpdateTable", json!({"TableName": "things", "StreamSpecification": on})).await;
    assert_eq!(table["TableDescription"]["StreamSpecification"], on);
    assert_ne!(table["TableDescription"]["LatestStreamArn"], json!(stream));
    let listed = aws.table_stream("ListStreams", json!({"TableName": "things"})).await;
    assert_eq!(listed["Streams"].as_array().map(Vec::len), Some(2));
    aws.stop().await;
}

#[tokio::test]
async fn only_what_changes_an_item_makes_a_record() {
    let aws = Aws::start().await;
    let stream = aws.table("things", "KEYS_ONLY").await;
    let item = json!({"id": {"S": "a"}, "tags": {"SS": ["x", "y"]}, "n": {"N": "1"}});
    let put = json!({"TableName": "things", "Item": item});
    aws.dynamodb("PutItem", put.clone()).await;
    aws.dynamodb("PutItem", put).await;
    let key = json!({"id": {"S": "a"}});
    let set = |value: &str| {
        json!({
            "TableName": "things", "Key": key, "UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": {"N": value}},
        })
    };
    aws.dynamodb("UpdateItem", set("1")).await;
    aws.dynamodb("UpdateItem", set("2")).await;
    aws.dynamodb("DeleteItem", json!({"TableName": "things", "Key": key})).await;
    aws.dynamodb("DeleteItem", json!({"TableName": "things", "Key": key})).await;
    let changes = aws.changes(&stream).await;
    assert_eq!(summary(&changes), [("INSERT", "a"), ("MODIFY", "a"), ("REMOVE", "a")]);
    for change in &changes {
        let change = &change["dynamodb"];
        // The name and the value of the key; the attributes are not shown.
        assert_eq!((&change["SizeBytes"], &change["StreamViewType"]), (&json!(3), &json!("KEYS_ONLY")));
        assert!(change.get("NewImage").is_none() && change.get("OldImage").is_none(), "{change}");
    }
    aws.stop().await;
}

#[tokio::test]
async fn every_kind_of_write_makes_records_in_its_order() {
    let aws = Aws::start().await;
    let stream = aws.table("things", "NEW_AND_OLD_IMAGES").await;
    let put = |id: &str| json!({"TableName": "things", "Item": {"id": {"S": id}}});
    aws.dynamodb("PutItem", put("put")).await;
    let requests =
        json!([{"PutRequest": {"Item": {"id": {"S": "batch"}}}}, {"DeleteRequest": {"Key": {"id": {"S": "put"}}}}]);
    aws.dynamodb("BatchWriteItem", json!({"RequestItems": {"things": requests}})).await;
    let update = json!({
        "TableName": "things", "Key": {"id": {"S": "batch"}},
        "UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": {"N": "1"}},
    });
    aws.dynamodb("TransactWriteItems", json!({"TransactItems": [{"Put": put("transaction")}, {"Update": update}]}))
        .await;
    aws.dynamodb("ExecuteStatement", json!({"Statement": "INSERT INTO things VALUE {'id': 'statement'}"})).await;
    let statements = json!([{"Statement": "DELETE FROM things WHERE id = 'statement'"}]);
    aws.dynamodb("BatchExecuteStatement", json!({"Statements": statements})).await;
    // A transaction that is cancelled changes nothing.
    let condition =
        json!({"TableName": "things", "Key": {"id": {"S": "x"}}, "ConditionExpression": "attribute_exists(id)"});
    let items = json!([{"Put": put("never")}, {"ConditionCheck": condition}]);
    assert_eq!(aws.target("DynamoDB_20120810.TransactWriteItems", json!({"TransactItems": items})).await.status, 400);

    let changes = aws.changes(&stream).await;
    let mut seen = summary(&changes);
    // The requests of a batch have no order.
    seen[1..3].sort_unstable();
    assert_eq!(seen[..3], [("INSERT", "put"), ("INSERT", "batch"), ("REMOVE", "put")]);
    assert_eq!(
        seen[3..],
        [("INSERT", "transaction"), ("MODIFY", "batch"), ("INSERT", "statement"), ("REMOVE", "statement")]
    );
    let modified = &changes[4]["dynamodb"];
    assert_eq!(modified["OldImage"], json!({"id": {"S": "batch"}}));
    assert_eq!(modified["NewImage"], json!({"id": {"S": "batch"}, "n": {"N": "1"}}));
    let numbers: Vec<&str> =
        changes.iter().map(|change| change["dynamodb"]["SequenceNumber"].as_str().expect("a number")).collect();
    assert!(numbers.is_sorted() && numbers.iter().all(|number| number.len() == numbers[0].len()), "{numbers:?}");
    aws.stop().await;
}

#[tokio::test]
async fn streams_that_are_not_there_are_refused_as_by_aws() {
    let aws = Aws::start().await;
    let arn = "arn:aws:dynamodb:eu-west-1:000000000000:table/t/stream/2024-11-18T14:36:44.149";
    let answer = aws.target("DynamoDBStreams_20120810.DescribeStream", json!({"StreamArn": arn})).await;
    assert_eq!(
        (answer.status, answer.json()["message"].as_str()),
        (400, Some(format!("Requested resource not found: Stream: {arn} not found").as_str()),)
    );
    assert!(answer.json()["__type"].as_str().is_some_and(|kind| kind.ends_with("#ResourceNotFoundException")));
    aws.stop().await;
}
