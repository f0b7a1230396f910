#!/usr/bin/env bash
# Prints how long streamkit itself takes, as whole processes: start-up, a spec error, the embedded AWS, an `up` that changes nothing.
#
#   cargo build --release && benches/speed.sh [BINARY]
#
# Each figure is the best and the median of several runs, in milliseconds.
set -euo pipefail
cd "$(dirname "$0")/.."
streamkit=$(realpath "${1:-target/release/streamkit}")
spec=$(realpath pipelines/retail-events.toml)
home=$(mktemp -d)
export STREAMKIT_HOME=$home/state
# The package of the handler is built once, here, and not measured.
export STREAMKIT_CACHE=${STREAMKIT_CACHE:-$PWD/target/speed-cache}
trap '"$streamkit" local stop --quiet >/dev/null; rm -rf "$home"' EXIT

measure() { # NAME RUNS COMMAND...: whatever the exit code
    local name=$1 runs=$2 times=() start
    shift 2
    for _ in $(seq "$runs"); do
        start=$(date +%s%N)
        "$@" >/dev/null 2>&1 || true
        times+=($((($(date +%s%N) - start) / 10000)))
    done
    printf '%s\n' "${times[@]}" | sort -n | awk -v name="$name" '
        { at[NR] = $1 / 100 }
        END { printf "%-44s best %8.2f   median %8.2f\n", name, at[1], at[int((NR + 1) / 2)] }'
}

restart() {
    "$streamkit" local stop --quiet >/dev/null
    "$streamkit" local start --quiet >/dev/null
}

printf 'name = "x"\nregoin = "eu-west-1"\n' >"$home/bad.toml"
measure 'streamkit --help' 20 "$streamkit" --help
measure 'a spec error' 20 "$streamkit" plan "$home/bad.toml"
measure 'local stop and start, ready' 10 restart
"$streamkit" up "$spec" --local --yes --quiet >/dev/null
measure 'plan --local, nothing to change' 10 "$streamkit" plan "$spec" --local
measure 'up --local, nothing to change' 10 "$streamkit" up "$spec" --local --yes
measure 'one read alone (status of the daemon)' 10 "$streamkit" local status
measure 'send --local --count 10000' 3 "$streamkit" send "$spec" --local --count 10000
