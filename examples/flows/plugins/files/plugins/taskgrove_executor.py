"""Makes a function an executor of Taskgrove. Copy this file; it needs Python 3.8 and nothing else.

    from taskgrove_executor import serve, Permanent, Retry, Skip, Expand

    def count(call):
        call.progress(0.5, "half of it")
        return {"words": len(call.inputs["text"].split())}

    serve(count, id="word_count", description="Counts words")

The worker starts the program and speaks with it in lines of JSON (docs/external-executors.md). What the program prints goes to the log.
"""

import json
import os
import sys
import threading
import traceback


class Permanent(Exception):
    """A failure that another attempt can't fix. kind is a word for it, which a task's retry_on may name."""

    def __init__(self, message, kind=None):
        super().__init__(message)
        self.kind = kind


class Retry(Exception):
    """A failure after which another attempt makes no sense before so many seconds have passed."""

    def __init__(self, message, after=0, kind=None):
        super().__init__(message)
        self.after = after
        self.kind = kind


class Skip:
    """Returned: there was nothing to do, for a reason in one word. The value goes on to who depends on the task."""

    def __init__(self, reason, value=None):
        self.answer = {"type": "skip", "reason": reason, "value": value}


class Expand:
    """Returned: the task goes on as these tasks, each an object as in tasks.create with an id of its own; collect is none, list or map."""

    def __init__(self, tasks, collect="none"):
        self.answer = {"type": "expand", "tasks": tasks, "collect": collect}


class Await:
    """Returned: the attempt ends, and none holds a slot until there is an answer. Then another one goes on, with it in call.answer.

    kind is signal (of a name), approval or time. Fields: name, timeout_seconds, until, and data, which whoever answers has to know."""

    def __init__(self, kind, **fields):
        self.answer = {"type": "await", "await": {"kind": kind, **fields}}


class Cancelled(Exception):
    """The attempt must end; raised by Call.check. partial is what was done until then."""

    def __init__(self, message="cancelled", partial=None):
        super().__init__(message)
        self.partial = partial


class Call:
    """One attempt."""

    def __init__(self, message, send):
        self.id = message["attempt_id"]
        self.task_id = message["task_id"]
        self.attempt = message["attempt"]
        self.idempotency_key = message["idempotency_key"]
        self.inputs = message["inputs"]
        self.params = message.get("params") or {}
        self.deadline = message.get("deadline")  # RFC 3339, or None
        self.checkpoint = message.get("checkpoint")  # what an earlier attempt saved last, or None
        self.lock = message.get("lock")  # what the attempt holds alone: key, and token, which is greater than any given before; or None
        self.answer = message.get("answer")  # how the Await of the attempt before has ended: choice, payload, by, comment; or None
        self.cancelled = threading.Event()
        self.reason = None  # why it is cancelled
        self._send = send

    def progress(self, fraction, text=""):
        self._say("progress", fraction=fraction, message=text)

    def log(self, text):
        self._say("log", text=str(text))

    def save(self, data):
        """Saves where the work is: if the attempt is lost, the next one gets it as its checkpoint. JSON of up to 64 KiB."""
        self._say("checkpoint", data=data)

    def heartbeat(self):
        self._say("heartbeat")

    def check(self, partial=None):
        """Raises Cancelled if the attempt must end."""
        if self.cancelled.is_set():
            raise Cancelled(self.reason, partial)

    def _say(self, kind, **fields):
        self._send({"type": kind, "attempt_id": self.id, **fields})


class _Server:
    def __init__(self, function, description):
        self.function, self.description = function, description
        self.version = 1
        self.calls = {}
        self.lock = threading.Lock()
        self.out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what anybody prints must not get between the messages

    def send(self, message):
        line = json.dumps(message)
        with self.lock:
            if message["type"] in ("progress", "log", "heartbeat", "checkpoint") and message["attempt_id"] not in self.calls:
                return  # it has ended: a thread of it goes on
            if message["type"] == "checkpoint" and self.version < 2:
                return  # this worker knows none: a lost attempt is done again from its beginning
            if message["type"] in ("result", "error", "skip", "expand", "await"):
                self.calls.pop(message.get("attempt_id"), None)
            self.out.write(line + "\n")
            self.out.flush()

    def run(self, call):
        try:
            result = self.function(call)
            answer = result.answer if isinstance(result, (Skip, Expand, Await)) else {"type": "result", "result": result}
            if answer["type"] != "result" and self.version < 2:
                raise Permanent("this worker is too old for " + answer["type"])
            json.dumps(answer)
        except Cancelled as e:
            answer = {"type": "error", "error": str(e), "partial": e.partial}
        except Permanent as e:
            answer = {"type": "error", "error": str(e), "retryable": False, "kind": e.kind}
        except Retry as e:
            answer = {"type": "error", "error": str(e), "retry_after": e.after, "kind": e.kind}
        except BaseException as e:
            text = "%s: %s" % (type(e).__name__, e)
            answer = {"type": "error", "error": text, "detail": traceback.format_exc()}
        sys.stderr.flush()
        self.send({**answer, "attempt_id": call.id})

    def handle(self, message):
        kind = message["type"]
        if kind == "hello":
            known = [version for version in message["versions"] if version in (1, 2)]
            if not known:
                self.send({"type": "error", "error": "this program speaks versions 1 and 2"})
                return
            self.version = max(known)
            self.send({"type": "hello", "version": self.version})
        elif kind == "describe":
            self.send({"type": "description", **self.description})
        elif kind == "start":
            call = Call(message, self.send)
            with self.lock:
                self.calls[call.id] = call
            threading.Thread(target=self.run, args=(call,), daemon=True).start()
        elif kind == "cancel":
            with self.lock:
                call = self.calls.get(message["attempt_id"])
            if call:
                call.reason = message["reason"]
                call.cancelled.set()


def serve(function, *, id, description, **more):
    """Serves attempts until the worker closes the input. more: other fields of a description, such as inputs, concurrency, examples."""
    server = _Server(function, {"id": id, "description": description, "cancelable": True, **more})
    for line in sys.stdin:
        server.handle(json.loads(line))
