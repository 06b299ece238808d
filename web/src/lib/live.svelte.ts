// Values that are read from the service and kept fresh while somebody looks.

import { CallError } from './api';
import { session } from './session.svelte';

/** The clock that ages and running times are shown by; it stands still in a tab that nobody sees. */
export const clock = $state({ now: Date.now() });

export function tick(): () => void {
  const timer = setInterval(() => {
    if (!document.hidden) clock.now = Date.now();
  }, 1000);
  const seen = () => {
    if (!document.hidden) clock.now = Date.now();
  };
  document.addEventListener('visibilitychange', seen);
  return () => {
    clearInterval(timer);
    document.removeEventListener('visibilitychange', seen);
  };
}

/** A value, and what is known of how it was read. */
export interface Live<T> {
  readonly value: T | undefined; // undefined: it has not come yet
  readonly error: CallError | undefined; // of the last reading
  readonly busy: boolean;
  readonly at: number; // when the value came, in milliseconds
  refresh(): Promise<void>;
}

/**
 * live reads a value now, again each time what its reading depends on changes, and every so many milliseconds while the tab is seen. After errors it waits longer, up to
 * half a minute. It belongs to the component that calls it, and ends with it.
 */
export function live<T>(read: (signal: AbortSignal) => Promise<T>, every = 0): Live<T> {
  const state = $state<{ value: T | undefined; error: CallError | undefined; busy: boolean; at: number }>({ value: undefined, error: undefined, busy: false, at: 0 });
  let abort: AbortController | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  let ended = false;

  async function load(): Promise<void> {
    abort?.abort();
    clearTimeout(timer);
    const mine = (abort = new AbortController());
    state.busy = true;
    try {
      const value = await read(mine.signal);
      if (mine.signal.aborted) return;
      state.value = value;
      state.error = undefined;
      state.at = Date.now();
      failures = 0;
    } catch (err) {
      if (mine.signal.aborted) return;
      state.error = err instanceof CallError ? err : new CallError('unknown', err instanceof Error ? err.message : String(err));
      failures++;
    } finally {
      if (abort === mine) state.busy = false;
    }
    again();
  }

  function again(): void {
    const passing = failures > 0 && (state.error?.passing ?? false);
    if (ended || session.signedOut || (!every && !passing)) return;
    timer = setTimeout(() => (document.hidden ? again() : void load()), passing ? Math.min(30_000, 1000 * 2 ** Math.min(failures, 5)) : every);
  }

  $effect(() => {
    ended = false;
    state.value = undefined;
    state.error = undefined;
    void load(); // what it reads before its first await is what it depends on
    return () => {
      ended = true;
      abort?.abort();
      clearTimeout(timer);
    };
  });

  return {
    get value() {
      return state.value;
    },
    get error() {
      return state.error;
    },
    get busy() {
      return state.busy;
    },
    get at() {
      return state.at;
    },
    refresh: load,
  };
}
