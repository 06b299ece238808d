// Hostile: names, errors, logs, results, labels and ids that would like to be more than text.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browse, paged, sideways } from './browser.mjs';
import { cluster, fresh, tasks } from './cluster.mjs';

const canary = 'canary-5f1d-never-to-be-shown';
let browser, grove;
before(async () => {
  const vault = JSON.stringify({ type: 'postgres', host: '127.0.0.1', port: 1, database: 'none', username: 'etl', password: canary });
  [browser, grove] = await Promise.all([browse(), cluster({ env: { TASKGROVE_CONNECTION_VAULT: vault, TASKGROVE_SECRET_CANARY: canary } })]);
});
after(async () => {
  await browser?.close();
  await grove?.stop();
});

// Each sets window.ran if anything runs it.
const evil = [
  '<script>window.ran=1</script>',
  '<img src=x onerror="window.ran=1">',
  '"><svg onload=window.ran=1>',
  "'-window.ran=1-'",
  '{@html "<img src=x onerror=window.ran=1>"}',
  '{{constructor.constructor("window.ran=1")()}}',
  'javascript:window.ran=1',
  '</title></textarea></style><iframe srcdoc="<script>parent.ran=1</script>">',
  '%3Cscript%3Ewindow.ran=1%3C/script%3E',
  '\u202egnp.exe\u202c \u2066a\u2069 \u200b\ufeff',
  'Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘',
  '👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿',
  'x'.repeat(2000),
];
const ids = ['a//b', '/', '%2e%2e', '%', '~x', '~', '~..', '?x#y', '#', 'a b', 'a+b&c=d', '\\', '🌲', '"><b>', 'CON', '__proto__', 'constructor', ';', 'ü\u0301', 'null', '0'];

const ran = (page) => page.evaluate(() => window.ran);
// What is everywhere: nothing ran, nothing of the markup became an element, and the page is as wide as its window.
async function holds(page, where) {
  assert.equal(await ran(page), undefined, `${where}: it ran`);
  assert.equal(await page.evaluate(() => document.querySelectorAll('iframe, main script, img[onerror], svg[onload], main b').length), 0, `${where}: markup became elements`);
  assert.equal(await sideways(page), '', `${where}: the page scrolls sideways`);
  const raw = await page.evaluate(() => document.body.innerText.match(/[\u0000-\u0008\u000b-\u001f\u202a-\u202e\u2066-\u2069]/)?.[0]);
  assert.equal(raw, undefined, `${where}: a character that steers is raw`);
}

test('what is shown is text', () =>
  paged(browser, { expected: [] }, async (page) => {
    const id = fresh('evil');
    const own = (i) => `${id}.${i}`;
    await grove.submit([
      tasks.noop(id, '', { name: evil[1], labels: { team: evil[0].slice(0, 60), 'a.b': 'c=d=e' } }),
      ...evil.map((text, i) => tasks.noop(own(i), id, { name: text.slice(0, 250), inputs: { value: { [text]: text } } })),
      ...evil.map((text, i) => tasks.noop(own(`f${i}`), id, { name: `fails ${i}`, inputs: { fail: text, permanent: true } })),
    ]);
    await grove.settled(id);
    const places = new Map((await grove.tasks(id)).map((t) => [t.id, t.place]));
    for (const view of ['map', 'timeline', 'graph', 'list']) {
      await page.goto(`${grove.url}/t/${id}?v=${view}`);
      await page.getByRole('heading', { name: 'onerror' }).waitFor();
      await page.getByText(/tasks have ended/).waitFor();
      await holds(page, view);
    }
    await page.locator('[role=treegrid] [role=row]').nth(3).waitFor();
    await page.goto(grove.url);
    await page.getByRole('link', { name: 'onerror' }).first().waitFor();
    await holds(page, 'trees');
    for (let i = 0; i < evil.length; i++) {
      await page.goto(`${grove.url}/t/${id}?v=list&sel=${places.get(own(`f${i}`))}`);
      await page.getByRole('complementary', { name: 'Selected task' }).getByRole('heading', { name: `fails ${i}` }).waitFor();
      await holds(page, `selected ${i}`);
      for (const [what, task] of [['result', own(i)], ['error', own(`f${i}`)]]) {
        await page.goto(`${grove.url}/t/${id}/${task}`);
        await page.getByRole('heading', { name: what === 'result' ? 'Result' : `fails ${i}` }).waitFor();
        const text = await page.locator('main').innerText();
        if (i < 9) assert.ok(text.includes(what === 'result' ? JSON.stringify(evil[i]).slice(1, -1) : evil[i]), `${what} ${i} is not shown as it is: ${text.slice(0, 500)}`);
        await holds(page, `${what} ${i}`);
        await page.goto(`${grove.url}/t/${id}/${task}?tab=attempts`);
        await page.getByRole('heading', { name: 'Attempt 1' }).waitFor();
        await holds(page, `attempts of ${what} ${i}`);
      }
    }
  }));

