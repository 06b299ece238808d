// Makes a function an executor of Taskgrove. Copy this file; it needs Node 18 and nothing else.
//
//   import { serve, Permanent } from "./taskgrove-executor.mjs";
//
//   serve({ id: "word_count", description: "Counts words" }, async (call) => {
//     call.progress(0.5, "half of it");
//     return { words: call.inputs.text.split(/\s+/).length };
//   });
//
// The worker starts the program and speaks with it in lines of JSON (docs/external-executors.md). What the program prints goes to the log.

import { createInterface } from "node:readline";
import { format } from "node:util";

/** A failure that another attempt can't fix. */
export class Permanent extends Error {}

/** A failure after which another attempt makes no sense before so many seconds have passed. */
export class Retry extends Error {
  constructor(message, after = 0) {
    super(message);
    this.after = after;
  }
}

const running = new Map(); // calls by attempt_id

const send = (message) => process.stdout.write(JSON.stringify(message) + "\n");

/** One attempt. */
class Call {
  #stop = new AbortController();

  constructor(message) {
    this.id = message.attempt_id;
    this.taskId = message.task_id;
    this.attempt = message.attempt;
    this.idempotencyKey = message.idempotency_key;
    this.inputs = message.inputs;
    this.params = message.params ?? {};
    this.deadline = message.deadline; // RFC 3339, or undefined
    this.partial = undefined; // what is done so far: the result of a task that is cancelled
  }

  /** An AbortSignal: it is aborted, with the reason, when the attempt must end. */
  get signal() {
    return this.#stop.signal;
  }

  cancel(reason) {
    this.#stop.abort(reason);
  }

  progress(fraction, message = "") {
    this.#say({ type: "progress", fraction, message });
  }

  log(text) {
    this.#say({ type: "log", text: String(text) });
  }

  heartbeat() {
    this.#say({ type: "heartbeat" });
  }

  #say(message) {
    if (running.has(this.id)) send({ ...message, attempt_id: this.id }); // not after its end
  }
}

async function run(call, work) {
  let answer;
  try {
    answer = { type: "result", result: (await work(call)) ?? null };
    JSON.stringify(answer);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    answer = { type: "error", error: text, detail: error?.stack, partial: call.partial };
    if (error instanceof Permanent) answer.retryable = false;
    if (error instanceof Retry) answer.retry_after = error.after;
  }
  running.delete(call.id);
  send({ ...answer, attempt_id: call.id });
}

/** Serves attempts until the worker closes the input. */
export function serve(description, work) {
  for (const level of ["log", "info", "debug"]) {
    console[level] = (...args) => process.stderr.write(format(...args) + "\n"); // must not get between the messages
  }
  const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
  lines.on("close", () => process.exit(0));
  lines.on("line", (line) => {
    const message = JSON.parse(line);
    switch (message.type) {
      case "hello":
        if (message.versions.includes(1)) send({ type: "hello", version: 1 });
        else send({ type: "error", error: "this program speaks version 1" });
        break;
      case "describe":
        send({ type: "description", cancelable: true, ...description });
        break;
      case "start": {
        const call = new Call(message);
        running.set(call.id, call);
        run(call, work);
        break;
      }
      case "cancel":
        running.get(message.attempt_id)?.cancel(message.reason);
        break;
    }
  });
}
