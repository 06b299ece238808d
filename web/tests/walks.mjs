// Walks: what people do with the page, against a real cluster, by mouse and by keyboard alone.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { browse, byTab, paged, refusals } from './browser.mjs';
import { cluster, fresh, tasks, token, until } from './cluster.mjs';

let browser, grove, dir;
before(async () => {
  [browser, grove, dir] = await Promise.all([browse(), cluster(), mkdtemp(join(tmpdir(), 'taskgrove-walk-'))]);
});
after(async () => {
  await browser?.close();
  await grove?.stop();
  if (dir) await rm(dir, { recursive: true, force: true });
});

// A tree that goes on when the test says so: "fetch" ends once the file `go` is there, "check" fails until `mend` is, "endless" runs until it is cancelled.
async function walk() {
  const id = fresh('walk');
  const file = (name) => join(dir, `${id}-${name}`);
  const document = [
    tasks.noop(id, '', { name: `nightly ${id}` }),
    tasks.command(`${id}.fetch`, id, `echo fetching; until [ -e ${file('go')} ]; do sleep 0.2; done`, { name: 'fetch' }),
    tasks.command(`${id}.check`, id, `[ -e ${file('mend')} ] && exit 0; echo a row is missing >&2; exit 3`, { name: 'check', dependencies: [`${id}.fetch`] }),
    tasks.noop(`${id}.report`, id, { name: 'report', dependencies: [`${id}.check`] }),
    tasks.noop(`${id}.question`, id, { name: 'question', schemas: { method: 'approval_executor' }, inputs: { message: 'May it be sent?\nIt has 12 rows.' } }),
    tasks.noop(`${id}.send`, id, { name: 'send', dependencies: [`${id}.question`] }),
    tasks.command(`${id}.endless`, id, 'sleep 86400', { name: 'endless' }),
  ];
  await grove.submit(document);
  const places = new Map((await grove.tasks(id)).map((t) => [t.name, String(t.place)])); // by which addresses name a selected task
  return { id, place: (name) => places.get(name), go: () => writeFile(file('go'), ''), mend: () => writeFile(file('mend'), ''), task: (name) => `${id}.${name}` };
}

const row = (page, name) => page.locator('[role=treegrid] [role=row]').filter({ has: page.getByRole('gridcell', { name, exact: true }) });
const showsState = (page, name, state) => row(page, name).getByText(state, { exact: true }).waitFor();
const why = (page) => page.getByRole('region', { name: 'Why it is so' });
const at = (page) => new URL(page.url());

test('by mouse', () =>
  paged(browser, {}, async (page) => {
    const tree = await walk();
    await page.goto(grove.url);
    await page.getByRole('link', { name: `nightly ${tree.id}` }).click();
    await page.getByRole('heading', { name: `nightly ${tree.id}` }).waitFor();
    await page.getByRole('button', { name: 'List' }).click();
    await page.evaluate(() => (document.documentElement.dataset.same = 'yes')); // gone with a reload

    // It is followed as it goes on.
    await showsState(page, 'fetch', 'running');
    await showsState(page, 'check', 'waiting');
    await tree.go();
    await showsState(page, 'fetch', 'completed');
    await showsState(page, 'check', 'failed');
    await showsState(page, 'report', 'blocked');

    // The failure is found, and read.
    await page.getByRole('button', { name: 'Next failure' }).click();
    const peek = page.getByRole('complementary', { name: 'Selected task' });
    await peek.getByRole('heading', { name: 'check' }).waitFor();
    await peek.getByText('exit').first().waitFor();
    assert.equal(at(page).searchParams.get('sel'), tree.place('check'));
    const before = page.url();
    await peek.getByRole('link', { name: 'Open' }).click();
    await why(page).getByText('failed').first().waitFor();
    await page.getByRole('region', { name: 'Error' }).getByText(/3/).first().waitFor();
    await page.getByRole('tab', { name: 'Logs' }).click();
    await page.getByText('a row is missing').first().waitFor();
    await page.goBack(); // before the tab: parts of one view replace each other
    await until('Back shows the view before', () => page.url() === before);
    await peek.getByRole('heading', { name: 'check' }).waitFor();

    // What waits says why.
    await row(page, 'report').click();
    await peek.getByText(/check/).first().waitFor();
    await row(page, 'send').click();
    await peek.getByText(/question/).first().waitFor();

    // The answer to a question.
    await row(page, 'question').dblclick();
    await page.getByRole('heading', { level: 1, name: 'question' }).waitFor();
    await page.getByRole('button', { name: 'Answer…' }).click();
    const asked = page.getByRole('dialog');
    await asked.getByText('It has 12 rows.').waitFor();
    await asked.getByLabel('Comment').fill('looks right');
    await asked.getByRole('button', { name: 'Approve' }).click();
    await page.getByText('question: approve').waitFor();
    await why(page).getByText('completed').waitFor();
    await grove.in(tree.task('send'), 'completed');

    // A cancel, and its receipt.
    await page.getByRole('link', { name: 'Tree', exact: true }).click();
    await peek.getByRole('heading', { name: 'question' }).waitFor();
    await page.getByRole('button', { name: 'List' }).click();
    await row(page, 'endless').dblclick();
    await page.getByRole('heading', { level: 1, name: 'endless' }).waitFor();
    await page.getByRole('button', { name: 'Cancel…' }).click();
    await page.getByRole('dialog').getByLabel('Reason').fill('no longer needed');
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel the task' }).click();
    await page.locator('.toast').first().waitFor();
    await why(page).getByText('cancelled').waitFor();
    assert.equal((await grove.task(tree.task('endless'))).state, 'cancelled');

    // The failure runs again from there, now that nothing of the tree runs.
    await grove.settled(tree.id);
    await page.getByRole('link', { name: 'Tree', exact: true }).click();
    await page.getByRole('button', { name: 'List' }).click();
    await tree.mend();
    await row(page, 'check').dblclick();
    await page.getByRole('heading', { level: 1, name: 'check' }).waitFor();
    await page.getByRole('button', { name: 'Run again…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Run again' }).click();
    await page.getByText(/^Started: \d+ tasks?$/).waitFor();
    await why(page).getByText('completed').waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.dataset.same), 'yes', 'the page was loaded again');
  }));

