"""Prints how fast records come back: `dlq redrive` of an outage's letters and batches, `replay` of a stream.

    cargo build --release && python3 benches/back.py [RECORDS]

Whole processes against an embedded AWS of their own, in a home of their own. The function is broken by a variable of its
environment, as `validate --break` does it, and mended by `up`. Needs Python 3 with boto3.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3

ROOT = Path(__file__).resolve().parent.parent
STREAMKIT = ROOT / "target" / "release" / "streamkit"
RECORDS = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
FUNCTION, TABLE = "retail-events-processor", "retail-events-results"


def run(home, *arguments):
    """The document that a command prints."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "STREAMKIT_HOME": str(home)}
    command = [STREAMKIT, *arguments, "--local", "--json", "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return json.loads(done.stdout) if done.stdout.strip() else {}


def peak_mib():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def until(what, look):
    for _ in range(3_000):
        if look():
            return
        time.sleep(0.2)
    raise SystemExit(f"{what} did not come")


def timed(what, home, *arguments):
    started = time.monotonic()
    totals = run(home, *arguments)
    took = time.monotonic() - started
    read = totals["read"]
    print(f"{what:<34} {read:>9,} records  {took:6.1f} s  {read / took:>9,.0f}/s  {totals}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        spec = home / "pipeline.toml"
        text = (ROOT / "pipelines" / "retail-events.toml").read_text()
        text = text.replace('batch_window = "5s"', 'batch_window = "0s"').replace("max_retries = 3", "max_retries = 0")
        spec.write_text(text.replace("bisect_on_error = true", "bisect_on_error = false"))
        try:
            measure(home, str(spec))
        finally:
            run(home, "down", str(spec), "--yes")
            run(home, "local", "stop")


def measure(home, spec):
    run(home, "up", spec, "--yes")
    endpoint = run(home, "local", "status")["endpoint"]
    client = {"endpoint_url": endpoint, "region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    aws_lambda, dynamodb, sqs = (boto3.client(name, **client) for name in ("lambda", "dynamodb", "sqs"))
    queue = f"{endpoint}/000000000000/retail-events-dlq"

    def messages():
        names = ["ApproximateNumberOfMessages"]
        return int(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"][names[0]])

    variables = aws_lambda.get_function_configuration(FunctionName=FUNCTION)["Environment"]["Variables"]
    broken = {"Variables": {**variables, "STREAMKIT_FAIL_ON": "user"}}
    aws_lambda.update_function_configuration(FunctionName=FUNCTION, Environment=broken)
    run(home, "send", spec, "--count", str(RECORDS), "--poison", "0")

    def all_failed():
        before = messages()
        time.sleep(1)
        return before > 0 and messages() == before

    until("the failures", all_failed)
    run(home, "up", spec, "--yes")
    timed("redrive of batches", home, "dlq", "redrive", spec, "--yes")
    timed("replay of what is there", home, "replay", spec, "--since", "1h", "--yes")
    dynamodb.delete_table(TableName=TABLE)
    run(home, "up", spec, "--yes")
    timed("replay into an empty table", home, "replay", spec, "--since", "1h", "--yes")
    poison = max(RECORDS // 5, 1_000)
    run(home, "send", spec, "--count", str(poison), "--poison", "100")
    until("the letters", lambda: messages() >= poison)
    timed("redrive of letters, all poison", home, "dlq", "redrive", spec, "--yes")
    mend = 'if type == "object" then .userId = "u" | .eventType = "view" | .timestamp = 1700000000000 | .productId = "p" else {userId: "u", eventType: "view"} end'
    timed("redrive of letters, mended by jq", home, "dlq", "redrive", spec, "--yes", "--edit", mend)
    print(f"largest process: {peak_mib():.0f} MiB")


main()
