// What has just happened, at the edge of the page, for a while.

import { CallError } from '../lib/api';

export interface Toast {
  id: number;
  text: string;
  bad: boolean;
  href: string;
}

export const toasts = $state<Toast[]>([]);
let last = 0;

export function say(text: string, { bad = false, href = '' } = {}): void {
  const id = ++last;
  toasts.push({ id, text, bad, href });
  if (toasts.length > 4) toasts.shift();
  setTimeout(() => drop(id), bad ? 12_000 : 6000);
}

export function drop(id: number): void {
  const i = toasts.findIndex((t) => t.id === id);
  if (i >= 0) toasts.splice(i, 1);
}

/** attempt does something for the user, and says what came of it. It reports whether it worked. */
export async function attempt(what: string, work: () => Promise<string | undefined>): Promise<boolean> {
  try {
    const text = await work();
    if (text) say(text);
    return true;
  } catch (err) {
    const faults = err instanceof CallError ? err.faults.map((f) => `${f.field}: ${f.reason}`).join('; ') : '';
    say(`${what} did not work: ${faults || (err instanceof Error ? err.message : String(err))}`, { bad: true });
    return false;
  }
}
