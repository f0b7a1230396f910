#!/usr/bin/env python3
"""Prints how fast a table is restored from its audit log on the embedded AWS, with two changes of each item.

  cargo build --release && python3 benches/restore.py [BINARY] [CHANGES]

The log is that of the change-capture pipeline, and the restored table that of its stage `copy`, whose mapping is disabled
meanwhile. Processor times are those of the command and of the embedded AWS. Needs boto3.
"""
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import boto3
from botocore.config import Config

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PER_WRITE = 25
CHANGED = {
    "billing = { read = 5, write = 5 }": 'billing = "on-demand"',
    'batch_window = "5s"': 'batch_window = "0s"',
    "batch_size = 10\n": "batch_size = 500\n",
}


def main():
    binary = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "target/release/streamkit"))
    changes = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    with open(os.path.join(ROOT, "pipelines/change-capture.toml")) as pipeline:
        text = pipeline.read()
    for old, new in CHANGED.items():
        text = text.replace(old, new, 1)
    with tempfile.TemporaryDirectory() as home:
        spec = os.path.join(home, "change-capture.toml")
        with open(spec, "w") as file:
            file.write(text)
        environment = {**os.environ, "STREAMKIT_HOME": home}

        def streamkit(*arguments):
            command = [binary, *arguments]
            return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout

        streamkit("local", "start", "--quiet")
        try:
            streamkit("up", spec, "--local", "--yes", "--quiet")
            streamkit("up", spec, "--local", "--yes", "--quiet", "--stage", "copy")
            status = json.loads(streamkit("local", "status", "--json"))
            change(status["endpoint"], changes)
            measure(streamkit, spec, status["pid"], changes)
        finally:
            streamkit("local", "stop", "--quiet")


def change(endpoint, changes):
    """Makes the changes, and waits for the audit object of each."""
    options = {
        "endpoint_url": endpoint,
        "region_name": "us-east-1",
        "aws_access_key_id": "x",
        "aws_secret_access_key": "x",
        "config": Config(s3={"addressing_style": "path"}),
    }
    dynamodb, s3, functions = (boto3.client(name, **options) for name in ("dynamodb", "s3", "lambda"))
    for mapping in functions.list_event_source_mappings(FunctionName="change-capture-copy-processor")["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    for first in range(0, changes, PER_WRITE):
        puts = []
        for number in range(first, min(first + PER_WRITE, changes)):
            item = number % (changes // 2)
            key = {"UserId": {"S": f"user-{item % 100}"}, "ActivityId": {"S": str(item)}}
            puts.append({"PutRequest": {"Item": {**key, "Points": {"N": str(number)}, "text": {"S": "x" * 200}}}})
        dynamodb.batch_write_item(RequestItems={"change-capture-activities": puts})

    def audited():
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket="change-capture-audit-000000000000-us-east-1", Prefix="audit-logs/"
        )
        return sum(page.get("KeyCount", 0) for page in pages)

    while audited() < changes:
        time.sleep(1)


def measure(streamkit, spec, server, changes):
    into = ["--from", "bucket.audit", "--into", "table.activities", "--into-stage", "copy", "--yes", "--json"]
    for name, more in (("read (--dry-run)", ["--dry-run"]), ("restored", []), ("again", [])):
        own, theirs, started = own_time(), server_time(server), time.monotonic()
        done = json.loads(streamkit("replay", spec, "--local", *into, *more))
        seconds = time.monotonic() - started
        own, theirs = own_time() - own, server_time(server) - theirs
        assert done["read"] == changes and done["failed"] == 0, done
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        print(
            f"{name:18} {seconds:7.2f} s {changes / seconds:7.0f}/s   processor: {own:6.2f} s, the embedded AWS {theirs:6.2f} s"
            f"   peak memory so far {peak} MiB",
            flush=True,
        )


def own_time():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def server_time(process):
    with open(f"/proc/{process}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
