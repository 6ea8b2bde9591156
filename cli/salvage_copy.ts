// Salvages into a new file: the damaged file is read and left as it is. To the log, its bytes in
// memory are a file, and the file that takes its place is the new one.

import { FileMemory, type FileSystemInfo, type Region, RegionError, type Storage } from "../mod.ts";
import { newFile } from "./output.ts";

/** Zeros that are written at once. */
const PIECE_BYTES = 1024 * 1024;
/** As the log's own files: for the user alone. */
const MODE = 0o600;

const IN_MEMORY: FileSystemInfo = { name: "memory", durable: false };

/** A storage with one file in memory, which is replaced by one on disk. */
export class SalvageStorage implements Storage {
  readonly #bytes: FileMemory;
  readonly #to: string;

  /**
   * @param bytes the damaged file.
   * @param to the new file.
   */
  constructor(bytes: FileMemory, to: string) {
    this.#bytes = bytes;
    this.#to = to;
  }

  open(path: string): Region {
    return this.#region(path, this.#bytes);
  }

  write(path: string, chunks: Iterable<Uint8Array>, sizeBytes: number): void {
    writeFile(path, chunks, sizeBytes);
  }

  #region(path: string, memory: FileMemory): Region {
    return {
      memory,
      path,
      created: false,
      fileSystem: IN_MEMORY,
      warnings: [],
      syncsRangeAside: false,
      sync: () => {},
      syncAsync: () => Promise.resolve(),
      pageIn: () => {},
      release: () => {},
      readable: () => {
        throw new RegionError("IO", "Cannot read memory twice");
      },
      verify: () => {},
      replace: (chunks, sizeBytes) => {
        const next = new FileMemory(new ArrayBuffer(sizeBytes));
        let at = 0;
        const copied = function* () {
          for (const chunk of chunks) {
            next.bytes(at, chunk.length).set(chunk);
            at += chunk.length;
            yield chunk;
          }
        };
        writeFile(this.#to, copied(), sizeBytes);
        return this.#region(path, next);
      },
      close: () => {},
    };
  }
}

function writeFile(path: string, chunks: Iterable<Uint8Array>, sizeBytes: number): void {
  using output = newFile(path, MODE);
  let left = sizeBytes;
  for (const chunk of chunks) {
    output.bytes(chunk);
    left -= chunk.length;
  }
  for (; left > 0; left -= PIECE_BYTES) output.bytes(new Uint8Array(Math.min(PIECE_BYTES, left)));
  output.end();
}
