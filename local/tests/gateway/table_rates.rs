//! What a table allows only after some time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamkit_local::{Options, Strictness};

use super::{Answer, Aws};

impl Aws {
    async fn plain_table(&self, name: &str) {
        let create = json!({
            "TableName": name,
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        });
        self.ok("DynamoDB_20120810.CreateTable", create).await;
    }

    async fn time_to_live(&self, table: &str, attribute: &str, enabled: bool) -> Answer {
        let specification = json!({"AttributeName": attribute, "Enabled": enabled});
        let input = json!({"TableName": table, "TimeToLiveSpecification": specification});
        self.target("DynamoDB_20120810.UpdateTimeToLive", input).await
    }

    async fn recovery(&self, table: &str) -> Answer {
        let specification = json!({"PointInTimeRecoveryEnabled": true});
        let input = json!({"TableName": table, "PointInTimeRecoverySpecification": specification});
        self.target("DynamoDB_20120810.UpdateContinuousBackups", input).await
    }
}

async fn rates() -> Aws {
    Aws::with(Options { strict: Strictness { rates: true, ..Strictness::default() }, ..Options::default() }).await
}

fn refused(answer: &Answer) -> (u16, String, Value) {
    let error = answer.json();
    let code = error["__type"].as_str().and_then(|code| code.rsplit('#').next()).unwrap_or_default().to_owned();
    (answer.status, code, error["message"].clone())
}

#[tokio::test]
async fn time_to_live_is_changed_once_an_hour_and_disabling_counts() {
    let aws = rates().await;
    aws.plain_table("plain").await;
    aws.plain_table("other").await;
    assert_eq!(aws.time_to_live("plain", "expires", true).await.status, 200);
    let message = json!("Time to live has been modified multiple times within a fixed interval");
    let again = refused(&aws.time_to_live("plain", "expires", false).await);
    assert_eq!(again, (400, "ValidationException".to_owned(), message));
    assert_eq!(aws.time_to_live("other", "expires", true).await.status, 200);
    // A table of the same name is another table.
    aws.ok("DynamoDB_20120810.DeleteTable", json!({"TableName": "plain"})).await;
    aws.plain_table("plain").await;
    assert_eq!(aws.time_to_live("plain", "expires", true).await.status, 200);
    aws.stop().await;

    let lenient = Aws::start().await;
    lenient.plain_table("plain").await;
    for enabled in [true, false, true] {
        assert_eq!(lenient.time_to_live("plain", "expires", enabled).await.status, 200);
    }
    lenient.stop().await;
}

#[tokio::test]
async fn change_of_time_to_live_changes_something() {
    let aws = Aws::start().await;
    aws.plain_table("plain").await;
    for (attribute, enabled, message) in [
        ("expires", false, "TimeToLive is already disabled"),
        ("expires", true, ""),
        ("expires", true, "TimeToLive is already enabled"),
        ("other", true, "TimeToLive is active on a different AttributeName: current AttributeName is expires"),
        ("expires", false, ""),
        ("other", true, ""),
    ] {
        let answer = aws.time_to_live("plain", attribute, enabled).await;
        if message.is_empty() {
            assert_eq!(answer.status, 200, "{}", answer.body);
        } else {
            assert_eq!(refused(&answer), (400, "ValidationException".to_owned(), json!(message)));
        }
    }
    aws.stop().await;
}

#[tokio::test]
async fn backups_of_a_new_table_are_not_there_yet() {
    let aws = rates().await;
    aws.plain_table("plain").await;
    let first = refused(&aws.recovery("plain").await);
    let message = json!("Backups are being enabled for the table: plain. Please retry later");
    assert_eq!(first, (400, "ContinuousBackupsUnavailableException".to_owned(), message));
    let started = Instant::now();
    while aws.recovery("plain").await.status != 200 {
        assert!(started.elapsed() < Duration::from_secs(60), "they are enabled some seconds later");
        tokio::task::yield_now().await;
    }
    aws.stop().await;
}