test('by keyboard alone', () =>
  paged(browser, {}, async (page) => {
    const tree = await walk();
    const press = async (...keys) => {
      for (const key of keys) await page.keyboard.press(key);
    };
    await page.goto(`${grove.url}/pools`);
    await page.getByRole('link', { name: 'Pools' }).waitFor();
    await press('g', 't');
    await page.getByRole('heading', { name: 'Trees' }).waitFor();
    await press('/');
    await page.keyboard.type(`nightly ${tree.id}`);
    await until('the name is in the address', () => at(page).searchParams.get('q') === `nightly ${tree.id}`);
    await until('one tree is left', async () => (await page.locator('tbody tr').count()) === 1);
    await press('Escape', 'j', 'Enter');
    await page.getByRole('heading', { name: `nightly ${tree.id}` }).waitFor();

    // "?" lists the keys, and Esc closes the list.
    await press('?');
    const help = page.getByRole('dialog');
    for (const key of ['Next failure', 'Show the list', 'Open the selected task', 'Go to Inbox']) await help.getByText(key).waitFor();
    await press('Escape');
    await help.waitFor({ state: 'hidden' });

    // Each view has a key, and the address says which is shown.
    for (const [key, view] of [['t', 'timeline'], ['g', 'graph'], ['m', null], ['l', 'list']]) {
      await press(key);
      await until(`${key} shows ${view}`, () => at(page).searchParams.get('v') === view);
    }
    await showsState(page, 'fetch', 'running');
    await tree.go();
    await showsState(page, 'report', 'blocked');

    // The next failure, its page, the logs, and back.
    await press('f');
    await until('the failure is selected', () => at(page).searchParams.get('sel') === tree.place('check'));
    await press('Enter');
    await page.getByRole('region', { name: 'Error' }).waitFor();
    await press('3');
    await page.getByText('a row is missing').first().waitFor();
    await press('1');

    // Esc leads to the tree; the arrows and j and k walk through the list.
    await press('Escape');
    await page.getByRole('button', { name: 'List' }).waitFor();
    await press('l');
    await row(page, 'question').waitFor();
    const names = async () => page.locator('[role=treegrid] [role=gridcell].c-tree').allTextContents();
    const select = async (name) => {
      const chosen = () => at(page).searchParams.get('sel');
      for (let i = 0; chosen() !== tree.place(name); i++) {
        const rows = (await names()).map((n) => tree.place(n.trim()));
        assert.ok(i < 20 && rows.includes(tree.place(name)), `${name} is not among the rows`);
        const was = chosen();
        const down = rows.indexOf(was) < rows.indexOf(tree.place(name));
        await press(down ? (i % 2 ? 'j' : 'ArrowDown') : i % 2 ? 'k' : 'ArrowUp');
        await until('the selection moves', () => chosen() !== was);
      }
    };
    await select('question');
    await press('Enter');
    await page.getByRole('heading', { name: 'question' }).waitFor();
    await page.getByRole('button', { name: 'Answer…' }).waitFor();
    await press('a');
    await byTab(page, page.getByRole('dialog').getByLabel('Comment'));
    await page.keyboard.type('looks right, r and c are letters here');
    await byTab(page, page.getByRole('dialog').getByRole('button', { name: 'Approve' }));
    await press('Enter');
    await page.getByText('question: approve').waitFor();
    await why(page).getByText('completed').waitFor();
    await press('Escape', 'l');
    await row(page, 'endless').waitFor();
    await select('endless');
    await press('Enter');
    await page.getByRole('heading', { name: 'endless' }).waitFor();
    await page.getByRole('button', { name: 'Cancel…' }).waitFor();
    await press('c');
    await byTab(page, page.getByRole('dialog').getByLabel('Reason'));
    await page.keyboard.type('no longer needed');
    await byTab(page, page.getByRole('dialog').getByRole('button', { name: 'Cancel the task' }));
    await press('Enter');
    await page.locator('.toast').first().waitFor();
    await why(page).getByText('cancelled').waitFor();

    // Again from here, now that nothing of the tree runs: r opens what is asked, Tab comes to the button.
    await grove.settled(tree.id);
    await press('Escape', 'f');
    await until('the failure is selected', () => at(page).searchParams.get('sel') === tree.place('check'));
    await press('Enter');
    await page.getByRole('heading', { name: 'check' }).waitFor();
    await page.getByRole('button', { name: 'Run again…' }).waitFor();
    await tree.mend();
    await press('r');
    await byTab(page, page.getByRole('dialog').getByRole('button', { name: 'Run again' }));
    await press('Enter');
    await page.getByText(/^Started: \d+ tasks?$/).waitFor();
    await why(page).getByText('completed').waitFor();
  }));

