// The lines of a task's log, as they come: kept by the page, searched by the page.

import { CallError, stream } from './api';
import type { LogLine } from './proto';

/** How many lines a page keeps: beyond, the oldest go. */
export const mostLines = 1_000_000;

/** The lines of one log. Texts are held apart from the rest, as most of a line is its text. */
export class LogLines {
  readonly text: string[] = [];
  readonly at: number[] = []; // milliseconds
  readonly stream: string[] = [];
  readonly attempt: number[] = [];
  dropped = 0;

  add(lines: LogLine[]): void {
    for (const l of lines) {
      this.text.push(l.text ?? '');
      this.at.push(l.at ? Date.parse(l.at) : 0);
      this.stream.push(l.stream ?? '');
      this.attempt.push(l.attempt ?? 0);
    }
    const over = this.text.length - mostLines;
    if (over > 0) {
      for (const column of [this.text, this.at, this.stream, this.attempt]) column.splice(0, over);
      this.dropped += over;
    }
  }

  /** The indexes of lines that have a text, whatever the case, and are of a stream; empty: any. */
  find(text: string, of: string): number[] {
    const wanted = text.toLowerCase();
    const out: number[] = [];
    for (let i = 0; i < this.text.length; i++) {
      if (of && this.stream[i] !== of) continue;
      if (!wanted || this.text[i]!.toLowerCase().includes(wanted)) out.push(i);
    }
    return out;
  }
}

/** What is known of a log that is read. */
export interface Reading {
  lines: LogLines;
  version: number; // raised with each change of the lines
  state: 'reading' | 'ended' | 'lost';
  error: CallError | undefined;
  stop(): void;
}

/** read reads a log, and follows it. A connection that breaks is made again, from the last line on. */
export function read(task: string, attempt: number, follow: boolean): Reading {
  const abort = new AbortController();
  const reading = $state<Reading>({ lines: new LogLines(), version: 0, state: 'reading', error: undefined, stop: () => abort.abort() });
  let waiting: LogLine[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const seen = new Set<string>(); // of the last lines, as those of one moment come again after a break
  const lines = reading.lines;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    if (!waiting.length) return;
    lines.add(waiting);
    waiting = [];
    reading.version++;
  };
  const keyOf = (l: LogLine) => `${l.attempt} ${l.number}`;
  void (async () => {
    let since = '';
    for (let failures = 0; !abort.signal.aborted; ) {
      try {
        for await (const line of stream('Taskgrove/Logs', { taskId: task, attempt, follow, ...(since ? { since } : {}) }, abort.signal)) {
          failures = 0;
          if (reading.state === 'lost') reading.state = 'reading';
          if (seen.has(keyOf(line))) continue;
          if (line.at && line.at !== since) {
            since = line.at;
            seen.clear();
          }
          seen.add(keyOf(line));
          waiting.push(line);
          timer ??= setTimeout(flush, 60);
        }
        flush();
        reading.state = 'ended';
        return;
      } catch (err) {
        flush();
        if (abort.signal.aborted) return;
        reading.error = err instanceof CallError ? err : new CallError('unknown', String(err));
        reading.state = 'lost';
        if (!reading.error.passing) return;
        await new Promise((wake) => setTimeout(wake, Math.min(15_000, 500 * 2 ** failures++)));
      }
    }
  })();
  return reading;
}
