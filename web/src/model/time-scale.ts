// A scale of time on which long idle parts take little room.

export interface Scale {
  began: number;
  ended: number;
  /** Where an instant is, from 0 to 1. */
  at(ms: number): number;
  ticks: { ms: number; at: number; folded: boolean }[];
}

/** What a folded part takes of the whole. */
const foldedShare = 0.03;

/** folded makes a scale of when there was work. Parts in which there was none are folded where they are longer than a twentieth of all. */
export function folded(spans: [number, number][], fold: boolean): Scale {
  if (!spans.length) return { began: 0, ended: 0, at: () => 0, ticks: [] };
  const sorted = spans.slice().sort((a, b) => a[0] - b[0]);
  const began = sorted[0]![0];
  let ended = began;
  const gaps: [number, number][] = [];
  for (const [from, to] of sorted) {
    if (from > ended) gaps.push([ended, from]);
    ended = Math.max(ended, to);
  }
  const all = Math.max(1, ended - began);
  const long = fold ? gaps.filter(([from, to]) => to - from > all / 20).slice(0, 12) : [];
  const work = all - long.reduce((sum, [from, to]) => sum + to - from, 0);
  const share = 1 - long.length * foldedShare;
  // The pieces of the scale: work and folded parts in turn.
  const pieces: { from: number; to: number; at: number; size: number; folded: boolean }[] = [];
  let ms = began;
  let at = 0;
  const add = (to: number, isFolded: boolean) => {
    const size = isFolded ? foldedShare : (share * (to - ms)) / Math.max(1, work);
    if (to > ms) pieces.push({ from: ms, to, at, size, folded: isFolded });
    at += to > ms ? size : 0;
    ms = to;
  };
  for (const [from, to] of long) {
    add(from, false);
    add(to, true);
  }
  add(Math.max(ended, ms), false);
  if (!pieces.length) pieces.push({ from: began, to: began + 1, at: 0, size: 1, folded: false });
  const place = (t: number): number => {
    for (const p of pieces) if (t <= p.to) return p.at + (p.size * Math.max(0, t - p.from)) / Math.max(1, p.to - p.from);
    return 1;
  };
  const step = niceStep(work / 8);
  const ticks = pieces.flatMap((p) => {
    if (p.folded) return [{ ms: p.from, at: p.at, folded: true }];
    const first = Math.ceil((p.from - began) / step) * step;
    const out = [];
    for (let ms = began + first; ms < p.to && out.length < 50; ms += step) out.push({ ms, at: place(ms), folded: false });
    return out;
  });
  return { began, ended, at: place, ticks };
}

/** The least step of those that people read with ease, in milliseconds, that is not below a length. */
export function niceStep(least: number): number {
  for (const unit of [1, 10, 100, 1000, 10_000]) for (const n of [1, 2, 5]) if (n * unit >= least && n * unit < 60_000) return n * unit;
  for (const minutes of [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720]) if (minutes * 60_000 >= least) return minutes * 60_000;
  return Math.ceil(least / 86_400_000) * 86_400_000;
}
