#!/usr/bin/env python3
"""Makes of a streamkit binary what people install: an archive, a wheel, npm packages, and a Homebrew formula.

    packaging/package.py version [--tag v1.2.3]        the version, which Cargo.toml alone states; checks that a tag is it
    packaging/package.py notes                         what CHANGELOG.md says of that version
    packaging/package.py build --binary FILE --target TRIPLE --repository OWNER/NAME --out DIR
    packaging/package.py launcher --repository OWNER/NAME --out DIR
                                                       the npm package that chooses the binary's one
    packaging/package.py formula --archives DIR --repository OWNER/NAME --out FILE

Python's own library is enough. The same binary gives the same files: no time of day is in them.
"""

import argparse
import base64
import gzip
import hashlib
import io
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# PyPI has a `streamkit` of somebody else's. The command is `streamkit` whatever the package is called.
PACKAGE = "streamkit-cli"
# What registries show; README has links into the repository.
ABOUT = ROOT / "packaging/about.md"
# Zip files know no time before.
EPOCH = (1980, 1, 1, 0, 0, 0)

# What each target is called by npm (os, cpu) and by wheels; glibc's version is read from the binary.
TARGETS = {
    "x86_64-unknown-linux-gnu": ("linux", "x64", "x86_64"),
    "aarch64-unknown-linux-gnu": ("linux", "arm64", "aarch64"),
    "x86_64-apple-darwin": ("darwin", "x64", "macosx_10_12_x86_64"),
    "aarch64-apple-darwin": ("darwin", "arm64", "macosx_11_0_arm64"),
}


def cargo():
    with open(ROOT / "Cargo.toml", "rb") as file:
        manifest = tomllib.load(file)
    package = manifest["workspace"]["package"]
    return package["version"], manifest["package"]["description"], package["license"]


def notes(version):
    """The section of CHANGELOG.md for a version, without its heading."""
    text = (ROOT / "CHANGELOG.md").read_text()
    found = re.search(rf"^## {re.escape(version)}\b.*?\n(.*?)(?=^## |\Z)", text, re.S | re.M)
    if not found:
        sys.exit(f"CHANGELOG.md has no section `## {version}`: rename `## Unreleased`, and begin a new one")
    return found.group(1).strip() + "\n"


