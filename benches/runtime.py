"""Runs a function's process as Lambda does, through the Runtime API, and prints what it costs.

    benches/runtime.py [--batches N] [--records N] [--starts N] NAME COMMAND...

Batches of retail events, by default of 9,000 records (about as many as fit into Lambda's 6 MB), go to the process one after the other; where its effects go is in the
environment (see benches/handler.sh). Processor time and memory are the process's own, as the kernel counts them: what the AWS
that it talks to takes is not in them. The first batch is not counted."""

import argparse
import base64
import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TICKS = os.sysconf("SC_CLK_TCK")


class Desk:
    """One process's Runtime API."""

    def __init__(self):
        self.work, self.answers = queue.Queue(), queue.Queue()
        self.asked = threading.Event()
        desk = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 64 * 1024

            def do_GET(self):
                desk.asked.set()
                number, event = desk.work.get()
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", f"request-{number}")
                self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 300_000))
                self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:f")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(event)))
                self.end_headers()
                self.wfile.write(event)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])) if "Content-Length" in self.headers else b""
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                desk.answers.put((self.path, body))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_):
                """A process that is killed breaks its connection."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def start(self, command):
        """Starts a process; gives it, and the milliseconds until it asks for work."""
        environment = dict(
            os.environ,
            AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{self.server.server_port}",
            AWS_LAMBDA_FUNCTION_NAME="f",
            AWS_LAMBDA_FUNCTION_MEMORY_SIZE="256",
            AWS_LAMBDA_FUNCTION_VERSION="$LATEST",
            AWS_LAMBDA_LOG_GROUP_NAME="g",
            AWS_LAMBDA_LOG_STREAM_NAME="s",
        )
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        if not self.asked.wait(60):
            sys.exit("the process never asks for work")
        return process, (time.perf_counter() - began) * 1000

    def invoke(self, number, event):
        """Gives an invocation's seconds."""
        began = time.perf_counter()
        self.work.put((number, event))
        path, body = self.answers.get(timeout=300)
        if not path.endswith("/response") or json.loads(body).get("batchItemFailures"):
            sys.exit(f"the invocation failed: {path} {body[:500]!r}")
        return time.perf_counter() - began


def batch(rng, number, records):
    """Events as Lambda hands them over, each of a place in the stream that no other has."""
    made = []
    for n in range(records):
        sequence = f"49590338271{number:06}{n:039}"
        payload = {
            "userId": f"user-{rng.randrange(1, 201):04}",
            "eventType": rng.choices(["view", "add_to_cart", "purchase"], [80, 15, 5])[0],
            "productId": f"P{rng.randrange(1, 1000):04}",
            "timestamp": 1_700_000_000_000 + number * records + n,
        }
        made.append(
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": payload["userId"],
                    "sequenceNumber": sequence,
                    "data": base64.b64encode(json.dumps(payload).encode()).decode(),
                    "approximateArrivalTimestamp": 1_700_000_000.5,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000000:{sequence}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::000000000000:role/r",
                "awsRegion": "us-east-1",
                "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
            }
        )
    return json.dumps({"Records": made}, separators=(",", ":")).encode()


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mib(pid):
    with open(f"/proc/{pid}/status") as file:
        line = next(line for line in file if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--batches", type=int, default=5)
    arguments.add_argument("--records", type=int, default=9_000)
    arguments.add_argument("--starts", type=int, default=20)
    arguments.add_argument("name")
    arguments.add_argument("command", nargs=argparse.REMAINDER)
    given = arguments.parse_args()

    starts = []
    for _ in range(given.starts):
        process, millis = Desk().start(given.command)
        process.kill()
        process.wait()
        starts.append(millis)
    starts.sort()

    rng = random.Random(7)
    desk = Desk()
    process, _ = desk.start(given.command)
    # Places in the stream that no earlier run has used: what is stored twice would be less work for the table.
    first = int(time.time()) % 500_000
    events = [batch(rng, first + number, given.records) for number in range(given.batches + 1)]
    idle = peak_mib(process.pid)
    desk.invoke(0, events[0])
    before, seconds = processor_seconds(process.pid), 0.0
    for number, event in enumerate(events[1:], 1):
        seconds += desk.invoke(number, event)
    spent = processor_seconds(process.pid) - before
    records = given.batches * given.records
    # Its place in /proc goes with it.
    peak = peak_mib(process.pid)
    process.kill()
    process.wait()
    print(f"{given.name}: {given.batches} batches of {given.records} records, {len(events[1]) / 1e6:.1f} MB each")
    print(f"  cold start       {starts[len(starts) // 2]:8.1f} ms median of {len(starts)}, {starts[0]:.1f} ms best")
    print(f"  processor time   {spent:8.2f} s: {records / spent:,.0f} records per CPU-second")
    print(f"  wall time        {seconds:8.2f} s: {records / seconds:,.0f} records a second, with this AWS")
    print(f"  peak memory      {peak:8.1f} MiB, of which {idle:.1f} MiB before the first batch")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main()
