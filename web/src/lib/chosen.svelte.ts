// The row of a list that keys act on. It has the focus once a key has moved to it.

import type { Key } from './keys.svelte';

/** Rows are elements whose ids are a name, "-" and their place; focus goes to the first of `a` or `[tabindex]` in them, or to themselves. */
export class Chosen {
  at = $state(0);
  private id: string;
  private rows: () => number;

  constructor(id: string, rows: () => number) {
    this.id = id;
    this.rows = rows;
    $effect(() => {
      const last = Math.max(0, rows() - 1);
      if (this.at > last) this.at = last;
    });
  }

  move(by: number): void {
    this.at = Math.max(0, Math.min(this.rows() - 1, this.at + by));
    this.focus();
  }

  focus(): void {
    const row = document.getElementById(`${this.id}-${this.at}`);
    const to = row?.matches('[tabindex]') ? row : row?.querySelector<HTMLElement>('a, [tabindex]');
    to?.focus();
    row?.scrollIntoView({ block: 'nearest' });
  }

  /** The keys that move. `one` is what a row is: "pool". */
  keys(one: string): Key[] {
    const down = { text: `Next ${one}`, run: () => this.move(1) };
    const up = { text: `${one[0]!.toUpperCase()}${one.slice(1)} before`, run: () => this.move(-1) };
    return [
      { keys: 'j', ...down },
      { keys: 'k', ...up },
      { keys: 'ArrowDown', ...down },
      { keys: 'ArrowUp', ...up },
    ];
  }
}
