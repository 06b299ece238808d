"""Drives a server with the Python SDK 2.x: client2.py MODE URL, or client2.py MODE COMMAND ARGS. MODE is auto or legacy."""
import asyncio, json, sys
from mcp import Client, MCPError, StdioServerParameters

TREE = [{"id": "r", "name": "root", "dependencies": ["a"]}, {"id": "a", "name": "first", "parent_id": "r"}]


async def main():
    out, heard = {}, []
    mode, where = sys.argv[1], sys.argv[2]
    server = where if where.startswith("http") else StdioServerParameters(command=where, args=sys.argv[3:])
    async with Client(server, mode=mode) as c:
        out["protocol"] = c.protocol_version
        out["tools"] = [t.name for t in (await c.list_tools()).tools]

        async def told(progress, total, message):
            heard.append(progress)

        ran = await c.call_tool("execute_task", {"tasks": TREE, "use_streaming": True}, progress_callback=told)
        out["ran"], out["text"], out["heard"] = ran.structured_content, ran.content[0].text, heard
        await c.call_tool("execute_task", {"tasks": [{"id": "long", "name": "long"}]})
        try:
            await c.call_tool("wait_for_task", {"task_id": "long"}, read_timeout_seconds=0.5)
        except MCPError as e:
            out["gave_up"] = str(e)
        listed = await c.call_tool("list_tasks", {"limit": 10})
        out["listed"] = [t["id"] for t in listed.structured_content["tasks"]]
        fault = await c.call_tool("get_task", {"task_id": "gone"})
        out["fault"] = [fault.is_error, fault.content[0].text]
        out["resource"] = json.loads((await c.read_resource("task://r")).contents[0].text)["status"]
        try:
            await c.read_resource("task://gone")
        except MCPError as e:
            out["missing"] = str(e)
        out["prompts"] = [p.name for p in (await c.list_prompts()).prompts]
        out["prompt"] = (await c.get_prompt("write_task_tree", {"goal": "reach the moon"})).messages[0].content.text
    print(json.dumps(out))


asyncio.run(main())
