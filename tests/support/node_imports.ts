// What an import map is to Deno, for Node: `node --import ./tests/support/node_imports.ts`. The
// rest of what tests import is in node_modules.

import { registerHooks } from "node:module";

const ASSERT = new URL("./assert.ts", import.meta.url).href;

registerHooks({
  resolve: (specifier, context, next) => next(specifier === "@std/assert" ? ASSERT : specifier, context),
});
