// The critical path of a run: what a shorter run would have needed to be faster.

import type { Columns } from './columns';

/** A task on the path. Times are milliseconds since 1970. */
export interface Step {
  task: number;
  from: number; // when what it waited for had ended, or the run began
  ready: number; // when it could have started
  started: number;
  ended: number; // or now, of one that runs
}

export interface CriticalPath {
  steps: Step[]; // first to last
  began: number; // of the run
  ended: number; // of its last task
  ran: number; // milliseconds in which tasks of the path ran
  waited: number; // in which they waited for a slot
}

/**
 * critical goes back from the task that ended last: to the dependency that ended last before it started, and so on. Of tasks that wait for no other, the path begins when the
 * run did. Tasks that run count as ending now.
 */
export function critical(c: Columns, now: number): CriticalPath | undefined {
  const endOf = (i: number) => c.completed[i] || (c.started[i] && c.state[i] === 4 ? now : 0);
  let last = -1;
  let began = Infinity;
  for (let i = 0; i < c.n; i++) {
    if (!c.started[i]) continue;
    began = Math.min(began, c.ready[i] || c.started[i]!);
    if (last < 0 || endOf(i) > endOf(last)) last = i;
  }
  if (last < 0) return undefined;
  const steps: Step[] = [];
  const seen = new Set<number>();
  for (let i = last; i >= 0 && !seen.has(i); ) {
    seen.add(i);
    let before = -1;
    for (let e = c.depAt[i]!; e < c.depAt[i + 1]!; e++) {
      const d = c.dep[e]!;
      if (c.completed[d] && c.completed[d]! <= c.started[i]! + 1 && (before < 0 || c.completed[d]! > c.completed[before]!)) before = d;
    }
    const from = before >= 0 ? c.completed[before]! : began;
    const started = c.started[i]!;
    const ready = Math.min(Math.max(c.ready[i] || from, from), started);
    if (started) steps.push({ task: i, from: Math.min(from, started), ready, started, ended: endOf(i) });
    i = before;
  }
  steps.reverse();
  return {
    steps,
    began,
    ended: endOf(last),
    ran: steps.reduce((sum, s) => sum + s.ended - s.started, 0),
    waited: steps.reduce((sum, s) => sum + s.started - s.ready, 0),
  };
}
