// The screens that tests of access and pictures go through, and a cluster with something on each.

import { fresh, tasks } from './cluster.mjs';

/** filled fills a cluster, and returns the places by name: what to open, and what is there once it is drawn. */
export async function filled(grove) {
  const id = fresh('report');
  const part = (i) => `${id}.part-${i}`;
  const names = ['extract', 'transform', 'load', 'check'];
  const document = [tasks.noop(id, '', { name: 'nightly report', labels: { team: 'data', env: 'prod' } })];
  for (let i = 0; i < 40; i++)
    document.push(
      tasks.command(part(i), id, i % 17 === 5 ? 'echo about to fail; echo boom >&2; exit 3' : `echo working on part ${i}; sleep 0.${i % 7}; echo done >&2`, {
        name: `${names[i % 4]} part ${i}`,
        dependencies: i > 3 ? [part(i - 4), part(i - 1 - (i % 3))] : [],
        ...(i % 17 === 5 ? { retry: { max_attempts: 2, initial_delay: 0.2 } } : {}),
      }),
    );
  document.push(tasks.noop(`${id}.ok`, id, { name: 'may it be sent?', schemas: { method: 'approval_executor' }, inputs: { message: 'Send the report to all customers?\nIt has 12,480 rows.' } }));
  document.push(tasks.noop(`${id}.send`, id, { name: 'send', dependencies: [`${id}.ok`] }));
  document.push(tasks.command(`${id}.long`, id, 'while true; do echo still at it; sleep 5; done', { name: 'a long one' }));
  document.push(tasks.noop(`${id}.value`, id, { name: 'totals', inputs: { value: { rows: 12480, customers: [{ id: 1, name: 'Amy' }], ok: true, note: null } } }));
  await grove.submit(document);
  await grove.in(part(5), 'failed');
  await grove.in(`${id}.ok`, 'awaiting');
  await grove.in(`${id}.long`, 'running');
  await grove.in(`${id}.value`, 'completed');
  const quiet = fresh('quiet');
  await grove.submit([tasks.noop(quiet, '', { name: 'a tree with a name that is longer than most names of trees are, so that it needs more than one line on a narrow screen' })]);
  await grove.settled(quiet);
  const tree = `/t/${id}`;
  const { place } = await grove.task(part(5));
  const places = { trees: '/', none: '/?status=cancelled' };
  for (const view of ['map', 'timeline', 'graph', 'list']) {
    places[view] = `${tree}?v=${view}`;
    places[`${view}-selected`] = `${tree}?v=${view}&sel=${place}`;
  }
  for (const tab of ['overview', 'attempts', 'logs', 'files']) places[`task-${tab}`] = `${tree}/${part(5)}?tab=${tab}`;
  return {
    id,
    places: {
      ...places,
      'task-compared': `${tree}/${part(5)}?tab=attempts&attempt=2&against=1`,
      'task-waiting': `${tree}/${id}.send`,
      'task-asking': `${tree}/${id}.ok`,
      'task-running': `${tree}/${id}.long?tab=logs`,
      'task-result': `${tree}/${id}.value`,
      'task-root': `${tree}/${id}`,
      gone: '/t/no-such-tree',
      nowhere: '/runs/no-such-run',
      pools: '/pools',
      inbox: '/inbox',
      schedules: '/schedules',
      flows: '/flows',
      doctor: '/doctor',
    },
  };
}

/** drawn waits until a screen has nothing more to load. */
export async function drawn(page) {
  await page.locator('main').waitFor();
  await page.waitForFunction(() => document.querySelector('main').innerText.trim() && !document.querySelector('main [aria-busy=true]'));
  await page.evaluate(() => document.fonts.ready.then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))));
}
