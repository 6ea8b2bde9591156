// How a store in SQLite fails. It has a file of its own, so that the declarations of the public
// module lead to none that names `node:sqlite`: an app may lack those types.

import { WALError } from "../errors.ts";

/**
 * SQLite failed, or its database is not a store. Code `SQLITE`. The failed call changed nothing in
 * the store.
 */
export class SQLiteStoreError extends WALError {
  /** The class's name, as messages show it. */
  override name = "SQLiteStoreError";
  /** The database, as it was given. */
  readonly path: string;

  /** Made by the store. */
  constructor(path: string, message: string, options?: ErrorOptions) {
    super("SQLITE", message, options);
    this.path = path;
  }
}
