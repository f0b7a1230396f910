// The Runtime API client of functions in JavaScript: loads the handler, takes events, hands back results and errors.
// Node's own modules only. Runs in the folder of the function's package.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const util = require("node:util");
const { createRequire } = require("node:module");
const { pathToFileURL } = require("node:url");

const { AWS_LAMBDA_RUNTIME_API: API, LAMBDA_TASK_ROOT: TASK_ROOT, _HANDLER: HANDLER } = process.env;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
// The event that the function works on, until it has been answered.
let current = null;

class Fault extends Error {
  constructor(kind, message, stack) {
    super(message);
    this.name = kind;
    if (stack) this.stack = stack;
  }
}

function call(method, to, body) {
  return new Promise((resolve, reject) => {
    const [host, port] = API.split(":");
    const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };
    const options = { host, port, agent, method, path: `/2018-06-01/runtime/${to}`, headers };
    const request = http.request(options, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts).toString() }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

// Carriage returns keep what has several lines one event of the log.
function say(level, text) {
  const id = current ? current.id : "undefined";
  const time = new Date().toISOString();
  const json = process.env.AWS_LAMBDA_LOG_FORMAT === "JSON";
  const line = json ? JSON.stringify({ timestamp: time, level, requestId: current?.id, message: text }) : `${time}\t${id}\t${level}\t${text}`;
  fs.writeSync(1, line.replace(/\r?\n/g, "\r") + "\n");
}

const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
for (const [name, level] of Object.entries({ trace: "TRACE", debug: "DEBUG", log: "INFO", info: "INFO", warn: "WARN", error: "ERROR" })) {
  const least = LEVELS.indexOf(process.env.AWS_LAMBDA_LOG_LEVEL);
  console[name] = LEVELS.indexOf(level) < least ? () => {} : (...values) => say(level, util.format(...values));
}

// Paths as they are on AWS, without the lines of this file.
const asOnAws = (text) => text.split("\n").filter((line) => !line.includes("[eval]")).join("\n").replaceAll(`file://${TASK_ROOT}`, "file:///var/task").replaceAll(TASK_ROOT, "/var/task");

function errorBody(error) {
  if (!(error instanceof Error) && !util.types.isNativeError(error)) {
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  }
  return {
    errorType: error.name,
    errorMessage: asOnAws(error.message),
    trace: asOnAws(error.stack || "").split("\n"),
  };
}

function logError(what, body) {
  const { errorType, errorMessage, trace } = body;
  say("ERROR", `${what} \t${JSON.stringify({ errorType, errorMessage, stack: trace })}`);
}

// The file of a module, as it was named or with an extension.
function fileOf(module) {
  const named = path.resolve(TASK_ROOT, module);
  return ["", ".js", ".mjs", ".cjs"].map((extension) => named + extension).find((file) => fs.statSync(file, { throwIfNoEntry: false })?.isFile());
}

async function moduleOf(module) {
  const file = fileOf(module);
  if (file?.endsWith(".mjs")) return import(pathToFileURL(file));
  // Files are named by their full paths: it does not matter from where, but errors name the place.
  const required = createRequire("/var/runtime/index.mjs");
  try {
    return required(file ?? path.resolve(TASK_ROOT, module));
  } catch (error) {
    if (error.code === "ERR_REQUIRE_ESM" || error.code === "ERR_REQUIRE_ASYNC_MODULE") return import(pathToFileURL(file));
    if (!file && error.code === "MODULE_NOT_FOUND") {
      throw new Fault("Runtime.ImportModuleError", `Error: Cannot find module '${module}'\n${error.message.split("\n").slice(1).join("\n")}`.trimEnd());
    }
    throw error;
  }
}

async function load() {
  const folder = path.dirname(HANDLER);
  const named = path.basename(HANDLER).match(/^([^.]*)\.(.*)$/);
  if (!named || !named[1] || HANDLER.includes("..")) throw new Fault("Runtime.MalformedHandlerName", "Bad handler");
  let module;
  try {
    module = await moduleOf(path.join(folder, named[1]));
  } catch (error) {
    if (error instanceof SyntaxError) throw new Fault("Runtime.UserCodeSyntaxError", error.toString(), error.stack);
    if (error.code === "MODULE_NOT_FOUND" || error.code === "ERR_MODULE_NOT_FOUND") {
      throw new Fault("Runtime.ImportModuleError", error.toString(), error.stack);
    }
    throw error;
  }
  const found = (from) => named[2].split(".").reduce((value, name) => value?.[name], from);
  const handler = found(module) ?? found(module.default);
  if (handler === undefined) throw new Fault("Runtime.HandlerNotFound", `${HANDLER} is undefined or not exported`);
  if (typeof handler !== "function") throw new Fault("Runtime.HandlerNotFound", `${HANDLER} is not a function`);
  return handler;
}

function contextOf(headers, settle) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const client = headers["lambda-runtime-client-context"];
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    clientContext: client ? JSON.parse(client) : undefined,
    identity: undefined,
    getRemainingTimeInMillis: () => Math.max(deadline - Date.now(), 0),
    succeed: (result) => settle(null, result),
    fail: (error) => settle(error ?? "handled"),
    done: (error, result) => settle(error, result),
  };
}

