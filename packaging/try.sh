#!/usr/bin/env bash
# Installs the packages of a folder into environments with nothing else in them, and runs what they bring:
#   packaging/try.sh DIR
# Reaches no network: what a package would need from elsewhere is missed here.
set -euo pipefail
packages=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
version=$("$root/packaging/package.py" version)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

works() {
    local streamkit=$1 said
    said=$("$streamkit" --version)
    [ "$said" = "streamkit $version" ] || { echo "$streamkit says \`$said\`, and not version $version"; exit 1; }
    (cd "$place" && rm -f ./*.toml && "$streamkit" init retail && "$streamkit" check)
    # A wrong file's exit code comes through whatever stands between.
    local code=0
    echo 'name = "Wrong Name"' >"$place/wrong.toml"
    "$streamkit" check "$place/wrong.toml" 2>/dev/null || code=$?
    [ "$code" = 2 ] || { echo "$streamkit exits with $code and not 2 where a file is wrong"; exit 1; }
}

echo "archive"
tar -xzf "$packages"/streamkit-v"$version"-*.tar.gz -C "$place"
works "$place"/streamkit-v"$version"-*/streamkit
test -s "$place"/streamkit-v"$version"-*/man/man1/streamkit-up.1
test -s "$place"/streamkit-v"$version"-*/completions/_streamkit

echo "wheel"
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --no-index --find-links "$packages" streamkit-cli
works "$place/venv/bin/streamkit"

echo "npm packages"
for package in "$packages"/streamkit-cli-*.tgz; do
    tar -xzOf "$package" package/package.json | grep -q '"url": "git+https://github.com/.*/.*\.git"' || { echo "$package names no repository"; exit 1; }
done
npm install --silent --offline --no-audit --no-fund --cache "$place/npm-cache" --prefix "$place/npm" "$packages"/streamkit-cli-*.tgz
works "$place/npm/node_modules/.bin/streamkit"
echo "all of them work"
