import { describe, expect, it } from 'vitest';
import { diff } from '../lib/diff';
import { howLong, howMuch, pretty, visible } from '../lib/values';
import { textAt } from './columns';
import { critical } from './critical';
import { cellOf, layout, taskAt } from './layout';
import { around, find, nextFailed } from './query';
import { columnsOf, type TaskRow } from './rows';
import { folded, niceStep } from './time-scale';

const row = (id: string, deps: string[] = [], more: Partial<TaskRow> = {}): TaskRow => ({
  id, name: `name of ${id}`, parent: id === 'root' ? '' : 'root', deps: deps.map((d) => ({ id: d, required: true })), state: 6, attempt: 1, executor: 'e', pool: 'p', ready: 0, started: 0, completed: 0, ...more,
});

/** A tree of n tasks with dependencies on tasks before, at random but the same each time. */
function random(n: number, seed: number): TaskRow[] {
  let x = seed;
  const next = (below: number) => ((x = (x * 48271) % 2147483647), Math.floor((x / 2147483647) * below));
  return Array.from({ length: n }, (_, i) =>
    row(i ? `t${i}` : 'root', i ? Array.from({ length: next(3) }, () => (next(i) ? `t${1 + next(i - 1 || 1)}` : 'root')).filter((d) => d !== `t${i}`) : [], { state: next(12), executor: `e${next(4)}`, pool: `p${next(2)}` }));
}

describe('columns', () => {
  it('have texts, edges both ways and levels', () => {
    const c = columnsOf([row('root'), row('a'), row('b', ['a', 'gone', 'b']), row('ç', ['b', 'a'])]);
    expect(c.n).toBe(4);
    expect([0, 1, 2, 3].map((i) => textAt(c.name, i))).toEqual(['name of root', 'name of a', 'name of b', 'name of ç']);
    expect(Array.from(c.level)).toEqual([0, 0, 1, 2]);
    expect(Array.from(c.dep)).toEqual([1, 2, 1]);
    expect(Array.from(c.out.subarray(c.outAt[1], c.outAt[2]))).toEqual([2, 3]);
    expect(Array.from(c.parent)).toEqual([-1, 0, 0, 0]);
  });
  it('put a task on a higher level than all that it depends on', () => {
    for (let seed = 1; seed < 30; seed++) {
      const c = columnsOf(random(200, seed));
      for (let i = 0; i < c.n; i++) {
        const before = Array.from(c.dep.subarray(c.depAt[i], c.depAt[i + 1])).map((d) => c.level[d]!);
        expect(c.level[i]).toBe(before.length ? Math.max(...before) + 1 : 0);
      }
    }
  });
});

describe('layout', () => {
  it('gives each task a cell of its own, which leads back to it', () => {
    for (const by of ['level', 'parent', 'executor', 'pool', 'state'] as const)
      for (const [n, aspect] of [[1, 1], [7, 3], [500, 1.6], [501, 0.3]] as const) {
        const c = columnsOf(random(n, n));
        const l = layout(c, by, aspect, (i) => `task ${i}`);
        const seen = new Set<string>();
        for (let i = 0; i < n; i++) {
          const cell = cellOf(l, i);
          seen.add(`${cell.x} ${cell.y}`);
          expect(cell.y).toBeLessThan(l.rows);
          expect(cell.x).toBeLessThan(l.columns);
          expect(taskAt(l, cell.x + 0.5, cell.y + 0.5)).toBe(i);
        }
        expect(seen.size).toBe(n);
        expect(l.blocks.reduce((sum, b) => sum + b.count, 0)).toBe(n);
      }
  });
  it('finds nothing beside the cells', () => {
    const l = layout(columnsOf([row('root'), row('a', ['root'])]), 'level', 1, () => '');
    expect([taskAt(l, -1, 0), taskAt(l, 1.5, 0), taskAt(l, 0, 5), taskAt(l, 99, 0)]).toEqual([-1, -1, -1, -1]);
  });
});

describe('the critical path', () => {
  it('goes back from the end over what was waited for', () => {
    const c = columnsOf([
      row('root', [], { started: 100, ready: 100, completed: 110 }),
      row('quick', [], { started: 100, ready: 100, completed: 200 }),
      row('slow', [], { started: 150, ready: 100, completed: 900 }),
      row('next', ['quick', 'slow'], { ready: 900, started: 1000, completed: 1500 }),
      row('aside', ['quick'], { ready: 200, started: 200, completed: 400 }),
      row('never', ['next'], { state: 5 }),
    ]);
    const p = critical(c, 5000)!;
    expect(p.steps.map((s) => textAt(c.name, s.task))).toEqual(['name of slow', 'name of next']);
    expect([p.began, p.ended, p.ran, p.waited]).toEqual([100, 1500, 750 + 500, 50 + 100]);
  });
  it('counts what runs as ending now, and is none before anything started', () => {
    expect(critical(columnsOf([row('root')]), 1)).toBeUndefined();
    const p = critical(columnsOf([row('root', [], { started: 10, completed: 20 }), row('a', ['root'], { state: 4, started: 30 })]), 100)!;
    expect(p.ended).toBe(100);
    expect(p.steps.length).toBe(2);
  });
});

