// A snapshot as the service streams it becomes columns. See SnapshotPart in proto/taskgrove/v1/taskgrove.proto.

import { int } from '../lib/values';
import type { Bytes, SnapshotPart, Timestamp, Tree } from '../lib/proto';
import { type Columns, textsOf, withEdges } from './columns';

function bytes(b: Bytes | undefined): Uint8Array<ArrayBuffer> {
  const raw = b ? atob(b) : '';
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

/** Reads varints one after the other. Numbers beyond 2^53 don't come. */
class Varints {
  private at = 0;
  private readonly data: Uint8Array;
  constructor(b: Bytes | undefined) {
    this.data = bytes(b);
  }
  next(): number {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = this.data[this.at++];
      if (byte === undefined) throw new RangeError('a column of the snapshot is too short');
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
  }
}

/** 0, 1, 2, 3 are 0, -1, 1, -2. */
const unfold = (n: number): number => (n % 2 ? -(n + 1) / 2 : n / 2);

class Grown<A extends Float64Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>> {
  size = 0;
  constructor(private array: A) {}
  push(value: number): void {
    if (this.size === this.array.length) {
      const more = new (this.array.constructor as new (n: number) => A)(Math.max(1024, this.size * 2));
      more.set(this.array as never);
      this.array = more;
    }
    this.array[this.size++] = value;
  }
  done(): A {
    return this.array.slice(0, this.size) as A;
  }
}

/** Puts the parts of a snapshot together. */
export class Decoder {
  tree: Tree | undefined;
  private readonly names: string[] = [];
  private executors: string[] = [];
  private pools: string[] = [];
  private place = 0;
  private created = 0;
  private readonly places = new Grown(new Int32Array(1024));
  private readonly parents = new Grown(new Int32Array(1024));
  private readonly depCount = new Grown(new Int32Array(1024));
  private readonly depPlace = new Grown(new Int32Array(1024));
  private readonly required = new Grown(new Uint8Array(1024));
  private readonly states = new Grown(new Uint8Array(1024));
  private readonly executor = new Grown(new Uint16Array(1024));
  private readonly pool = new Grown(new Uint16Array(1024));
  private readonly attempts = new Grown(new Uint16Array(1024));
  private readonly ready = new Grown(new Float64Array(1024));
  private readonly started = new Grown(new Float64Array(1024));
  private readonly completed = new Grown(new Float64Array(1024));

  add(p: SnapshotPart): void {
    if (p.tree) {
      this.tree = p.tree;
      this.created = milliseconds(p.tree.createdAt);
    }
    this.executors.push(...(p.executors ?? []));
    this.pools.push(...(p.pools ?? []));
    const n = p.tasks ?? 0;
    if (!n) return;
    const place = new Varints(p.places);
    const parent = new Varints(p.parents);
    const deps = new Varints(p.dependencies);
    const executor = new Varints(p.executor);
    const pool = new Varints(p.pool);
    const attempt = new Varints(p.attempts);
    const ready = new Varints(p.ready);
    const started = new Varints(p.started);
    const completed = new Varints(p.completed);
    const states = bytes(p.states);
    const time = (of: Varints, from: number): number => {
      const raw = of.next();
      return raw ? from + unfold(raw - 1) : 0;
    };
    for (let k = 0; k < n; k++) {
      this.place += place.next();
      this.places.push(this.place);
      this.names.push(p.names?.[k] ?? '');
      this.parents.push(parent.next());
      const count = deps.next();
      this.depCount.push(count);
      for (let d = 0; d < count; d++) {
        const raw = deps.next();
        this.required.push(raw % 2);
        this.depPlace.push(this.place - unfold(Math.floor(raw / 2)));
      }
      this.states.push(states[k] ?? 0);
      this.executor.push(executor.next());
      this.pool.push(pool.next());
      this.attempts.push(attempt.next());
      const r = time(ready, this.created);
      const s = time(started, r || this.created);
      this.ready.push(r);
      this.started.push(s);
      this.completed.push(time(completed, s || r || this.created));
    }
  }

  /** The columns, and the index of each place; -1: there is no such task. */
  done(): { columns: Columns; indexOf: Int32Array<ArrayBuffer>; places: Int32Array<ArrayBuffer> } {
    const places = this.places.done();
    const n = places.length;
    const indexOf = new Int32Array(this.place + 1).fill(-1);
    for (let i = 0; i < n; i++) indexOf[places[i]!] = i;
    const at = (place: number) => (place > 0 && place < indexOf.length ? indexOf[place]! : -1);
    const parent = this.parents.done().map(at) as Int32Array<ArrayBuffer>;
    const counts = this.depCount.done();
    const depPlace = this.depPlace.done();
    const flags = this.required.done();
    const depAt = new Uint32Array(n + 1);
    const dep = new Int32Array(depPlace.length);
    const required = new Uint8Array(depPlace.length);
    let read = 0;
    let size = 0;
    for (let i = 0; i < n; i++) {
      for (let d = 0; d < counts[i]!; d++, read++) {
        const on = at(depPlace[read]!);
        if (on < 0) continue; // it was deleted
        dep[size] = on;
        required[size++] = flags[read]!;
      }
      depAt[i + 1] = size;
    }
    const columns = withEdges(
      {
        n,
        name: textsOf(this.names),
        parent,
        state: this.states.done(),
        attempt: this.attempts.done(),
        executor: this.executor.done(),
        pool: this.pool.done(),
        ready: this.ready.done(),
        started: this.started.done(),
        completed: this.completed.done(),
      },
      depAt,
      dep.slice(0, size),
      required.slice(0, size),
      this.executors,
      this.pools,
    );
    return { columns, indexOf, places };
  }
}

/** The milliseconds of an instant, cut as the service cuts them. */
const milliseconds = (t: Timestamp | undefined): number => (t ? Date.parse(t) : 0);

/** The sequence of the last event that a snapshot has. */
export const sequenceOf = (t: Tree | undefined): number => int(t?.sequence);
