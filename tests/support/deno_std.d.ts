// Deno's standard library on npm has no types; support/assert.ts gives them.

declare module "deno-std/assert/mod.js";
