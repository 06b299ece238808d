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

/** A failure that another attempt can't fix. kind is a word for it, which a task's retry_on may name. */
export class Permanent extends Error {
  constructor(message, kind) {
    super(message);
    this.kind = kind;
  }
}

/** A failure after which another attempt makes no sense before so many seconds have passed. */
export class Retry extends Error {
  constructor(message, after = 0, kind = undefined) {
    super(message);
    this.after = after;
    this.kind = kind;
  }
}

class Outcome {
  constructor(answer) {
    this.answer = answer;
  }
}

/** To return: there was nothing to do, for a reason in one word. The value goes on to who depends on the task. */
export const skip = (reason, value = null) => new Outcome({ type: "skip", reason, value });

/** To return: the task goes on as these tasks, each an object as in tasks.create with an id of its own; collect is none, list or map. */
export const expand = (tasks, collect = "none") => new Outcome({ type: "expand", tasks, collect });

/**
 * To return: the attempt ends, and none holds a slot until there is an answer. Then another one goes on, with it in call.answer.
 * kind is signal (of a name), approval or time. Fields: name, timeout_seconds, until, and data, which whoever answers has to know.
 */
export const awaits = (kind, fields = {}) => new Outcome({ type: "await", await: { kind, ...fields } });

let version = 1; // of the protocol

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
    this.checkpoint = message.checkpoint; // what an earlier attempt saved last, or undefined
    this.lock = message.lock; // what the attempt holds alone: key, and token, which is greater than any given before; or undefined
    this.answer = message.answer; // how the wait of the attempt before has ended: choice, payload, by, comment; or undefined
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

  /** Saves where the work is: if the attempt is lost, the next one gets it as its checkpoint. JSON of up to 64 KiB. */
  save(data) {
    if (version >= 2) this.#say({ type: "checkpoint", data }); // else this worker knows none
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
    const result = await work(call);
    answer = result instanceof Outcome ? result.answer : { type: "result", result: result ?? null };
    if (result instanceof Outcome && version < 2) throw new Permanent(`this worker is too old for ${answer.type}`);
    JSON.stringify(answer);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    answer = { type: "error", error: text, detail: error?.stack, partial: call.partial };
    if (error instanceof Permanent) answer.retryable = false;
    if (error instanceof Retry) answer.retry_after = error.after;
    if (typeof error?.kind === "string") answer.kind = error.kind;
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
        version = Math.max(0, ...message.versions.filter((v) => v === 1 || v === 2));
        if (version > 0) send({ type: "hello", version });
        else send({ type: "error", error: "this program speaks versions 1 and 2" });
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
