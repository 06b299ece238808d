// What both lines of the TypeScript SDK do with a client. It is copied to where the SDKs are installed.
const tree = [
  { id: "r", name: "root", dependencies: ["a"] },
  { id: "a", name: "first", parent_id: "r" },
];

// call is client.callTool with options, whose place differs between the lines.
export async function drive(client, call) {
  const out = { protocol: client.getNegotiatedProtocolVersion?.() ?? "" };
  out.tools = (await client.listTools()).tools.map((t) => t.name);
  const heard = [];
  const ran = await call({ name: "execute_task", arguments: { tasks: tree, use_streaming: true } }, { onprogress: (p) => heard.push(p.progress), resetTimeoutOnProgress: true });
  Object.assign(out, { ran: ran.structuredContent, text: ran.content[0].text, heard });
  await call({ name: "execute_task", arguments: { tasks: [{ id: "long", name: "long" }] } });
  const stop = new AbortController();
  setTimeout(() => stop.abort("enough"), 500);
  out.gave_up = await call({ name: "wait_for_task", arguments: { task_id: "long" } }, { signal: stop.signal }).then(() => "", String);
  const listed = await call({ name: "list_tasks", arguments: { limit: 10 } });
  out.listed = listed.structuredContent.tasks.map((t) => t.id);
  const fault = await call({ name: "get_task", arguments: { task_id: "gone" } });
  out.fault = [fault.isError, fault.content[0].text];
  out.resource = JSON.parse((await client.readResource({ uri: "task://r" })).contents[0].text).status;
  out.missing = await client.readResource({ uri: "task://gone" }).then(() => "", String);
  out.prompts = (await client.listPrompts()).prompts.map((p) => p.name);
  out.prompt = (await client.getPrompt({ name: "write_task_tree", arguments: { goal: "reach the moon" } })).messages[0].content.text;
  await client.close();
  console.log(JSON.stringify(out));
}
