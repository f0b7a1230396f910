#!/usr/bin/env node
// Runs the streamkit of the package that npm has installed for this machine.
"use strict";

const { spawn } = require("node:child_process");
const { constants } = require("node:os");

const name = `streamkit-cli-${process.platform}-${process.arch}`;
let program;
try {
  program = require.resolve(`${name}/bin/streamkit`);
} catch {
  console.error(`error: the package ${name} is not installed`);
  console.error("hint: install without --omit=optional; streamkit is there for Linux (glibc) and macOS, on x64 and arm64");
  process.exit(1);
}

const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
child.on("error", (error) => {
  console.error(`error: running ${program}: ${error.message}`);
  process.exit(1);
});
// Ctrl-C reaches both; streamkit then ends in its own time. What is sent to this process alone is passed on.
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) {
  process.on(signal, () => child.kill(signal));
}
child.on("exit", (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code));
