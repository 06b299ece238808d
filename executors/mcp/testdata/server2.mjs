// A server of the second line of the TypeScript SDK: stdio, or HTTP on the port that is the argument. It is copied to where the SDK is installed.
import { createServer } from "node:http";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { McpServer, createMcpHandler } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { z } from "zod";
import { equip } from "./tools.mjs";

const make = () => equip(new McpServer({ name: "interop", version: "2" }), z, (shape) => z.object(shape));
if (process.argv[2]) {
  createServer(toNodeHandler(createMcpHandler(make))).listen(Number(process.argv[2]), "127.0.0.1");
} else {
  serveStdio(make);
}
