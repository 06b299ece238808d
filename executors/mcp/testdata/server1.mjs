// A server of the first line of the TypeScript SDK: stdio, or HTTP on the port that is the argument. It is copied to where the SDK is installed.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";
import { equip } from "./tools.mjs";

const make = () => equip(new McpServer({ name: "interop", version: "1" }), z, (shape) => shape);
if (process.argv[2]) {
  const sessions = new Map();
  createServer(async (req, res) => {
    let transport = sessions.get(req.headers["mcp-session-id"]);
    if (!transport) {
      transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized: (id) => sessions.set(id, transport) });
      await make().connect(transport);
    }
    await transport.handleRequest(req, res);
  }).listen(Number(process.argv[2]), "127.0.0.1");
} else {
  await make().connect(new StdioServerTransport());
}
