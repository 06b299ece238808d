// Columns of rows, for tests.

import { type Columns, textsOf, withEdges } from './columns';

/** A task as whoever reads it hands it in. Tasks that it names may come later. */
export interface TaskRow {
  id: string;
  name: string;
  parent: string; // empty: it is the root
  deps: { id: string; required: boolean }[];
  state: number;
  attempt: number;
  executor: string;
  pool: string;
  ready: number;
  started: number;
  completed: number;
}

/** Words that many tasks share, by the order in which they come. */
export class Dictionary {
  readonly words: string[] = [];
  private readonly numbers = new Map<string, number>();
  of(word: string): number {
    let n = this.numbers.get(word);
    if (n === undefined) {
      n = this.words.length;
      this.words.push(word);
      this.numbers.set(word, n);
    }
    return n;
  }
}

/** Rows become columns. A dependency on a task that is not there is left out. */
export function columnsOf(rows: readonly TaskRow[]): Columns {
  const n = rows.length;
  const index = new Map<string, number>();
  for (let i = 0; i < n; i++) index.set(rows[i]!.id, i);
  const executors = new Dictionary();
  const pools = new Dictionary();
  const c = {
    n,
    name: textsOf(rows.map((r) => r.name)),
    parent: new Int32Array(n).fill(-1),
    state: new Uint8Array(n),
    attempt: new Uint16Array(n),
    executor: new Uint16Array(n),
    pool: new Uint16Array(n),
    ready: new Float64Array(n),
    started: new Float64Array(n),
    completed: new Float64Array(n),
  };
  const depAt = new Uint32Array(n + 1);
  const dep: number[] = [];
  const required: number[] = [];
  for (let i = 0; i < n; i++) {
    const r = rows[i]!;
    if (r.parent) c.parent[i] = index.get(r.parent) ?? -1;
    c.state[i] = r.state;
    c.attempt[i] = r.attempt;
    c.executor[i] = executors.of(r.executor);
    c.pool[i] = pools.of(r.pool);
    c.ready[i] = r.ready;
    c.started[i] = r.started;
    c.completed[i] = r.completed;
    for (const d of r.deps) {
      const on = index.get(d.id);
      if (on === undefined || on === i) continue;
      dep.push(on);
      required.push(d.required ? 1 : 0);
    }
    depAt[i + 1] = dep.length;
  }
  return withEdges(c, depAt, Int32Array.from(dep), Uint8Array.from(required), executors.words, pools.words);
}

