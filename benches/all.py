"""Runs the benchmarks, reads their figures, and prints one table. See all.sh."""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target/release"
STREAMKIT = Path(os.environ.get("STREAMKIT", RELEASE / "streamkit"))


@dataclass
class Figure:
    """One line of the table."""

    part: str
    name: str
    unit: str
    aim: str
    last: str
    """Of the release before this one."""
    less: bool = False
    """Whether less is better."""
    yardstick: str = ""
    """What it is compared with, beside it in the same run."""
    values: list = field(default_factory=list)
    yardsticks: list = field(default_factory=list)

    def row(self):
        if not self.values:
            return [self.name, self.unit, self.aim, self.last, "not measured", "", ""]
        best = min(self.values) if self.less else max(self.values)
        beside = f"{shown(statistics.median(self.yardsticks))} {self.yardstick}" if self.yardsticks else self.yardstick
        return [self.name, self.unit, self.aim, self.last, shown(best), shown(statistics.median(self.values)), beside]


def shown(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


FIGURES = [
    Figure("recipes", "process: retail", "records/s", "≥ 1,000,000", "402,000"),
    Figure("recipes", "process: clickstream", "records/s", "≥ 1,000,000", "353,000"),
    Figure("recipes", "process: analytics", "records/s", "≥ 500,000", "225,000"),
    Figure("recipes", "process: changes", "records/s", "≥ 500,000", "162,000"),
    Figure("handler", "handler, real calls", "records/CPU-s", "", "33,000–43,000", yardstick="Python, 25 items a call"),
    Figure("handler", "handler against Python", "×", "≥ 16", "8"),
    Figure("handler", "handler, peak memory", "MiB", "≤ 48", "61", less=True, yardstick="Python"),
    Figure("handler", "handler, cold start", "ms", "≤ 8", "8", less=True, yardstick="Python"),
    Figure("handler", "handler, zip", "MB", "≤ 3.7", "3.7", less=True),
    Figure("engine", "PutRecords, one core", "records/s", "≥ 150,000", "", yardstick="per CPU-second"),
    Figure("engine", "mapping, live, one core", "records/s", "≥ 150,000", "47,000", yardstick="per CPU-second"),
    Figure("engine", "mapping, backlog, one core", "records/s", "≥ 150,000", "84,000", yardstick="per CPU-second"),
    Figure("send", "send into the embedded AWS", "records/s", "≥ 200,000", "70,000"),
    Figure("laptop", "embedded AWS ready", "ms", "≤ 20", "20", less=True),
    Figure("laptop", "embedded AWS idle", "MiB", "≤ 35", "35", less=True),
    Figure("laptop", "first up --local, empty caches", "s", "≤ 1", "82", less=True),
    Figure("laptop", "up --local, nothing to change", "ms", "", "", less=True),
    Figure("aws", "up, with AWS's times", "s", "≤ 29.7", "44.0", less=True, yardstick="AWS alone: 27"),
    Figure("aws", "down, with AWS's times", "s", "≤ 16.5", "28.2", less=True, yardstick="AWS alone: 15"),
    Figure("aws", "calls of up, new", "calls", "≤ 75", "182", less=True),
    Figure("aws", "calls of up, nothing to change", "calls", "≤ 30", "38", less=True),
    Figure("aws", "calls of plan", "calls", "≤ 30", "42", less=True),
    Figure("aws", "calls of down", "calls", "≤ 55", "112", less=True),
    Figure("size", "streamkit binary", "MB", "≤ 45", "61", less=True),
]


def figure(name):
    return next(figure for figure in FIGURES if figure.name == name)


def run(*command, env=None):
    """What a command prints; its failure ends everything."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=env, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def number(pattern, text):
    found = re.search(pattern, text, re.DOTALL)
    if not found:
        sys.exit(f"no {pattern!r} in:\n{text}")
    return float(found.group(1).replace(",", ""))


def recipes():
    text = run("cargo", "bench", "-p", "streamkit-recipes", "--bench", "process", "--", "process")
    scale = {"ns": 1e9, "µs": 1e6, "ms": 1e3}
    for name in ["retail", "clickstream", "analytics", "changes"]:
        found = re.search(rf"{name}/process\s+time:\s+\[\S+ \S+ (\S+) (\S+) ", text)
        figure(f"process: {name}").values.append(scale[found.group(2)] / float(found.group(1)))


def handler():
    text = run(ROOT / "benches/handler.sh", STREAMKIT)
    of_rust, of_python = text.split("Python, 25 items a call:")[0], text.split("Python, 25 items a call:")[1]
    for name, pattern in [
        ("handler, real calls", r"([\d,]+) records per CPU-second"),
        ("handler, peak memory", r"peak memory\s+([\d.]+)"),
        ("handler, cold start", r"cold start\s+([\d.]+)"),
    ]:
        figure(name).values.append(number(pattern, of_rust))
        figure(name).yardsticks.append(number(pattern, of_python))
    calls = figure("handler, real calls")
    figure("handler against Python").values.append(calls.values[-1] / calls.yardsticks[-1])
    figure("handler, zip").values.append(number(r"zip ([\d.]+) MB", text))


def engine():
    pinned = ["taskset", "--cpu-list", "0"] if shutil.which("taskset") else []
    for mode, name in [
        ("put", "PutRecords, one core"),
        ("live", "mapping, live, one core"),
        ("backlog", "mapping, backlog, one core"),
    ]:
        line = run(*pinned, RELEASE / "examples/mapping_throughput", mode).splitlines()
        line = next(line for line in reversed(line) if "records in" in line)
        figure(name).values.append(number(r"s: ([\d,]+)/s;", line))
        figure(name).yardsticks.append(number(r"processor time: ([\d,]+)/s", line))


class Local:
    """An embedded AWS of its own, with nothing in its caches."""

    def __enter__(self):
        self.home = tempfile.TemporaryDirectory()
        folder = self.home.name
        self.env = {**os.environ, "HOME": folder, "STREAMKIT_HOME": f"{folder}/state", "STREAMKIT_CACHE": f"{folder}/cache"}
        return self

    def __exit__(self, *_):
        self("local", "stop", "--quiet")
        self.home.cleanup()

    def __call__(self, *arguments):
        return run(STREAMKIT, *arguments, env=self.env)

    def timed(self, *arguments):
        began = time.perf_counter()
        self(*arguments)
        return time.perf_counter() - began


SPEC = "pipelines/retail-events.toml"


def send():
    with Local() as local:
        local("up", SPEC, "--local", "--yes", "--quiet")
        summary = json.loads(local("send", SPEC, "--local", "--count", "1000000", "--json"))
        figure("send into the embedded AWS").values.append(summary["sent"] / summary["seconds"])


def laptop():
    with Local() as local:
        figure("first up --local, empty caches").values.append(local.timed("up", SPEC, "--local", "--yes", "--quiet"))
        again = local.timed("up", SPEC, "--local", "--yes", "--quiet")
        figure("up --local, nothing to change").values.append(again * 1000)
        local("local", "stop", "--quiet")
        figure("embedded AWS ready").values.append(local.timed("local", "start", "--quiet") * 1000)
        pid = json.loads(local("local", "status", "--json"))["pid"]
        resident = number(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        figure("embedded AWS idle").values.append(resident / 1024)


def aws():
    """With AWS's times, and reads that lag: see aws-times.toml."""
    with Local() as local:
        local("local", "start", "--quiet", "--strict", "--latency", "benches/aws-times.toml")
        before = 0
        for name, command in [("up, new", "up"), ("up, nothing to change", "up"), ("plan", "plan"), ("down", "down")]:
            seconds = local.timed(command, SPEC, "--local", "--quiet", *([] if command == "plan" else ["--yes"]))
            calls = len(json.loads(local("local", "logs", "--calls", "--json"))["calls"])
            figure(f"calls of {name}").values.append(calls - before)
            before = calls
            if name in ("up, new", "down"):
                figure(f"{command}, with AWS's times").values.append(seconds)


def size():
    figure("streamkit binary").values.append(STREAMKIT.stat().st_size / 1e6)


PARTS = {"recipes": recipes, "handler": handler, "engine": engine, "send": send, "laptop": laptop, "aws": aws, "size": size}


def table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="how often each part is run (3)")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all without any")
    given = parser.parse_args()
    parts = given.parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if set(parts) - {"recipes"} and "STREAMKIT" not in os.environ:
        run("cargo", "build", "--release")
    if "engine" in parts:
        run("cargo", "build", "--release", "-p", "streamkit-local", "--examples")
    for part in parts:
        for _ in range(1 if part in ("recipes", "size") else given.runs):
            PARTS[part]()
    rows = [figure.row() for figure in FIGURES if figure.part in parts]
    table([["figure", "unit", "aim", "last release", "best", "median", "beside it"], *rows])


main()
