//! `CloudWatch`: what it refuses, what alarms tell when they are set by hand, and their history.

use serde_json::{Value, json};

use super::{Answer, Aws, open_to_topics};

const CLOUDWATCH: &str = "GraniteServiceVersion20100801";

async fn ok(aws: &Aws, operation: &str, input: Value) -> Value {
    aws.ok(&format!("{CLOUDWATCH}.{operation}"), input).await
}

async fn refused(aws: &Aws, operation: &str, input: Value) -> (u16, String, String) {
    let answer: Answer = aws.target(&format!("{CLOUDWATCH}.{operation}"), input).await;
    let error = answer.json();
    let code = error["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
    let message = error["message"].as_str().or_else(|| error["Message"].as_str()).unwrap_or_default().to_owned();
    (answer.status, code, message)
}

fn alarm(name: &str, more: &Value) -> Value {
    let mut alarm = json!({
        "AlarmName": name, "Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "ignore",
    });
    for (member, value) in more.as_object().cloned().unwrap_or_default() {
        alarm[member] = value;
    }
    alarm
}

/// A topic with a queue that hears it.
async fn topic(aws: &Aws) -> &'static str {
    const TOPIC: &str = "arn:aws:sns:eu-west-1:000000000000:alarms";
    let queue = json!({"QueueName": "heard", "Attributes": {"Policy": open_to_topics()}});
    aws.ok("AmazonSQS.CreateQueue", queue).await;
    assert_eq!(aws.query("sns", "Action=CreateTopic&Name=alarms").await.status, 200);
    let subscribe =
        format!("Action=Subscribe&TopicArn={TOPIC}&Protocol=sqs&Endpoint=arn:aws:sqs:eu-west-1:000000000000:heard");
    assert_eq!(aws.query("sns", &subscribe).await.status, 200);
    TOPIC
}

async fn heard(aws: &Aws) -> Value {
    let got = aws.ok("AmazonSQS.ReceiveMessage", json!({"QueueUrl": "heard", "WaitTimeSeconds": 20})).await;
    let envelope: Value = serde_json::from_str(got["Messages"][0]["Body"].as_str().expect("a message")).expect("JSON");
    serde_json::from_str(envelope["Message"].as_str().expect("a message")).expect("JSON")
}

#[tokio::test]
async fn alarm_tells_only_topics_whose_policy_lets_cloudwatch() {
    let aws = Aws::start().await;
    let topic = topic(&aws).await;
    ok(&aws, "PutMetricAlarm", alarm("a", &json!({"AlarmActions": [topic], "OKActions": [topic]}))).await;
    let other = "arn:aws:sns:eu-west-1:000000000000:other";
    assert_eq!(aws.query("sns", "Action=CreateTopic&Name=other").await.status, 200);
    let subscribe =
        format!("Action=Subscribe&TopicArn={other}&Protocol=sqs&Endpoint=arn:aws:sqs:eu-west-1:000000000000:heard");
    assert_eq!(aws.query("sns", &subscribe).await.status, 200);
    ok(&aws, "PutMetricAlarm", alarm("b", &json!({"AlarmActions": [other]}))).await;
    let policy = |service: &str| {
        let statement = json!({
            "Effect": "Allow", "Principal": {"Service": service}, "Action": "sns:Publish", "Resource": topic,
            "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:cloudwatch:eu-west-1:000000000000:alarm:*"}},
        });
        json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
    };
    let set = async |service: &str| {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", "SetTopicAttributes").append_pair("TopicArn", topic);
        form.append_pair("AttributeName", "Policy").append_pair("AttributeValue", &policy(service));
        assert_eq!(aws.query("sns", &form.finish()).await.status, 200);
    };
    let state = async |state: &str| {
        ok(&aws, "SetAlarmState", json!({"AlarmName": "a", "StateValue": state, "StateReason": state})).await;
    };
    state("ALARM").await;
    assert_eq!(heard(&aws).await["NewStateReason"], "ALARM", "a topic's first policy lets the account's alarms");
    set("events.amazonaws.com").await;
    state("OK").await;
    // What comes next is of another alarm, whose topic has the policy that it began with.
    ok(&aws, "SetAlarmState", json!({"AlarmName": "b", "StateValue": "ALARM", "StateReason": "b"})).await;
    assert_eq!(heard(&aws).await["AlarmName"], "b");
    set("cloudwatch.amazonaws.com").await;
    state("ALARM").await;
    let told = heard(&aws).await;
    assert_eq!((&told["OldStateValue"], &told["NewStateValue"]), (&json!("OK"), &json!("ALARM")));
    aws.stop().await;
}

