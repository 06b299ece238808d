// Values on the wire, and how people read them.

import type { Bytes, Duration, Int64, Timestamp } from './proto';

/** number of a 64-bit number, which is exact below 2^53; absent: 0. */
export const int = (v: Int64 | number | undefined): number => (v === undefined ? 0 : Number(v));

/** The milliseconds of an instant; absent: 0. */
export const instant = (t: Timestamp | undefined): number => (t ? Date.parse(t) : 0);

/** The seconds of a duration; absent: 0. */
export const seconds = (d: Duration | undefined): number => (d ? Number.parseFloat(d) : 0);

/** The text that base64 stands for. */
export function textOf(b: Bytes | undefined): string {
  if (!b) return '';
  const raw = atob(b);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new TextDecoder().decode(bytes);
}

/** The base64 of a text. */
export function bytesOf(text: string): Bytes {
  let raw = '';
  for (const b of new TextEncoder().encode(text)) raw += String.fromCharCode(b);
  return btoa(raw);
}

/** JSON as people read it: indented, numbers as they were written. What is no JSON stays as it is. */
export function pretty(json: string): string {
  try {
    JSON.parse(json);
  } catch {
    return json;
  }
  let out = '';
  let depth = 0;
  let inText = false;
  const line = () => '\n' + '  '.repeat(Math.min(depth, 40));
  for (let i = 0; i < json.length; i++) {
    const c = json[i]!;
    if (inText) {
      out += c;
      if (c === '\\') out += json[++i] ?? '';
      else if (c === '"') inText = false;
    } else if (c === '"') {
      inText = true;
      out += c;
    } else if (c === '{' || c === '[') {
      const rest = /^\s*([}\]])/.exec(json.slice(i + 1, i + 50));
      if (rest) {
        out += c + rest[1];
        i += rest[0].length;
      } else {
        depth++;
        out += c + line();
      }
    } else if (c === '}' || c === ']') {
      depth--;
      out += line() + c;
    } else if (c === ',') out += c + line();
    else if (c === ':') out += ': ';
    else if (!/\s/.test(c)) out += c;
  }
  return out;
}

/** How long, in two units at most: 340 ms, 4.2 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function howLong(ms: number): string {
  if (!Number.isFinite(ms)) return '';
  if (ms < 0) ms = 0;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 9950 && ms % 1000) return `${(ms / 1000).toFixed(1)} s`;
  const s = Math.round(ms / 1000);
  const two = (a: number, unit: string, b: number, small: string) => (b ? `${a} ${unit} ${b} ${small}` : `${a} ${unit}`);
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), 'min', s % 60, 's');
  if (s < 86400) return two(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min');
  return two(Math.floor(s / 86400), 'd', Math.floor((s % 86400) / 3600), 'h');
}

/** Bytes as people read them: 0 B, 12 KiB, 3.4 MiB. */
export function howMuch(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let n = bytes;
  let u = 0;
  while (n >= 1024 && u < units.length - 1) {
    n /= 1024;
    u++;
  }
  return `${n < 10 && u > 0 ? n.toFixed(1) : Math.round(n)} ${units[u]}`;
}

const grouped = new Intl.NumberFormat('en-US');

/** A count with its thousands apart: 12,480. */
export const count = (n: number): string => grouped.format(n);

/** "1 task", "12 tasks". */
export const counted = (n: number, one: string, many = one + 's'): string => `${count(n)} ${n === 1 ? one : many}`;

const pad = (n: number, to = 2) => String(n).padStart(to, '0');

/** An instant in the zone of whoever looks: 14:03:22 today, else Nov 30 14:03:22; another year in full. */
export function when(ms: number, now = Date.now()): string {
  if (!ms) return '';
  const d = new Date(ms);
  const t = new Date(now);
  const clock = `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
  if (d.toDateString() === t.toDateString()) return clock;
  const day = d.toLocaleString('en-US', { month: 'short', day: 'numeric' });
  return d.getFullYear() === t.getFullYear() ? `${day} ${clock}` : `${d.getFullYear()} ${day} ${clock}`;
}

/** The same in full, with the zone, for titles. */
export function exactly(ms: number): string {
  if (!ms) return '';
  const d = new Date(ms);
  const east = -d.getTimezoneOffset();
  const zone = `${east < 0 ? '-' : '+'}${pad(Math.floor(Math.abs(east) / 60))}:${pad(Math.abs(east) % 60)}`;
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}.${pad(d.getMilliseconds(), 3)} ${zone}`;
}

// Characters that steer a terminal or turn the direction of text: people are to see that they are there.
const steering = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

/** A text from outside with what can't be seen made visible: \u202e, \u001b. Lines and tabs stay. */
export function visible(text: string): string {
  return text.replace(steering, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}

/** A text cut to a length, with what is missing said. */
export function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}… (${count(text.length - most)} more characters)`;
}
