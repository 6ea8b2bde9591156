// What an import map is to Deno, for Node: `node --import ./tests/support/node_imports.ts`. The
// package's own name means the sources, as in a checkout everywhere. The rest of what tests import
// is in node_modules.

import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";

const project = new URL("../../", import.meta.url);
const { name, exports } = JSON.parse(readFileSync(new URL("deno.json", project), "utf8")) as {
  name: string;
  exports: Record<string, string>;
};

const sources = new Map([
  ["@std/assert", new URL("./assert.ts", import.meta.url).href],
  ...Object.entries(exports).map(([entry, path]): [string, string] => [
    `${name}${entry.slice(1)}`,
    new URL(path, project).href,
  ]),
]);

registerHooks({
  resolve: (specifier, context, next) => next(sources.get(specifier) ?? specifier, context),
});
