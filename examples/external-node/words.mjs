// An executor in JavaScript: counts the words of a text, as slowly as it is told.

import { setTimeout as sleep } from "node:timers/promises";
import { Permanent, Retry, serve } from "./taskgrove-executor.mjs";

const description = {
  id: "node_words",
  name: "Words in Node",
  description: "Counts the words of a text",
  concurrency: 32,
  inputs: {
    type: "object",
    properties: {
      text: { type: "string", description: "What to count" },
      seconds_per_word: { type: "number", minimum: 0, default: 0, description: "How long a word takes" },
      fail: { enum: ["once", "permanent"], description: "Fail, to try out what follows" },
    },
    required: ["text"],
  },
  output: {
    type: "object",
    properties: { words: { type: "integer" }, key: { type: "string" } },
    required: ["words"],
  },
  examples: [{ title: "Count words", inputs: { text: "to be or not to be" } }],
  demo: { result: { words: 6 }, seconds: 0.1 },
};

serve(description, async (call) => {
  const words = call.inputs.text.split(/\s+/).filter(Boolean);
  if (call.inputs.fail === "permanent") throw new Permanent("was told to fail for good");
  if (call.inputs.fail === "once" && call.attempt === 1) throw new Retry("was told to fail once", 0.2);
  for (const [i, word] of words.entries()) {
    call.partial = { words: i };
    call.log(`word ${i + 1}: ${word}`);
    call.progress((i + 1) / words.length, word);
    if (call.inputs.seconds_per_word) await sleep(call.inputs.seconds_per_word * 1000, undefined, { signal: call.signal });
    call.signal.throwIfAborted();
  }
  return { words: words.length, key: call.idempotencyKey };
});
