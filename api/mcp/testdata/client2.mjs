// Drives a server with the TypeScript SDK 2.x: client2.mjs MODE URL, or client2.mjs MODE COMMAND ARGS. MODE is auto or legacy.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { drive } from "./drive.mjs";

const [mode, where, ...args] = process.argv.slice(2);
const client = new Client({ name: "interop", version: "2" }, { versionNegotiation: { mode } });
const transport = where.startsWith("http") ? new StreamableHTTPClientTransport(new URL(where)) : new StdioClientTransport({ command: where, args });
await client.connect(transport);
await drive(client, (params, options) => client.callTool(params, options));
