// The package as it is packed: its files, its maps, its types; and the modules as Deno imports them
// by URL.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { homedir, tmpdir } from "node:os";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { VERSION } from "../cli/version.ts";
import { findRuntime, plainEnvironment } from "../scripts/tools.ts";
import { PROJECT_URL } from "./support/child.ts";
import { makeLog } from "./support/cidwal.ts";
import { assertImportsOwnFiles, runWithServer, serveModules } from "./support/module_server.ts";
import { entries, packageJson, readmePrograms, skipWithoutPacking, unpackInto } from "./support/packed.ts";
import { runtime } from "./support/runtime.ts";
import { type TempDir, tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";
import { typeErrors } from "./support/tsc.ts";

const PROJECT = fileURLToPath(PROJECT_URL);
const denoJson = JSON.parse(read("deno.json"));

function read(path: string): string {
  return fs.readFileSync(new URL(path, PROJECT_URL), "utf8");
}

test("package.json and deno.json say the same", () => {
  const { name, version, license, exports, devDependencies } = packageJson;
  assertEquals(VERSION, version);
  const built = Object.entries<string>(denoJson.exports).map(([entry, source]) => {
    const path = source.replace(/^\.\/(.*)\.ts$/, "./dist/$1");
    return [entry, { types: `${path}.d.ts`, default: `${path}.js` }];
  });
  assertEquals({ name, version, license, exports }, {
    name: denoJson.name,
    version: denoJson.version,
    license: denoJson.license,
    exports: { ...Object.fromEntries(built), "./package.json": "./package.json" },
  });
  for (const [name, target] of Object.entries<string>(denoJson.imports)) {
    if (!target.startsWith("npm:")) continue;
    const npmName = name.replace(/\/$/, "");
    assertStringIncludes(target, `${npmName}@${devDependencies[npmName]}`);
  }
});

test("package.json has the scripts that deno.json has as tasks, and both lint the documentation of every entry", () => {
  const { prepack, ...scripts } = packageJson.scripts;
  assertStringIncludes(prepack!, "tsconfig.build.json");
  const tasks: Record<string, string | { command: string }> = denoJson.tasks;
  assertEquals(Object.keys(scripts).sort(), Object.keys(tasks).sort());
  for (const task of [tasks["doc"]!, scripts["doc"]!]) {
    const words = (typeof task === "string" ? task : task.command).split(" ");
    assertEquals(words.filter((word) => word.endsWith(".ts")).sort(), Object.values(entries).sort());
  }
});

test("package.json packs what deno.json publishes, and what is built of that", () => {
  // npm takes the README, the licence and package.json itself without being told.
  const packed = [...packageJson.files, "README.md", "LICENSE"].filter((path) => path !== "dist");
  const published: string[] = denoJson.publish.include;
  const place = (path: string) => path.replace(/\/\*.*$/, "");
  assertEquals(packed.map(place).sort(), published.map(place).sort());
});

test("package.json has no runtime dependency and no install script, and pins what development needs", () => {
  assertEquals(packageJson.dependencies, undefined);
  assertEquals(Object.keys(packageJson.scripts).filter((name) => /install|^prepare$/.test(name)), []);
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
  fs.writeFileSync(
    directory.join("app.ts"),
    `
    import { consume, WAL } from "${base}/mod.ts";
    import { MemoryStore } from "${base}/src/stores/memory.ts";
    {
      await using wal = WAL.open("first.wal", { size: 65536 });
      await wal.logInsert(1, 2, 3, 4);
      wal.logInsertSync(5n, 6n, 7n, 8n);
    }
    await using wal = WAL.open("first.wal");
    console.log(...wal.replay().map(({ lsn, keyHigh, valueLow }) => \`\${lsn} \${keyHigh} \${valueLow}\`));
    const store = new MemoryStore();
    const consumer = consume(wal, store);
    await wal.logInsert(9, 10, 11, 12);
    await wal.whenApplied();
    await consumer.stop();
    console.log(store.keyCount);
  `,
  );

  const flags = ["--allow-ffi", `--allow-read=${directory.path}`, `--allow-write=${directory.path}`];
  const result = await runWithServer(server, directory, flags, [directory.join("app.ts")]);

  assertEquals(result.stderr.split("\n").filter((line) => line !== "" && !line.includes("Download")), []);
  assertEquals([result.code, result.stdout], [0, "1 1 4 2 5 8\n3\n"]);
  assert(![...server.requested].some((path) => path.includes("testing") || path.includes("sqlite")));
}, { skip: runtime !== "deno" && "import by URL is Deno's" });

test("package.json packs the sources, what is built of each, the papers and nothing else", async () => {
  using app = tempDir();
  const files = await unpackInto(app);
  const papers = ["package.json", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md"];
  const sources = files.filter((path) => /^((cli|ffi|src)\/[\w/]+|mod|testing)\.ts$/.test(path));
  const built = sources.flatMap((path) => {
    const base = `dist/${path.replace(/\.ts$/, "")}`;
    return [`${base}.js`, `${base}.js.map`, `${base}.d.ts`, `${base}.d.ts.map`];
  });
  for (const source of Object.values(entries)) assert(sources.includes(source), source);
  const others = files.filter((path) => !/^(docs\/[\w-]+\.md|examples\/[\w/]+\.ts)$/.test(path));
  assertEquals(others, [...papers, ...sources, ...built].sort());
}, { skip: skipWithoutPacking });

test("package.json packs maps that lead to the sources, and no path of this machine", async () => {
  using app = tempDir();
  const files = await unpackInto(app);
  const text = (path: string) => fs.readFileSync(app.join("node_modules", packageJson.name, path), "utf8");
  for (const path of files.filter((path) => path.endsWith(".map"))) {
    const { sources, sourceRoot } = JSON.parse(text(path)) as { sources: string[]; sourceRoot: string };
    const source = path.replace(/^dist\/(.*?)(\.d\.ts|\.js)\.map$/, "$1.ts");
    assertEquals([sourceRoot, ...sources.map((to) => posix.join(posix.dirname(path), to))], ["", source], path);
    assert(text(path.slice(0, -".map".length)).endsWith(`//# sourceMappingURL=${posix.basename(path)}`), path);
    for (const place of [PROJECT, homedir(), tmpdir()]) assert(!text(path).includes(place), `${path} names ${place}`);
  }
}, { skip: skipWithoutPacking });

test("package.json's name means the sources in a checkout, whatever was built there", () => {
  for (const [name, source] of Object.entries(entries)) {
    assertEquals(import.meta.resolve(name), new URL(source, PROJECT_URL).href);
  }
});

/** The paths that a Markdown text links to, outside its code. */
function linksOf(markdown: string): string[] {
  const prose = markdown.replaceAll(/^```[^]*?^```$/gm, "").replaceAll(/`[^`]*`/g, "");
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target.replace(/#.*$/, ""));
  return targets.filter((target) => target !== "" && !/^[a-z]+:/.test(target));
}

test("README.md links to files in the tarball, or to what it calls only in the repository", async () => {
  using app = tempDir();
  const files = await unpackInto(app);
  const readme = read("README.md");
  const links = linksOf(readme);
  const elsewhere = linksOf(/^Only in the repository[^]*?(\n\n|$)/m.exec(readme)?.[0] ?? "");
  assert(links.length > 15 && elsewhere.length > 0);
  const isIn = (path: string, places: readonly string[]) =>
    places.some((place) => path === place || path.startsWith(`${place}/`));
  for (const path of links) {
    assert(fs.existsSync(new URL(path, PROJECT_URL)), `${path} exists`);
    const isPacked = files.some((file) => isIn(file, [path]));
    assertEquals(isPacked, !isIn(path, elsewhere), `${path} is in the tarball, or said not to be`);
  }
}, { skip: skipWithoutPacking });

test("package.json has cidwal as a command, which starts as a program does", async () => {
  using app = tempDir();
  await unpackInto(app);
  const { bin } = JSON.parse(read("package.json"));
  assertEquals(Object.keys(bin), ["cidwal"]);
  const built = fs.readFileSync(app.join("node_modules", packageJson.name, bin.cidwal), "utf8");
  assert(built.startsWith("#!/usr/bin/env node\n"));
}, { skip: skipWithoutPacking });

test("cli/main.ts is run by URL in Deno, and needs only to read the log", async () => {
  using directory = tempDir();
  await using server = await serveModules();
  makeLog(directory.join("log"));
  const url = `http://${server.origin}/cli/main.ts`;
  const { stdout, code } = await runWithServer(server, directory, ["--allow-read"], [url, "verify", "log"]);
  assertEquals([code, stdout], [0, "log: clean: closed cleanly\n12 records, LSN 1 to 12\n"]);
}, { skip: runtime !== "deno" && "import by URL is Deno's" });

/** What an app may ask of its compiler: `@tsconfig/strictest`, and checks of declarations. */
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
  skipLibCheck: false,
  verbatimModuleSyntax: true,
};

