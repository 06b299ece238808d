// Which tasks a list shows, and in which order.

import { type Columns } from './columns';

export type Sort = 'tree' | 'name' | 'state' | 'started' | 'took' | 'waited';

export interface Query {
  text: string; // in the name, whatever the case
  states: number; // one bit for each state; 0: all
  executor: number; // -1: all
  pool: number; // -1: all
  sort: Sort;
  down: boolean;
}

/** find gives the tasks that a query asks for. names are in lower case. */
export function find(c: Columns, names: readonly string[], q: Query, now: number): Int32Array<ArrayBuffer> {
  const text = q.text.trim().toLowerCase();
  const out = new Int32Array(c.n);
  let size = 0;
  for (let i = 0; i < c.n; i++) {
    if (q.states && !(q.states & (1 << c.state[i]!))) continue;
    if (q.executor >= 0 && c.executor[i] !== q.executor) continue;
    if (q.pool >= 0 && c.pool[i] !== q.pool) continue;
    if (text && !names[i]!.includes(text)) continue;
    out[size++] = i;
  }
  const found = out.slice(0, size);
  if (q.sort !== 'tree') order(c, names, found, q.sort, now);
  if (q.down) found.reverse();
  return found;
}

function order(c: Columns, names: readonly string[], found: Int32Array, by: Exclude<Sort, 'tree'>, now: number): void {
  if (by === 'name') {
    found.sort((a, b) => (names[a]! < names[b]! ? -1 : names[a]! > names[b]! ? 1 : a - b));
    return;
  }
  const rank = new Float64Array(c.n);
  for (const i of found) rank[i] = rankOf(c, i, by, now);
  found.sort((a, b) => rank[a]! - rank[b]! || a - b);
}

function rankOf(c: Columns, i: number, by: 'state' | 'started' | 'took' | 'waited', now: number): number {
  switch (by) {
    case 'state':
      return c.state[i]!;
    case 'started':
      return c.started[i]!;
    case 'took':
      return tookOf(c, i, now);
    case 'waited':
      return waitedOf(c, i, now);
  }
}

/** Milliseconds that a task ran, or runs so far. */
export function tookOf(c: Columns, i: number, now: number): number {
  const from = c.started[i]!;
  return from ? (c.completed[i] || now) - from : 0;
}

/** Milliseconds that a task waited for a slot once it was ready, or waits so far. */
export function waitedOf(c: Columns, i: number, now: number): number {
  const from = c.ready[i]!;
  if (!from) return 0;
  if (c.started[i]! >= from) return c.started[i]! - from;
  return c.state[i] === 3 ? now - from : 0;
}

/** The next failed task behind one, in the order of the tree, from the beginning again after the last; -1: none has failed. */
export function nextFailed(c: Columns, after: number): number {
  for (let k = 1; k <= c.n; k++) {
    const i = (after + k + c.n) % c.n;
    if (c.state[i] === 7) return i;
  }
  return -1;
}

/** The tasks around one: so many steps of dependencies both ways, at most so many tasks, the nearest first. */
export function around(c: Columns, task: number, hops: number, most: number): number[] {
  const seen = new Set([task]);
  let edge = [task];
  for (let h = 0; h < hops && seen.size < most; h++) {
    const next: number[] = [];
    for (const i of edge) {
      for (let e = c.depAt[i]!; e < c.depAt[i + 1]! && seen.size < most; e++) if (!seen.has(c.dep[e]!)) (seen.add(c.dep[e]!), next.push(c.dep[e]!));
      for (let e = c.outAt[i]!; e < c.outAt[i + 1]! && seen.size < most; e++) if (!seen.has(c.out[e]!)) (seen.add(c.out[e]!), next.push(c.out[e]!));
    }
    edge = next;
  }
  return [...seen];
}
