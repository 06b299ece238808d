// A tree on the page's side: its columns, which events keep true, and what is asked of the worker that reads it.

import { caller } from '../lib/api';
import workerURL from './worker?worker&url';
import { type Columns, stateNumber, textAt } from './columns';
import type { CriticalPath } from './critical';
import type { Grouping, Layout } from './layout';
import type { Graph, News, Order } from './messages';
import type { Query } from './query';
import { readID } from './source';

interface TrustedTypesFactory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

// The page's policy lets scripts come from trusted addresses alone: this one is the page's own.
const trusted = (globalThis as { trustedTypes?: TrustedTypesFactory }).trustedTypes?.createPolicy('taskgrove', {
  createScriptURL: (url) => {
    if (new URL(url, location.origin).origin !== location.origin) throw new TypeError('the script is not the page’s own');
    return url;
  },
});

/** A tree that is read. */
export class LiveTree {
  /** Its columns: undefined until they have come. They change in place; `version` tells. */
  columns = $state.raw<Columns | undefined>();
  version = $state(0);
  /** Raised with a new snapshot: indexes of tasks may stand for others. */
  epoch = $state(0);
  ended = $state(false);
  link = $state<{ up: boolean; code: string; text: string }>({ up: false, code: '', text: '' });
  refused = $state<{ code: string; text: string } | undefined>();
  /** Milliseconds from the newest event to the screen. */
  behind = 0;
  /** Tasks that have changed since the last frame, for whoever draws them. */
  dirty: number[] = [];

  private readonly worker: Worker;
  private places = new Int32Array(0);
  private readonly ids = new Map<number, string>(); // by place
  private asks = new Map<number, (news: News) => void>();
  private last = 0;
  private frame = 0;

  constructor(readonly id: string) {
    this.worker = new Worker((trusted?.createScriptURL(workerURL) ?? workerURL) as string, { type: 'module' });
    this.worker.onmessage = (e: MessageEvent<News>) => this.told(e.data);
    this.send({ kind: 'open', tree: id, as: caller() });
  }

  close(): void {
    this.worker.terminate();
    cancelAnimationFrame(this.frame);
    this.asks.clear();
  }

  nameOf(i: number): string {
    const c = this.columns;
    return c ? textAt(c.name, i) || `task ${this.placeOf(i)}` : '';
  }
  /** The place of a task in its tree, by which URLs name it. */
  placeOf(i: number): number {
    return this.places[i] ?? 0;
  }
  /** The task of a place; -1: there is none. */
  taskAt(place: number): number {
    return this.places.indexOf(place);
  }
  /** The id of a task, which is asked for. */
  async idOf(i: number): Promise<string> {
    const place = this.placeOf(i);
    let id = this.ids.get(place);
    if (id === undefined && place) {
      id = await readID(this.id, place);
      this.ids.set(place, id);
    }
    return id ?? '';
  }

  async layout(by: Grouping, aspect: number): Promise<Layout> {
    return ((await this.ask((ask) => ({ kind: 'layout', ask, by, aspect }))) as Extract<News, { kind: 'layout' }>).layout;
  }
  async find(query: Query): Promise<Int32Array<ArrayBuffer>> {
    return ((await this.ask((ask) => ({ kind: 'find', ask, query }))) as Extract<News, { kind: 'found' }>).tasks;
  }
  async critical(): Promise<CriticalPath | undefined> {
    return ((await this.ask((ask) => ({ kind: 'critical', ask }))) as Extract<News, { kind: 'path' }>).path;
  }
  async graph(tasks: number[]): Promise<Graph> {
    return ((await this.ask((ask) => ({ kind: 'graph', ask, tasks }))) as Extract<News, { kind: 'graph' }>).graph;
  }

  private ask(order: (ask: number) => Order): Promise<News> {
    const ask = ++this.last;
    return new Promise((answer) => {
      this.asks.set(ask, answer);
      this.send(order(ask));
    });
  }
  private send(order: Order): void {
    this.worker.postMessage(order);
  }

  private told(news: News): void {
    switch (news.kind) {
      case 'columns':
        this.columns = news.columns;
        this.places = news.places;
        this.refused = undefined;
        this.dirty = [];
        this.epoch++;
        this.changed();
        return;
      case 'changes': {
        const c = this.columns;
        if (!c) return;
        const { task, state, attempt, ready, started, completed } = news.changes;
        for (let k = 0; k < task.length; k++) {
          const i = task[k]!;
          c.state[i] = state[k]!;
          c.attempt[i] = attempt[k]!;
          c.ready[i] = ready[k]!;
          c.started[i] = started[k]!;
          c.completed[i] = completed[k]!;
          this.dirty.push(i);
        }
        this.ended = false;
        this.behind = news.at ? Date.now() - news.at : 0;
        this.changed();
        return;
      }
      case 'final':
        this.ended = true;
        return;
      case 'link':
        this.link = { up: news.up, code: news.code, text: news.text };
        return;
      case 'refused':
        this.refused = { code: news.code, text: news.text };
        return;
      default:
        this.asks.get(news.ask)?.(news);
        this.asks.delete(news.ask);
    }
  }

  // One repaint for each frame, whatever comes; none in a tab that nobody sees.
  private changed(): void {
    if (!this.frame)
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.version++;
      });
  }
}

/** How many tasks are in each state. */
export function countStates(c: Columns): number[] {
  const counts = new Array<number>(Object.keys(stateNumber).length).fill(0);
  for (let i = 0; i < c.n; i++) counts[c.state[i]!]!++;
  return counts;
}