// The dialog says "This task runs again, and all that depends on it"; Execute of a task that is no root starts that one alone.
test('what depends on a task runs again with it', { todo: 'Execute of a task leaves what it had blocked' }, () =>
  paged(browser, {}, async (page) => {
    const id = fresh('again');
    const mend = join(dir, id);
    await grove.submit([tasks.noop(id, ''), tasks.command(`${id}.check`, id, `[ -e ${mend} ] || exit 3`), tasks.noop(`${id}.report`, id, { dependencies: [`${id}.check`] })]);
    await grove.in(`${id}.report`, 'blocked');
    await writeFile(mend, '');
    await page.goto(`${grove.url}/t/${id}/${id}.check`);
    await page.getByRole('button', { name: 'Run again…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Run again' }).click();
    await page.getByText(/^Started: \d+ tasks?$/).waitFor();
    await grove.settled(id);
    assert.equal((await grove.task(`${id}.report`)).state, 'completed');
  }));

// Whoever uses Tab presses Enter on what has the focus: a shortcut must not take it away.
test('Enter on a button or a link with the focus is its own', () =>
  paged(browser, {}, async (page) => {
    const tree = await walk();
    await tree.go();
    await page.goto(grove.url);
    await page.getByRole('link', { name: `nightly ${tree.id}` }).waitFor();
    await byTab(page, page.getByRole('button', { name: 'completed', exact: true }));
    await page.keyboard.press('Enter');
    await until('the filter is in the address', () => at(page).searchParams.get('status') === 'completed');
    await page.goto(`${grove.url}/t/${tree.id}`);
    await page.getByRole('button', { name: 'List' }).waitFor();
    await byTab(page, page.getByRole('button', { name: 'List' }));
    await page.keyboard.press('Enter');
    await until('the list is in the address', () => at(page).searchParams.get('v') === 'list');
    await page.evaluate(() => document.activeElement.blur());
    await byTab(page, page.getByRole('navigation', { name: 'Screens' }).getByRole('link', { name: 'Inbox' }));
    await page.keyboard.press('Enter');
    await until('the inbox is shown', () => at(page).pathname === '/inbox');
  }));

