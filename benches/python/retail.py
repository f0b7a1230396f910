"""The retail recipe's work as a Python function, to measure the Rust one against: the same checks, the same items, the same
batched writes, dead letters, log line and metrics. Written for speed as far as plain Python with boto3 goes: one client for
all invocations, items in DynamoDB's own form, 25 of them a call. With PLAIN=1 it puts each item with a call of its own, through
boto3's table resource, as tutorials have it."""

import base64
import hashlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import boto3

TABLE = os.environ["STREAMKIT_TABLE"]
QUEUE = os.environ["STREAMKIT_DEAD_LETTER_QUEUE_URL"]
PIPELINE = os.environ["STREAMKIT_PIPELINE"]
ACTIONS = {"view": ("viewed", "1"), "add_to_cart": ("added to cart", "5"), "purchase": ("purchased", "10")}
USER_MAX, TEXT_MAX, TIMESTAMP_MAX = 2048, 128 * 1024, 253_402_300_799_999

dynamodb = boto3.client("dynamodb")
plain = boto3.resource("dynamodb").Table(TABLE) if os.environ.get("PLAIN") else None
sqs = boto3.client("sqs")
pool = ThreadPoolExecutor(max_workers=8)


class Rejected(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def text(event, name, longest, missing=None):
    value = event.get(name)
    if value is None:
        if missing is None:
            raise Rejected("missing_field", f"{name}: missing")
        return missing
    if not isinstance(value, str):
        raise Rejected("wrong_type", f"{name}: expected a string")
    if missing is None and not value:
        raise Rejected("empty_field", f"{name}: empty")
    if len(value.encode()) > longest:
        raise Rejected("too_long", f"{name}: too long")
    return value


def timestamp(event, arrival):
    value = event.get("timestamp")
    if value is None:
        return int(arrival * 1000)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Rejected("wrong_type", "timestamp: expected whole milliseconds since the epoch")
    if not 0 <= value <= TIMESTAMP_MAX:
        raise Rejected("out_of_range", "timestamp: not within the years 1970 to 9999")
    return value


def item(record, now_ms):
    kinesis = record["kinesis"]
    try:
        event = json.loads(base64.b64decode(kinesis["data"]).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Rejected("not_utf8", "payload") from error
    except ValueError as error:
        raise Rejected("invalid_json", "payload") from error
    if not isinstance(event, dict):
        raise Rejected("wrong_type", "payload: expected a JSON object")
    user = text(event, "userId", USER_MAX)
    event_type = text(event, "eventType", TEXT_MAX)
    product = text(event, "productId", TEXT_MAX, "unknown")
    millis = timestamp(event, kinesis["approximateArrivalTimestamp"])
    action, score = ACTIONS.get(event_type, ("interacted with", "1"))
    digest = hashlib.blake2b(record["eventID"].encode(), digest_size=16).digest()
    fraction = f"{int.from_bytes(digest, 'big') % 10**20:020}".rstrip("0")
    return {
        "userId": {"S": user},
        "eventTimestamp": {"N": f"{millis}.{fraction}"},
        "eventType": {"S": event_type},
        "productId": {"S": product},
        "eventScore": {"N": score},
        "insight": {"S": f"User {user} {action} product {product}"},
        "processedAt": {"N": now_ms},
        "recordId": {"S": record["eventID"]},
    }


def write(items):
    requests = [{"PutRequest": {"Item": item}} for item in items]
    while requests:
        requests = dynamodb.batch_write_item(RequestItems={TABLE: requests})["UnprocessedItems"].get(TABLE, [])


def write_each(items):
    for item in items:
        values = {name: Decimal(value["N"]) if "N" in value else value["S"] for name, value in item.items()}
        plain.put_item(Item=values)


def handler(event):
    started = time.time()
    now_ms = str(int(started * 1000))
    items, letters = {}, []
    for record in event["Records"]:
        try:
            one = item(record, now_ms)
            items[one["userId"]["S"], one["eventTimestamp"]["N"]] = one
        except Rejected as error:
            letters.append((record, error))
    items = list(items.values())
    if plain:
        write_each(items)
    else:
        list(pool.map(write, (items[at : at + 25] for at in range(0, len(items), 25))))
    for at in range(0, len(letters), 10):
        entries = [
            {"Id": str(n), "MessageBody": json.dumps({"error": {"code": error.code, "message": str(error)}, "record": record})}
            for n, (record, error) in enumerate(letters[at : at + 10])
        ]
        sqs.send_message_batch(QueueUrl=QUEUE, Entries=entries)
    metrics = [{"Name": name, "Unit": "Count"} for name in ("ProcessedEvents", "FailedEvents")]
    directive = {"Namespace": "RetailEventProcessing", "Dimensions": [[], ["Pipeline"]], "Metrics": metrics}
    print(json.dumps({"level": "INFO", "message": "batch processed", "records": len(event["Records"])}))
    print(
        json.dumps(
            {
                "_aws": {"Timestamp": int(now_ms), "CloudWatchMetrics": [directive]},
                "Pipeline": PIPELINE,
                "ProcessedEvents": len(items),
                "FailedEvents": len(letters),
            }
        )
    )
    return {"batchItemFailures": []}


def main():
    """Speaks the Runtime API, as Lambda's own Python runtime does around a handler."""
    import http.client

    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        api.request("GET", "/2018-06-01/runtime/invocation/next")
        answer = api.getresponse()
        request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
        result = handler(json.loads(answer.read()))
        api.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", json.dumps(result))
        api.getresponse().read()
        sys.stdout.flush()


if __name__ == "__main__":
    main()
