"""An executor that lets a child sleep, and ends it when it is cancelled."""

import os
import subprocess

from taskgrove_executor import serve


def nap(call):
    child = subprocess.Popen(["sleep", str(call.inputs["seconds"])], env={**os.environ, "NAP": call.inputs["word"]})
    try:
        while child.poll() is None:
            call.check()
            call.cancelled.wait(0.01)
    finally:
        child.kill()
        child.wait()
    return call.inputs["word"]


serve(nap, id="python_nap", name="Naps", description="Sleeps", concurrency=16, heartbeat_seconds=600)