test('a link shows somebody else the same view', () =>
  paged(browser, {}, async (page) => {
    const tree = await walk();
    await tree.go();
    await grove.in(tree.task('check'), 'failed');
    await page.goto(`${grove.url}/t/${tree.id}`);
    await page.getByRole('button', { name: 'List' }).click();
    await page.getByRole('group', { name: 'States' }).getByRole('button', { name: /failed/ }).click();
    await row(page, 'check').click();
    await page.getByRole('button', { name: 'Took' }).click();
    await until('the sort is in the address', () => at(page).searchParams.get('sort') === 'took');
    await until('one row is left', async () => (await page.locator('[role=treegrid] [role=gridcell].c-tree').count()) === 1);
    await paged(browser, {}, async (other) => {
      await other.goto(page.url());
      await row(other, 'check').waitFor();
      await until('one row is left', async () => (await other.locator('[role=treegrid] [role=gridcell].c-tree').count()) === 1);
      assert.equal(await other.getByRole('columnheader', { name: 'Took' }).getAttribute('aria-sort'), 'ascending');
      await other.getByRole('complementary', { name: 'Selected task' }).getByRole('heading', { name: 'check' }).waitFor();
    });
  }));

test('a lost connection says so, and the page catches up', () =>
  paged(browser, { expected: [refusals.lost] }, async (page) => {
    const tree = await walk();
    try {
      await page.goto(`${grove.url}/t/${tree.id}?v=list`);
      await showsState(page, 'fetch', 'running');
      grove.shut();
      await page.getByText('The connection is lost').waitFor();
      await showsState(page, 'fetch', 'running'); // as it was
      await tree.go();
      await grove.in(tree.task('check'), 'failed'); // told to nobody
      grove.shut(false);
      await showsState(page, 'fetch', 'completed');
      await showsState(page, 'check', 'failed');
      await page.getByText('The connection is lost').waitFor({ state: 'detached' });
    } finally {
      grove.shut(false);
    }
  }));

test('a deleted tree says so', () =>
  paged(browser, { expected: [refusals.status(404)] }, async (page) => {
    const id = fresh('gone');
    await grove.submit([tasks.noop(id, '')]);
    await grove.settled(id);
    await page.goto(`${grove.url}/t/${id}`);
    await page.getByRole('heading', { name: id }).waitFor();
    await grove.call('Taskgrove/DeleteTask', { id });
    await page.reload();
    await page.getByText('This tree is not there').waitFor();
    await page.goto(`${grove.url}/t/${id}/${id}`);
    await page.getByText('This task is not there').waitFor();
    await page.goto(`${grove.url}/nowhere`).catch(() => {});
  }));

test('a tree that is deleted while it is shown says so', () =>
  paged(browser, { expected: [refusals.status(404)] }, async (page) => {
    const id = fresh('going');
    await grove.submit([tasks.noop(id, '')]);
    await grove.settled(id);
    await page.goto(`${grove.url}/t/${id}`);
    await page.getByRole('heading', { name: id }).waitFor();
    await grove.call('Taskgrove/DeleteTask', { id });
    await page.getByText('This tree is not there').waitFor();
  }));

test('a lost login asks again, and returns to the same view', async () => {
  const secret = 'a secret of the page’s tests, of enough bytes';
  const closed = await cluster({ env: { TASKGROVE_JWT_SECRET: secret } });
  try {
    closed.token = token(secret, 'amy');
    const id = fresh('kept');
    await closed.submit([tasks.noop(id, ''), tasks.noop(`${id}.one`, id, { name: 'one' })]);
    await closed.settled(id);
    await paged(browser, { expected: [refusals.status(401)] }, async (page) => {
      const one = (await closed.task(`${id}.one`)).place;
      const view = `${closed.url}/t/${id}?v=list&sel=${one}`;
      const signIn = async (with_) => {
        await page.getByRole('heading', { name: 'Sign in' }).waitFor();
        await page.getByLabel('Token or API key').fill(with_);
        await page.keyboard.press('Enter');
      };
      await page.goto(view);
      await signIn('no token at all');
      await page.getByRole('alert').getByText(/does not accept/).waitFor();
      await signIn(closed.token);
      await row(page, 'one').waitFor();
      assert.equal(page.url(), view);

      // Its time is over while the view is open: the server answers 401 from now on.
      const old = token(secret, 'amy', -3600);
      await page.route('**/taskgrove.v1.**', (route) => {
        const headers = route.request().headers();
        return route.continue({ headers: headers.authorization === `Bearer ${closed.token}` ? { ...headers, authorization: `Bearer ${old}` } : headers });
      });
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
      assert.equal(page.url(), view);
      const again = token(secret, 'amy', 7200);
      await signIn(again);
      await row(page, 'one').waitFor();
      await page.getByRole('complementary', { name: 'Selected task' }).getByRole('heading', { name: 'one' }).waitFor();
      assert.equal(page.url(), view);

      // Whoever signs out leaves nothing behind.
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
      assert.deepEqual(await page.evaluate(() => ({ ...sessionStorage, ...localStorage })), {});
      await page.reload();
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    });
  } finally {
    await closed.stop();
  }
});