/**
 * How an app resolves modules, and which types it has: none but the compiler's own, or those of a
 * runtime. The runtimes' own declarations do not pass all checks.
 */
const SETTINGS = {
  "with the least that the package needs": { module: "NodeNext", lib: ["ES2022", "ESNext.Disposable", "DOM"] },
  "as Node 16 resolves": { module: "Node16", lib: ["ESNext", "DOM"] },
  "as a bundler resolves": { module: "Preserve", lib: ["ESNext", "DOM"] },
  "with the types of Node and no DOM": {
    module: "NodeNext",
    lib: ["ES2022"],
    types: ["node"],
    skipLibCheck: true,
  },
  "as bun init writes it": { module: "Preserve", lib: ["ESNext"], types: ["bun"], skipLibCheck: true },
};

/** A program that only a compiler sees: the README's, and a use of types that must be refused. */
function typedProgram(): string {
  const imports = Object.keys(entries).map((name, index) =>
    `import * as entry${index} from ${JSON.stringify(name)};\n`
  );
  const uses = imports.map((_, index) => `void entry${index};\n`);
  // Where the types are lost, nothing is refused, and the compiler says so.
  return `${imports.join("")}${uses.join("")}
    import { type LSN, WAL } from "@cidstore/wal";
    export const last: LSN = WAL.open(null).logInsertSync(1, 2n, 3, 4);
    // @ts-expect-error: a key is no text.
    WAL.open(null).logInsertSync("1", 2n, 3, 4);`;
}

