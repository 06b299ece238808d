// How a tree's columns come from the service.

import { stream } from '../lib/api';
import type { Columns } from './columns';
import { Decoder, sequenceOf } from './decode';

/** A tree as it was at one moment. */
export interface Snapshot {
  columns: Columns;
  places: Int32Array<ArrayBuffer>; // of each task
  indexOf: Int32Array<ArrayBuffer>; // of each place; -1: there is no such task
  sequence: number; // of the last event that it has
}

/** A snapshot of all tasks of a tree. Ids are left out: they are most of its bytes, and a task is named by its place. */
export async function readTree(tree: string, signal?: AbortSignal): Promise<Snapshot> {
  const d = new Decoder();
  for await (const part of stream('Taskgrove/SnapshotTree', { id: tree }, signal)) d.add(part);
  return { ...d.done(), sequence: sequenceOf(d.tree) };
}

/** How many places are asked for at once. */
export const mostPlaces = 5000;

/** Some tasks of a tree as they are now. Those that are gone are left out. */
export async function readPlaces(tree: string, places: number[]): Promise<Snapshot> {
  const d = new Decoder();
  for await (const part of stream('Taskgrove/SnapshotTree', { id: tree, only: places.slice(0, mostPlaces) })) d.add(part);
  return { ...d.done(), sequence: sequenceOf(d.tree) };
}

/** The id of the task at a place; empty: it is gone. */
export async function readID(tree: string, place: number): Promise<string> {
  for await (const part of stream('Taskgrove/SnapshotTree', { id: tree, only: [place], ids: true })) if (part.ids?.length) return part.ids[0]!;
  return '';
}
