// A cluster for a test: `taskgrove dev` on free ports of this machine, and what a client needs to fill it.

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const binary = resolve(process.env.TASKGROVE_BINARY ?? join(import.meta.dirname, '../../bin/taskgrove'));

/** How long anything may take before a test gives up, in milliseconds: only what hangs reaches it. */
export const most = Number(process.env.TASKGROVE_PAGE_MOST ?? 180_000);

/** until waits for a condition: what it returns first that is not false. */
export async function until(what, look, every = 100) {
  for (const end = Date.now() + most; ; ) {
    const got = await look();
    if (got) return got;
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((wake) => setTimeout(wake, every));
  }
}

/**
 * cluster starts one. `env` goes to the process; `keep` gives it a data directory in place of --ephemeral, so that it can be killed and started again.
 * Browsers come through `url`, a door of this process that can be shut and that stays where it is when the coordinator starts again elsewhere.
 */
export async function cluster({ env = {}, keep = false } = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'taskgrove-page-'));
  const ready = join(dir, 'ready.json');
  let child;
  let said = '';
  let target = 0;

  async function start() {
    await rm(ready, { force: true });
    const args = ['dev', '--http-addr', '127.0.0.1:0', '--grpc-addr', '127.0.0.1:0', '--ready-file', ready, ...(keep ? ['--data-dir', join(dir, 'data')] : ['--ephemeral'])];
    const mine = spawn(binary, args, { env: { ...process.env, TASKGROVE_COMMAND_ALLOW: 'true', TASKGROVE_CONCURRENCY: '16', TASKGROVE_LOG_LEVEL: 'warn', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    child = mine;
    process.once('exit', () => mine.kill('SIGTERM')); // of a test that did not come to its end
    said = '';
    for (const out of [mine.stdout, mine.stderr]) out.on('data', (d) => (said = (said + d).slice(-20_000)));
    const at = await until('the cluster starts', async () => {
      if (mine.exitCode !== null) throw new Error(`the cluster ended with ${mine.exitCode}:\n${said}`);
      return readFile(ready, 'utf8').then(JSON.parse, () => undefined);
    });
    target = Number(new URL(/^http/.test(at.http) ? at.http : `http://${at.http}`).port);
  }
  async function end(signal) {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((told) => child.once('exit', told));
    child.kill(signal);
    await gone;
  }

  const open = new Set();
  let shut = false;
  const door = createServer((from) => {
    if (shut) return from.destroy();
    const to = connect(target, '127.0.0.1');
    open.add(from);
    for (const [a, b] of [[from, to], [to, from]]) {
      a.on('error', () => b.destroy());
      a.on('close', () => (open.delete(from), b.destroy()));
      a.pipe(b);
    }
  });
  await new Promise((listens) => door.listen(0, '127.0.0.1', listens));
  await start();
  const url = `http://127.0.0.1:${door.address().port}`;

  const own = {
    url,
    token: '', // as whom the calls of this object are made
    /** call makes a call of the service: `call('Taskgrove/GetTask', {id})`. */
    async call(name, request) {
      const headers = { 'Content-Type': 'application/json', ...(own.token ? { Authorization: `Bearer ${own.token}` } : {}) };
      const res = await fetch(`http://127.0.0.1:${target}/taskgrove.v1.${name}`, { method: 'POST', headers, body: JSON.stringify(request) });
      const text = await res.text();
      if (!res.ok) throw new Error(`${name}: ${res.status} ${text.slice(0, 2000)}`);
      return JSON.parse(text);
    },
    submit: (document, more = {}) => own.call('Taskgrove/SubmitTree', { document, ...more }),
    task: (id) => own.call('Taskgrove/GetTask', { id }),
    /** settled waits until a tree has no task left to do, and returns it. */
    settled: (id) => until(`tree ${id} settles`, async () => own.call('Taskgrove/GetTree', { id }).then((t) => Number(t.unfinished ?? 0) === 0 && t), 250),
    /** in waits until a task is in a state. */
    in: (id, state) => until(`${id} is ${state}`, async () => own.task(id).then((t) => t.state === state && t)),
    /** tasks are all tasks of a tree. */
    async tasks(treeId) {
      const all = [];
      for (let cursor = ''; ; ) {
        const page = await own.call('Taskgrove/ListTasks', { treeId, limit: 1000, cursor });
        all.push(...(page.tasks ?? []));
        if (!(cursor = page.nextCursor ?? '')) return all;
      }
    },
    /** cut breaks what is connected; the next connection is served. */
    cut() {
      for (const s of open) s.destroy();
    },
    /** shut breaks what is connected and lets nobody in until it is called with false. */
    shut(is = true) {
      shut = is;
      if (is) own.cut();
    },
    /** kill ends it as a crash would, and starts it again. */
    async kill() {
      await end('SIGKILL');
      await start();
    },
    async stop() {
      door.close();
      own.cut();
      await end('SIGTERM');
      await rm(dir, { recursive: true, force: true });
    },
    /** What it logged, for a test that fails. */
    said: () => said,
  };
  return own;
}

/** token is one of a user, signed with the secret of a cluster; it ends so many seconds from now. */
export function token(secret, user, seconds = 3600, claims = {}) {
  const part = (v) => Buffer.from(JSON.stringify(v)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ user_id: user, exp: Math.floor(Date.now() / 1000) + seconds, ...claims })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

let made = 0;
/** An id that no other tree of this cluster has. */
export const fresh = (of) => `${of}-${process.pid}-${++made}`;

const command = (id, parent_id, text, more = {}) => ({ id, name: id, parent_id, schemas: { method: 'command_executor' }, inputs: { command: text, fail_on_error: true, timeout: 3600 }, ...more });
const noop = (id, parent_id, more = {}) => ({ id, name: id, ...(parent_id ? { parent_id } : {}), schemas: { method: 'noop_executor' }, ...more });
/** Tasks of a document. */
export const tasks = { command, noop };