test('logs are text, whatever is in them', () =>
  paged(browser, {}, async (page) => {
    const id = fresh('log');
    const lines = [...evil, '\u001b[31mred\u001b[0m', '\u0007\u0008', '\r\r\rback', 'wide '.repeat(1000)];
    await grove.submit([tasks.noop(id, '', { schemas: { method: 'command_executor' }, inputs: { command: 'cat; echo done >&2', stdin: lines.join('\n') + '\n' } })]);
    await grove.settled(id);
    for (const query of ['', '&find=script', '&line=2']) {
      await page.goto(`${grove.url}/t/${id}/${id}?tab=logs${query}`);
      await page.getByText('<script>').first().waitFor();
      await holds(page, `logs ${query}`);
    }
    await page.getByLabel('Wrap').check();
    await page.getByText('\\u001b[31mred').waitFor();
    await holds(page, 'wrapped logs');
  }));

test('texts of a megabyte', () =>
  paged(browser, {}, async (page) => {
    const id = fresh('large');
    const large = `<b>${'A line of a large text, without an end in sight. '.repeat(20_000)}</b>`;
    await grove.submit([tasks.noop(id, ''), tasks.noop(`${id}.value`, id, { inputs: { value: { large } } }), tasks.noop(`${id}.fails`, id, { inputs: { fail: large, permanent: true } })]);
    await grove.settled(id);
    const { place } = await grove.task(`${id}.fails`);
    for (const path of [`/t/${id}?v=list&sel=${place}`, `/t/${id}/${id}.value`, `/t/${id}/${id}.fails`, `/t/${id}/${id}.value?tab=attempts`, `/t/${id}/${id}.fails?tab=attempts`]) {
      await page.goto(grove.url + path);
      await page.getByText('A line of a large text').first().waitFor();
      await holds(page, path);
    }
  }));

test('ids that look like parts of addresses lead to their own tasks', () =>
  paged(browser, { expected: [] }, async (page) => {
    const root = fresh('~/?#%');
    const taken = [];
    await grove.submit([tasks.noop(root, ''), ...ids.map((id) => tasks.noop(id, root, { name: `task ${JSON.stringify(id)}` }))]);
    await grove.settled(root);
    const places = new Map((await grove.tasks(root)).map((t) => [t.id, t.place]));
    await page.goto(grove.url);
    await page.getByRole('link', { name: root, exact: true }).click();
    await page.getByRole('heading', { name: root, exact: true }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: root, exact: true }).waitFor();
    await page.getByRole('button', { name: 'List' }).click();
    const list = page.url();
    for (const id of ids) {
      const name = `task ${JSON.stringify(id)}`;
      try {
        await page.goto(`${list}&sel=${places.get(id)}`);
        await page.getByRole('complementary', { name: 'Selected task' }).getByRole('heading', { name, exact: true }).waitFor();
        await page.getByRole('complementary', { name: 'Selected task' }).getByRole('link', { name: 'Open' }).click();
        await page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
        const there = page.url();
        await page.reload();
        await page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
        assert.equal(page.url(), there);
        await page.getByRole('link', { name: 'Tree', exact: true }).click();
        await page.getByRole('heading', { name: root, exact: true }).waitFor();
        await holds(page, id);
      } catch (err) {
        taken.push(`${JSON.stringify(id)}: ${String(err.message).slice(0, 200)} at ${page.url()}`);
      }
    }
    assert.deepEqual(taken, []);
  }));

test('a password of a connection is nowhere', () =>
  paged(browser, {}, async (page) => {
    const id = fresh('canary');
    await grove.submit([
      tasks.noop(id, ''),
      tasks.noop(`${id}.sql`, id, { name: 'sql', schemas: { method: 'sql_executor' }, inputs: { connection: 'vault', query: 'select 1' } }),
      tasks.command(`${id}.env`, id, 'echo "the secret is $PASS"; echo "$PASS" >&2; test -z "$PASS"', { name: 'env', inputs: { command: 'echo "the secret is $PASS"; test -z "$PASS"', fail_on_error: true, env: { PASS: { secret: 'canary' } } } }),
    ]);
    await grove.settled(id);
    const seen = [];
    page.on('response', async (r) => {
      const text = await r.text().catch(() => '');
      if (text.includes(canary)) seen.push(r.url());
    });
    for (const task of [`${id}.sql`, `${id}.env`])
      for (const query of ['', '?tab=attempts', '?tab=logs', '?tab=files']) {
        await page.goto(`${grove.url}/t/${id}/${task}${query}`);
        await page.getByRole('tabpanel').waitFor();
        await page.waitForLoadState('networkidle').catch(() => {});
        const all = await page.evaluate(() => document.documentElement.outerHTML + JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie]));
        if (all.includes(canary)) seen.push(`${task}${query}`);
      }
    for (const path of ['/', `/t/${id}?v=list&sel=1`, '/pools', '/doctor']) {
      await page.goto(grove.url + path);
      await page.waitForFunction(() => document.querySelector('main')?.innerText.trim());
      if ((await page.content()).includes(canary)) seen.push(path);
    }
    assert.deepEqual(seen, []);
    assert.equal(await page.evaluate(async () => (await indexedDB.databases()).length + (await caches.keys()).length), 0, 'the page keeps things');
  }));
