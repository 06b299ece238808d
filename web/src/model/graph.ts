// The graph of a few tasks: boxes and arrows by dagre, or by level where that takes too long.

import { graphlib, layout as dagre } from '@dagrejs/dagre';
import type { Columns } from './columns';
import { mostBoxes } from './graph-bounds';
import type { Graph } from './messages';




const box = { width: 190, height: 44 };

export function graphOf(c: Columns, tasks: readonly number[]): Graph {
  const shown = new Set(tasks.slice(0, mostBoxes));
  const list = [...shown];
  const edges: { from: number; to: number; required: boolean }[] = [];
  for (const i of list) for (let e = c.depAt[i]!; e < c.depAt[i + 1]!; e++) if (shown.has(c.dep[e]!)) edges.push({ from: c.dep[e]!, to: i, required: c.required[e] === 1 });
  // dagre takes far longer than a second on thick graphs, and can't be stopped: those stand by level.
  if (edges.length > 4 * mostBoxes) return byLevel(c, list, edges);
  const g = new graphlib.Graph();
  g.setGraph({ rankdir: 'LR', nodesep: 14, ranksep: 60, edgesep: 8, marginx: 16, marginy: 16 });
  g.setDefaultEdgeLabel(() => ({}));
  for (const i of list) g.setNode(String(i), { ...box });
  for (const e of edges) g.setEdge(String(e.from), String(e.to));
  dagre(g);
  const size = g.graph();
  return {
    width: size.width ?? 0,
    height: size.height ?? 0,
    plain: false,
    boxes: list.map((task) => {
      const n = g.node(String(task)) as { x: number; y: number };
      return { task, x: n.x - box.width / 2, y: n.y - box.height / 2, ...box };
    }),
    edges: edges.map((e) => ({ ...e, points: ((g.edge(String(e.from), String(e.to)) as { points?: { x: number; y: number }[] }).points ?? []).map(({ x, y }) => ({ x, y })) })),
  };
}

function byLevel(c: Columns, list: number[], edges: { from: number; to: number; required: boolean }[]): Graph {
  const ranks = [...new Set(list.map((i) => c.level[i]!))].sort((a, b) => a - b);
  const used = new Map<number, number>();
  const at = new Map<number, { x: number; y: number }>();
  for (const i of list) {
    const rank = ranks.indexOf(c.level[i]!);
    const row = used.get(rank) ?? 0;
    used.set(rank, row + 1);
    at.set(i, { x: 16 + rank * (box.width + 80), y: 16 + row * (box.height + 14) });
  }
  return {
    width: 32 + ranks.length * (box.width + 80),
    height: 32 + Math.max(0, ...used.values()) * (box.height + 14),
    plain: true,
    boxes: list.map((task) => ({ task, ...at.get(task)!, ...box })),
    edges: edges.map((e) => {
      const a = at.get(e.from)!;
      const b = at.get(e.to)!;
      return { ...e, points: [{ x: a.x + box.width, y: a.y + box.height / 2 }, { x: b.x, y: b.y + box.height / 2 }] };
    }),
  };
}
