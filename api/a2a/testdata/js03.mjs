// The JavaScript SDK of A2A 0.3 calls an agent, and prints one line of what it saw.
import { ClientFactory } from "@a2a-js/sdk/client";
import { randomUUID } from "node:crypto";

const message = (data) => ({ kind: "message", messageId: randomUUID(), role: "user", parts: [{ kind: "data", data }] });
const tree = { tasks: [{ name: "a", dependencies: ["b"], schemas: { method: "aggregate_results_executor" } }, { name: "b", parent_id: "a" }] };
const slow = { tasks: [{ name: "slow", schemas: { method: "command_executor" }, inputs: { command: "sleep 60" } }] };

const client = await new ClientFactory().createFromUrl(process.argv[2]);
const seen = { skills: (await client.getAgentCard()).skills.length };
const task = await client.sendMessage({ message: message(tree) });
seen.send = task.status.state;
seen.result = task.artifacts[0].parts[0].data.task_count;
const events = [];
for await (const event of client.sendMessageStream({ message: message(tree), metadata: { stream: true } })) events.push(event);
seen.stream = [events[0], ...events.slice(-2)].map((e) => e.kind);
seen.last = [events.at(-1).status.state, events.at(-1).final, events.filter((e) => e.final).length];
seen.get = (await client.getTask({ id: task.id })).status.state;
let last;
for await (const event of client.resubscribeTask({ id: task.id })) last = event;
seen.subscribe = last.status.state;
const running = await client.sendMessage({ message: message(slow), configuration: { blocking: false } });
seen.cancel = (await client.cancelTask({ id: running.id })).status.state;
seen.create = (await client.sendMessage({ message: message({ name: "stored" }), metadata: { method: "tasks.create" } })).status.state;
try { await client.getTask({ id: "nope" }); } catch (e) { seen.unknown = e.constructor.name; }
console.log(JSON.stringify({ JSONRPC: seen }));
