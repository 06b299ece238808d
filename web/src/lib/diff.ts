// The difference of two texts by lines.

export interface Line {
  kind: ' ' | '+' | '-';
  text: string;
}

/** Beyond so many lines of the middle part the texts are shown one after the other: the search takes the product of both. */
const most = 2000;

/** diff tells how one text becomes another: the longest lines in common stay. */
export function diff(from: string, to: string): Line[] {
  const a = from.split('\n');
  const b = to.split('\n');
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const left = a.slice(head, a.length - tail);
  const right = b.slice(head, b.length - tail);
  const same = (text: string): Line => ({ kind: ' ', text });
  return [...a.slice(0, head).map(same), ...middle(left, right), ...a.slice(a.length - tail).map(same)];
}

function middle(a: string[], b: string[]): Line[] {
  const gone = (text: string): Line => ({ kind: '-', text });
  const come = (text: string): Line => ({ kind: '+', text });
  if (!a.length || !b.length || a.length > most || b.length > most) return [...a.map(gone), ...b.map(come)];
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      longest[i * width + j] = a[i] === b[j] ? longest[(i + 1) * width + j + 1]! + 1 : Math.max(longest[(i + 1) * width + j]!, longest[i * width + j + 1]!);
  const out: Line[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      out.push({ kind: ' ', text: a[i]! });
      i++;
      j++;
    } else if (longest[(i + 1) * width + j]! >= longest[i * width + j + 1]!) out.push(gone(a[i++]!));
    else out.push(come(b[j++]!));
  }
  return [...out, ...a.slice(i).map(gone), ...b.slice(j).map(come)];
}
