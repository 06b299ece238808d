// The same tools for both lines of the TypeScript SDK. object makes the schema of arguments.
export function equip(server, z, object) {
  const text = (t) => ({ content: [{ type: "text", text: t }] });
  server.registerTool("echo", { description: "says it again", inputSchema: object({ text: z.string() }) }, async ({ text: t }) => text(t));
  server.registerTool("add", { inputSchema: object({ a: z.number(), b: z.number() }), outputSchema: object({ sum: z.number() }) }, async ({ a, b }) => ({
    content: [{ type: "text", text: String(a + b) }],
    structuredContent: { sum: a + b },
  }));
  server.registerTool("fail", {}, async () => {
    throw new Error("out of coffee");
  });
  server.registerTool("progress", {}, async (extra) => {
    const request = extra.mcpReq ?? extra;
    const notify = request.notify ?? extra.sendNotification;
    const progressToken = (request._meta ?? extra._meta)?.progressToken;
    for (let i = 1; i <= 3; i++) {
      await notify({ method: "notifications/progress", params: { progressToken, progress: i, total: 4, message: `step ${i}` } });
    }
    console.error("a line on stderr");
    return text("done");
  });
  server.registerTool("slow", {}, async () => {
    console.error("slow begins");
    await new Promise((done) => setTimeout(done, 600_000));
  });
  server.registerTool("crash", {}, async () => {
    console.error("the disk is on fire");
    process.exit(7);
  });
  server.registerTool("huge", {}, async () => text("x".repeat(10 << 20)));
  server.registerResource("handbook", "docs://handbook", {}, async (uri) => ({ contents: [{ uri: uri.href, text: "read me" }] }));
  server.registerPrompt("greet", { argsSchema: object({ who: z.string() }) }, ({ who }) => ({
    messages: [{ role: "user", content: { type: "text", text: `hello ${who}` } }],
  }));
  return server;
}
