"""Makes a function an executor of Taskgrove. Copy this file; it needs Python 3.8 and nothing else.

    from taskgrove_executor import serve, Permanent, Retry

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
    """A failure that another attempt can't fix."""


class Retry(Exception):
    """A failure after which another attempt makes no sense before so many seconds have passed."""

    def __init__(self, message, after=0):
        super().__init__(message)
        self.after = after


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
        self.cancelled = threading.Event()
        self.reason = None  # why it is cancelled
        self._send = send

    def progress(self, fraction, text=""):
        self._say("progress", fraction=fraction, message=text)

    def log(self, text):
        self._say("log", text=str(text))

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
        self.calls = {}
        self.lock = threading.Lock()
        self.out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what anybody prints must not get between the messages

    def send(self, message):
        line = json.dumps(message)
        with self.lock:
            if message["type"] in ("progress", "log", "heartbeat") and message["attempt_id"] not in self.calls:
                return  # it has ended: a thread of it goes on
            if message["type"] in ("result", "error"):
                self.calls.pop(message.get("attempt_id"), None)
            self.out.write(line + "\n")
            self.out.flush()

    def run(self, call):
        try:
            answer = {"type": "result", "result": self.function(call)}
            json.dumps(answer)
        except Cancelled as e:
            answer = {"type": "error", "error": str(e), "partial": e.partial}
        except Permanent as e:
            answer = {"type": "error", "error": str(e), "retryable": False}
        except Retry as e:
            answer = {"type": "error", "error": str(e), "retry_after": e.after}
        except BaseException as e:
            text = "%s: %s" % (type(e).__name__, e)
            answer = {"type": "error", "error": text, "detail": traceback.format_exc()}
        sys.stderr.flush()
        self.send({**answer, "attempt_id": call.id})

    def handle(self, message):
        kind = message["type"]
        if kind == "hello":
            if 1 not in message["versions"]:
                self.send({"type": "error", "error": "this program speaks version 1"})
                return
            self.send({"type": "hello", "version": 1})
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
