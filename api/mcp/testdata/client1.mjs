// Drives a server with the TypeScript SDK 1.x: client1.mjs URL, or client1.mjs COMMAND ARGS.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { drive } from "./drive.mjs";

const [where, ...args] = process.argv.slice(2);
const client = new Client({ name: "interop", version: "1" });
const transport = where.startsWith("http") ? new StreamableHTTPClientTransport(new URL(where)) : new StdioClientTransport({ command: where, args });
await client.connect(transport);
await drive(client, (params, options) => client.callTool(params, undefined, options));
