// The version that `--version` says. A test compares it with package.json, which a program that was
// imported by URL cannot read.

/** The package's version. */
export const VERSION = "0.1.0";
