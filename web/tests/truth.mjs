// Truth: after a storm of changes, streams that break and a coordinator that is killed, the page shows what the cluster says, task by task.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browse, paged, refusals } from './browser.mjs';
import { cluster, fresh, tasks, until } from './cluster.mjs';

let browser, grove;
before(async () => {
  const env = { TASKGROVE_LEASE: '10s', TASKGROVE_BEAT: '1s', TASKGROVE_KILL_GRACE: '2s' }; // what a killed worker had is soon given to the next
  [browser, grove] = await Promise.all([browse(), cluster({ keep: true, env })]);
});
after(async () => {
  await browser?.close();
  await grove?.stop();
});

const size = Number(process.env.TASKGROVE_PAGE_TRUTH ?? 3000); // tasks

// Chains side by side: some tasks fail for good, some after retries, some are skipped, and what hangs on a failure is blocked.
function storm(id) {
  const document = [tasks.noop(id, '')];
  for (let i = 0; i < size; i++) {
    const more = { dependencies: i % 10 ? [`${id}.${i - 1}`] : [] };
    if (i % 97 === 50) more.inputs = { fail: 'for good', permanent: true };
    else if (i % 41 === 20) Object.assign(more, { inputs: { fail: 'again and again' }, retry: { max_attempts: 3, initial_delay: 0.1, max_delay: 0.2 } });
    else if (i % 29 === 14) more.when = 'false';
    if (i % 7 === 3 && more.dependencies.length) more.dependencies = [{ id: more.dependencies[0], required: false }];
    document.push(tasks.noop(`${id}.${i}`, id, more));
  }
  return document;
}

const time = (t) => (t ? Date.parse(t) : 0);

test(`the page of ${size} tasks ends in what the cluster says`, () =>
  paged(browser, { expected: [refusals.lost, refusals.status(503)] }, async (page) => {
    const id = fresh('storm');
    await grove.submit(storm(id));
    await page.goto(`${grove.url}/t/${id}?v=list`);
    await page.getByText(/^[\d,]+ of [\d,]+ tasks$/).waitFor();

    // A tenth of the way between two cuts, and the kill in the middle.
    const ended = async () => {
      const t = await grove.call('Taskgrove/GetTree', { id });
      return Number(t.tasks) - Number(t.unfinished ?? 0);
    };
    for (let cut = 1; cut <= 5; cut++) {
      await until(`${cut} of 10 parts have ended`, async () => (await ended()) >= (size * cut) / 10);
      if (cut === 3) await grove.kill();
      else grove.cut();
    }
    await grove.settled(id);

    // The list is read row by row, until it says what ListTasks says: the page needs a moment, and no reload.
    const want = new Map((await grove.tasks(id)).map((t) => [String(t.place), [t.state, t.attempt ?? 0, time(t.readyAt), time(t.startedAt), time(t.completedAt)].join(' ')]));
    assert.equal(want.size, size + 1);
    const states = new Set([...want.values()].map((v) => v.split(' ')[0]));
    for (const state of ['completed', 'failed', 'blocked', 'skipped']) assert.ok(states.has(state), `no task is ${state}`);
    let differ;
    await until('the page says what the cluster says', async () => {
      const got = await rows(page);
      differ = [...want].filter(([task, facts]) => got.get(task) !== facts).map(([task, facts]) => `${task}: the page has ${got.get(task)}, the cluster ${facts}`);
      return differ.length === 0 && got.size === want.size;
    }, 1000).catch((err) => assert.fail(`${err.message}: ${differ.length} differ: ${differ.slice(0, 10).join('; ')}`));
  }));

/** rows reads the list from its first row to its last: the facts of each task by its place. */
async function rows(page) {
  const box = page.locator('[role=treegrid] [role=rowgroup]');
  const all = new Map();
  const { height, seen } = await box.evaluate((e) => ((e.scrollTop = 0), { height: e.scrollHeight, seen: e.clientHeight }));
  for (let at = 0; at < height; at += seen) {
    const some = await box.evaluate(async (e, top) => {
      e.scrollTop = top;
      await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
      return [...e.querySelectorAll('[role=row]')].map((r) => [r.dataset.place, r.dataset.facts]);
    }, at);
    for (const [place, facts] of some) all.set(place, facts);
  }
  return all;
}
