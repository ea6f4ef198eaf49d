// Bundles what draws the dashboards, in the folder that has node_modules.
import { build } from 'esbuild';
const assets = Object.fromEntries(['.svg', '.woff2', '.woff', '.ttf', '.png', '.gif'].map((one) => [one, 'dataurl']));
await build({
  entryPoints: ['entry.tsx'],
  bundle: true,
  outfile: 'bundle.js',
  format: 'iife',
  platform: 'browser',
  define: { 'process.env.NODE_ENV': '"production"', 'process.env.NODE_DEBUG': '""', global: 'window' },
  loader: assets,
  mainFields: ['module', 'browser', 'main'],
  alias: { 'react-router-dom-v5-compat': 'react-router-dom' },
  jsx: 'automatic',
  banner: { js: 'window.process = window.process || { env: {} };' },
  logLevel: 'error',
});
