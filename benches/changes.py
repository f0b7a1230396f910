#!/usr/bin/env python3
"""Prints how fast 20,000 changes of a table come through the change-capture pipeline on the embedded AWS, in blocks of 2,000.

  cargo build --release && python3 benches/changes.py [BINARY]

A block is through when each of its changes has been published to the pipeline's topic. The last block must take at most twice as
long as the first. Needs boto3.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone

import boto3
from botocore.config import Config

BLOCK, BLOCKS, PER_WRITE = 2000, 10, 25


def main():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    binary = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(root, "target/release/streamkit"))
    spec = os.path.realpath(os.path.join(root, "pipelines/change-capture.toml"))
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "STREAMKIT_HOME": home}

        def streamkit(*arguments):
            command = [binary, *arguments]
            return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout

        streamkit("local", "start", "--quiet")
        try:
            streamkit("up", spec, "--local", "--yes", "--quiet")
            measure(json.loads(streamkit("local", "status", "--json"))["endpoint"])
        finally:
            streamkit("local", "stop", "--quiet")


def measure(endpoint):
    options = {
        "endpoint_url": endpoint,
        "region_name": "us-east-1",
        "aws_access_key_id": "x",
        "aws_secret_access_key": "x",
        "config": Config(retries={"max_attempts": 1}),
    }
    dynamodb, cloudwatch = boto3.client("dynamodb", **options), boto3.client("cloudwatch", **options)

    def published():
        now = datetime.now(timezone.utc)
        answer = cloudwatch.get_metric_statistics(
            Namespace="AWS/SNS",
            MetricName="NumberOfMessagesPublished",
            Dimensions=[{"Name": "TopicName", "Value": "change-capture-changes"}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=3600,
            Statistics=["Sum"],
        )
        return sum(point["Sum"] for point in answer["Datapoints"])

    times = []
    for block in range(BLOCKS):
        started = time.monotonic()
        for first in range(block * BLOCK, (block + 1) * BLOCK, PER_WRITE):
            items = [
                {"UserId": {"S": f"user-{number % 100}"}, "ActivityId": {"S": str(number)}, "Points": {"N": str(number)}}
                for number in range(first, first + PER_WRITE)
            ]
            puts = [{"PutRequest": {"Item": item}} for item in items]
            dynamodb.batch_write_item(RequestItems={"change-capture-activities": puts})
        while published() < (block + 1) * BLOCK:
            time.sleep(0.05)
        times.append(time.monotonic() - started)
        print(f"changes {block * BLOCK:6} to {(block + 1) * BLOCK:6}   {times[-1]:6.2f} s   {BLOCK / times[-1]:6.0f}/s", flush=True)
    if times[-1] > 2 * times[0]:
        sys.exit("the last block took more than twice as long as the first")


main()