describe('queries', () => {
  const rows = random(300, 5);
  const c = columnsOf(rows);
  const names = rows.map((r) => r.name.toLowerCase());
  const all = { text: '', states: 0, executor: -1, pool: -1, sort: 'tree', down: false } as const;
  it('find by text, state, executor and pool', () => {
    expect(find(c, names, all, 0).length).toBe(300);
    expect(Array.from(find(c, names, { ...all, text: 'T29' }, 0))).toEqual(rows.flatMap((r, i) => (r.name.includes('t29') ? [i] : [])));
    const some = find(c, names, { ...all, states: (1 << 7) | (1 << 4), executor: 1, pool: 0 }, 0);
    expect(Array.from(some)).toEqual(rows.flatMap((r, i) => ((r.state === 7 || r.state === 4) && c.executor[i] === 1 && c.pool[i] === 0 ? [i] : [])));
  });
  it('order, and turn round', () => {
    const up = Array.from(find(c, names, { ...all, sort: 'name' }, 0));
    expect(up.map((i) => names[i])).toEqual(names.slice().sort());
    expect(Array.from(find(c, names, { ...all, sort: 'name', down: true }, 0))).toEqual(up.reverse());
  });
  it('go round the failures', () => {
    const failed = rows.flatMap((r, i) => (r.state === 7 ? [i] : []));
    let at = -1;
    for (const want of [...failed, failed[0]]) expect((at = nextFailed(c, at))).toBe(want);
    expect(nextFailed(columnsOf([row('root')]), -1)).toBe(-1);
  });
  it('look around a task, as far as they may', () => {
    const line = columnsOf(Array.from({ length: 9 }, (_, i) => row(`l${i}`, i ? [`l${i - 1}`] : [])));
    expect(around(line, 4, 2, 100).sort()).toEqual([2, 3, 4, 5, 6]);
    expect(around(line, 4, 8, 4).length).toBe(4);
  });
});

describe('the scale of time', () => {
  it('rises, ends at one, and folds what is idle', () => {
    for (const fold of [true, false]) {
      const s = folded([[0, 100], [50, 200], [10_000, 10_100]], fold);
      let before = -1;
      for (let t = 0; t <= 10_100; t += 50) {
        expect(s.at(t)).toBeGreaterThanOrEqual(before);
        before = s.at(t);
      }
      expect(s.at(10_100)).toBeCloseTo(1);
      expect(s.at(200) > 0.5).toBe(fold);
    }
    expect(folded([], true).ticks).toEqual([]);
    expect(folded([[1000, 17_000]], true).ticks.map((t) => t.ms - 1000)).toEqual([0, 2000, 4000, 6000, 8000, 10_000, 12_000, 14_000]);
    expect([0.2, 3, 60, 45_000, 61_000, 4e6, 9e7].map(niceStep)).toEqual([1, 5, 100, 50_000, 120_000, 7_200_000, 172_800_000]);
    expect(folded([[5, 5]], true).at(5)).toBeGreaterThanOrEqual(0);
  });
});

describe('values', () => {
  it('read as people do', () => {
    expect([0, 340, 4200, 59_000, 200_000, 7_500_000, 273_600_000].map(howLong)).toEqual(['0 ms', '340 ms', '4.2 s', '59 s', '3 min 20 s', '2 h 5 min', '3 d 4 h']);
    expect([0, 1023, 1024, 12_288, 3_565_158].map(howMuch)).toEqual(['0 B', '1023 B', '1.0 KiB', '12 KiB', '3.4 MiB']);
  });
  it('keep JSON as it was written', () => {
    for (const text of ['{"a":12345678901234567890,"b":[1,{"c":"x\\"{,"}],"d":{},"e":[ ]}', '[]', '"a, b"', '1e400', 'no json }', '}', '{"a": 1}}'])
      expect(pretty(text).replace(/\s/g, '')).toBe(text.replace(/\s/g, ''));
    expect(pretty('{"a":[1,2],"b":{}}')).toBe('{\n  "a": [\n    1,\n    2\n  ],\n  "b": {}\n}');
  });
  it('show what can’t be seen', () => {
    expect(visible('a\u202eb\u0000c\u001b[31m\nd\te')).toBe('a\\u202eb\\u0000c\\u001b[31m\nd\te');
  });
  it('differ by lines', () => {
    expect(diff('a\nb\nc', 'a\nx\nc').map((l) => l.kind + l.text)).toEqual([' a', '-b', '+x', ' c']);
    expect(diff('same', 'same').map((l) => l.kind)).toEqual([' ']);
    for (let seed = 1; seed < 40; seed++) {
      let x = seed;
      const text = () => Array.from({ length: 12 }, () => 'abc'[(x = (x * 48271) % 2147483647) % 3]).join('\n');
      const [from, to] = [text(), text()];
      const lines = diff(from, to);
      expect(lines.filter((l) => l.kind !== '+').map((l) => l.text).join('\n')).toBe(from);
      expect(lines.filter((l) => l.kind !== '-').map((l) => l.text).join('\n')).toBe(to);
    }
  });
});
