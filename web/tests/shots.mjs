// Pictures of every screen, to look at: node tests/shots.mjs DIRECTORY [NAME…].

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { browse } from './browser.mjs';
import { cluster } from './cluster.mjs';
import { drawn, filled } from './places.mjs';

const [dir = 'shots', ...only] = process.argv.slice(2);
await mkdir(dir, { recursive: true });
const [browser, grove] = await Promise.all([browse(), cluster()]);
try {
  const { places } = await filled(grove);
  for (const colorScheme of ['light', 'dark'])
    for (const width of [1440, 900, 400]) {
      const context = await browser.newContext({ viewport: { width, height: width < 600 ? 800 : 900 }, colorScheme });
      const page = await context.newPage();
      for (const [name, path] of Object.entries(places)) {
        if (only.length && !only.includes(name)) continue;
        await page.goto(grove.url + path);
        await drawn(page);
        await page.waitForTimeout(700); // for what a picture alone needs: the layout of a worker, bars that grow
        await page.screenshot({ path: join(dir, `${name}-${width}-${colorScheme}.png`) });
      }
      await context.close();
    }
} finally {
  await browser.close();
  await grove.stop();
}
