"""Writes with boto3, reads back, and fails when AWS would have answered something else. One argument: the endpoint."""

import datetime
import io
import json
import sys
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"
CONFIG = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"})
KEYS = {"region_name": "us-east-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}
failed = []


def client(name):
    return boto3.client(name, endpoint_url=sys.argv[1], config=CONFIG, **KEYS)


def arn(service, name, account=ACCOUNT, region="us-east-1"):
    return f"arn:aws:{service}:{region}:{account}:{name}"


def check(work):
    """Runs one check; the others go on when it fails."""
    try:
        work()
    except Exception as error:  # noqa: BLE001: every failure is reported
        failed.append(f"{work.__name__}: {type(error).__name__}: {error}")
    return work


def same(seen, expected):
    assert seen == expected, f"{seen!r} is not {expected!r}"


@check
def kinesis():
    kinesis = client("kinesis")
    kinesis.create_stream(StreamName="back", ShardCount=2, Tags={"streamkit:node": "stream.back"})
    kinesis.get_waiter("stream_exists").wait(StreamName="back", WaiterConfig={"Delay": 1})
    same(kinesis.list_tags_for_stream(StreamName="back")["Tags"], [{"Key": "streamkit:node", "Value": "stream.back"}])
    records = [{"Data": b"x", "PartitionKey": str(at)} for at in range(500)]
    same(kinesis.put_records(StreamName="back", Records=records)["FailedRecordCount"], 0)
    kinesis.update_shard_count(StreamName="back", TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    kinesis.get_waiter("stream_exists").wait(StreamName="back", WaiterConfig={"Delay": 1})
    same(kinesis.describe_stream_summary(StreamName="back")["StreamDescriptionSummary"]["OpenShardCount"], 4)
    consumer = kinesis.register_stream_consumer(StreamARN=arn("kinesis", "stream/back"), ConsumerName="c")["Consumer"]
    seen = kinesis.describe_stream_consumer(ConsumerARN=consumer["ConsumerARN"])["ConsumerDescription"]
    same(seen["StreamARN"], arn("kinesis", "stream/back"))


@check
def dynamodb():
    dynamodb, streams = client("dynamodb"), client("dynamodbstreams")
    dynamodb.create_table(
        TableName="back",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        Tags=[{"Key": "a", "Value": "b"}],
    )
    dynamodb.get_waiter("table_exists").wait(TableName="back", WaiterConfig={"Delay": 1})
    table = dynamodb.describe_table(TableName="back")["Table"]
    same(table["TableArn"], arn("dynamodb", "table/back"))
    same(dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"], [{"Key": "a", "Value": "b"}])
    for number in ("1", "2"):
        dynamodb.put_item(TableName="back", Item={"id": {"S": number}, "n": {"N": "1.50"}})
    dynamodb.delete_item(TableName="back", Key={"id": {"S": "1"}})
    stream = streams.describe_stream(StreamArn=table["LatestStreamArn"])["StreamDescription"]
    iterator = streams.get_shard_iterator(
        StreamArn=table["LatestStreamArn"],
        ShardId=stream["Shards"][0]["ShardId"],
        ShardIteratorType="TRIM_HORIZON",
    )["ShardIterator"]
    names = [record["eventName"] for record in streams.get_records(ShardIterator=iterator)["Records"]]
    same(names, ["INSERT", "INSERT", "REMOVE"])
    dynamodb.update_continuous_backups(
        TableName="back", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    backups = dynamodb.describe_continuous_backups(TableName="back")["ContinuousBackupsDescription"]
    same(backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"], "ENABLED")
    expiry = {"Enabled": True, "AttributeName": "expiresAt"}
    dynamodb.update_time_to_live(TableName="back", TimeToLiveSpecification=expiry)
    same(dynamodb.describe_time_to_live(TableName="back")["TimeToLiveDescription"]["AttributeName"], "expiresAt")


@check
def sqs_and_sns():
    sqs, sns = client("sqs"), client("sns")
    url = sqs.create_queue(QueueName="back", Attributes={"VisibilityTimeout": "60"}, tags={"a": "b"})["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    same((attributes["VisibilityTimeout"], attributes["QueueArn"]), ("60", arn("sqs", "back")))
    same(sqs.list_queue_tags(QueueUrl=url)["Tags"], {"a": "b"})
    topic = sns.create_topic(Name="back", Tags=[{"Key": "a", "Value": "b"}])["TopicArn"]
    same(topic, arn("sns", "back"))
    same(sns.list_tags_for_resource(ResourceArn=topic)["Tags"], [{"Key": "a", "Value": "b"}])
    subscription = sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn("sqs", "back"), Attributes={"FilterPolicy": '{"kind": ["a"]}'}
    )["SubscriptionArn"]
    seen = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    same((json.loads(seen["FilterPolicy"]), seen["PendingConfirmation"]), ({"kind": ["a"]}, "false"))
    allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    for kind in ("a", "b"):
        attributes = {"kind": {"DataType": "String", "StringValue": kind}}
        sns.publish(TopicArn=topic, Message=kind, Subject="s", MessageAttributes=attributes)
    messages = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5, MaxNumberOfMessages=10)["Messages"]
    same([json.loads(message["Body"])["Message"] for message in messages], ["a"])


@check
def iam_and_lambda():
    iam, functions = client("iam"), client("lambda")
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
    role = iam.create_role(RoleName="back", Path="/streamkit/", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    same(role["Arn"], arn("iam", "role/streamkit/back", region=""))
    reads = ["kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:DescribeStream", "kinesis:ListShards"]
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": reads, "Resource": arn("kinesis", "stream/back")}],
    }
    iam.put_role_policy(RoleName="back", PolicyName="inline", PolicyDocument=json.dumps(policy))
    same(iam.get_role_policy(RoleName="back", PolicyName="inline")["PolicyDocument"], policy)
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o100755 << 16
        archive.writestr(entry, "#!/bin/sh\nexit 7\n")
    functions.create_function(
        FunctionName="back",
        Runtime="provided.al2023",
        Role=role["Arn"],
        Handler="bootstrap",
        Code={"ZipFile": package.getvalue()},
        Tags={"a": "b"},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName="back")
    functions.update_function_configuration(FunctionName="back", MemorySize=256)
    functions.get_waiter("function_updated_v2").wait(FunctionName="back")
    seen = functions.get_function(FunctionName="back")
    same((seen["Configuration"]["MemorySize"], seen["Tags"]), (256, {"a": "b"}))
    same(functions.invoke(FunctionName="back", InvocationType="DryRun")["StatusCode"], 204)
    answer = functions.invoke(FunctionName="back", Payload=b"{}")
    same((answer["FunctionError"], b"exit status 7" in answer["Payload"].read()), ("Unhandled", True))
    same(functions.publish_version(FunctionName="back")["Version"], "1")
    alias = functions.create_alias(FunctionName="back", Name="live", FunctionVersion="1")["AliasArn"]
    same(alias, arn("lambda", "function:back:live"))
    functions.add_permission(
        FunctionName="back", StatementId="sns", Action="lambda:InvokeFunction", Principal="sns.amazonaws.com"
    )
    statement = json.loads(functions.get_policy(FunctionName="back")["Policy"])["Statement"][0]
    same((statement["Sid"], statement["Action"]), ("sns", "lambda:InvokeFunction"))
    mapping = functions.create_event_source_mapping(
        EventSourceArn=arn("kinesis", "stream/back"),
        FunctionName="back",
        StartingPosition="LATEST",
        FilterCriteria={"Filters": [{"Pattern": '{"data": {"kind": ["a"]}}'}]},
    )
    seen = functions.get_event_source_mapping(UUID=mapping["UUID"])
    same((seen["FunctionArn"], seen["BatchSize"]), (arn("lambda", "function:back"), 100))
    same(json.loads(seen["FilterCriteria"]["Filters"][0]["Pattern"]), {"data": {"kind": ["a"]}})


@check
def cloudwatch_and_logs():
    cloudwatch, logs = client("cloudwatch"), client("logs")
    dimensions = [{"Name": "a", "Value": "b"}]
    cloudwatch.put_metric_data(Namespace="Back", MetricData=[{"MetricName": "m", "Value": 3, "Dimensions": dimensions}])
    now = datetime.datetime.now(datetime.timezone.utc)
    span = {"StartTime": now - datetime.timedelta(minutes=5), "EndTime": now + datetime.timedelta(minutes=5)}
    points = cloudwatch.get_metric_statistics(
        Namespace="Back", MetricName="m", Dimensions=dimensions, Period=60, Statistics=["Sum"], **span
    )["Datapoints"]
    same([point["Sum"] for point in points], [3.0])
    cloudwatch.put_metric_alarm(
        AlarmName="back",
        Namespace="Back",
        MetricName="m",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        Tags=[{"Key": "a", "Value": "b"}],
    )
    same(cloudwatch.describe_alarms(AlarmNames=["back"])["MetricAlarms"][0]["AlarmArn"], arn("cloudwatch", "alarm:back"))
    tags = cloudwatch.list_tags_for_resource(ResourceARN=arn("cloudwatch", "alarm:back"))["Tags"]
    same(tags, [{"Key": "a", "Value": "b"}])
    logs.create_log_group(logGroupName="back", tags={"a": "b"})
    logs.put_retention_policy(logGroupName="back", retentionInDays=14)
    same(logs.describe_log_groups(logGroupNamePrefix="back")["logGroups"][0]["retentionInDays"], 14)
    same(logs.list_tags_for_resource(resourceArn=arn("logs", "log-group:back"))["tags"], {"a": "b"})


def refusal(call):
    try:
        call()
    except ClientError as refused:
        return refused.response["Error"]
    raise AssertionError("it was not refused")


@check
def s3():
    s3 = client("s3")
    s3.create_bucket(Bucket="back")
    s3.put_bucket_versioning(Bucket="back", VersioningConfiguration={"Status": "Enabled"})
    for at in range(3):
        s3.put_object(Bucket="back", Key=f"p/ü {at}", Body=b"x")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="back", Prefix="p/")["Contents"]]
    same(keys, ["p/ü 0", "p/ü 1", "p/ü 2"])
    s3.upload_fileobj(io.BytesIO(b"z" * (9 << 20)), "back", "big")
    same(s3.head_object(Bucket="back", Key="big")["ContentLength"], 9 << 20)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="back", PaginationConfig={"PageSize": 1})
    same([item["Key"] for page in pages for item in page["Contents"]], ["big", *keys])
    same(s3.list_objects_v2(Bucket="back", Delimiter="/")["CommonPrefixes"], [{"Prefix": "p/"}])
    s3.copy({"Bucket": "back", "Key": "p/ü 0"}, "back", "p/ü 1")
    same(len(s3.list_object_versions(Bucket="back", Prefix="p/ü 1")["Versions"]), 2)
    same(refusal(lambda: s3.put_object(Bucket="back", Key="big", Body=b"x", IfNoneMatch="*"))["Code"], "PreconditionFailed")
    same(refusal(lambda: s3.get_object(Bucket="back", Key="none"))["Key"], "none")
    same(s3.delete_object(Bucket="back", Key="big")["DeleteMarker"], True)
    same([marker["Key"] for marker in s3.list_object_versions(Bucket="back")["DeleteMarkers"]], ["big"])
    s3.put_bucket_tagging(Bucket="back", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    same(s3.get_bucket_tagging(Bucket="back")["TagSet"], [{"Key": "a", "Value": "b"}])


if failed:
    sys.exit("\n".join(failed))
