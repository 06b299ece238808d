"""Runs one attempt of python_executor, and is the module taskgrove that its code may import.

Started as: python runner.py script PATH | function MODULE:NAME DIRECTORY. It speaks version 1 of the protocol of external executors on its
standard input and output, which it hides from the code that it runs: that has an empty input, and its output goes to the log.
"""

import codecs
import json
import os
import signal
import sys
import threading
import time
import traceback

sys.modules["taskgrove"] = sys.modules[__name__]
__all__ = ["Permanent", "Retry", "attempt", "cancelled", "deadline", "idempotency_key", "inputs", "lock_key", "lock_token", "log", "progress", "result", "task_id"]


class Permanent(Exception):
    """A failure that another attempt can't fix."""


class _Broken(Permanent):
    """Code that can't even begin; its cause says why."""


class Retry(Exception):
    """A failure after which another attempt makes no sense before so many seconds have passed."""

    def __init__(self, message="", after=0):
        super().__init__(message)
        self.after = after


inputs = {}  # of the attempt, those of the executor aside: results of dependencies, and what else the task has
attempt = 1
task_id = idempotency_key = ""
lock_key = lock_token = None  # of the lock that the attempt holds
deadline = None  # by RFC 3339

_send_lock = threading.Lock()
_out = None
_id = None  # of the attempt; None: it has ended
_cancel = None  # why the attempt must end
_result = None
_most = 0  # bytes of a line
_said = 0  # messages
_moved = 0  # when progress was told last


def progress(fraction, message=""):
    """Says how much is done, 0 to 1."""
    global _moved
    fraction, now = float(fraction), time.monotonic()
    if fraction >= 1 or now - _moved > 0.02:  # more than fifty times a second, nobody sees
        _moved = now
        _say({"type": "progress", "fraction": fraction, "message": str(message)})


def log(text):
    """Writes a line to the task's log, as print does."""
    _say({"type": "log", "text": str(text)})


def result(value):
    """Sets the result of a script; the last one counts. If the task is cancelled, it is the partial result."""
    global _result
    _result = value


def cancelled():
    """Whether the attempt must end. KeyboardInterrupt is raised, too."""
    return _cancel is not None


def _say(message):
    global _said
    with _send_lock:
        if _id is None:
            return
        _said += 1
        if _said > 20000:  # the worker ends what floods it: be slower than that
            time.sleep(0.0003)
        _write({**message, "attempt_id": _id})


def _write(message):
    data = (json.dumps(message) + "\n").encode()
    while data:
        data = data[os.write(_out, data):]


def _end(message):
    global _id
    with _send_lock:
        if _id is not None:
            _write({**message, "attempt_id": _id})
            _id = None


def _plain(value):
    """What JSON has no word for."""
    kind = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        import dataclasses

        return dataclasses.asdict(value)
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump(mode="json")
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a DataFrame
        return value.to_dict(orient="records")
    if hasattr(value, "to_dict"):  # a Series
        return value.to_dict()
    if hasattr(value, "tolist"):  # of numpy
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError("a %s has no form in JSON" % kind.__name__)


