// A browser for a test: Debian's Chromium, and pages whose every violation, fault and error fails the test.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { most } from './cluster.mjs';

const executablePath = process.env.TASKGROVE_CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

/** browse starts the browser. */
export async function browse() {
  if (!executablePath) throw new Error('there is no Chromium: tools/need.sh chromium installs it, and TASKGROVE_CHROMIUM names another');
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
}

/**
 * paged gives `work` a page, and fails if the page broke its policy, had an error that nobody caught, or wrote one to the console. `expected` are patterns of what the
 * console may say: Chromium writes each answer that is no success there. The page has `errors`, what it said so far, and `mouse` counts nothing.
 */
export async function paged(browser, { expected = [], ...options }, work) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'light', ...options });
  context.setDefaultTimeout(most);
  context.setDefaultNavigationTimeout(most);
  const errors = [];
  const wrong = (kind, text) => expected.some((e) => e.test(text)) || errors.push(`${kind}: ${text.slice(0, 600)}`);
  await context.addInitScript(() => addEventListener('securitypolicyviolation', (e) => console.error(`policy: ${e.effectiveDirective} of ${e.blockedURI} ${e.sample}`)));
  const watch = (page) => {
    page.on('console', (m) => ['error', 'warning'].includes(m.type()) && wrong(m.type(), `${m.text()} ${m.location().url ?? ''}`));
    page.on('pageerror', (e) => wrong('page error', String(e.stack ?? e)));
    page.on('crash', () => wrong('crash', page.url()));
    page.on('dialog', (d) => (wrong('dialog', d.message()), d.dismiss()));
  };
  context.on('page', watch);
  try {
    const page = await context.newPage();
    await work(page, context);
    assert.deepEqual(errors, [], 'the page wrote errors');
  } catch (err) {
    if (errors.length && err.code !== 'ERR_ASSERTION') err.message += `\nthe page wrote: ${errors.join('\n')}`;
    throw err;
  } finally {
    await context.close();
  }
}

/** What Chromium writes when a request is answered by no success, or not at all. */
export const refusals = { lost: /net::ERR_/, status: (n) => new RegExp(`status of ${n}`) };

/** byTab presses Tab until an element has the focus, as somebody without a mouse gets there. */
export async function byTab(page, locator, key = 'Tab') {
  const places = [];
  for (let i = 0; i < 150; i++) {
    if (await locator.evaluate((e) => e === document.activeElement).catch(() => false)) return;
    await page.keyboard.press(key);
    places.push(await page.evaluate(() => `${document.activeElement?.tagName} ${(document.activeElement?.getAttribute('aria-label') || document.activeElement?.textContent || '').trim().slice(0, 30)}`));
  }
  throw new Error(`Tab does not come to ${locator}: ${places.slice(0, 60).join(' | ')}`);
}

/** sideways is how many pixels the page is wider than its window, and by which element. */
export const sideways = (page) =>
  page.evaluate(() => {
    const root = document.scrollingElement;
    const over = root.scrollWidth - root.clientWidth;
    if (over <= 0) return '';
    const inside = (e) => {
      for (let p = e.parentElement; p && p !== document.body; p = p.parentElement) if (getComputedStyle(p).overflowX !== 'visible') return true;
      return false;
    };
    const wide = [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1 && !inside(e)).slice(-3);
    return `${over} px: ${wide.map((e) => `${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 40)}`).join('; ')}`;
  });
