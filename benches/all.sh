#!/usr/bin/env bash
# Prints every figure of this folder in one table: aim, last release, best and median here, and the yardstick of the same run.
#
#   benches/all.sh [--runs N] [PART...]
#
# Parts: recipes, handler, engine, send, laptop, aws, size. Builds what they need, in the release profile, unless STREAMKIT names
# a binary. Python 3 with boto3 is needed by `handler`.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 benches/all.py "$@"