def _encode(value):
    try:
        text = json.dumps(value, default=_plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as e:
        raise Permanent("the result can't be encoded as JSON: %s" % e) from None
    if len(text) + 200 > _most:
        raise Permanent("the result has %d bytes, and at most %d are allowed" % (len(text), _most - 200))
    return json.loads(text)


def _theirs(tb):
    """Whether a line of a traceback is of the code that is run."""
    name = tb.tb_frame.f_code.co_filename
    return name != __file__ and not name.startswith("<frozen") and os.path.basename(os.path.dirname(name)) != "importlib"


def _trace(e):
    """The traceback without the lines of this file, and its end only if it is long."""
    if isinstance(e, _Broken):
        e = e.__cause__
    tb = e.__traceback__
    while tb is not None and tb.tb_frame.f_globals.get("__name__", "").partition(".")[0] in ("__main__", "importlib", "taskgrove") and not _theirs(tb):
        tb = tb.tb_next
    text = "".join(traceback.format_exception(type(e), e, tb))
    return text if len(text) <= 16000 else "…" + text[-16000:]


def _failure(e):
    text = str(e)
    if not isinstance(e, (Permanent, Retry)):
        text = "%s: %s" % (type(e).__name__, text) if text else type(e).__name__
    message = {"type": "error", "error": text[:8000], "detail": _trace(e), "retryable": not isinstance(e, Permanent)}
    if isinstance(e, Retry):
        message["retry_after"] = float(e.after or 0)
    if _result is not None:
        try:
            message["partial"] = _encode(_result)
        except Permanent:
            pass
    return message


def _script(path):
    with open(path, "rb") as f:
        source = f.read()
    try:
        code = compile(source, os.path.basename(path), "exec")
    except (SyntaxError, ValueError) as e:
        raise _Broken("%s: %s" % (type(e).__name__, e)) from e
    sys.argv = [path]
    sys.path.insert(0, os.path.dirname(path))
    _remember(path, source)
    main = type(sys)("__main__")
    main.__file__ = path
    sys.modules["__main__"] = main
    try:
        exec(code, main.__dict__)
    except SystemExit as e:
        if e.code not in (None, 0):
            raise RuntimeError("the script ended with exit code %s" % e.code) from None
    except ImportError as e:
        raise _Broken(_unimported(e)) from e
    return _result


def _unimported(error):
    """Says what could not be imported, and where packages are asked for."""
    text = "%s: %s" % (type(error).__name__, error)
    if isinstance(error, ModuleNotFoundError):
        text += " (packages are asked for in requirements, or in the script's metadata, PEP 723)"
    return text


def _remember(path, source):
    """Has tracebacks show the lines of a script, which goes by its name only."""
    import linecache

    lines = source.decode(errors="replace").splitlines(True)
    linecache.cache[os.path.basename(path)] = (len(source), None, lines, path)


def _function(name, directory):
    import importlib

    sys.path.insert(0, directory)
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
    except (ImportError, SyntaxError) as e:
        raise _Broken(_unimported(e)) from e
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise Permanent("module %s has no function %s" % (module, attribute))
        found = getattr(found, part)
    if not callable(found):
        raise Permanent("%s is not a function" % name)
    arguments = _arguments
    if arguments is not None:
        value = _called(name, found, kwargs=arguments)
    elif _takes_one(found):
        value = _called(name, found, args=(inputs,))
    else:
        value = _called(name, found)
    if hasattr(value, "__await__"):
        import asyncio

        async def wait():
            return await value

        value = asyncio.run(wait())
    return _result if value is None else value


def _takes_one(function):
    import inspect

    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def _called(name, function, args=(), kwargs={}):
    import inspect

    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as e:
        raise Permanent("arguments do not fit %s: %s" % (name, e)) from None
    except ValueError:
        pass  # it has no signature
    return function(*args, **kwargs)


_arguments = None


class _Pump(threading.Thread):
    """Sends what is written to a pipe to the log."""

    def __init__(self):
        super().__init__(daemon=True)
        self.read, write = os.pipe()
        os.dup2(write, 1)
        os.close(write)

    def run(self):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            if _said > 1000:
                time.sleep(0.01)  # so that much of it goes into one message
            data = os.read(self.read, 65536)
            text = decoder.decode(data, final=not data)
            if text:
                _say({"type": "log", "stream": "stdout", "text": text})
            if not data:
                return

    def end(self):
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
        self.join(1)  # another process may hold it open


def _listen(lines):
    """Waits for the word cancel."""
    global _cancel
    for line in lines:
        message = json.loads(line)
        if message["type"] == "cancel":
            _cancel = message["reason"]
            os.kill(os.getpid(), signal.SIGINT)  # interrupts a sleep as well


def _main():
    global _out, _most, _id, _arguments, inputs, attempt, task_id, idempotency_key, lock_key, lock_token, deadline
    lines = os.fdopen(os.dup(0), "r", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    _out = os.dup(1)
    pump = _Pump()
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    hello = json.loads(lines.readline())
    _most = hello["max_line_bytes"]
    _write({"type": "hello", "version": 1})
    text = lines.readline()
    if not text:
        return
    start = json.loads(text)
    _arguments = start["inputs"]["arguments"]
    inputs, attempt, deadline = start["inputs"]["inputs"], start["attempt"], start.get("deadline")
    task_id, idempotency_key = start["task_id"], start["idempotency_key"]
    lock_key, lock_token = (start.get("lock") or {}).get("key"), (start.get("lock") or {}).get("token")
    _id = start["attempt_id"]
    pump.start()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    try:
        how = {"script": _script, "function": _function}[sys.argv[1]]
        answer = {"type": "result", "result": _encode(how(*sys.argv[2:]))}
    except BaseException as e:
        answer = _failure(e)
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        pump.end()
    except BaseException:
        pass
    _end(answer)


if __name__ == "__main__":
    sys.modules["taskgrove"].__name__ = "taskgrove"
    _main()
