// A server as Deno imports from: the project's modules on the loopback interface, and nothing else.

import { assert } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type ChildResult, PROJECT_URL, runCommand, runtimeBinary } from "./child.ts";
import type { TempDir } from "./temp.ts";

/** A running server; disposing it stops it. */
export interface ModuleServer extends AsyncDisposable {
  /** Its address and port, without the scheme. */
  readonly origin: string;
  /** The paths that it was asked for. */
  readonly requested: ReadonlySet<string>;
}

/** Starts a server on a free port. */
export async function serveModules(): Promise<ModuleServer> {
  const requested = new Set<string>();
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname.slice(1);
    requested.add(path);
    const file = new URL(path, PROJECT_URL);
    if (/^(mod|testing|(ffi|src)\/[\w/]+)\.ts$/.test(path) && existsSync(file)) {
      response.writeHead(200, { "content-type": "application/typescript" }).end(readFileSync(file, "utf8"));
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    requested,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Runs a program with Deno that imports from the server: no configuration, a new cache. */
export function runWithServer(
  { origin }: ModuleServer,
  directory: TempDir,
  flags: readonly string[],
  program: readonly string[],
): Promise<ChildResult> {
  const own = ["--no-config", "--no-prompt", "--no-lock", `--reload=http://${origin}`, `--allow-import=${origin}`];
  return runCommand([runtimeBinary(), "run", ...own, ...flags, ...program], {
    cwd: directory.path,
    env: { DENO_DIR: directory.join("cache") },
  });
}

/**
 * Throws if a module, or one that it leads to, imports what is neither a file of the project nor
 * built in.
 *
 * @returns the modules.
 */
export function assertImportsOwnFiles(entries: readonly string[]): ReadonlySet<string> {
  const seen = new Set<string>();
  const visit = (url: URL) => {
    if (seen.has(url.href)) return;
    seen.add(url.href);
    const source = readFileSync(url, "utf8");
    for (const [, specifier] of source.matchAll(/(?:^|\n)(?:import|export)\b[^;]*?\bfrom "([^"]+)"/g)) {
      if (specifier!.startsWith("node:")) continue;
      assert(/^\.\.?\//.test(specifier!), `${url.pathname} imports ${specifier}`);
      visit(new URL(specifier!, url));
    }
  };
  for (const path of entries) visit(new URL(path, PROJECT_URL));
  return seen;
}