#[tokio::test]
async fn alarm_set_by_hand_tells_its_topics_and_is_in_the_history() {
    let aws = Aws::start().await;
    let topic = topic(&aws).await;
    let function = "arn:aws:lambda:eu-west-1:000000000000:function:f";
    ok(&aws, "PutMetricAlarm", alarm("a", &json!({"AlarmActions": [topic, function]}))).await;
    ok(&aws, "SetAlarmState", json!({"AlarmName": "a", "StateValue": "ALARM", "StateReason": "by hand"})).await;
    let told = heard(&aws).await;
    assert_eq!(
        (&told["NewStateValue"], &told["OldStateValue"], &told["NewStateReason"]),
        (&json!("ALARM"), &json!("INSUFFICIENT_DATA"), &json!("by hand"))
    );
    assert_eq!(told["Trigger"].get("DatapointsToAlarm"), None, "it was not given");

    let history = ok(&aws, "DescribeAlarmHistory", json!({"AlarmName": "a", "ScanBy": "TimestampAscending"})).await;
    let items = history["AlarmHistoryItems"].as_array().expect("items");
    let summaries: Vec<&str> = items.iter().filter_map(|item| item["HistorySummary"].as_str()).collect();
    assert_eq!(
        summaries,
        [
            "Alarm \"a\" created".to_owned(),
            "Alarm updated from INSUFFICIENT_DATA to ALARM".to_owned(),
            format!("Successfully executed action {topic}"),
            format!("Failed to execute action {function}"),
        ]
    );
    assert!(items[3]["HistoryData"].as_str().is_some_and(|data| data.contains("no others")), "{}", items[3]);
    let states = json!({"AlarmName": "a", "HistoryItemType": "StateUpdate", "MaxRecords": 1});
    let states = ok(&aws, "DescribeAlarmHistory", states).await;
    assert_eq!(states["AlarmHistoryItems"].as_array().map(Vec::len), Some(1));
    aws.stop().await;
}

