// The reference as `deno doc` prints it: everything that is public is there. It leaves out methods
// that share a name, static or not, unless they have signatures of their own.

import { assert, assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { PROJECT_URL, runCommand, runtimeBinary } from "./support/child.ts";
import { runtime } from "./support/runtime.ts";
import { test } from "./support/test.ts";

interface Member {
  readonly name: string;
  readonly isStatic?: boolean;
}

interface Declaration {
  readonly kind: string;
  readonly def?: { readonly methods?: readonly Member[]; readonly properties?: readonly Member[] };
}

interface Symbol {
  readonly name: string;
  readonly declarations: readonly Declaration[];
}

const EXPORTS: Record<string, string> = JSON.parse(readFileSync(new URL("deno.json", PROJECT_URL), "utf8")).exports;
/** All entries but the program, which has no reference. */
const MODULES = Object.entries(EXPORTS).filter(([name]) => name !== "./cidwal").map(([, module]) => module);
const INSTALLED = fileURLToPath(new URL("node_modules/.bin/deno", PROJECT_URL));
const DENO = runtime === "deno" ? runtimeBinary() : existsSync(INSTALLED) ? INSTALLED : "deno";
const skip = spawnSync(DENO, ["--version"], { stdio: "ignore" }).status !== 0 && "Deno is not installed";

async function reference(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand([DENO, "doc", ...args], { cwd: fileURLToPath(PROJECT_URL) });
  assertEquals(code, 0, stderr);
  return stdout;
}

/**
 * What the printed reference says of a class or interface: its line, and those indented below it.
 */
function sectionOf(text: string, kind: string, name: string): string {
  const start = new RegExp(`^(abstract )?${kind} ${name}\\b.*$`, "m").exec(text);
  assert(start !== null, `${kind} ${name} is in the reference`);
  const rest = text.slice(start.index + start[0].length);
  const end = /^\S/m.exec(rest);
  return end === null ? rest : rest.slice(0, end.index);
}

/** Whether a section has a line for a member. */
function shows(section: string, { name, isStatic = false }: Member): boolean {
  const modifiers = "(async |readonly |override |abstract |get |set |\\*)*";
  return new RegExp(`^  ${isStatic ? "static " : ""}${modifiers}${RegExp.escape(name)}[?(<:]`, "m").test(section);
}

test("deno doc shows each public member of each class and interface, static ones too", async () => {
  let members = 0;
  for (const module of MODULES) {
    const text = await reference(module);
    const { nodes } = JSON.parse(await reference("--json", module)) as { nodes: Record<string, { symbols: Symbol[] }> };
    const symbols = Object.values(nodes).flatMap((node) => node.symbols);
    assert(symbols.length > 0);
    for (const { name, declarations } of symbols) {
      for (const { kind, def = {} } of declarations) {
        if (kind !== "class" && kind !== "interface") continue;
        const section = sectionOf(text, kind, name);
        for (const member of [...def.methods ?? [], ...def.properties ?? []]) {
          members++;
          assert(shows(section, member), `${module}: ${name} shows ${member.isStatic ? "static " : ""}${member.name}`);
        }
      }
    }
  }
  assert(members > 200);
}, { skip });

test("deno doc shows both WAL.open() and wal.open(), each once", async () => {
  const section = sectionOf(await reference("mod.ts"), "class", "WAL");
  assertEquals(section.match(/^ {2}(static )?open\(.*$/gm), [
    "  static open(path: string | URL | null, options?: WALOptions): WAL",
    "  open(): void",
  ]);
}, { skip });
