"""Calls the test server with the official SDKs, and says on each line what they understood. SDKs that warn or fail end the program."""

import base64
import json
import sys

import anthropic
import openai

url, key = sys.argv[1], sys.argv[2]
oa = openai.OpenAI(base_url=url + "/v1", api_key=key, max_retries=0, timeout=20)
an = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=20)
hello = [{"role": "user", "content": "What is the capital of France?"}]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def show(name, **what):
    print(json.dumps({"case": name, **what}, ensure_ascii=False, sort_keys=True), flush=True)


def fails(name, call):
    try:
        call()
    except Exception as e:  # what it is, is what we look at
        body = getattr(e, "body", None)
        show(name, error=type(e).__name__, status=getattr(e, "status_code", None), request=bool(getattr(e, "request_id", None)),
             code=getattr(e, "code", None), kind=getattr(e, "type", None), body=isinstance(body, dict))
        return
    show(name, error=None)


# Strict parsing: what the SDKs' types don't know, or lack, is an error here.
def strict(model):
    extra = []

    def walk(m, path):
        for k, v in (getattr(m, "model_extra", None) or {}).items():
            extra.append(path + k)
        for k in getattr(type(m), "model_fields", {}):
            v = getattr(m, k, None)
            for i in v if isinstance(v, list) else [v]:
                if hasattr(i, "model_fields_set"):
                    type(i).model_validate(i.model_dump(), strict=False)
                    walk(i, path + k + ".")

    walk(model, "")
    return sorted(set(extra))


def openai_calls():
    r = oa.chat.completions.create(model="good", messages=hello)
    show("openai good", text=r.choices[0].message.content, finish=r.choices[0].finish_reason, prompt=r.usage.prompt_tokens, total=r.usage.total_tokens,
         cached=r.usage.prompt_tokens_details.cached_tokens, request=bool(r._request_id), extra=strict(r))

    with oa.chat.completions.stream(model="good", messages=hello, stream_options={"include_usage": True}) as stream:
        for _ in stream:
            pass
        r = stream.get_final_completion()
    show("openai good streamed", text=r.choices[0].message.content, finish=r.choices[0].finish_reason, prompt=r.usage.prompt_tokens, total=r.usage.total_tokens)

    raw = oa.chat.completions.create(model="good", messages=hello, stream=True)
    chunks = list(raw)
    show("openai chunks", first=chunks[0].choices[0].delta.role, last=chunks[-1].choices[0].finish_reason, extra=sorted({e for c in chunks for e in strict(c)}))

    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
    history = list(hello)
    for streamed in (False, True):
        if streamed:
            with oa.chat.completions.stream(model="tools-streamed", messages=history, tools=[tool]) as stream:
                for _ in stream:
                    pass
                r = stream.get_final_completion()
        else:
            r = oa.chat.completions.create(model="tools", messages=history, tools=[tool])
        m = r.choices[0].message
        show("openai tools" + (" streamed" if streamed else ""), text=m.content, finish=r.choices[0].finish_reason,
             calls=[[c.function.name, json.loads(c.function.arguments), c.id.startswith("call_")] for c in m.tool_calls])
        if not streamed:
            history = hello + [m.model_dump(exclude_none=True)] + [{"role": "tool", "tool_call_id": c.id, "content": "18"} for c in m.tool_calls]
            history[1].pop("annotations", None)
            r = oa.chat.completions.create(model="tools", messages=history, tools=[tool])
            show("openai tools answered", text=r.choices[0].message.content)
            history = list(hello)

    import pydantic

    class Weather(pydantic.BaseModel):
        city: str
        degrees: int

    r = oa.chat.completions.parse(model="structured", messages=hello, response_format=Weather)
    show("openai structured", parsed=r.choices[0].message.parsed.model_dump())
    r = oa.chat.completions.create(model="refusal", messages=hello)
    show("openai refusal", text=r.choices[0].message.content, refusal=r.choices[0].message.refusal)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG}}
    r = oa.chat.completions.create(model="conversation", messages=[{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}])
    show("openai image", text=r.choices[0].message.content)
    show("openai models", some="good" in [m.id for m in oa.models.list()], one=oa.models.retrieve("good").id)

    with oa.chat.completions.stream(model="compatible", messages=hello) as stream:
        show("openai crlf", text="".join(e.delta for e in stream if e.type == "content.delta"))

    for script in ("rate-limited", "quota", "overloaded", "server-error", "wrong-key", "no-such-model", "context-too-long", "cut-connection", "cut-middle", "no-body"):
        fails("openai " + script, lambda: oa.chat.completions.create(model=script, messages=hello))
    for script in ("cut-middle", "overloaded-late", "malformed-json"):
        fails("openai streamed " + script, lambda: list(oa.chat.completions.create(model=script + "-streamed", messages=hello, stream=True)))
    fails("openai bad role", lambda: oa.chat.completions.create(model="good", messages=[{"role": "robot", "content": "x"}]))
    fails("openai wrong key", lambda: oa.with_options(api_key="sk-wrong").chat.completions.create(model="good", messages=hello))
    fails("openai unknown model", lambda: oa.chat.completions.create(model="gpt-0", messages=hello))
    patient = oa.with_options(max_retries=2)
    for script in ("rate-limited-ms", "rate-limited-date"):
        show("openai waits " + script, text=patient.chat.completions.create(model=script, messages=hello).choices[0].message.content)


