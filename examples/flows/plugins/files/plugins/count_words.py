#!/usr/bin/env python3
"""A plugin of a bundle: counts the words of a text."""

from taskgrove_executor import serve


def count(call):
    words = len(call.inputs["text"].split())
    call.log("%d words" % words)
    return {"words": words}


if __name__ == "__main__":
    serve(
        count,
        id="count_words",
        description="Counts the words of a text",
        inputs={
            "type": "object",
            "properties": {"text": {"type": "string", "description": "What to count"}},
            "required": ["text"],
        },
        examples=[{"title": "Count words", "inputs": {"text": "to be or not to be"}}],
    )
