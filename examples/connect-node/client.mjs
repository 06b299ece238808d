// Submits a tree, watches it and shows its root, by Connect and by gRPC-Web:
//
//   node client.mjs http://127.0.0.1:8000 taskgrove.binpb
//
// The second argument is the contract as buf or protoc has compiled it (buf build proto -o taskgrove.binpb); a program of yours may use
// generated code instead. In a browser the transports of @connectrpc/connect-web do the same.
import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary, fromJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport as nodeConnect, createGrpcWebTransport as nodeGrpcWeb } from "@connectrpc/connect-node";
import { createConnectTransport as webConnect, createGrpcWebTransport as webGrpcWeb } from "@connectrpc/connect-web";

const [baseUrl, contract] = process.argv.slice(2);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(contract)));
const service = registry.getService("taskgrove.v1.Taskgrove");
const value = (json) => fromJson(registry.getMessage("google.protobuf.Value"), json);
const text = (bytes) => new TextDecoder().decode(bytes);

async function run(name, transport) {
  const client = createClient(service, transport);
  const tree = [
    { id: name, name: "root", schemas: { method: "noop_executor" }, dependencies: [`${name}-first`] },
    { id: `${name}-first`, name: "first", parent_id: name, schemas: { method: "noop_executor" } },
  ];
  const sent = await client.submitTree({ document: value(tree), options: { userId: "node" } });
  const seen = [];
  for await (const event of client.watch({ id: sent.treeId })) {
    if (event.sequence > 0n) seen.push(event.sequence);
    if (event.type === "final") console.log(`${name}: ${sent.tasks} tasks ${event.status}`);
  }
  const rising = seen.every((n, i) => i === 0 || n > seen[i - 1]);
  console.log(`${name}: ${seen.length > 0 && rising ? "events in order" : `events ${seen}`}`);
  const task = await client.getTask({ id: name });
  console.log(`${name}: ${task.status} ${text(task.inputs) || "{}"}`);
  try {
    await client.getTask({ id: `${name}-none` });
  } catch (err) {
    const e = ConnectError.from(err);
    console.log(`${name}: ${Code[e.code]}`);
  }
  try {
    await client.submitTree({ document: value([{ id: `${name}-bad` }, { name: "b" }]) });
  } catch (err) {
    const e = ConnectError.from(err);
    console.log(`${name}: ${Code[e.code]}, ${e.details.map((d) => d.type).join(" ")}`);
  }
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 50);
  try {
    await client.submitTree({ document: value([{ id: `${name}-held`, name: "held" }]), options: { hold: true } });
    for await (const line of client.logs({ taskId: `${name}-held`, follow: true }, { signal: stop.signal })) console.log(line.text);
    console.log(`${name}: the stream ended`);
  } catch (err) {
    console.log(`${name}: ${Code[ConnectError.from(err).code]}`);
  }
}

await run("connect-json", nodeConnect({ baseUrl, httpVersion: "1.1" }));
await run("connect-binary", nodeConnect({ baseUrl, httpVersion: "1.1", useBinaryFormat: true, useHttpGet: true }));
await run("grpc-web", nodeGrpcWeb({ baseUrl, httpVersion: "1.1" }));
await run("browser-connect", webConnect({ baseUrl, useHttpGet: true }));
await run("browser-grpc-web", webGrpcWeb({ baseUrl }));
