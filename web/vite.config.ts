import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { licences } from './licences.ts';

const bundled = licences(); // one for the page and its worker

// The files are embedded in the binary (api/page), and CI compares them with what the sources make: nothing in them may depend on when or where they are built.
export default defineConfig({
  plugins: [svelte(), bundled],
  base: '/page/',
  publicDir: 'public',
  build: {
    target: 'es2022',
    outDir: '../api/page/static',
    emptyOutDir: true,
    assetsDir: 'assets',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    sourcemap: false,
  },
  worker: { format: 'es', plugins: () => [bundled] },
  server: { host: '127.0.0.1', proxy: Object.fromEntries(['/taskgrove.v1', '/login', '/logout'].map((path) => [path, { target: process.env.TASKGROVE_URL ?? 'http://127.0.0.1:8000', changeOrigin: true }])) },
});
