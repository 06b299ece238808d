// What the page and the worker that reads a tree say to each other.

import type { Identity } from '../lib/api';
import type { Columns } from './columns';
import type { CriticalPath } from './critical';
import type { Grouping, Layout } from './layout';
import type { Query } from './query';

/** To the worker. `ask` comes back in the answer. */
export type Order =
  | { kind: 'open'; tree: string; as: Identity }
  | { kind: 'layout'; ask: number; by: Grouping; aspect: number }
  | { kind: 'find'; ask: number; query: Query }
  | { kind: 'critical'; ask: number }
  | { kind: 'graph'; ask: number; tasks: number[] };

/** Where a box of the graph is, and its edges as points. */
export interface Graph {
  width: number;
  height: number;
  boxes: { task: number; x: number; y: number; width: number; height: number }[];
  edges: { from: number; to: number; required: boolean; points: { x: number; y: number }[] }[];
  plain: boolean; // the layout took too long: boxes stand by level
}

/** Changes of tasks, one element each. */
export interface Changes {
  task: Int32Array<ArrayBuffer>;
  state: Uint8Array<ArrayBuffer>;
  attempt: Uint16Array<ArrayBuffer>;
  ready: Float64Array<ArrayBuffer>;
  started: Float64Array<ArrayBuffer>;
  completed: Float64Array<ArrayBuffer>;
}

/** From the worker. */
export type News =
  | { kind: 'columns'; columns: Columns; places: Int32Array<ArrayBuffer> }
  | { kind: 'changes'; changes: Changes; at: number } // at: when the newest of them happened
  | { kind: 'final' }
  | { kind: 'link'; up: boolean; code: string; text: string } // whether events come; why not
  | { kind: 'refused'; code: string; text: string } // the tree can't be read, and will not be tried again
  | { kind: 'layout'; ask: number; layout: Layout }
  | { kind: 'found'; ask: number; tasks: Int32Array<ArrayBuffer> }
  | { kind: 'path'; ask: number; path: CriticalPath | undefined }
  | { kind: 'graph'; ask: number; graph: Graph };
