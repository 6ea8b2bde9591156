// A follower whose looks at the disk a test counts, and whose doorbell it may keep from ringing.

import type { ReadableFile, ReadingSystem } from "../../ffi/readable_file.ts";
import { diskReading, diskStorage } from "../../ffi/storage.ts";
import { takeFollowing } from "../../src/arguments/follow.ts";
import { Follower } from "../../src/follow/follower.ts";
import type { FollowOptions } from "../../src/types.ts";

/** A follower, and how often it has read the beginning of a file, as it does when it looks. */
export interface WatchedFollower extends Disposable {
  readonly follower: Follower;
  readonly looks: number;
}

/** @param rings whether the follower is told of a write of the live file. */
export function watchedFollower(
  path: string,
  options: FollowOptions = {},
  rings: () => boolean = () => true,
): WatchedFollower {
  let looks = 0;
  const counted = <File extends ReadableFile | null>(file: File): File => {
    if (file === null) return file;
    const read = file.read.bind(file);
    file.read = (offset, into) => {
      if (offset === 0) looks++;
      return read(offset, into);
    };
    return file;
  };
  const disk = diskReading();
  const reading: ReadingSystem = {
    open: (path) => counted(disk.open(path)),
    openIfThere: (path) => counted(disk.openIfThere(path)),
    watch: (path, changed) => disk.watch(path, () => rings() && changed()),
  };
  const follower = new Follower(path, takeFollowing(options), { reading, storage: diskStorage });
  return {
    follower,
    get looks() {
      return looks;
    },
    [Symbol.dispose]: () => follower.close(),
  };
}
