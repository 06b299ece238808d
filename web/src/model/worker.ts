// The worker that reads a tree: its snapshot, then its events. What takes long is done here, so that the page never stands still.

import { call, CallError, callAs, stream } from '../lib/api';
import { instant } from '../lib/values';
import type { Event } from '../lib/proto';
import { buffersOf, type Columns, settledNumber, stateNumber, textAt } from './columns';
import { critical } from './critical';
import { layout } from './layout';
import type { Changes, News, Order } from './messages';
import { find } from './query';
import { mostPlaces, readPlaces, readTree } from './source';

const post = (news: News, transfer: Transferable[] = []) => (self as unknown as { postMessage(m: News, t: Transferable[]): void }).postMessage(news, transfer);

type Asked = Exclude<Order, { kind: 'open' }>;

let tree = '';
let columns: Columns | undefined;
let places = new Int32Array(0);
let indexOf = new Int32Array(0);
let names: string[] = []; // in lower case
let waiting: Asked[] = []; // what was asked before the columns came

self.onmessage = (e: MessageEvent<Order>) => {
  const order = e.data;
  if (order.kind === 'open') {
    tree = order.tree;
    callAs(order.as);
    void follow();
  } else if (columns) answer(order, columns);
  else waiting.push(order);
};

function answer(order: Asked, c: Columns): void {
  switch (order.kind) {
    case 'layout': {
      const l = layout(c, order.by, order.aspect, (i) => textAt(c.name, i));
      return post({ kind: 'layout', ask: order.ask, layout: l }, [l.order.buffer, l.slot.buffer]);
    }
    case 'find': {
      if (!names.length) names = Array.from({ length: c.n }, (_, i) => textAt(c.name, i).toLowerCase());
      const tasks = find(c, names, order.query, Date.now());
      return post({ kind: 'found', ask: order.ask, tasks }, [tasks.buffer]);
    }
    case 'critical':
      return post({ kind: 'path', ask: order.ask, path: critical(c, Date.now()) });
    case 'graph':
      // What lays graphs out is large, and comes with the first of them.
      return void import('./graph').then(({ graphOf }) => post({ kind: 'graph', ask: order.ask, graph: graphOf(c, order.tasks) }));
  }
}

const pause = (ms: number) => new Promise((wake) => setTimeout(wake, ms));
const at = (place: number | undefined): number => (place && place < indexOf.length ? indexOf[place]! : -1);

/** follow reads the tree and its events for as long as the page wants them. A gap is closed by a new snapshot. */
async function follow(): Promise<void> {
  for (let failures = 0; ; ) {
    try {
      const sequence = await snapshot();
      post({ kind: 'link', up: true, code: '', text: '' });
      if (await events(sequence)) {
        await snapshot(); // the truth at the end, whatever events did not tell
        post({ kind: 'final' });
        await restarted();
      }
      failures = 0;
    } catch (err) {
      const error = err instanceof CallError ? err : new CallError('unknown', String(err));
      if (!error.passing) {
        post({ kind: 'refused', code: error.code, text: error.message });
        return;
      }
      post({ kind: 'link', up: false, code: error.code, text: error.message });
      await pause(Math.min(15_000, 500 * 2 ** Math.min(failures++, 6)));
    }
  }
}

/** restarted waits until a tree that has ended runs again. */
async function restarted(): Promise<void> {
  do await pause(5000);
  while (!Number((await call('Taskgrove/GetTree', { id: tree })).unfinished ?? 0));
}

async function snapshot(): Promise<number> {
  const read = await readTree(tree);
  ({ columns, places, indexOf } = read);
  names = [];
  dirty.clear();
  doubtful.clear();
  const copy = structuredClone({ columns, places });
  post({ kind: 'columns', ...copy }, [...buffersOf(copy.columns), copy.places.buffer]);
  const asked = waiting;
  waiting = [];
  for (const order of asked) answer(order, columns);
  return read.sequence;
}

// What an event says of its task's state.
const stateOf: Record<string, string> = {
  task_start: 'running',
  task_completed: 'completed',
  task_failed: 'failed',
  task_cancelled: 'cancelled',
  task_skipped: 'skipped',
  task_expanded: 'expanded',
  task_awaiting: 'awaiting',
  task_retry: 'delayed',
  task_repeat: 'delayed',
};

const dirty = new Set<number>();
let newest = 0;
let flushing: ReturnType<typeof setTimeout> | undefined;

// Events tell nothing of tasks that become ready, blocked or skipped by what they depend on, and of delays that are over. Such tasks are looked at, a batch at a time, until
// what they are is known.
const doubtful = new Map<number, number>(); // how often it was looked at
let looking: ReturnType<typeof setTimeout> | undefined;

