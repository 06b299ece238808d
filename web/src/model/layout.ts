// Where the cells of the map are: blocks of columns, one block for each level or group, in units of a cell.

import type { Columns } from './columns';

export type Grouping = 'level' | 'parent' | 'executor' | 'pool' | 'state';

/** A run of cells that belong together. Cell k of it is at x + floor(k / rows), k % rows. */
export interface Block {
  label: string;
  first: number; // index in order
  count: number;
  x: number;
  columns: number;
}

export interface Layout {
  by: Grouping;
  rows: number;
  columns: number; // in all, with the gaps
  blocks: Block[];
  order: Int32Array<ArrayBuffer>; // tasks in the order of their cells
  slot: Int32Array<ArrayBuffer>; // of each task: its place in order
}

/** Cells between two blocks. */
export const gap = 1;

/**
 * layout puts each task into a block, and makes the whole about as wide as aspect times its height. Within a block tasks stay in the order of the tree, those of one parent
 * together.
 */
export function layout(c: Columns, by: Grouping, aspect: number, nameOf: (i: number) => string): Layout {
  const { key, label } = groups(c, by, nameOf);
  const order = Int32Array.from({ length: c.n }, (_, i) => i);
  const rank = new Float64Array(c.n);
  for (let i = 0; i < c.n; i++) rank[i] = key[i]! * 2 ** 40 + (c.parent[i]! + 1) * 2 ** 20 + (i & 0xfffff);
  order.sort((a, b) => rank[a]! - rank[b]! || a - b);
  const slot = new Int32Array(c.n);
  for (let k = 0; k < c.n; k++) slot[order[k]!] = k;

  const counts: { label: string; first: number; count: number }[] = [];
  for (let k = 0; k < c.n; ) {
    const of = key[order[k]!]!;
    let end = k + 1;
    while (end < c.n && key[order[end]!]! === of) end++;
    counts.push({ label: label(of), first: k, count: end - k });
    k = end;
  }
  const rows = rowsFor(counts.map((b) => b.count), aspect);
  let x = 0;
  const blocks = counts.map((b) => {
    const columns = Math.ceil(b.count / rows);
    const block = { ...b, x, columns };
    x += columns + gap;
    return block;
  });
  return { by, rows, columns: Math.max(0, x - gap), blocks, order, slot };
}

/** How many rows make blocks of these sizes as wide as aspect times their height, as nearly as whole numbers do. */
function rowsFor(sizes: number[], aspect: number): number {
  let low = 1;
  let high = Math.max(1, ...sizes);
  const wide = (rows: number) => sizes.reduce((sum, n) => sum + Math.ceil(n / rows) + gap, -gap);
  while (low < high) {
    const rows = (low + high) >> 1;
    if (wide(rows) > rows * aspect) low = rows + 1;
    else high = rows;
  }
  return low;
}

function groups(c: Columns, by: Grouping, nameOf: (i: number) => string): { key: Int32Array | Uint16Array | Uint8Array; label: (key: number) => string } {
  switch (by) {
    case 'level':
      return { key: c.level, label: (k) => `level ${k}` };
    case 'parent':
      return { key: c.parent, label: (k) => (k < 0 ? 'root' : nameOf(k)) };
    case 'executor':
      return { key: c.executor, label: (k) => c.executors[k] || 'no executor' };
    case 'pool':
      return { key: c.pool, label: (k) => c.pools[k] || 'no pool' };
    case 'state':
      return { key: c.state, label: (k) => String(k) };
  }
}

/** The task at a point in units of a cell; -1: there is none. */
export function taskAt(l: Layout, x: number, y: number): number {
  if (y < 0 || y >= l.rows || x < 0) return -1;
  const b = blockAt(l, x);
  if (!b || x >= b.x + b.columns) return -1;
  const k = Math.floor(x - b.x) * l.rows + Math.floor(y);
  return k < b.count ? l.order[b.first + k]! : -1;
}

/** The block at a column, or the one before the gap there. */
export function blockAt(l: Layout, x: number): Block | undefined {
  let low = 0;
  let high = l.blocks.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (l.blocks[mid]!.x <= x) low = mid + 1;
    else high = mid;
  }
  return l.blocks[low - 1];
}

/** The cell of a task, in units of a cell. */
export function cellOf(l: Layout, task: number): { x: number; y: number } {
  const k = l.slot[task]!;
  let low = 0;
  let high = l.blocks.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (l.blocks[mid]!.first <= k) low = mid + 1;
    else high = mid;
  }
  const b = l.blocks[low - 1]!;
  return { x: b.x + Math.floor((k - b.first) / l.rows), y: (k - b.first) % l.rows };
}
