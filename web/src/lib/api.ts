// The client of the service: Connect, by JSON, on the server that the page came from.
//
// It owns the wire, what errors are, and who the page calls as. It must not know what is shown.

import type { Calls, Streams } from './proto';

/** Why a call failed, in the words of Connect's codes. `lost`: there was no answer at all. */
export class CallError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly faults: { field: string; reason: string }[] = [],
  ) {
    super(message);
  }
  /** The call may work later as it is. */
  get passing(): boolean {
    return ['lost', 'unavailable', 'resource_exhausted', 'aborted', 'deadline_exceeded'].includes(this.code);
  }
}

/** With which token and in which namespace the page calls. A session is a cookie that the browser keeps itself. */
export interface Identity {
  token: string;
  namespace: string;
}

let identity: Identity = { token: '', namespace: '' };
let refused: () => void = () => {};

export function callAs(who: Identity): void {
  identity = who;
}

/** onRefused is told when the service does not know (any more) who calls. */
export function onRefused(told: () => void): void {
  refused = told;
}

export function caller(): Identity {
  return identity;
}

function headers(type: string): Record<string, string> {
  const out: Record<string, string> = { 'Content-Type': type, 'Connect-Protocol-Version': '1' };
  if (identity.token) out.Authorization = `Bearer ${identity.token}`;
  if (identity.namespace) out['Taskgrove-Namespace'] = identity.namespace;
  return out;
}

const url = (name: string) => `/taskgrove.v1.${name}`;

interface WireError {
  code?: string;
  message?: string;
  details?: { type?: string; debug?: { fieldViolations?: { field?: string; description?: string }[] } }[];
}

function errorOf(wire: WireError, status: number): CallError {
  const code = wire.code ?? (status === 401 ? 'unauthenticated' : status === 403 ? 'permission_denied' : status === 404 ? 'not_found' : status >= 500 ? 'unavailable' : 'unknown');
  const faults = (wire.details ?? []).flatMap((d) => d.debug?.fieldViolations ?? []).map((v) => ({ field: v.field ?? '', reason: v.description ?? '' }));
  if (code === 'unauthenticated') refused();
  return new CallError(code, wire.message || `the server answered with ${status}`, faults);
}

async function answer(name: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url(name), { method: 'POST', credentials: 'same-origin', cache: 'no-store', ...init });
  } catch (err) {
    if (init.signal?.aborted) throw err;
    throw new CallError('lost', 'The coordinator does not answer.');
  }
}

async function failure(res: Response): Promise<CallError> {
  const text = await res.text().catch(() => '');
  try {
    return errorOf(JSON.parse(text) as WireError, res.status);
  } catch {
    return errorOf({ message: text.slice(0, 300).trim() }, res.status);
  }
}

/** call makes a call that has one answer. It throws a {@link CallError}, or what ended the signal. */
export async function call<N extends keyof Calls>(name: N, request: Calls[N][0], signal?: AbortSignal): Promise<Calls[N][1]> {
  const res = await answer(name, { headers: headers('application/json'), body: JSON.stringify(request), signal: signal ?? null });
  if (!res.ok) throw await failure(res);
  return (await res.json()) as Calls[N][1];
}

/** stream makes a call whose answer is a stream, and gives its messages as they come. It throws as {@link call} does. */
export async function* stream<N extends keyof Streams>(name: N, request: Streams[N][0], signal?: AbortSignal): AsyncGenerator<Streams[N][1]> {
  const res = await answer(name, { headers: headers('application/connect+json'), body: enveloped(JSON.stringify(request)), signal: signal ?? null });
  if (!res.ok || !res.body) throw await failure(res);
  const reader = res.body.getReader();
  const text = new TextDecoder();
  let kept = new Uint8Array(0);
  let whole = false;
  try {
    for (;;) {
      let chunk: ReadableStreamReadResult<Uint8Array>;
      try {
        chunk = await reader.read();
      } catch (err) {
        if (signal?.aborted) throw err;
        throw new CallError('lost', 'The connection broke.');
      }
      if (chunk.done) break;
      kept = kept.length ? joined(kept, chunk.value) : chunk.value.slice();
      let at = 0;
      while (kept.length - at >= 5) {
        const size = new DataView(kept.buffer, kept.byteOffset + at).getUint32(1);
        if (kept.length - at - 5 < size) break;
        const flags = kept[at]!;
        const body = text.decode(kept.subarray(at + 5, at + 5 + size));
        at += 5 + size;
        if (flags & 2) {
          whole = true;
          const end = JSON.parse(body) as { error?: WireError };
          if (end.error) throw errorOf(end.error, 200);
        } else {
          yield JSON.parse(body) as Streams[N][1];
        }
      }
      kept = kept.slice(at);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
  if (!whole) throw new CallError('lost', 'The connection broke.');
}

function enveloped(body: string): Uint8Array<ArrayBuffer> {
  const data = new TextEncoder().encode(body);
  const out = new Uint8Array(5 + data.length);
  new DataView(out.buffer).setUint32(1, data.length);
  out.set(data, 5);
  return out;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}
