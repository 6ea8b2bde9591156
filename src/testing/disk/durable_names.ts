// The names of files as power loss would leave them, and the changes that wait to become durable.

import type { SimulatedNode } from "./simulated_tree.ts";

/** A change of names that is not durable yet. */
export interface EntryPiece {
  /** The kind, where other pieces are bytes or sizes. */
  readonly kind: "entry";
  /** As in `link /sim/log`. */
  readonly operation: string;
}

/** A name of a directory that leads to another node, or to none. */
export interface NameChange {
  readonly directory: bigint;
  readonly name: string;
  readonly node: SimulatedNode | null;
}

/** Changes that are made whole or not at all. */
interface Operation {
  readonly text: string;
  readonly changes: readonly NameChange[];
}

/** The durable names of a tree, and the changes that are not durable yet. */
export class DurableNames {
  readonly #names = new Map<bigint, Map<string, SimulatedNode>>();
  #journal: Operation[] = [];
  /** `"journal"`: changes become durable in their order; `"any"`: in any order. */
  readonly #order: "journal" | "any";

  constructor(order: "journal" | "any") {
    this.#order = order;
  }

  /** Adds an empty directory. */
  addDirectory(inode: bigint): void {
    this.#names.set(inode, new Map());
  }

  /** Makes a change durable at once. */
  change({ directory, name, node }: NameChange): void {
    const names = this.#names.get(directory)!;
    if (node === null) names.delete(name);
    else names.set(name, node);
  }

  /** Notes changes that wait for a sync of their directory. */
  note(text: string, changes: readonly NameChange[]): void {
    this.#journal.push({ text, changes });
  }

  /** The durable names of a directory. */
  in(inode: bigint): ReadonlyMap<string, SimulatedNode> | undefined {
    return this.#names.get(inode);
  }

  /** The nodes of all durable names, and of names in changes that wait. */
  *nodes(): Generator<SimulatedNode> {
    for (const names of this.#names.values()) yield* names.values();
    for (const { changes } of this.#journal) for (const { node } of changes) if (node !== null) yield node;
  }

  /** Makes the changes of a directory durable. */
  sync(inode: bigint): void {
    this.#persistSome(({ changes }) => changes.some(({ directory }) => directory === inode));
  }

  /** The changes that wait, oldest first. */
  pieces(): EntryPiece[] {
    return this.#journal.map(({ text }) => ({ kind: "entry", operation: text }));
  }

  /** Makes some of the changes durable without a sync, as a kernel may do at any time. */
  writeBack(decide: (piece: EntryPiece) => boolean): void {
    let stopped = false;
    this.#persistSome(({ text }) => {
      const arrives = decide({ kind: "entry", operation: text });
      if (!arrives) stopped = true;
      return arrives && !(stopped && this.#order === "journal");
    });
  }

  #persistSome(arrives: (operation: Operation) => boolean): void {
    this.#journal = this.#journal.filter((operation) => {
      if (!arrives(operation)) return true;
      for (const change of operation.changes) this.change(change);
      return false;
    });
  }

  /** Drops the changes that wait. */
  forget(): void {
    this.#journal = [];
  }

  /** A copy that leads to copies of the nodes. */
  clone(copyOf: (node: SimulatedNode) => SimulatedNode): DurableNames {
    const copy = new DurableNames(this.#order);
    for (const [inode, names] of this.#names) {
      copy.#names.set(inode, new Map([...names].map(([name, node]) => [name, copyOf(node)])));
    }
    copy.#journal = this.#journal.map(({ text, changes }) => ({
      text,
      changes: changes.map((change) => ({ ...change, node: change.node === null ? null : copyOf(change.node) })),
    }));
    return copy;
  }
}
