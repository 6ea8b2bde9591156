// Apps that install the tarball, by each runtime's ways: every entry is imported, the programs of
// the README run, and the package brings nothing else along.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { INSTRUMENTS, SYNC_DURATION } from "../src/metrics/instruments.ts";
import { isRecentNode } from "../scripts/tools.ts";
import { type ChildResult, PROJECT_URL, projectUrl, runCommand, runtimeBinary } from "./support/child.ts";
import { makeLog } from "./support/cidwal.ts";
import { serveRegistry } from "./support/module_server.ts";
import { entries, packageJson, packProject, readmePrograms, skipWithoutPacking, unpackInto } from "./support/packed.ts";
import { type Runtime, runtime } from "./support/runtime.ts";
import { type TempDir, tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

/** How a command finds the registry, and keeps what it loads in the app's directory. */
function installEnvironment(app: TempDir, registry = "http://127.0.0.1:9"): Readonly<Record<string, string>> {
  return {
    NPM_CONFIG_REGISTRY: registry,
    NPM_CONFIG_CACHE: app.join(".npm"),
    NPM_CONFIG_UPDATE_NOTIFIER: "false",
    BUN_INSTALL_CACHE_DIR: app.join(".bun"),
    DENO_DIR: app.join(".deno"),
  };
}

/** Runs an app's command to its end, which must be good. */
async function runIn(app: TempDir, command: readonly string[], registry?: string): Promise<ChildResult> {
  const result = await runCommand(command, { cwd: app.path, env: installEnvironment(app, registry) });
  assertEquals(result.code, 0, `${command.join(" ")}\n${result.stdout}\n${result.stderr}`);
  return result;
}

/** A program that prints what each entry exports. */
function entriesProgram(): string {
  const names = [...Object.keys(entries), `${packageJson.name}/package.json`];
  const imports = names.map((name, index) =>
    `import * as entry${index} from "${name}"${name.endsWith(".json") ? ' with { type: "json" }' : ""};\n`
  );
  const last = names.length - 1;
  const all = names.slice(0, last).map((name, index) => `["${name}", Object.keys(entry${index}).sort()]`);
  return `${imports.join("")}console.log(JSON.stringify([[${all.join(", ")}], entry${last}.default.version]));\n`;
}

/** What that program must print. */
async function entriesOutput(): Promise<string> {
  const all: [string, string[]][] = [];
  for (const [name, source] of Object.entries(entries)) {
    all.push([name, Object.keys(await import(projectUrl(source))).sort()]);
  }
  return `${JSON.stringify([all, packageJson.version])}\n`;
}

/**
 * Tries the package in an app that has just installed it.
 *
 * @param run the command that runs a file, without the file.
 * @param check the command that checks the types of files, if the runtime has one.
 */
async function tryApp(app: TempDir, run: readonly string[], check: readonly string[] = []): Promise<void> {
  const [quickStart, feed] = readmePrograms() as [string, string];
  fs.writeFileSync(app.join("entries.ts"), entriesProgram());
  fs.writeFileSync(app.join("quick_start.ts"), quickStart);
  fs.writeFileSync(app.join("feed.ts"), feed);
  if (check.length > 0) await runIn(app, [...check, "entries.ts", "quick_start.ts", "feed.ts"]);
  const outputs = [await entriesOutput(), "6\n", "12\n", "4\n"];
  for (const [index, file] of ["entries.ts", "quick_start.ts", "quick_start.ts", "feed.ts"].entries()) {
    const { stdout, stderr } = await runIn(app, [...run, file]);
    assertEquals(stdout, outputs[index], `${file}\n${stderr}`);
    assertEquals(linesOf(stderr), [], file);
  }
}

/**
 * Tries the command-line tool on the log that the README's programs have left.
 *
 * @param tool the command that starts it.
 */
async function tryTool(app: TempDir, tool: readonly string[], registry?: string): Promise<void> {
  assertEquals((await runIn(app, [...tool, "--version"], registry)).stdout, `cidwal ${packageJson.version}\n`);
  const { stdout, stderr } = await runIn(app, [...tool, "verify", "example.wal"], registry);
  assertMatch(stdout, /^example\.wal: clean: /);
  assertEquals(linesOf(stderr), []);
}

/** The lines, without Deno's progress and Node's warnings of what is experimental. */
function linesOf(stderr: string): string[] {
  const known = /^(Check|Download|Initialize) |ExperimentalWarning: |^\(Use `node --trace-warnings/;
  return stderr.split("\n").filter((line) => line !== "" && !known.test(line));
}

/** The packages in an app's `node_modules`. */
function installed(app: TempDir): string[] {
  const top = fs.readdirSync(app.join("node_modules")).filter((name) => !name.startsWith("."));
  return top.flatMap((name) =>
    name.startsWith("@") ? fs.readdirSync(app.join("node_modules", name)).map((own) => `${name}/${own}`) : [name]
  );
}

/** An empty app, as `npm init` makes one. */
function newApp(): TempDir {
  const app = tempDir();
  fs.writeFileSync(app.join("package.json"), JSON.stringify({ name: "app", type: "module" }));
  return app;
}

/** Skips a test of one runtime's ways on the others, and where nothing can be packed. */
function onlyOn(wanted: Runtime): string | false {
  return runtime !== wanted ? `this is for ${wanted}` : skipWithoutPacking;
}

const DENO_FLAGS = ["--no-prompt", "--allow-ffi", "--allow-read=.", "--allow-write=."];

test("deno add finds the package in a registry, and it needs only ffi and the app's files", async () => {
  using app = tempDir();
  await using registry = await serveRegistry(await packProject());
  fs.writeFileSync(app.join("deno.json"), "{}");
  await runIn(app, [runtimeBinary(), "add", `npm:${packageJson.name}`], `http://${registry.origin}`);
  const { imports } = JSON.parse(fs.readFileSync(app.join("deno.json"), "utf8"));
  assertEquals(imports, { [packageJson.name]: `npm:${packageJson.name}@^${packageJson.version}` });
  // Deno also asks for the optional peers, and goes on without them.
  const peers = Object.keys(packageJson.peerDependencies);
  assertEquals([...registry.requested].sort(), [...peers, packageJson.name, "package.tgz"].sort());
  await tryApp(app, [runtimeBinary(), "run", ...DENO_FLAGS], [runtimeBinary(), "check"]);
  const tool = [runtimeBinary(), "run", "--no-prompt", "--allow-read=.", `npm:${packageJson.name}/cidwal`];
  await tryTool(app, tool, `http://${registry.origin}`);
}, { skip: onlyOn("deno") });

test("deno run finds the package in node_modules, and it needs only ffi and the app's files", async () => {
  using app = tempDir();
  await unpackInto(app);
  await tryApp(app, [runtimeBinary(), "run", "--node-modules-dir=manual", ...DENO_FLAGS]);
  const flags = ["--node-modules-dir=manual", "--no-prompt", "--allow-read=."];
  await tryTool(app, [runtimeBinary(), "run", ...flags, `npm:${packageJson.name}/cidwal`]);
}, { skip: onlyOn("deno") });

test("bun add takes the tarball, and nothing else with it", async () => {
  using app = newApp();
  await runIn(app, [runtimeBinary(), "add", await packProject()]);
  assertEquals(installed(app), [packageJson.name]);
  await tryApp(app, [runtimeBinary(), "run"]);
  await tryTool(app, [runtimeBinary(), "x", "--bun", "cidwal"]);
  await tryTool(app, [runtimeBinary(), "run", "--bun", "cidwal"]);
}, { skip: onlyOn("bun") });

test("bun add finds the package in a registry, and nothing else with it", async () => {
  using app = newApp();
  await using registry = await serveRegistry(await packProject());
  await runIn(app, [runtimeBinary(), "add", packageJson.name], `http://${registry.origin}`);
  assertEquals(installed(app), [packageJson.name]);
  await tryApp(app, [runtimeBinary(), "run"]);
}, { skip: onlyOn("bun") });

test("bun build puts a program and the package into one file, and leaves out what it does not use", async () => {
  using app = tempDir();
  await unpackInto(app);
  fs.writeFileSync(app.join("app.ts"), readmePrograms()[0]!);
  fs.writeFileSync(
    app.join("key.ts"),
    'import { bytesToHex } from "@cidstore/wal/keys";\nimport { WAL } from "@cidstore/wal";\n' +
      "console.log(bytesToHex(new Uint8Array(16)));\n",
  );
  await runIn(app, [runtimeBinary(), "build", "--target=bun", "--minify", "--outdir=out", "app.ts", "key.ts"]);
  await runIn(app, [runtimeBinary(), "build", "--compile", "--outfile=out/app", "app.ts"]);
  fs.rmSync(app.join("node_modules"), { recursive: true });
  assertEquals((await runIn(app, [runtimeBinary(), "run", "out/app.js"])).stdout, "6\n");
  assertEquals((await runIn(app, [app.join("out/app")])).stdout, "12\n");
  assertEquals((await runIn(app, [runtimeBinary(), "run", "out/key.js"])).stdout, `${"0".repeat(32)}\n`);
  const sizes = ["app.js", "key.js"].map((name) => fs.statSync(app.join("out", name)).size) as [number, number];
  assert(sizes[1] < sizes[0] / 10, `the log is in neither program: ${sizes}`);
}, { skip: onlyOn("bun") });

test("npm install takes the tarball, and nothing else with it", async () => {
  using app = newApp();
  await runIn(app, ["npm", "install", "--offline", await packProject()]);
  assertEquals(installed(app), [packageJson.name]);
  await tryApp(app, [process.execPath]);
  await tryTool(app, [process.execPath, "node_modules/.bin/cidwal"]);
  // By its first line, which finds the Node on the path.
  await tryTool(app, ["npx", "--offline", "cidwal"]);
}, { skip: onlyOn("node") });

test("npm install finds the package in a registry, and nothing else with it", async () => {
  using app = newApp();
  await using registry = await serveRegistry(await packProject());
  await runIn(app, ["npm", "install", packageJson.name], `http://${registry.origin}`);
  assertEquals(installed(app), [packageJson.name]);
  await tryApp(app, [process.execPath]);
}, { skip: onlyOn("node") });

/** The optional peer, and what an application registers with it. */
const OPEN_TELEMETRY = ["api", "core", "resources", "sdk-metrics", "semantic-conventions"];

test(
  "observe() of the installed package needs no @opentelemetry/api, and registers with the application's",
  async () => {
    using app = tempDir();
    await unpackInto(app);
    const run = runtime === "deno" ? ["run", "--node-modules-dir=manual", "--allow-all"] : [];
    const output = async (program: string) => {
      fs.writeFileSync(app.join("app.mjs"), program);
      const { stdout, stderr } = await runIn(app, [runtimeBinary(), ...run, "app.mjs"]);
      assertEquals(linesOf(stderr), []);
      return stdout;
    };
    const alone = await output(`
    import { WAL } from "${packageJson.name}";
    import { observe } from "${packageJson.name}/otel";
    try {
      observe(WAL.open(null));
    } catch (error) {
      console.log(String(error));
    }
  `);
    assertEquals(
      alone,
      "TypeError: Cannot observe a log: no meter is given, and no provider of meters is registered\n",
    );
    for (const name of OPEN_TELEMETRY) {
      const directory = `node_modules/@opentelemetry/${name}`;
      fs.cpSync(fileURLToPath(new URL(directory, PROJECT_URL)), app.join(directory), { recursive: true });
    }
    const registered = await output(`
    import { metrics } from "@opentelemetry/api";
    import * as sdk from "@opentelemetry/sdk-metrics";
    import { WAL } from "${packageJson.name}";
    import { observe } from "${packageJson.name}/otel";
    const exporter = new sdk.InMemoryMetricExporter(sdk.AggregationTemporality.CUMULATIVE);
    const provider = new sdk.MeterProvider({ readers: [new sdk.PeriodicExportingMetricReader({ exporter })] });
    metrics.setGlobalMeterProvider(provider);
    const wal = WAL.open(null);
    const observing = observe(wal);
    await wal.logInsert(1, 2, 3, 4);
    await provider.forceFlush();
    for (const { scope, metrics } of exporter.getMetrics()[0].scopeMetrics) {
      console.log(JSON.stringify([scope.name, scope.version, metrics.map(({ descriptor }) => descriptor.name).sort()]));
    }
    observing[Symbol.dispose]();
    wal.close();
    await provider.shutdown();
  `);
    // The log has no consumer, so there are no figures of one.
    const names = [...INSTRUMENTS, SYNC_DURATION].map(({ name }) => name)
      .filter((name) => !name.startsWith("cidstore.wal.consumer.")).sort();
    assertEquals(JSON.parse(registered), [packageJson.name, packageJson.version, names]);
  },
  { skip: skipWithoutPacking },
);

const nodeVersion = spawnSync("node", ["--version"], { encoding: "utf8" }).stdout ?? "";

test("WAL.open() names the version that is needed on an older Node, where everything can be imported", async () => {
  using app = tempDir();
  await unpackInto(app);
  fs.writeFileSync(
    app.join("app.js"),
    `${Object.keys(entries).map((name) => `import "${name}";\n`).join("")}
    import { WAL, WALPlatformError } from "${packageJson.name}";
    try {
      WAL.open("example.wal");
    } catch (error) {
      console.log(error instanceof WALPlatformError, error.code, error.message);
    }`,
  );
  const { stdout, stderr } = await runIn(app, ["node", "app.js"]);
  assertEquals(stderr, "");
  assertStringIncludes(stdout, "true PLATFORM ");
  assertStringIncludes(stdout, `Node ${packageJson.engines["node"]!.replace(/^>=(.*)\.0$/, "$1")}`);
  assert(!fs.existsSync(app.join("example.wal")));
  // What calls no libc runs there, and the rest says what it needs.
  const tool = ["node", `node_modules/${packageJson.name}/dist/cli/main.js`];
  makeLog(app.join("example.wal"));
  await tryTool(app, tool);
  const backup = await runCommand([...tool, "backup", "example.wal", "new.wal"], { cwd: app.path });
  assertEquals(backup.code, 69);
  assertMatch(backup.stderr, /^cidwal backup: [^\n]*Node 26\.9[^\n]*\n$/);
}, { skip: isRecentNode(nodeVersion) || nodeVersion === "" ? "there is no older Node here" : onlyOn("bun") });
