// The package as its users get it, by itself: imported by URL in Deno, installed from a tarball in
// Bun.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { PROJECT_URL, runCommand, runtimeBinary } from "./support/child.ts";
import { assertImportsOwnFiles, runWithServer, serveModules } from "./support/module_server.ts";
import { runtime } from "./support/runtime.ts";
import { type TempDir, tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";
import { skipWithoutTsc, typeErrors } from "./support/tsc.ts";

interface PackageJson {
  name: string;
  version: string;
  license: string;
  exports: Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies: Record<string, string>;
}

const PROJECT = fileURLToPath(PROJECT_URL);
const packageJson: PackageJson = JSON.parse(read("package.json"));
const denoJson = JSON.parse(read("deno.json"));
const hasNpm = spawnSync("npm", ["--version"], { stdio: "ignore" }).status === 0;

function read(path: string): string {
  return readFileSync(new URL(path, PROJECT_URL), "utf8");
}

/**
 * What a user's first program does: log, make durable, read back, then close and find all of it
 * again.
 */
function program(wal: string, memoryStore: string, sqliteStore: string): string {
  return `
    import process from "node:process";
    import { WAL } from ${JSON.stringify(wal)};
    import { MemoryStore } from ${JSON.stringify(memoryStore)};
    ${sqliteStore === "" ? "" : `import { SQLiteStore } from ${JSON.stringify(sqliteStore)};`}

    const [path, databasePath] = process.argv.slice(2) as [string, string];
    {
      await using wal = await WAL.open(path, { size: 65536 });
      await wal.logInsert(1, 2, 3, 4);
      wal.logInsertSync(5n, 6n, 7n, 8n);
      wal.flush();
    }
    await using wal = await WAL.open(path);
    for (const record of wal.replay()) console.log(record.lsn, record.keyHigh, record.valueLow);

    const store = ${sqliteStore === "" ? "new MemoryStore()" : "new SQLiteStore(databasePath)"};
    const stop = new AbortController();
    const consuming = wal.consumeAsync(store, { signal: stop.signal });
    await wal.logInsert(9, 10, 11, 12);
    while (wal.stats().applied < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    stop.abort();
    await consuming;
    console.log("applied", wal.stats().applied);
  `;
}

const PROGRAM_OUTPUT = "1 1n 4n\n2 5n 8n\napplied 3\n";

test("package.json and deno.json say the same", () => {
  const { name, version, license, exports, devDependencies } = packageJson;
  const { "./package.json": _, ...modules } = exports;
  assertEquals({ name, version, license, exports: modules }, {
    name: denoJson.name,
    version: denoJson.version,
    license: denoJson.license,
    exports: denoJson.exports,
  });
  for (const [name, target] of Object.entries<string>(denoJson.imports)) {
    if (!target.startsWith("npm:")) continue;
    const npmName = name.replace(/\/$/, "");
    assertStringIncludes(target, `${npmName}@${devDependencies[npmName]}`);
  }
});

test("package.json has no runtime dependency and pins what development needs", () => {
  assertEquals(packageJson.dependencies, undefined);
  for (const [name, version] of Object.entries(packageJson.devDependencies)) {
    assert(/^\d+\.\d+\.\d+$/.test(version), `${name}: ${version} is one version`);
  }
});

test("package-lock.json names no registry", () => {
  const { packages } = JSON.parse(read("package-lock.json")) as { packages: Record<string, { resolved?: string }> };
  for (const [path, { resolved }] of Object.entries(packages)) assertEquals(resolved, undefined, path);
});

test("CHANGELOG.md has a section for the version of package.json", () => {
  assertStringIncludes(read("CHANGELOG.md"), `## [${packageJson.version}]`);
});

test("mod.ts imports nothing but the project's files and node:", () => {
  assertImportsOwnFiles(Object.values<string>(denoJson.exports));
});

test("mod.ts is imported by URL in a Deno program, and needs only ffi and its own files", async () => {
  using directory = tempDir();
  await using server = await serveModules();
  const base = `http://${server.origin}`;
  writeFileSync(directory.join("app.ts"), program(`${base}/mod.ts`, `${base}/src/stores/memory.ts`, ""));

  const flags = ["--allow-ffi", `--allow-read=${directory.path}`, `--allow-write=${directory.path}`];
  const result = await runWithServer(server, directory, flags, [directory.join("app.ts"), directory.join("first.wal")]);

  assertEquals(result.stderr.split("\n").filter((line) => line !== "" && !line.includes("Download")), []);
  assertEquals([result.code, result.stdout], [0, PROGRAM_OUTPUT]);
  assert(![...server.requested].some((path) => path.includes("testing") || path.includes("sqlite")));
}, { skip: runtime !== "deno" && "import by URL is Deno's" });

/** Packs the project as `npm publish` would and returns the tarball's path and the files in it. */
async function pack(into: string): Promise<{ tarball: string; files: string[] }> {
  const result = await runCommand(
    ["npm", "pack", "--json", "--ignore-scripts", `--pack-destination=${into}`],
    { cwd: PROJECT },
  );
  assertEquals(result.code, 0, result.stderr);
  const parsed = JSON.parse(result.stdout);
  // A list up to npm 11, an object by name after it.
  const { filename, files } = (Array.isArray(parsed) ? parsed : Object.values(parsed))[0] as {
    filename: string;
    files: { path: string }[];
  };
  return { tarball: `${into}/${filename}`, files: files.map(({ path }) => path) };
}

test("package.json packs the modules, the papers and nothing else", async () => {
  using directory = tempDir();
  const { files } = await pack(directory.path);
  const papers = ["package.json", "README.md", "LICENSE", "CHANGELOG.md"];
  for (const path of [...papers, ...Object.values<string>(denoJson.exports).map((path) => path.slice(2))]) {
    assert(files.includes(path), `${path} is in the tarball`);
  }
  const expected = /^(mod\.ts|testing\.ts|(ffi|src)\/[\w/]+\.ts|docs\/[\w/]+\.(md|svg)|examples\/[\w/]+\.ts)$/;
  assertEquals(files.filter((path) => !papers.includes(path) && !expected.test(path)), []);
}, { skip: !hasNpm && "npm is not installed" });

/** The paths that a Markdown text links to, outside its code. */
function linksOf(markdown: string): string[] {
  const prose = markdown.replaceAll(/^```[^]*?^```$/gm, "").replaceAll(/`[^`]*`/g, "");
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target.replace(/#.*$/, ""));
  return targets.filter((target) => target !== "" && !/^[a-z]+:/.test(target));
}

test("README.md links to files in the tarball, or to what it calls only in the repository", async () => {
  using directory = tempDir();
  const { files } = await pack(directory.path);
  const readme = read("README.md");
  const links = linksOf(readme);
  const elsewhere = linksOf(/^Only in the repository[^]*?(\n\n|$)/m.exec(readme)?.[0] ?? "");
  assert(links.length > 15 && elsewhere.length > 0);
  const isIn = (path: string, places: readonly string[]) =>
    places.some((place) => path === place || path.startsWith(`${place}/`));
  for (const path of links) {
    assert(existsSync(new URL(path, PROJECT_URL)), `${path} exists`);
    const isPacked = files.some((file) => isIn(file, [path]));
    assertEquals(isPacked, !isIn(path, elsewhere), `${path} is in the tarball, or said not to be`);
  }
}, { skip: !hasNpm && "npm is not installed" });

/** Unpacks the tarball into `node_modules` of a directory; returns the files in it. */
async function unpack(into: TempDir): Promise<string[]> {
  const { tarball, files } = await pack(into.path);
  const target = into.join(`node_modules/${packageJson.name}`);
  mkdirSync(target, { recursive: true });
  const unpacked = await runCommand(["tar", "-xzf", tarball, "--strip-components=1", "-C", target]);
  assertEquals(unpacked.code, 0, unpacked.stderr);
  return files;
}

/**
 * What an app may ask of its compiler: `@tsconfig/strictest` and its like, and types that can be
 * erased, as Node erases them. The declarations that TypeScript itself brings are not checked.
 */
const STRICTEST = {
  strict: true,
  allowUnreachableCode: false,
  allowUnusedLabels: false,
  checkJs: true,
  erasableSyntaxOnly: true,
  esModuleInterop: true,
  exactOptionalPropertyTypes: true,
  isolatedModules: true,
  noFallthroughCasesInSwitch: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noPropertyAccessFromIndexSignature: true,
  noUncheckedIndexedAccess: true,
  noUncheckedSideEffectImports: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  skipLibCheck: true,
  verbatimModuleSyntax: true,
};

/** Settings that an app has for other reasons, with which the sources must be right as well. */
const SETTINGS = {
  "as a bundler resolves": { module: "Preserve", target: "ESNext" },
  "as Node resolves": { module: "NodeNext", target: "ESNext" },
  "with older class fields": { module: "Preserve", target: "ESNext", useDefineForClassFields: false },
  "with a library of no DOM": { module: "Preserve", target: "ESNext", lib: ["ESNext"] },
};

test("tsconfig.json and every module agree by the strictest options that an app's compiler has", async () => {
  using directory = tempDir();
  const files = await unpack(directory);
  const sources = files.filter((path) => path.endsWith(".ts") && !path.startsWith("examples/"));
  const { name } = packageJson;
  const modules = Object.keys(denoJson.exports).map((path) => name + path.slice(1));
  mkdirSync(directory.join("node_modules/@types"));
  symlinkSync(`${PROJECT}node_modules/bun-types`, directory.join("node_modules/@types/bun"));
  assert(modules.length > 3 && sources.length > 50);
  writeFileSync(directory.join("package.json"), JSON.stringify({ name: "app", type: "module" }));
  const imported = [...modules, ...sources.map((path) => `./node_modules/${name}/${path}`)];
  writeFileSync(directory.join("every.ts"), imported.map((path) => `import ${JSON.stringify(path)};\n`).join(""));
  for (const [title, settings] of Object.entries(SETTINGS)) {
    const compilerOptions = {
      ...STRICTEST,
      ...settings,
      noEmit: true,
      allowImportingTsExtensions: true,
      types: ["bun"],
    };
    writeFileSync(directory.join("tsconfig.json"), JSON.stringify({ compilerOptions, files: ["every.ts"] }));
    assertEquals(await typeErrors(directory.path), [], title);
  }
}, {
  skip: !hasNpm ? "npm is not installed" : skipWithoutTsc,
});

/**
 * Makes a directory a Bun app, `app.ts`, that has the tarball and nothing else.
 *
 * @returns the files in the tarball.
 */
async function makeBunApp(directory: TempDir, env: Readonly<Record<string, string>>): Promise<string[]> {
  const { tarball, files } = await pack(directory.path);
  writeFileSync(directory.join("package.json"), JSON.stringify({ name: "app", type: "module" }));
  const { name } = packageJson;
  writeFileSync(directory.join("app.ts"), program(name, `${name}/stores/memory`, `${name}/stores/sqlite`));
  const added = await runCommand([runtimeBinary(), "add", tarball], { cwd: directory.path, env });
  assertEquals(added.code, 0, added.stderr);
  assertEquals(readdirSync(directory.join("node_modules", name.split("/")[0]!)), [name.split("/")[1]!]);
  return files;
}

/** An empty cache of its own, so that no earlier tarball of this version is found in its place. */
function ownCache(directory: TempDir): Readonly<Record<string, string>> {
  return { BUN_INSTALL_CACHE_DIR: directory.join(".cache") };
}

test("a Bun program adds the tarball in an empty directory and runs", async () => {
  using directory = tempDir();
  const env = ownCache(directory);
  await makeBunApp(directory, env);
  const result = await runCommand(
    [runtimeBinary(), "run", "app.ts", directory.join("first.wal"), directory.join("store.sqlite")],
    { cwd: directory.path, env },
  );
  assertEquals([result.code, result.stdout, result.stderr], [0, PROGRAM_OUTPUT, ""]);
}, { skip: runtime !== "bun" ? "bun add is Bun's" : !hasNpm && "npm is not installed" });

test("the types of a Bun app that has the tarball are right by the settings that bun init writes", async () => {
  using directory = tempDir();
  // It fails to install the types it asks for, because it may download nothing, but has written the
  // settings by then.
  const env = { ...ownCache(directory), BUN_CONFIG_REGISTRY: "http://localhost:9" };
  await runCommand([runtimeBinary(), "init", "--yes"], { cwd: directory.path, env });
  assertStringIncludes(readFileSync(directory.join("tsconfig.json"), "utf8"), '"noUncheckedIndexedAccess": true');
  const files = await makeBunApp(directory, env);
  mkdirSync(directory.join("node_modules/@types"));
  symlinkSync(`${PROJECT}node_modules/bun-types`, directory.join("node_modules/@types/bun"));
  const { name } = packageJson;
  const modules = Object.keys(denoJson.exports).map((path) => name + path.slice(1));
  const sources = files.filter((path) => path.endsWith(".ts")).map((path) => `./node_modules/${name}/${path}`);
  assert(modules.length > 3 && sources.length > 50);
  writeFileSync(
    directory.join("every.ts"),
    [...modules, ...sources].map((path) => `import ${JSON.stringify(path)};\n`).join(""),
  );
  assertEquals(await typeErrors(directory.path), []);
}, {
  skip: runtime !== "bun" ? "bun init is Bun's" : !hasNpm ? "npm is not installed" : skipWithoutTsc,
});
