// The JavaScript SDK of A2A 1.x calls an agent, and prints one line of what it saw.
import { ClientFactory, ClientFactoryOptions, JsonRpcTransportFactory, RestTransportFactory } from "@a2a-js/sdk/client";
import { Role, TaskState } from "@a2a-js/sdk";
import { randomUUID } from "node:crypto";

const part = (data) => ({ content: { $case: "data", value: data }, metadata: undefined, filename: "", mediaType: "" });
const message = (data) => ({ messageId: randomUUID(), contextId: "", taskId: "", role: Role.ROLE_USER, parts: [part(data)], metadata: undefined, extensions: [], referenceTaskIds: [] });
const request = (data, metadata, configuration) => ({ tenant: "", message: message(data), metadata, configuration });
const tree = { tasks: [{ name: "a", dependencies: ["b"], schemas: { method: "aggregate_results_executor" } }, { name: "b", parent_id: "a" }] };
const slow = { tasks: [{ name: "slow", schemas: { method: "command_executor" }, inputs: { command: "sleep 60" } }] };
const state = (task) => TaskState[task.status.state];

for (const binding of process.argv.slice(3)) {
  const transports = binding === "JSONRPC" ? [new JsonRpcTransportFactory()] : [new RestTransportFactory()];
  const client = await new ClientFactory({ ...ClientFactoryOptions.default, transports, preferredTransports: [binding] }).createFromUrl(process.argv[2]);
  const seen = { skills: (await client.getAgentCard()).skills.length };
  const task = await client.sendMessage(request(tree));
  seen.send = state(task);
  seen.result = task.artifacts[0].parts[0].content.value.task_count;
  const events = [];
  for await (const event of client.sendMessageStream(request(tree, { stream: true }))) events.push(event.payload);
  seen.stream = [events[0], ...events.slice(-2)].map((e) => e.$case);
  seen.last = state(events.at(-1).value);
  seen.get = state(await client.getTask({ tenant: "", id: task.id }));
  let last;
  for await (const event of client.resubscribeTask({ tenant: "", id: task.id })) last = event.payload;
  seen.subscribe = state(last.value);
  const running = await client.sendMessage(request(slow, undefined, { acceptedOutputModes: [], returnImmediately: true }));
  seen.cancel = state(await client.cancelTask({ tenant: "", id: running.id, metadata: undefined }));
  seen.create = state(await client.sendMessage(request({ name: "stored" }, { method: "tasks.create" })));
  try { await client.getTask({ tenant: "", id: "nope" }); } catch (e) { seen.unknown = e.constructor.name; }
  console.log(JSON.stringify({ [binding]: seen }));
}