#[tokio::test]
async fn alarms_that_aws_refuses_are_refused_in_its_words() {
    let aws = Aws::start().await;
    let enumeration = "1 validation error detected: Value 'BAD' at 'stateValue' failed to satisfy constraint: Member must satisfy enum value set: [INSUFFICIENT_DATA, ALARM, OK]";
    let state = json!({"AlarmName": "none", "StateValue": "BAD", "StateReason": "r"});
    assert_eq!(
        refused(&aws, "SetAlarmState", state).await,
        (400, "ValidationError".to_owned(), enumeration.to_owned())
    );
    let state = json!({"AlarmName": "none", "StateValue": "OK", "StateReason": "r"});
    let gone = (404, "ResourceNotFound".to_owned(), String::new());
    assert_eq!(refused(&aws, "SetAlarmState", state).await, gone);
    ok(&aws, "PutMetricAlarm", alarm("there", &json!({}))).await;
    assert_eq!(refused(&aws, "DeleteAlarms", json!({"AlarmNames": ["there", "none"]})).await, gone);
    let kept = ok(&aws, "DescribeAlarms", json!({"AlarmNames": ["there"]})).await;
    assert_eq!(kept["MetricAlarms"].as_array().map(Vec::len), Some(1), "all or none is deleted");

    let day = "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400).";
    let week = "Metrics cannot be checked across more than a week (EvaluationPeriods * Period must be <= 604800) for alarms using period >= 3600";
    for (more, code, message) in [
        (json!({"EvaluationPeriods": 1_441}), "ValidationError", day),
        (json!({"EvaluationPeriods": 2_000_000_000_000_i64}), "ValidationError", day),
        (json!({"Period": 3_600, "EvaluationPeriods": 169}), "ValidationError", week),
        (
            json!({"Statistic": "tm99"}),
            "ValidationError",
            "1 validation error detected: Value 'tm99' at 'statistic' failed to satisfy constraint: Member must satisfy enum value set: [SampleCount, Average, Sum, Minimum, Maximum]",
        ),
        (
            json!({"Statistic": null, "ExtendedStatistic": "tm101"}),
            "InvalidParameterValue",
            "The value tm101 for parameter Statistic is not supported.",
        ),
        (
            json!({"ExtendedStatistic": "p99"}),
            "InvalidParameterCombination",
            "The parameters Statistic and ExtendedStatistic are mutually exclusive and you have specified both.",
        ),
    ] {
        let answer = refused(&aws, "PutMetricAlarm", alarm("wrong", &more)).await;
        assert_eq!(answer, (400, code.to_owned(), message.to_owned()), "{more}");
    }
    ok(&aws, "PutMetricAlarm", alarm("a day", &json!({"EvaluationPeriods": 1_440}))).await;
    ok(&aws, "PutMetricAlarm", alarm("a week", &json!({"Period": 3_600, "EvaluationPeriods": 168}))).await;
    aws.stop().await;
}

#[tokio::test]
async fn data_that_aws_refuses_are_refused_whole() {
    let aws = Aws::start().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let exclusive = "The parameters MetricData.member.2.Value and MetricData.member.2.Values are mutually exclusive and you have specified both.";
    let sizes = "The parameters MetricData.member.2.Values and MetricData.member.2.Counts must be of the same size.";
    let future =
        "The parameter MetricData.member.2.Timestamp must specify a time no more than two hours in the future.";
    let past = "The parameter MetricData.member.2.Timestamp must specify a time no more than two weeks in the past.";
    for (second, code, message) in [
        (json!({"Value": 1.0, "Values": [1.0]}), "InvalidParameterCombination", exclusive),
        (json!({"Values": [1.0, 2.0], "Counts": [1.0]}), "InvalidParameterValue", sizes),
        (json!({"Value": 1.0, "Timestamp": now + 3.0 * 3_600.0}), "InvalidParameterValue", future),
        (json!({"Value": 1.0, "Timestamp": now - 15.0 * 86_400.0}), "InvalidParameterValue", past),
    ] {
        let mut second = second;
        second["MetricName"] = json!("m");
        let data = json!({"Namespace": "n", "MetricData": [{"MetricName": "m", "Value": 1.0}, second]});
        let answer = refused(&aws, "PutMetricData", data).await;
        assert_eq!(answer, (400, code.to_owned(), message.to_owned()));
    }
    assert_eq!(ok(&aws, "ListMetrics", json!({})).await["Metrics"], json!([]), "the first datum was not kept either");

    let statistics = |seconds: f64, period: i64| json!({"Namespace": "n", "MetricName": "m", "StartTime": now - seconds, "EndTime": now, "Period": period, "Statistics": ["Sum"]});
    let many = "You have requested up to 86400 datapoints, which exceeds the limit of 1440. You may reduce the datapoints requested by increasing Period, or decreasing the time range.";
    assert_eq!(
        refused(&aws, "GetMetricStatistics", statistics(86_400.0, 1)).await,
        (400, "InvalidParameterCombination".to_owned(), many.to_owned())
    );
    ok(&aws, "GetMetricStatistics", statistics(86_400.0, 60)).await;
    let backwards = refused(&aws, "GetMetricStatistics", statistics(0.0, 60)).await;
    assert_eq!(backwards.2, "The parameter StartTime must be less than the parameter EndTime.");
    let name = json!({"DashboardName": "a:b", "DashboardBody": "{\"widgets\":[]}"});
    assert!(refused(&aws, "PutDashboard", name).await.2.contains("It can only contain alphanumerics"));
    aws.stop().await;
}

