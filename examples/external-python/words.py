"""An executor in Python: counts the words of a text, as slowly as it is told."""

from taskgrove_executor import Permanent, Retry, serve


def count(call):
    words = call.inputs["text"].split()
    if call.inputs.get("fail") == "permanent":
        raise Permanent("was told to fail for good")
    if call.inputs.get("fail") == "once" and call.attempt == 1:
        raise Retry("was told to fail once", after=0.2)
    for done, word in enumerate(words):
        call.check(partial={"words": done})
        call.log("word %d: %s" % (done + 1, word))
        call.progress((done + 1) / len(words), word)
        call.cancelled.wait(call.inputs.get("seconds_per_word", 0))
    call.check(partial={"words": len(words)})
    return {"words": len(words), "key": call.idempotency_key}


serve(
    count,
    id="python_words",
    name="Words in Python",
    description="Counts the words of a text",
    concurrency=8,
    heartbeat_seconds=600,
    inputs={
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "What to count"},
            "seconds_per_word": {"type": "number", "minimum": 0, "default": 0, "description": "How long a word takes"},
            "fail": {"enum": ["once", "permanent"], "description": "Fail, to try out what follows"},
        },
        "required": ["text"],
    },
    output={"type": "object", "properties": {"words": {"type": "integer"}, "key": {"type": "string"}}, "required": ["words"]},
    examples=[{"title": "Count words", "inputs": {"text": "to be or not to be"}}],
    demo={"result": {"words": 6}, "seconds": 0.1},
)
