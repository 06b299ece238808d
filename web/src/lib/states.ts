// The states of tasks and trees: one table for words, colours and shapes.

/** How a state is shown. */
export interface Look {
  /** The word for people. */
  word: string;
  /** The name of its colour in app.css: --s-NAME. */
  tone: Tone;
  /** The path of its shape in a box of 16 × 16: a state is told by shape and text, never by its colour alone. */
  shape: string;
}

export type Tone = 'quiet' | 'wait' | 'ready' | 'run' | 'good' | 'bad' | 'stop' | 'ask';

const ring = 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Zm0 2a4 4 0 1 1 0 8 4 4 0 0 1 0-8Z';
const check = 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1ZM6.9 11.2 3.8 8.1l1.3-1.3 1.8 1.8 4-4 1.3 1.3Z';
const cross = 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1ZM5.6 4.3 8 6.7l2.4-2.4 1.3 1.3L9.3 8l2.4 2.4-1.3 1.3L8 9.3l-2.4 2.4-1.3-1.3L6.7 8 4.3 5.6Z';
const bar = 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1ZM4 7h8v2H4Z';
const play = 'M4 2.2v11.6L13.5 8Z';
const clock = 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 1.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 8 2.8ZM7.2 4.5h1.6v3.2l2.4 1.5-.8 1.3-3.2-2Z';
const diamond = 'M8 1.5 14.5 8 8 14.5 1.5 8Z';
const hand = 'M5 2.5h2.2v11H5Zm3.8 0H11v11H8.800Z';
const stack = 'M2 3h9v2H2Zm2 4h9v2H4Zm2 4h9v2H6Z';
const blocked = 'M2.500 2.500h11v11h-11Zm1.800 1.800v1.300l6.100 6.100h1.300v-1.300L5.600 4.300Z';
const skip = 'M2.500 3.500 8 8l-5.500 4.500ZM8 3.500 13.500 8 8 12.500Z';

const table: Record<string, Look> = {
  held: { word: 'held', tone: 'quiet', shape: ring },
  pending: { word: 'pending', tone: 'wait', shape: ring },
  waiting: { word: 'waiting', tone: 'wait', shape: ring },
  delayed: { word: 'delayed', tone: 'wait', shape: clock },
  ready: { word: 'ready', tone: 'ready', shape: diamond },
  running: { word: 'running', tone: 'run', shape: play },
  in_progress: { word: 'running', tone: 'run', shape: play },
  expanded: { word: 'expanded', tone: 'run', shape: stack },
  awaiting: { word: 'awaiting', tone: 'ask', shape: hand },
  completed: { word: 'completed', tone: 'good', shape: check },
  skipped: { word: 'skipped', tone: 'quiet', shape: skip },
  failed: { word: 'failed', tone: 'bad', shape: cross },
  blocked: { word: 'blocked', tone: 'stop', shape: blocked },
  cancelled: { word: 'cancelled', tone: 'stop', shape: bar },
  paused: { word: 'paused', tone: 'ask', shape: hand },
  // Workers, and runs of flows and schedules.
  alive: { word: 'alive', tone: 'good', shape: check },
  draining: { word: 'draining', tone: 'wait', shape: clock },
  gone: { word: 'gone', tone: 'quiet', shape: bar },
  lost: { word: 'lost', tone: 'bad', shape: cross },
  success: { word: 'success', tone: 'good', shape: check },
  queued: { word: 'queued', tone: 'wait', shape: clock },
  due: { word: 'due', tone: 'ready', shape: diamond },
  missed: { word: 'missed', tone: 'stop', shape: skip },
  failed_to_start: { word: 'failed to start', tone: 'bad', shape: cross },
  returned: { word: 'returned', tone: 'wait', shape: clock },
  timed_out: { word: 'timed out', tone: 'bad', shape: clock },
  repeated: { word: 'repeated', tone: 'run', shape: stack },
  ok: { word: 'ok', tone: 'good', shape: check },
  note: { word: 'note', tone: 'ready', shape: diamond },
  warning: { word: 'warning', tone: 'ask', shape: blocked },
  problem: { word: 'problem', tone: 'bad', shape: cross },
};

/** How a state is shown; one that this page does not know is shown by its own word. */
export function look(state: string | undefined): Look {
  const key = (state ?? '').toLowerCase();
  return table[key] ?? { word: key || 'unknown', tone: 'quiet', shape: ring };
}

/** The states of tasks in the order in which counts are shown: what wants a look first. */
export const taskStates = ['failed', 'blocked', 'awaiting', 'running', 'expanded', 'ready', 'delayed', 'waiting', 'held', 'completed', 'skipped', 'cancelled'] as const;
export type TaskState = (typeof taskStates)[number];

const settled = new Set(['completed', 'skipped', 'failed', 'blocked', 'cancelled']);
export const isSettled = (state: string): boolean => settled.has(state);