async fn state_of(aws: &Aws, name: &str) -> Value {
    ok(aws, "DescribeAlarms", json!({"AlarmNames": [name]})).await["MetricAlarms"][0]["StateValue"].clone()
}

/// Repeats what should set the alarm off until it does.
async fn goes_off<F: Future<Output = ()>>(aws: &Aws, name: &str, mut act: impl FnMut() -> F) {
    let deadline = std::time::Instant::now() + super::DEADLINE;
    let mut every = tokio::time::interval(std::time::Duration::from_millis(200));
    loop {
        act().await;
        if state_of(aws, name).await == "ALARM" {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "the alarm {name} does not go off");
        every.tick().await;
    }
}

/// An alarm on more than nothing of a metric.
async fn watch(aws: &Aws, (namespace, metric): (&str, &str), (dimension, of): (&str, &str), statistic: &str) {
    let more = json!({
        "Namespace": namespace, "MetricName": metric, "Dimensions": [{"Name": dimension, "Value": of}],
        "Statistic": statistic, "Threshold": 0.0, "TreatMissingData": "notBreaching",
    });
    ok(aws, "PutMetricAlarm", alarm(metric, &more)).await;
}

async fn throttle(aws: &Aws, service: &str, operation: &str, call: &str, input: Value) {
    let fault = json!({"service": service, "operation": operation, "fault": "throttle"});
    assert_eq!(aws.send("POST", "/_streamkit/faults", &[], fault.to_string().as_bytes()).await.status, 202);
    assert!(aws.target(&format!("{call}.{operation}"), input).await.status >= 400, "{operation} is throttled");
}

#[tokio::test]
async fn alarms_on_queues_go_off() {
    let aws = Aws::start().await;
    aws.ok("AmazonSQS.CreateQueue", json!({"QueueName": "q"})).await;
    let gauges = ["ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"];
    for metric in gauges {
        watch(&aws, ("AWS/SQS", metric), ("QueueName", "q"), "Maximum").await;
    }
    watch(&aws, ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible"), ("QueueName", "q"), "Maximum").await;
    aws.ok("AmazonSQS.SendMessage", json!({"QueueUrl": "q", "MessageBody": "x"})).await;
    for metric in gauges {
        goes_off(&aws, metric, || async {}).await;
    }
    aws.ok("AmazonSQS.ReceiveMessage", json!({"QueueUrl": "q"})).await;
    goes_off(&aws, "ApproximateNumberOfMessagesNotVisible", || async {}).await;
    // Several looks, and yet one observation a minute.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let depth = json!({
        "Namespace": "AWS/SQS", "MetricName": gauges[0], "Dimensions": [{"Name": "QueueName", "Value": "q"}],
        "StartTime": now - 120, "EndTime": now + 60, "Period": 60, "Statistics": ["Sum", "SampleCount", "Maximum"],
    });
    for point in ok(&aws, "GetMetricStatistics", depth).await["Datapoints"].as_array().expect("datapoints") {
        assert_eq!((&point["SampleCount"], &point["Sum"]), (&json!(1.0), &point["Maximum"]), "{point}");
    }
    aws.stop().await;
}

