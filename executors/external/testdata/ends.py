"""An executor that ends its attempts in the way that it is told, and goes on from checkpoints. It uses the helper of examples/external-python."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../examples/external-python"))

from taskgrove_executor import Await, Expand, Permanent, Retry, Skip, serve  # noqa: E402


def work(call):
    how = call.inputs["how"]
    if how == "skip":
        return Skip("nothing_new", {"seen": 3})
    if how == "skip without a reason":
        return Skip("")
    if how == "expand":
        return Expand([{"id": "a", "name": "a"}], collect="map")
    if how == "ask":
        if call.answer:
            return call.answer
        return Await("approval", timeout_seconds=1.5, data={"message": "may I?", "choices": ["yes", "no"]})
    if how == "wait for nothing":
        return Await("")
    if how == "large":
        call.save("x" * 70000)
    if how == "count":
        done = call.checkpoint["done"] if call.checkpoint else 0
        for n in range(done, 3):
            call.check()
            call.log("does %d" % n)
            call.save({"done": n + 1})
            call.cancelled.wait(0.05)
        call.check()
        return {"from": done, "repeat": call.attempt}
    if how == "locked":
        return call.lock
    if how == "busy":
        raise Retry("busy", after=7, kind="http_429")
    if how == "wrong":
        raise Permanent("wrong", kind="no_such_page")
    return {}


serve(
    work,
    id="ends",
    description="Ends in many ways",
    concurrency=4,
    inputs={"type": "object", "properties": {"how": {"type": "string"}}, "required": ["how"]},
)
