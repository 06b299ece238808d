"""An executor that tells its secret wherever it can: its log, progress, stderr (of no attempt, too), result, errors, and as it dies."""
import json
import os
import sys
import threading

lock = threading.Lock()


def send(kind, **fields):
    with lock:
        print(json.dumps({"type": kind, **fields}), flush=True)


def err(text):
    print(text, file=sys.stderr, flush=True)


for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "hello":
        send("hello", version=1)
    elif m["type"] == "describe":
        send("description", id="indiscreet", description="Tells secrets", secrets=True, concurrency=4, cancelable=True)
    elif m["type"] == "start":
        a, secret, how = m["attempt_id"], m["inputs"]["secret_text"], m["inputs"].get("how")
        send("log", attempt_id=a, text=m["inputs"].get("marker", "") + secret)
        send("progress", attempt_id=a, fraction=0.5, message=secret)
        err("in an attempt: " + secret)
        if how == "fail":
            send("error", attempt_id=a, error="it is " + secret, detail="at " + secret, permanent=True)
        elif how == "die":
            err("as it dies: " + secret)
            os._exit(3)
        elif how == "break":
            print("this is no message: " + secret, flush=True)
        else:
            send("result", attempt_id=a, result={"secret": secret, secret: [secret]})
        err("after an attempt: " + secret)