#[tokio::test]
async fn alarms_on_streams_go_off() {
    let aws = Aws::start().await;
    aws.ok("Kinesis_20131202.CreateStream", json!({"StreamName": "s", "ShardCount": 1})).await;
    for (metric, statistic) in [
        ("IncomingRecords", "Sum"),
        ("IncomingBytes", "Sum"),
        ("GetRecords.IteratorAgeMilliseconds", "Maximum"),
        ("WriteProvisionedThroughputExceeded", "Sum"),
        ("ReadProvisionedThroughputExceeded", "Sum"),
    ] {
        watch(&aws, ("AWS/Kinesis", metric), ("StreamName", "s"), statistic).await;
    }
    let record = json!({"StreamName": "s", "PartitionKey": "k", "Data": "eA=="});
    aws.ok("Kinesis_20131202.PutRecord", record.clone()).await;
    goes_off(&aws, "IncomingRecords", || async {}).await;
    goes_off(&aws, "IncomingBytes", || async {}).await;
    let from = json!({"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = aws.ok("Kinesis_20131202.GetShardIterator", from).await["ShardIterator"].clone();
    let read = || async {
        aws.ok("Kinesis_20131202.GetRecords", json!({"ShardIterator": iterator})).await;
    };
    goes_off(&aws, "GetRecords.IteratorAgeMilliseconds", read).await;
    assert_eq!(state_of(&aws, "WriteProvisionedThroughputExceeded").await, "OK");
    throttle(&aws, "kinesis", "PutRecord", "Kinesis_20131202", record).await;
    goes_off(&aws, "WriteProvisionedThroughputExceeded", || async {}).await;
    throttle(&aws, "kinesis", "GetRecords", "Kinesis_20131202", json!({"ShardIterator": iterator})).await;
    goes_off(&aws, "ReadProvisionedThroughputExceeded", || async {}).await;
    aws.stop().await;
}

#[tokio::test]
async fn alarms_on_tables_go_off() {
    let aws = Aws::start().await;
    let create = json!({
        "TableName": "abc", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    });
    aws.ok("DynamoDB_20120810.CreateTable", create).await;
    for metric in
        ["ReadThrottleEvents", "WriteThrottleEvents", "ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"]
    {
        watch(&aws, ("AWS/DynamoDB", metric), ("TableName", "abc"), "Sum").await;
    }
    let item = json!({"TableName": "abc", "Item": {"id": {"S": "1"}}});
    let key = json!({"TableName": "abc", "Key": {"id": {"S": "1"}}});
    aws.ok("DynamoDB_20120810.PutItem", item.clone()).await;
    goes_off(&aws, "ConsumedWriteCapacityUnits", || async {}).await;
    aws.ok("DynamoDB_20120810.GetItem", key.clone()).await;
    goes_off(&aws, "ConsumedReadCapacityUnits", || async {}).await;
    assert_ne!(state_of(&aws, "WriteThrottleEvents").await, "ALARM", "nothing was throttled");
    throttle(&aws, "dynamodb", "PutItem", "DynamoDB_20120810", item).await;
    goes_off(&aws, "WriteThrottleEvents", || async {}).await;
    throttle(&aws, "dynamodb", "GetItem", "DynamoDB_20120810", key).await;
    goes_off(&aws, "ReadThrottleEvents", || async {}).await;
    aws.stop().await;
}

#[tokio::test]
async fn alarms_on_topics_go_off() {
    let aws = Aws::start().await;
    topic(&aws).await;
    for metric in ["NumberOfMessagesPublished", "NumberOfNotificationsDelivered", "NumberOfNotificationsFailed"] {
        watch(&aws, ("AWS/SNS", metric), ("TopicName", "alarms"), "Sum").await;
    }
    let publish = "Action=Publish&Message=x&TopicArn=arn:aws:sns:eu-west-1:000000000000:alarms";
    assert_eq!(aws.query("sns", publish).await.status, 200);
    goes_off(&aws, "NumberOfMessagesPublished", || async {}).await;
    goes_off(&aws, "NumberOfNotificationsDelivered", || async {}).await;
    aws.ok("AmazonSQS.DeleteQueue", json!({"QueueUrl": "heard"})).await;
    assert_eq!(aws.query("sns", publish).await.status, 200);
    goes_off(&aws, "NumberOfNotificationsFailed", || async {}).await;
    aws.stop().await;
}

#[tokio::test]
async fn expressions_over_metrics_are_evaluated_and_alarms_on_them_go_off() {
    let aws = Aws::start().await;
    let minute = chrono::Utc::now().timestamp() / 60 * 60;
    let put = async |name: &str, ago: i64, value: f64| {
        let data = json!([{ "MetricName": name, "Value": value, "Timestamp": minute - ago * 60 }]);
        aws.ok("GraniteServiceVersion20100801.PutMetricData", json!({ "Namespace": "N", "MetricData": data })).await;
    };
    for (ago, errors, calls) in [(3, 1.0, 10.0), (2, 4.0, 10.0), (1, 6.0, 10.0)] {
        put("errors", ago, errors).await;
        put("calls", ago, calls).await;
    }
    let metric = |name: &str| {
        let stat = json!({ "Metric": { "Namespace": "N", "MetricName": name }, "Period": 60, "Stat": "Sum" });
        json!({ "Id": name, "MetricStat": stat, "ReturnData": false })
    };
    let rate = |expression: &str| json!([metric("errors"), metric("calls"), { "Id": "rate", "Expression": expression, "Label": "error rate" }]);
    let ask = |expression: &str| {
        json!({
            "MetricDataQueries": rate(expression), "StartTime": minute - 180, "EndTime": minute, "ScanBy": "TimestampAscending",
        })
    };
    let answer = aws.ok("GraniteServiceVersion20100801.GetMetricData", ask("100 * errors / calls")).await;
    let result = &answer["MetricDataResults"][0];
    assert_eq!((&result["Id"], &result["Label"]), (&json!("rate"), &json!("error rate")));
    assert_eq!(result["Values"], json!([10.0, 40.0, 60.0]));
    assert_eq!(answer["MetricDataResults"].as_array().map(Vec::len), Some(1));
    let refused = aws.target("GraniteServiceVersion20100801.GetMetricData", ask("FOO(errors)")).await;
    assert_eq!((refused.status, refused.json()["__type"].clone()), (400, json!("ValidationError")));
    assert_eq!(refused.json()["message"], "Error in expression 'rate': Unsupported function 'FOO'");

    let alarm = |name: &str, expression: &str| {
        json!({
            "AlarmName": name, "Metrics": rate(expression), "EvaluationPeriods": 2, "DatapointsToAlarm": 2, "Threshold": 30.0,
            "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "ignore",
        })
    };
    aws.ok("GraniteServiceVersion20100801.PutMetricAlarm", alarm("high", "100 * errors / calls")).await;
    aws.ok("GraniteServiceVersion20100801.PutMetricAlarm", alarm("low", "IF(calls > 100, errors, 0)")).await;
    let deadline = std::time::Instant::now() + super::DEADLINE;
    loop {
        let shown = aws.ok("GraniteServiceVersion20100801.DescribeAlarms", json!({})).await;
        let states: Vec<&str> = shown["MetricAlarms"]
            .as_array()
            .expect("alarms")
            .iter()
            .filter_map(|alarm| alarm["StateValue"].as_str())
            .collect();
        if states == ["ALARM", "OK"] {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{shown}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for (wrong, why) in [
        (alarm("a", "errors +"), "Error in expression 'rate': Invalid syntax"),
        (alarm("a", "gone"), "Error in expression 'rate': The id 'gone' does not exist"),
        (
            json!({
                "AlarmName": "a", "Metrics": [{ "Id": "one", "Expression": "1" }, { "Id": "two", "Expression": "2" }],
                "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
            }),
            "Exactly one element of the metrics list should return data.",
        ),
    ] {
        let refused = aws.target("GraniteServiceVersion20100801.PutMetricAlarm", wrong).await;
        assert_eq!((refused.status, refused.json()["message"].clone()), (400, json!(why)));
    }
    aws.stop().await;
}
