// Access: every screen in both themes by axe-core's rules, names of controls, a focus that is seen, narrow windows and large text.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { browse, paged, refusals, sideways } from './browser.mjs';
import { cluster } from './cluster.mjs';
import { drawn, filled } from './places.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const expected = [refusals.status(404)]; // of what is not there, among the places
let browser, grove, places, id;
before(async () => {
  [browser, grove] = await Promise.all([browse(), cluster()]);
  ({ places, id } = await filled(grove));
});
after(async () => {
  await browser?.close();
  await grove?.stop();
});

async function findings(page) {
  const found = await page.evaluate(async () => (await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })).violations);
  return found.flatMap((v) => v.nodes.slice(0, 4).map((n) => `${v.id}: ${n.target.join(' ')}: ${(n.failureSummary ?? '').split('\n').slice(1, 3).join(' ').trim()}`));
}

// The policy would not let axe-core in: it is left off here, and nowhere else.
for (const colorScheme of ['light', 'dark'])
  test(`axe-core has no findings, ${colorScheme}`, () =>
    paged(browser, { expected, colorScheme, bypassCSP: true }, async (page) => {
      await page.addInitScript(axe);
      const all = [];
      for (const [name, path] of Object.entries(places)) {
        await page.goto(grove.url + path);
        await drawn(page);
        all.push(...(await findings(page)).map((f) => `${name}: ${f}`));
      }
      await page.goto(`${grove.url}${places['task-root']}`);
      await drawn(page);
      for (const [key, name] of [['?', 'keys'], ['c', 'cancel']]) {
        await page.keyboard.press(key);
        await page.getByRole('dialog').waitFor();
        all.push(...(await findings(page)).map((f) => `${name}: ${f}`));
        await page.keyboard.press('Escape');
        await page.getByRole('dialog').waitFor({ state: 'hidden' });
      }
      assert.deepEqual(all, []);
    }));

test('each control has a name, and its focus is seen', () =>
  paged(browser, { expected }, async (page) => {
    const all = [];
    for (const [name, path] of Object.entries(places)) {
      await page.goto(grove.url + path);
      await drawn(page);
      await page.locator('main').focus();
      const seen = new Set();
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press('Tab');
        const it = await page.evaluate(() => {
          const e = document.activeElement;
          if (!e || e === document.body) return undefined;
          const style = getComputedStyle(e);
          const ring = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1) || style.boxShadow !== 'none' || [...e.querySelectorAll('*')].some((c) => getComputedStyle(c).stroke.includes('98, 214'));
          const box = e.getBoundingClientRect();
          const label = e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.labels?.[0]?.textContent || e.textContent || e.title || '';
          return { what: `${e.tagName.toLowerCase()}.${e.className} "${label.trim().slice(0, 40)}"`, ring, named: label.trim() !== '', sees: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth, small: Math.min(box.width, box.height) < 1 };
        });
        if (!it || seen.has(it.what)) break;
        seen.add(it.what);
        if (!it.named) all.push(`${name}: ${it.what} has no name`);
        if (!it.ring) all.push(`${name}: ${it.what} has the focus, and nobody sees it`);
        if (!it.sees || it.small) all.push(`${name}: ${it.what} has the focus out of sight`);
      }
    }
    assert.deepEqual(all, []);
  }));

// 200 % zoom of 1440 pixels is a window of 720 with twice the pixels; 320 is WCAG's own for reflow.
for (const [width, deviceScaleFactor] of [[720, 2], [400, 1], [320, 1]])
  test(`nothing scrolls sideways at ${width} px`, () =>
    paged(browser, { expected, viewport: { width, height: 800 }, deviceScaleFactor }, async (page) => {
      const all = [];
      for (const [name, path] of Object.entries(places)) {
        await page.goto(grove.url + path);
        await drawn(page);
        const over = await sideways(page);
        if (over) all.push(`${name}: ${over}`);
      }
      assert.deepEqual(all, []);
    }));

test('targets are large enough for a finger at 400 px', () =>
  paged(browser, { expected, viewport: { width: 400, height: 800 }, hasTouch: true }, async (page) => {
    const all = [];
    for (const [name, path] of Object.entries(places)) {
      await page.goto(grove.url + path);
      await drawn(page);
      const small = await page.evaluate(() =>
        [...document.querySelectorAll('button, select, input, [role=tab], nav a, a.button')]
          .filter((e) => e.checkVisibility() && !e.closest('.visually-hidden'))
          .map((e) => [e, e.closest('label')?.getBoundingClientRect() ?? e.getBoundingClientRect()])
          .filter(([, b]) => b.width > 1 && (b.width < 24 || b.height < 24))
          .map(([e, b]) => `${e.tagName.toLowerCase()} "${(e.getAttribute('aria-label') || e.textContent).trim().slice(0, 30)}" ${Math.round(b.width)}×${Math.round(b.height)}`));
      all.push(...[...new Set(small)].slice(0, 5).map((s) => `${name}: ${s}`));
    }
    assert.deepEqual(all, []);
  }));

test('reduced motion and the theme by choice are held to', () =>
  paged(browser, { reducedMotion: 'reduce' }, async (page) => {
    await page.goto(`${grove.url}/t/${id}`);
    await drawn(page);
    assert.equal(await page.evaluate(() => document.getAnimations().filter((a) => a.effect.getComputedTiming().duration > 1).length), 0);
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.getByLabel('Colours').selectOption('dark');
    assert.notEqual(await ground(), light);
    await page.reload();
    await drawn(page);
    assert.notEqual(await ground(), light);
  }));
