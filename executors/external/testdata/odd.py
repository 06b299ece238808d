"""An executor that breaks the protocol in the way that it is told: by its argument at the start, or by an attempt's inputs.how."""
import json
import os
import signal
import subprocess
import sys
import threading
import time

mode = sys.argv[1] if len(sys.argv) > 1 else ""
lock = threading.Lock()


def raw(data):
    with lock:
        os.write(1, data if isinstance(data, bytes) else data.encode())


def send(kind, **fields):
    data = (json.dumps({"type": kind, **fields}) + "\n").encode()
    with lock:
        while data:
            data = data[os.write(1, data):]


def attempt(a, inputs):
    how = inputs["how"]
    if how not in ("well", "stderr", "slow", "skip"):
        sys.stderr.write("this is why\n")
        sys.stderr.flush()
    if how == "not json":
        raw("hello, world\n")
    elif how == "a list":
        raw("[1]\n")
    elif how == "not utf-8":
        raw(b'{"type": "log", "text": "\xff"}\n')
    elif how == "no type":
        raw("{}\n")
    elif how == "wrong field":
        send("progress", attempt_id=a, fraction="half")
    elif how == "long line":
        send("result", attempt_id=a, result="x" * 1200000)
    elif how == "unknown id":
        send("result", attempt_id="b7", result=1)
    elif how == "no id":
        send("result", result=1)
    elif how == "unknown type":
        send("dance", attempt_id=a)
    elif how == "unknown stream":
        send("log", attempt_id=a, stream="tty", text="x")
    elif how in ("skip", "expand", "await", "checkpoint"):
        send(how, attempt_id=a)
    elif how == "hello again":
        send("hello", version=1)
    elif how == "error without id":
        send("error", error="all is lost")
    elif how == "exits":
        os._exit(3)
    elif how == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "closes":
        os.close(1)
    elif how == "floods":
        line = (json.dumps({"type": "heartbeat", "attempt_id": a}) + "\n").encode() * 1000
        while True:
            os.write(1, line)
    elif how == "ignores cancel":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        send("log", attempt_id=a, text="pid %d" % os.getpid())
        send("log", attempt_id=a, text="pid %d" % child.pid)
        while True:
            time.sleep(0.1)
            send("heartbeat", attempt_id=a)
    elif how == "slow":
        send("log", attempt_id=a, text="slow")
        while True:
            time.sleep(0.1)
            send("heartbeat", attempt_id=a)
    elif how == "after the end":
        send("result", attempt_id=a, result={"pid": os.getpid()})
        send("progress", attempt_id=a, fraction=1)
    elif how == "briefly":
        time.sleep(0.3)
        send("result", attempt_id=a, result={"pid": os.getpid()})
    elif how == "stderr":
        sys.stderr.write(inputs["text"] + "\n")
        sys.stderr.flush()
        send("result", attempt_id=a, result={"pid": os.getpid()})
    elif how == "environment":
        send("result", attempt_id=a, result=dict(os.environ))
    elif how == "well":
        send("result", attempt_id=a, result={"pid": os.getpid()})


def describe():
    if mode == "undescribed":
        return
    more = {}
    if mode.startswith("concurrency="):
        more["concurrency"] = int(mode.partition("=")[2])
    said = {"id": "odd", "description": "Breaks the protocol", "cancelable": mode != "not cancelable", "heartbeat_seconds": 0.5, **more}
    if mode.startswith("describe="):
        said = json.loads(mode.partition("=")[2])
        if "pad" in said:
            said["pad"] = "x" * said["pad"]
    send("description", **said)


if mode == "exits":
    sys.stderr.write("no licence\n")
    sys.stderr.flush()
    os._exit(4)
for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "hello" and mode == "refuses":
        send("error", error="this program speaks version 9")
    elif m["type"] == "hello" and mode == "talks":
        send("description", id="x")
    elif m["type"] == "hello" and mode != "silent":
        send("hello", version=int(mode.partition("=")[2]) if mode.startswith("version=") else 1)
    elif m["type"] == "describe":
        describe()
    elif m["type"] == "start" and mode.startswith("concurrency="):
        threading.Thread(target=attempt, args=(m["attempt_id"], m["inputs"]), daemon=True).start()
    elif m["type"] == "start":
        attempt(m["attempt_id"], m["inputs"])