/** events applies the events behind a sequence. It reports whether the execution has ended; else a new snapshot is due. */
async function events(after: number): Promise<boolean> {
  const abort = new AbortController();
  try {
    for await (const event of stream('Taskgrove/Watch', { id: tree, after: String(after) }, abort.signal)) {
      if (event.type === 'final') return true;
      if (!apply(event)) {
        await pause(1000); // found tasks come in numbers
        return false;
      }
    }
    return false;
  } finally {
    abort.abort();
    clearTimeout(looking);
    looking = undefined;
    flush();
  }
}

/** apply reports whether the columns have all that the event is about. */
function apply(event: Event): boolean {
  const c = columns!;
  const name = stateOf[event.type ?? ''];
  if (!name) return true;
  const i = at(event.place);
  if (i < 0 || name === 'expanded') return false;
  const when = instant(event.at);
  const state = stateNumber[name]!;
  c.state[i] = state;
  if (event.attempt) c.attempt[i] = event.attempt;
  if (name === 'running') {
    c.started[i] = when;
    c.completed[i] = 0;
  } else if (settledNumber(state)) {
    c.completed[i] = when;
    tell(c, i);
  } else doubt(i);
  newest = Math.max(newest, when);
  change(i);
  return true;
}

/** tell has a look at those that wait for a task which has ended, unless they wait for others, too. */
function tell(c: Columns, i: number): void {
  for (let e = c.outAt[i]!; e < c.outAt[i + 1]!; e++) {
    const o = c.out[e]!;
    if (!settledNumber(c.state[o]!) && judged(c, o)) doubt(o);
  }
}

/** All that a task depends on has ended. */
function judged(c: Columns, i: number): boolean {
  for (let e = c.depAt[i]!; e < c.depAt[i + 1]!; e++) if (!settledNumber(c.state[c.dep[e]!]!)) return false;
  return true;
}

function doubt(i: number): void {
  doubtful.set(i, 0);
  looking ??= setTimeout(() => void look(), 300);
}

async function look(): Promise<void> {
  const mine = looking;
  const asked = [...doubtful.keys()].slice(0, mostPlaces);
  let wait = 300;
  try {
    const read = await readPlaces(tree, asked.map((i) => places[i]!));
    if (looking !== mine || !columns) return; // another snapshot has come, or the events have ended
    const c = columns;
    for (let k = 0; k < read.columns.n; k++) {
      const i = at(read.places[k]);
      if (i < 0) continue;
      const from = read.columns;
      // An event may have told more by now: what has ended stays so until a task starts again.
      if (c.attempt[i]! > from.attempt[k]! || (c.attempt[i] === from.attempt[k] && settledNumber(c.state[i]!))) {
        doubtful.delete(i);
        continue;
      }
      for (const column of ['state', 'attempt', 'ready', 'started', 'completed'] as const) c[column][i] = from[column][k]!;
      change(i);
      const state = c.state[i]!;
      if (settledNumber(state)) tell(c, i);
      const times = (doubtful.get(i) ?? 0) + 1;
      // What is ready starts, which an event tells; what waits or is delayed is looked at again, less and less often.
      if (settledNumber(state) || state === stateNumber.ready || state === stateNumber.running || state === stateNumber.awaiting) doubtful.delete(i);
      else doubtful.set(i, times);
    }
    const least = Math.min(...doubtful.values());
    wait = doubtful.size ? Math.min(10_000, 300 * 2 ** Math.min(least, 6)) : 0;
  } catch {
    wait = 3000; // the events' own connection says that something is wrong
  }
  if (looking === mine) looking = doubtful.size ? setTimeout(() => void look(), wait) : undefined;
}

function change(i: number): void {
  dirty.add(i);
  flushing ??= setTimeout(flush, 50);
}

function flush(): void {
  clearTimeout(flushing);
  flushing = undefined;
  const c = columns;
  if (!c || !dirty.size) return;
  const task = Int32Array.from(dirty);
  dirty.clear();
  const changes: Changes = {
    task,
    state: Uint8Array.from(task, (i) => c.state[i]!),
    attempt: Uint16Array.from(task, (i) => c.attempt[i]!),
    ready: Float64Array.from(task, (i) => c.ready[i]!),
    started: Float64Array.from(task, (i) => c.started[i]!),
    completed: Float64Array.from(task, (i) => c.completed[i]!),
  };
  post({ kind: 'changes', changes, at: newest }, Object.values(changes).map((a) => a.buffer));
  newest = 0;
}