// Runs the handler on one event; resolves with the path and the body of the answer.
function answerTo(handler, { headers, body }) {
  return new Promise((resolve) => {
    const respond = (result) => {
      try {
        resolve(["response", JSON.stringify(result === undefined ? null : result) ?? "null"]);
      } catch {
        failed(new Error("Unable to stringify response body"));
      }
    };
    const failed = (error) => {
      const shown = errorBody(error);
      logError("Invoke Error", shown);
      resolve(["error", JSON.stringify(shown)]);
    };
    const id = headers["lambda-runtime-aws-request-id"];
    // What is left to do when nothing else is: the answer of a callback, or none.
    current = { id, whenIdle: () => respond(null), failed };
    const settle = (error, result) => {
      const act = () => (error === null || error === undefined ? respond(result) : failed(error));
      if (context.callbackWaitsForEmptyEventLoop && (error === null || error === undefined)) current.whenIdle = act;
      else act();
    };
    const context = contextOf(headers, settle);
    const trace = headers["lambda-runtime-trace-id"];
    if (trace) process.env._X_AMZN_TRACE_ID = trace;
    try {
      const result = handler(JSON.parse(body), context, settle);
      if (typeof result?.then === "function") {
        // A promise that can no longer settle leaves nothing to do.
        result.then(respond, failed);
      }
    } catch (error) {
      failed(error);
    }
  });
}

async function end(kind, error) {
  const shown = errorBody(error);
  if (kind) [shown.errorType, shown.errorMessage] = [kind, String(error)];
  logError(kind ? "Unhandled Promise Rejection" : "Uncaught Exception", shown);
  if (current) await call("POST", `invocation/${current.id}/error`, JSON.stringify(shown)).catch(() => {});
  process.exit(kind ? 128 : 129);
}

process.on("beforeExit", () => current?.whenIdle());
process.on("uncaughtException", (error) => end(null, error));
process.on("unhandledRejection", (error) => end("Runtime.UnhandledPromiseRejection", error));

async function main() {
  let handler;
  try {
    handler = await load();
  } catch (error) {
    const shown = errorBody(error);
    logError("Uncaught Exception", shown);
    await call("POST", "init/error", JSON.stringify(shown));
    process.exit(1);
  }
  for (;;) {
    const next = await call("GET", "invocation/next", "");
    if (next.status !== 200) process.exit(0);
    const [to, answer] = await answerTo(handler, next);
    const { id } = current;
    await call("POST", `invocation/${id}/${to}`, answer);
    current = null;
  }
}

main();
