"""Drives a server with the Python SDK 1.x: client1.py URL, or client1.py COMMAND ARGS."""
import asyncio, json, sys
from contextlib import asynccontextmanager
from datetime import timedelta
from mcp import ClientSession, McpError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamablehttp_client

TREE = [{"id": "r", "name": "root", "dependencies": ["a"]}, {"id": "a", "name": "first", "parent_id": "r"}]


@asynccontextmanager
async def streams():
    if sys.argv[1].startswith("http"):
        async with streamablehttp_client(sys.argv[1]) as (read, write, _):
            yield read, write
    else:
        async with stdio_client(StdioServerParameters(command=sys.argv[1], args=sys.argv[2:])) as (read, write):
            yield read, write


async def main():
    out, heard = {}, []
    async with streams() as (read, write), ClientSession(read, write) as s:
        out["protocol"] = (await s.initialize()).protocolVersion
        out["tools"] = [t.name for t in (await s.list_tools()).tools]

        async def told(progress, total, message):
            heard.append(progress)

        ran = await s.call_tool("execute_task", {"tasks": TREE, "use_streaming": True}, progress_callback=told)
        out["ran"], out["text"], out["heard"] = ran.structuredContent, ran.content[0].text, heard
        await s.call_tool("execute_task", {"tasks": [{"id": "long", "name": "long"}]})
        try:
            await s.call_tool("wait_for_task", {"task_id": "long"}, read_timeout_seconds=timedelta(seconds=0.5))
        except McpError as e:
            out["gave_up"] = str(e)
        listed = await s.call_tool("list_tasks", {"limit": 10})
        out["listed"] = [t["id"] for t in listed.structuredContent["tasks"]]
        fault = await s.call_tool("get_task", {"task_id": "gone"})
        out["fault"] = [fault.isError, fault.content[0].text]
        out["resource"] = json.loads((await s.read_resource("task://r")).contents[0].text)["status"]
        try:
            await s.read_resource("task://gone")
        except McpError as e:
            out["missing"] = str(e)
        out["prompts"] = [p.name for p in (await s.list_prompts()).prompts]
        out["prompt"] = (await s.get_prompt("write_task_tree", {"goal": "reach the moon"})).messages[0].content.text
    print(json.dumps(out))


asyncio.run(main())
