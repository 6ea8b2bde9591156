// What only a bug in this library can break.

export { assert, WALAssertionError } from "../ffi/assert.ts";
