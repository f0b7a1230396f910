"""The Runtime API client of functions in Python: loads the handler, takes events, hands back results and errors.

Standard library only. Runs in the folder of the function's package, which comes first on sys.path.
"""

import decimal
import http.client
import importlib
import json
import logging
import os
import sys
import time
import traceback
import types

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
TASK_ROOT = os.environ["LAMBDA_TASK_ROOT"]
PREFIX = "/2018-06-01/runtime/"


class Fault(Exception):
    """What Lambda itself finds wrong with a function."""

    def __init__(self, kind, message, frames=()):
        super().__init__(message)
        self.kind = kind
        self.frames = list(frames)


class Runtime:
    def __init__(self):
        self.connection = http.client.HTTPConnection(API)

    def call(self, method, path, body=None):
        self.connection.request(method, PREFIX + path, body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()


class Context:
    def __init__(self, headers):
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = types.SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self.client_context = client_context(headers.get("Lambda-Runtime-Client-Context"))
        self._deadline_ms = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self):
        return max(self._deadline_ms - int(time.time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))


def client_context(text):
    if not text:
        return None
    given = json.loads(text)
    app = given.get("client") or {}
    names = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")
    client = types.SimpleNamespace(**{name: app.get(name) for name in names})
    return types.SimpleNamespace(custom=given.get("custom"), env=given.get("env"), client=client)


class LogHandler(logging.Handler):
    """Writes records as Lambda does; what has several lines stays one event of the log."""

    request_id = ""

    def emit(self, record):
        try:
            text = self.json(record) if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON" else self.line(record)
            sys.stdout.write(text.replace("\n", "\r") + "\n")
        except Exception:
            self.handleError(record)

    def line(self, record):
        return f"[{record.levelname}]\t{moment(record)}\t{self.request_id}\t{self.format(record)}"

    def json(self, record):
        shown = {"timestamp": moment(record), "level": record.levelname, "message": record.getMessage()}
        shown["logger"] = record.name
        if record.exc_info:
            kind, error, trace = record.exc_info
            shown["errorType"], shown["errorMessage"] = kind.__name__, str(error)
            shown["stackTrace"] = frames_of(trace)
        if self.request_id:
            shown["requestId"] = self.request_id
        return json.dumps(shown, ensure_ascii=False, default=str)


def moment(record):
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03}Z"


def frames_of(trace):
    """The lines of a stack trace, without those of this file, with paths as they are on AWS."""
    frames = [frame for frame in traceback.extract_tb(trace) if frame.filename != "<string>"]
    # Those of the import machinery lie between this file's and the function's.
    frames = [frame for frame in frames if not frame.filename.startswith("<frozen importlib")]
    return [line.replace(TASK_ROOT, "/var/task") for line in traceback.format_list(frames)]


def error_body(error, request_id):
    if isinstance(error, Fault):
        kind, frames = error.kind, error.frames
    else:
        kind, frames = type(error).__name__, frames_of(error.__traceback__)
    return {"errorMessage": str(error), "errorType": kind, "requestId": request_id, "stackTrace": frames}


def log_error(body):
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        text = json.dumps({"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "log_level": "ERROR", **body})
    else:
        kind, message = body["errorType"], body["errorMessage"]
        lines = [f"[ERROR] {kind}: {message}" if message else f"[ERROR] {kind}", "Traceback (most recent call last):"]
        text = "\n".join(lines + [line.rstrip("\n") for line in body["stackTrace"]])
    # Carriage returns keep it one event of the log.
    sys.stdout.write(text.replace("\n", "\r") + "\n")


def load(handler):
    module_name, dot, function_name = handler.rpartition(".")
    if not dot:
        raise Fault(
            "Runtime.MalformedHandlerName", f"Bad handler '{handler}': not enough values to unpack (expected 2, got 1)"
        )
    module_name = module_name.replace("/", ".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}") from error
    except SyntaxError as error:
        frame = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}\n'.replace(TASK_ROOT, "/var/task")
        message = f"Syntax error in module '{module_name}': {error}"
        raise Fault("Runtime.UserCodeSyntaxError", message, [frame]) from error
    try:
        return getattr(module, function_name)
    except AttributeError as error:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        raise Fault("Runtime.HandlerNotFound", message) from error


def number(value):
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def encode(result):
    try:
        return json.dumps(result, ensure_ascii=False, default=number)
    except Exception as error:
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def decode(event):
    try:
        return json.loads(event)
    except Exception as error:
        raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from error


def main():
    # A pipe would be buffered in blocks, and a function that is stopped would lose its last lines.
    sys.stdout.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")
    sys.path[0:1] = [TASK_ROOT]
    log = LogHandler()
    logging.getLogger().addHandler(log)
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL")
    if level:
        logging.getLogger().setLevel({"TRACE": "DEBUG", "WARN": "WARNING", "FATAL": "CRITICAL"}.get(level, level))
    runtime = Runtime()
    try:
        handler = load(os.environ["_HANDLER"])
    except Exception as error:
        body = error_body(error, "")
        log_error(body)
        runtime.call("POST", "init/error", json.dumps(body).encode())
        sys.exit(1)
    while True:
        status, headers, event = runtime.call("GET", "invocation/next")
        if status != 200:
            return
        context = Context(headers)
        log.request_id = context.aws_request_id
        trace = headers.get("Lambda-Runtime-Trace-Id")
        if trace:
            os.environ["_X_AMZN_TRACE_ID"] = trace
        path = f"invocation/{context.aws_request_id}/"
        try:
            path, answer = path + "response", encode(handler(decode(event), context)).encode("utf-8", "replace")
        except Exception as error:
            body = error_body(error, context.aws_request_id)
            log_error(body)
            path, answer = path + "error", json.dumps(body).encode()
        sys.stdout.flush()
        sys.stderr.flush()
        runtime.call("POST", path, answer)


main()
