#!/usr/bin/env bash
# Prints what the handler costs, as Lambda sees it: size, cold start, processor time and memory; and the same work in Python.
#
#   cargo build --release && benches/handler.sh [BINARY]
#
# The handler is built as `streamkit up` builds it for AWS. Both programs are given the same batches through the Runtime API, and
# write to the same table of the embedded AWS. Python (PYTHON, python3) needs boto3.
set -euo pipefail
cd "$(dirname "$0")/.."
streamkit=$(realpath "${1:-target/release/streamkit}")
python=${PYTHON:-python3}
target=$PWD/target/bench
# The profile of src/package/source.rs.
cargo build --release -p streamkit-handler --bin bootstrap --target-dir "$target" \
    --config 'profile.release.lto="fat"' --config profile.release.codegen-units=1 \
    --config 'profile.release.panic="abort"' --config profile.release.opt-level=3 --config profile.release.strip=true
bootstrap=$target/release/bootstrap

home=$(mktemp -d)
export STREAMKIT_HOME=$home/state
export STREAMKIT_CACHE=${STREAMKIT_CACHE:-$PWD/target/speed-cache}
trap '"$streamkit" local stop --quiet >/dev/null; rm -rf "$home"' EXIT
endpoint=$("$streamkit" local start --json | "$python" -c 'import json, sys; print(json.load(sys.stdin)["endpoint"])')
"$streamkit" up pipelines/retail-events.toml --local --yes --quiet >/dev/null

export AWS_ENDPOINT_URL=$endpoint AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
export AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_SESSION_TOKEN=x
export STREAMKIT_RECIPE=retail STREAMKIT_PIPELINE=bench STREAMKIT_TABLE=retail-events-results
export STREAMKIT_DEAD_LETTER_QUEUE_URL=$endpoint/000000000000/retail-events-dlq

"$python" - "$bootstrap" <<'PYTHON'
import io, sys, zipfile
program = open(sys.argv[1], "rb").read()
packed = io.BytesIO()
with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
    archive.writestr("bootstrap", program)
print(f"size: program {len(program) / 1e6:.1f} MB, zip {len(packed.getvalue()) / 1e6:.1f} MB")
PYTHON
"$python" benches/runtime.py Rust "$bootstrap"
"$python" benches/runtime.py --starts 5 --batches 2 'Python, 25 items a call' "$(command -v "$python")" "$PWD/benches/python/retail.py"
PLAIN=1 "$python" benches/runtime.py --starts 1 --batches 1 'Python, one item a call' "$(command -v "$python")" "$PWD/benches/python/retail.py"
