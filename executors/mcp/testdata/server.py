"""A server of the Python SDK, of its first or second line: stdio, or HTTP on the port that is the argument."""
import asyncio
import os
import sys

try:
    from mcp.server.mcpserver import Context, MCPServer
    first = False
except ImportError:
    from mcp.server.fastmcp import Context, FastMCP as MCPServer
    first = True

port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
server = MCPServer("interop", port=port) if first and port else MCPServer("interop")


@server.tool()
def echo(text: str) -> str:
    """says it again"""
    return text


@server.tool()
def add(a: int, b: int) -> dict[str, int]:
    return {"sum": a + b}


@server.tool()
def fail() -> str:
    raise ValueError("out of coffee")


@server.tool()
async def progress(ctx: Context) -> str:
    for i in range(3):
        await ctx.report_progress(i + 1, 4, f"step {i + 1}")
    print("a line on stderr", file=sys.stderr, flush=True)
    return "done"


@server.tool()
async def slow() -> str:
    print("slow begins", file=sys.stderr, flush=True)
    await asyncio.sleep(600)
    return "never"


@server.tool()
def crash() -> str:
    print("the disk is on fire", file=sys.stderr, flush=True)
    os._exit(7)


@server.tool()
def huge() -> str:
    return "x" * (10 << 20)


@server.resource("docs://handbook")
def handbook() -> str:
    return "read me"


@server.prompt()
def greet(who: str) -> str:
    return f"hello {who}"


if not port:
    server.run()
elif first:
    server.run(transport="streamable-http")
else:
    server.run(transport="streamable-http", port=port)