def documents(binary):
    """What an archive has beside the binary. Only a binary of this machine can write its own pages."""
    files = {name: (ROOT / name).read_bytes() for name in ("README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT")}
    files["skills/streamkit/SKILL.md"] = (ROOT / "skills/streamkit/SKILL.md").read_bytes()
    run = lambda *arguments: subprocess.run([binary, *arguments], check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        run("man", "--output", folder)
        pages = sorted(pathlib.Path(folder).iterdir())
        files |= {f"man/man1/{page.name}": page.read_bytes() for page in pages}
    shells = {"bash": "streamkit.bash", "zsh": "_streamkit", "fish": "streamkit.fish"}
    files |= {f"completions/{name}": run("completions", shell) for shell, name in shells.items()}
    return files


def archive(path, folder, files):
    """A compressed archive of these files, of which those called `streamkit` and scripts can be run."""
    with open(path, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for file, content in files.items():
                entry = tarfile.TarInfo(f"{folder}/{file}")
                runs = pathlib.PurePath(file).name in ("streamkit", "streamkit.js")
                entry.size, entry.mode = len(content), 0o755 if runs else 0o644
                tar.addfile(entry, io.BytesIO(content))


def wheel_platform(target, binary):
    system, _, platform = TARGETS[target]
    if system != "linux":
        return platform
    # PEP 600: the glibc that it needs, by the symbols that it names.
    needed = max(tuple(map(int, found)) for found in re.findall(rb"GLIBC_(\d+)\.(\d+)", binary))
    return f"manylinux_{needed[0]}_{needed[1]}_{platform}"


def wheel(folder, target, binary):
    """https://packaging.python.org/en/latest/specifications/binary-distribution-format/"""
    version, description, license = cargo()
    name = PACKAGE.replace("-", "_")
    tag = f"py3-none-{wheel_platform(target, binary)}"
    info = f"{name}-{version}.dist-info"
    metadata = (
        f"Metadata-Version: 2.4\nName: {PACKAGE}\nVersion: {version}\nSummary: {description}\n"
        f"License-Expression: {license}\nLicense-File: LICENSE-APACHE\nLicense-File: LICENSE-MIT\n"
        "Requires-Python: >=3.8\nDescription-Content-Type: text/markdown\n\n"
    ).encode() + ABOUT.read_bytes()
    files = {
        f"{name}-{version}.data/scripts/streamkit": binary,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: streamkit\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
        f"{info}/licenses/LICENSE-APACHE": (ROOT / "LICENSE-APACHE").read_bytes(),
        f"{info}/licenses/LICENSE-MIT": (ROOT / "LICENSE-MIT").read_bytes(),
    }
    digest = lambda content: base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    record = "".join(f"{file},sha256={digest(content)},{len(content)}\n" for file, content in files.items())
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w", zipfile.ZIP_DEFLATED) as packed:
        for file, content in files.items():
            entry = zipfile.ZipInfo(file, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if file.endswith("scripts/streamkit") else 0o100644) << 16
            packed.writestr(entry, content)


def npm(arguments, name, manifest, files):
    """A package as `npm pack` would make it. Npm compares the repository with the one that publishes it."""
    version, description, license = cargo()
    repository = {"type": "git", "url": f"git+https://github.com/{arguments.repository}.git"}
    about = {"name": name, "version": version, "description": description, "license": license, "repository": repository}
    manifest = about | manifest
    files = {"package.json": (json.dumps(manifest, indent=2) + "\n").encode(), **files}
    archive(arguments.out / f"{name}-{version}.tgz", "package", files)


def licenses():
    return {name: (ROOT / name).read_bytes() for name in ("LICENSE-APACHE", "LICENSE-MIT")}


def build(arguments):
    arguments.out.mkdir(parents=True, exist_ok=True)
    binary = arguments.binary.read_bytes()
    version, _, _ = cargo()
    name = f"streamkit-v{version}-{arguments.target}"
    archive(arguments.out / f"{name}.tar.gz", name, {"streamkit": binary, **documents(arguments.binary.resolve())})
    wheel(arguments.out, arguments.target, binary)
    system, cpu, _ = TARGETS[arguments.target]
    manifest = {"os": [system], "cpu": [cpu]} | ({"libc": ["glibc"]} if system == "linux" else {})
    npm(arguments, f"{PACKAGE}-{system}-{cpu}", manifest, {"bin/streamkit": binary, **licenses()})


def launcher(arguments):
    """npm installs, of the packages that this one may have, the one for the machine."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    version, _, _ = cargo()
    manifest = {
        "bin": {"streamkit": "bin/streamkit.js"},
        "engines": {"node": ">=18"},
        "optionalDependencies": {f"{PACKAGE}-{system}-{cpu}": version for system, cpu, _ in TARGETS.values()},
    }
    files = {
        "bin/streamkit.js": (ROOT / "packaging/npm/streamkit.js").read_bytes(),
        "README.md": ABOUT.read_bytes(),
        **licenses(),
    }
    npm(arguments, PACKAGE, manifest, files)


def formula(arguments):
    version, description, _ = cargo()
    text = (ROOT / "packaging/homebrew/streamkit.rb").read_text()
    values = {"VERSION": version, "DESCRIPTION": description, "REPOSITORY": arguments.repository}
    for target in TARGETS:
        content = (arguments.archives / f"streamkit-v{version}-{target}.tar.gz").read_bytes()
        values[f"SHA256 {target}"] = hashlib.sha256(content).hexdigest()
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    # The comment for whoever reads the template.
    arguments.out.write_text(text[text.index("class "):])


def main():
    parser = argparse.ArgumentParser(description="Makes of a streamkit binary what people install.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("version").add_argument("--tag")
    commands.add_parser("notes")
    of_binary = commands.add_parser("build")
    of_binary.add_argument("--binary", type=pathlib.Path, required=True)
    of_binary.add_argument("--target", choices=TARGETS, required=True)
    of_formula = commands.add_parser("formula")
    of_formula.add_argument("--archives", type=pathlib.Path, required=True)
    for command in (of_binary, commands.add_parser("launcher"), of_formula):
        command.add_argument("--repository", metavar="OWNER/NAME", required=True)
        command.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    version, _, _ = cargo()
    if arguments.command == "version":
        if arguments.tag and arguments.tag != f"v{version}":
            sys.exit(f"the tag is {arguments.tag}, and Cargo.toml has version {version}: the tag must be v{version}")
        print(version)
    elif arguments.command == "notes":
        print(notes(version), end="")
    else:
        {"build": build, "launcher": launcher, "formula": formula}[arguments.command](arguments)


main()