test("package.json exports declarations that are right by the strictest options that an app has", async () => {
  using app = tempDir();
  await unpackInto(app);
  linkTypes(app);
  fs.writeFileSync(app.join("program.ts"), typedProgram());
  fs.writeFileSync(app.join("readme.ts"), readmePrograms()[0]!);
  for (const [title, settings] of Object.entries(SETTINGS)) {
    const compilerOptions = { ...STRICTEST, target: "ES2022", types: [], ...settings, noEmit: true };
    // The README prints, and only a runtime's types and the DOM's have a console.
    fs.writeFileSync(
      app.join("tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["program.ts", "readme.ts"] }),
    );
    assertEquals(await typeErrors(app.path), [], title);
  }
}, { skip: skipWithoutPacking });

/** Gives an app the types of Bun and Node, which only those settings read that name them. */
function linkTypes(app: TempDir): void {
  fs.mkdirSync(app.join("node_modules/@types"));
  fs.symlinkSync(`${PROJECT}node_modules/bun-types`, app.join("node_modules/@types/bun"));
  fs.symlinkSync(`${PROJECT}node_modules/@types/node`, app.join("node_modules/@types/node"));
}

/** What `deno doc --json` says, as far as it is asked here. */
interface Documentation {
  readonly nodes: Record<string, { readonly symbols: readonly DocumentedSymbol[] }>;
}
interface DocumentedSymbol {
  readonly name: string;
  readonly declarations: readonly { readonly kind: string }[];
}

const deno = findRuntime("deno");

test("every exported function and class has an example in its documentation, but the errors", () => {
  const modules = Object.values<string>(denoJson.exports);
  const options = { cwd: PROJECT, encoding: "utf8", maxBuffer: 2 ** 28, env: plainEnvironment() } as const;
  const { stdout } = spawnSync(deno!, ["doc", "--json", ...modules], options);
  const { nodes } = JSON.parse(stdout) as Documentation;
  const isCalled = ({ declarations }: DocumentedSymbol) =>
    declarations.some(({ kind }) => kind === "class" || kind === "function");
  const called = Object.values(nodes).flatMap(({ symbols }) => symbols).filter(isCalled);
  for (const name of ["WAL", "WALError", "hexToBytes"]) assert(called.some((symbol) => symbol.name === name), name);
  const bare = called.filter((symbol) => !JSON.stringify(symbol).includes('"kind":"example"'));
  // That of WALError is for all errors. A simulated machine throws the other two.
  const missing = bare.map(({ name }) => name).filter((name) => !name.endsWith("Error"));
  assertEquals(missing.sort(), ["SimulatedCrash", "SimulatedFailure"]);
}, { skip: deno === null && "no deno was found" });
