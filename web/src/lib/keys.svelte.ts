// Keys: screens say which they serve while they are shown, and "?" lists them.

import { untrack } from 'svelte';

export interface Key {
  keys: string; // as KeyboardEvent.key has them, or two with a space between: "g t"
  text: string; // what it does
  run: (e: KeyboardEvent) => void;
}

let layers = $state.raw<Key[][]>([]); // those of the screen last

/** keys serves some while the component that calls it is there. The last who came is asked first. */
export function keys(list: () => Key[]): void {
  $effect(() => {
    const mine = list();
    layers = [...untrack(() => layers), mine];
    return () => {
      layers = untrack(() => layers).filter((l) => l !== mine);
    };
  });
}

/** All keys that are served now, those of the screen first. */
export const servedKeys = (): Key[] => {
  const seen = new Set<string>();
  return layers
    .toReversed()
    .flat()
    .filter((k) => !seen.has(k.keys) && seen.add(k.keys));
};

let prefix = '';
let timer: ReturnType<typeof setTimeout> | undefined;

export function pressed(e: KeyboardEvent): void {
  const target = e.target as HTMLElement | null;
  if (e.metaKey || e.ctrlKey || e.altKey || document.querySelector('dialog[open]')) return;
  if (target?.closest('input, textarea, select, [contenteditable]')) {
    if (e.key === 'Escape') target.blur();
    return;
  }
  if ((e.key === 'Enter' || e.key === ' ') && target?.closest('a, button, summary, [role=button], [role=tab]')) return; // it is pressed itself
  const all = servedKeys();
  const find = (keys: string) => all.find((k) => k.keys === keys);
  const run = (k: Key) => {
    prefix = '';
    clearTimeout(timer);
    k.run(e);
  };
  const found = find(prefix ? `${prefix} ${e.key}` : e.key) ?? (prefix ? find(e.key) : undefined);
  const begins = !prefix && all.some((k) => k.keys.startsWith(e.key + ' '));
  if (!found && !begins) {
    prefix = '';
    return;
  }
  e.preventDefault();
  if (!begins) return run(found!);
  // It may be the first of two: by itself it counts once no second has come.
  prefix = e.key;
  clearTimeout(timer);
  timer = setTimeout(() => {
    prefix = '';
    if (found) found.run(e);
  }, 400);
}
