// A tree as columns: what the views of 100 000 tasks are drawn from. A task is its index.
//
// It owns the form of the columns and how they are built. It must not know where they come from, nor how they are drawn.

/** The states by their numbers in the columns, as package dag has them. */
export const stateNames = ['held', 'waiting', 'delayed', 'ready', 'running', 'blocked', 'completed', 'failed', 'cancelled', 'skipped', 'expanded', 'awaiting'] as const;
export type StateName = (typeof stateNames)[number];
export const stateNumber: Record<string, number> = Object.fromEntries(stateNames.map((name, i) => [name, i]));

const settledStates = new Set([5, 6, 7, 8, 9]);
export const settledNumber = (state: number): boolean => settledStates.has(state);

/** Texts one after the other, in UTF-8: they pass between threads without being copied, and are decoded where they are shown. */
export interface Texts {
  bytes: Uint8Array<ArrayBuffer>;
  at: Uint32Array<ArrayBuffer>; // where each begins; one more: where the last ends
}

/** Columns of a tree. Times are milliseconds since 1970, 0: there is none. */
export interface Columns {
  n: number;
  name: Texts;
  parent: Int32Array<ArrayBuffer>; // -1: it is the root
  depAt: Uint32Array<ArrayBuffer>; // of task i: deps depAt[i] to depAt[i + 1]
  dep: Int32Array<ArrayBuffer>;
  required: Uint8Array<ArrayBuffer>; // of each dependency: 1 if the task can't run without its success
  outAt: Uint32Array<ArrayBuffer>; // likewise: who depends on task i
  out: Int32Array<ArrayBuffer>;
  level: Int32Array<ArrayBuffer>; // the longest way of dependencies to the task
  state: Uint8Array<ArrayBuffer>;
  attempt: Uint16Array<ArrayBuffer>;
  executor: Uint16Array<ArrayBuffer>; // index in executors
  pool: Uint16Array<ArrayBuffer>; // index in pools
  ready: Float64Array<ArrayBuffer>;
  started: Float64Array<ArrayBuffer>;
  completed: Float64Array<ArrayBuffer>;
  executors: string[];
  pools: string[];
}

const decoder = new TextDecoder();

/** The text of an index. */
export const textAt = (t: Texts, i: number): string => decoder.decode(t.bytes.subarray(t.at[i]!, t.at[i + 1]!));

export function textsOf(list: readonly string[]): Texts {
  const at = new Uint32Array(list.length + 1);
  const encoder = new TextEncoder();
  let bytes = new Uint8Array(Math.max(64, list.length * 24));
  let size = 0;
  for (let i = 0; i < list.length; i++) {
    const text = list[i]!;
    while (size + text.length * 3 > bytes.length) {
      const more = new Uint8Array(bytes.length * 2);
      more.set(bytes);
      bytes = more;
    }
    size += encoder.encodeInto(text, bytes.subarray(size)).written;
    at[i + 1] = size;
  }
  return { bytes: bytes.slice(0, size), at };
}

type Plain = Omit<Columns, 'depAt' | 'dep' | 'required' | 'outAt' | 'out' | 'level' | 'executors' | 'pools'>;

/** withEdges completes columns with who depends on a task, and with levels. */
export function withEdges(c: Plain, depAt: Uint32Array<ArrayBuffer>, dep: Int32Array<ArrayBuffer>, required: Uint8Array<ArrayBuffer>, executors: string[], pools: string[]): Columns {
  const { n } = c;
  const outAt = new Uint32Array(n + 1);
  for (let e = 0; e < dep.length; e++) outAt[dep[e]! + 1]!++;
  for (let i = 0; i < n; i++) outAt[i + 1]! += outAt[i]!;
  const out = new Int32Array(dep.length);
  const next = outAt.slice();
  for (let i = 0; i < n; i++) for (let e = depAt[i]!; e < depAt[i + 1]!; e++) out[next[dep[e]!]!++] = i;
  return { ...c, depAt, dep, required, outAt, out, level: levels(n, depAt, outAt, out), executors, pools };
}

/** The longest way to each task: one more than that of the deepest dependency. Tasks on a cycle, which there are none of, would be on level 0. */
function levels(n: number, depAt: Uint32Array, outAt: Uint32Array, out: Int32Array): Int32Array<ArrayBuffer> {
  const level = new Int32Array(n);
  const left = new Int32Array(n);
  const queue = new Int32Array(n);
  let end = 0;
  for (let i = 0; i < n; i++) {
    left[i] = depAt[i + 1]! - depAt[i]!;
    if (!left[i]) queue[end++] = i;
  }
  for (let at = 0; at < end; at++) {
    const i = queue[at]!;
    for (let e = outAt[i]!; e < outAt[i + 1]!; e++) {
      const o = out[e]!;
      if (level[o]! <= level[i]!) level[o] = level[i]! + 1;
      if (--left[o]! === 0) queue[end++] = o;
    }
  }
  return level;
}

/** The buffers of columns, which pass to another thread as they are. */
export function buffersOf(c: Columns): ArrayBuffer[] {
  return [c.name.bytes, c.name.at, c.parent, c.depAt, c.dep, c.required, c.outAt, c.out, c.level, c.state, c.attempt, c.executor, c.pool, c.ready, c.started, c.completed].map((a) => a.buffer);
}
