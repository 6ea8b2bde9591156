// The types of Bun, for tsc; Deno brings its own.

/// <reference types="bun-types" />
