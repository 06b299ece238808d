import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Plugin } from 'vite';

/** The licence texts of the packages whose code is in the built files, one after the other: licences.txt. A package without one is an error. */
export function licences(): Plugin {
  const found = new Map<string, string>();
  return {
    name: 'licences',
    generateBundle(_, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== 'chunk') continue;
        for (const id of chunk.moduleIds) {
          const file = id.replace(/^\0/, '').replace(/\?.*$/, '');
          if (!file.includes('/node_modules/')) continue;
          let dir = dirname(file);
          while (!existsSync(join(dir, 'package.json')) || !readPackage(dir).version) dir = dirname(dir);
          const { name, version } = readPackage(dir);
          const text = readdirSync(dir).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
          if (!text) throw new Error(`${name} has no licence text`);
          found.set(`${name} ${version}`, readFileSync(join(dir, text), 'utf8').trim());
        }
      }
      if (!found.size) return; // of the worker's own build, whose packages are told with the page's
      const line = '='.repeat(80);
      const source = [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([of, text]) => `${line}\n${of}\n${line}\n\n${text}\n`);
      this.emitFile({ type: 'asset', fileName: 'licences.txt', source: source.join('\n') });
    },
  };
}

const readPackage = (dir: string): { name?: string; version?: string } => JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as { name?: string; version?: string };
