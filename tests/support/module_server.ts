// Servers on the loopback interface: the project's modules as Deno imports them by URL, and its
// tarball as a registry of npm has it.

import { assert } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type ChildResult, PROJECT_URL, runCommand, runtimeBinary } from "./child.ts";
import { packageJson } from "./packed.ts";
import type { TempDir } from "./temp.ts";

/** A running server; disposing it stops it. */
export interface ModuleServer extends AsyncDisposable {
  /** Its address and port, without the scheme. */
  readonly origin: string;
  /** The paths that it was asked for. */
  readonly requested: ReadonlySet<string>;
}

/** What a server sends: a body and its type; null if it has none. */
type Answer = { readonly type: string; readonly body: string | Uint8Array } | null;

/** Starts a server on a free port. */
async function serve(answer: (path: string, origin: string) => Answer): Promise<ModuleServer> {
  const requested = new Set<string>();
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname.slice(1));
    requested.add(path);
    const found = answer(path, origin);
    if (found === null) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": found.type }).end(found.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    requested,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Serves the project's modules. */
export function serveModules(): Promise<ModuleServer> {
  return serve((path) => {
    const file = new URL(path, PROJECT_URL);
    if (!/^(mod|testing|(cli|ffi|src)\/[\w/]+)\.ts$/.test(path) || !existsSync(file)) return null;
    return { type: "application/typescript", body: readFileSync(file, "utf8") };
  });
}

/** Serves a tarball as a registry that has one version of one package. */
export function serveRegistry(tarball: string): Promise<ModuleServer> {
  const body = readFileSync(tarball);
  const integrity = `sha512-${createHash("sha512").update(body).digest("base64")}`;
  const { name, version } = packageJson;
  return serve((path, origin) => {
    if (path === "package.tgz") return { type: "application/octet-stream", body };
    if (path !== name) return null;
    const manifest = { ...packageJson, dist: { tarball: `http://${origin}/package.tgz`, integrity } };
    const document = { name, "dist-tags": { latest: version }, versions: { [version]: manifest } };
    return { type: "application/json", body: JSON.stringify(document) };
  });
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
