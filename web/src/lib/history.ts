// What pools had in the last quarter of an hour, as this tab has seen it: the service keeps no history.

/** One look at a pool. */
export interface Seen {
  at: number; // milliseconds
  waiting: number; // tasks that are ready or queued
  running: number; // attempts
}

/** How far back it goes, in milliseconds. */
export const span = 15 * 60_000;

const most = 500; // pools
const kept = new Map<string, Seen[]>();

/** remember keeps a look at a pool, and gives all that are kept of it. */
export function remember(pool: string, look: Seen): Seen[] {
  if (!kept.has(pool) && kept.size >= most) return [look];
  const before = kept.get(pool) ?? [];
  const last = before.at(-1);
  if (last && look.at - last.at < 1000) return before;
  const all = [...before.filter((s) => look.at - s.at <= span), look];
  kept.set(pool, all);
  return all;
}