def anthropic_calls():
    r = an.messages.create(model="good", max_tokens=100, messages=hello)
    show("anthropic good", text=r.content[0].text, stop=r.stop_reason, input=r.usage.input_tokens, cached=r.usage.cache_read_input_tokens, output=r.usage.output_tokens,
         request=bool(r._request_id), extra=strict(r))
    with an.messages.stream(model="good", max_tokens=100, messages=hello) as stream:
        text = "".join(stream.text_stream)
        r = stream.get_final_message()
    show("anthropic good streamed", text=text, stop=r.stop_reason, input=r.usage.input_tokens, cached=r.usage.cache_read_input_tokens, output=r.usage.output_tokens)
    events = list(an.messages.create(model="good", max_tokens=100, messages=hello, stream=True))
    kinds = [e.type for e in events]
    show("anthropic events", kinds=[k for i, k in enumerate(kinds) if i == 0 or kinds[i - 1] != k], extra=sorted({x for e in events for x in strict(e)}))

    tool = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    for streamed in (False, True):
        if streamed:
            with an.messages.stream(model="tools-streamed", max_tokens=100, messages=hello, tools=[tool]) as stream:
                r = stream.get_final_message()
        else:
            r = an.messages.create(model="tools", max_tokens=100, messages=hello, tools=[tool])
        show("anthropic tools" + (" streamed" if streamed else ""), text=r.content[0].text, stop=r.stop_reason,
             calls=[[b.name, b.input, b.id.startswith("toolu_")] for b in r.content if b.type == "tool_use"])
        if not streamed:
            results = [{"type": "tool_result", "tool_use_id": b.id, "content": "18"} for b in r.content if b.type == "tool_use"]
            r = an.messages.create(model="tools", max_tokens=100, tools=[tool], system="Be brief.", messages=hello + [
                {"role": "assistant", "content": [b.model_dump(include={"type", "text", "id", "name", "input"}) for b in r.content]}, {"role": "user", "content": results}])
            show("anthropic tools answered", text=r.content[0].text)

    import pydantic

    class Weather(pydantic.BaseModel):
        city: str
        degrees: int

    r = an.messages.parse(model="structured", max_tokens=100, messages=hello, output_format=Weather)
    show("anthropic structured", parsed=r.parsed_output.model_dump())
    r = an.messages.create(model="refusal", max_tokens=100, messages=hello)
    show("anthropic refusal", stop=r.stop_reason)
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    r = an.messages.create(model="conversation", max_tokens=100, messages=[{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}])
    show("anthropic image", text=r.content[0].text)
    show("anthropic models", some="good" in [m.id for m in an.models.list()], one=an.models.retrieve("good").id)

    for script in ("rate-limited", "quota", "overloaded", "server-error", "wrong-key", "no-such-model", "context-too-long", "cut-connection", "cut-middle", "no-body"):
        fails("anthropic " + script, lambda: an.messages.create(model=script, max_tokens=100, messages=hello))
    for script in ("cut-middle", "overloaded-late", "malformed-json"):
        fails("anthropic streamed " + script, lambda: list(an.messages.create(model=script + "-streamed", max_tokens=100, messages=hello, stream=True)))
    fails("anthropic system role", lambda: an.messages.create(model="good", max_tokens=100, messages=[{"role": "system", "content": "x"}]))
    fails("anthropic wrong key", lambda: an.with_options(api_key="sk-wrong").messages.create(model="good", max_tokens=100, messages=hello))
    fails("anthropic unknown model", lambda: an.messages.create(model="claude-0", max_tokens=100, messages=hello))
    patient = an.with_options(max_retries=2)
    for script in ("rate-limited-ms", "rate-limited-date"):
        show("anthropic waits " + script, text=patient.messages.create(model=script, max_tokens=100, messages=hello).content[0].text)


{"openai": openai_calls, "anthropic": anthropic_calls}[sys.argv[3]]()
