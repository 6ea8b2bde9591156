// Which runtime runs the tests.

import { runtime } from "../../ffi/runtime.ts";

export { runtime };

/** The runtimes on which everything is tested. */
export type Runtime = typeof runtime;
