// The limit: what C with hardware CRC-32C reaches through the same kind of mapping on the same file system.
//
//   limit sync   FILE BYTES GROUP WARM_SECONDS SECONDS   encode GROUP records, msync them, again and again round the ring
//   limit append FILE BYTES                              memcpy + checksum over the whole file: fresh mapping, then a second lap
//   limit scan   FILE RECORDS                            verify every record through a fresh mapping
//   limit copy   FILE BYTES                              read, verify every record, write a second file and sync it
//
// Each prints one line of JSON. Exit code 2: this processor has no CRC-32C instruction.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define CRC64(crc, word) _mm_crc32_u64((crc), (word))
#define CRC32(crc, word) _mm_crc32_u32((uint32_t)(crc), (word))
static int hardware_crc(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__)
#include <arm_acle.h>
#define CRC64(crc, word) __crc32cd((uint32_t)(crc), (word))
#define CRC32(crc, word) __crc32cw((uint32_t)(crc), (word))
#if defined(__linux__)
#include <sys/auxv.h>
static int hardware_crc(void) { return (getauxval(AT_HWCAP) >> 7) & 1; }
#else
static int hardware_crc(void) { return 1; }
#endif
#else
#error "no hardware CRC-32C known for this processor"
#endif

enum { RECORD_BYTES = 64, BLOCK_BYTES = 4096, PIECE_BYTES = 1 << 20 };
static const uint32_t SEED = 0x5eed1234;

typedef struct {
  uint32_t crc;
  uint8_t version_op, flags;
  uint16_t shard;
  uint64_t lsn, nanos;
  uint32_t seq, durable_distance;
  uint64_t key_high, key_low, value_high, value_low;
} Record;
_Static_assert(sizeof(Record) == RECORD_BYTES, "one cache line");

static void die(const char *what) {
  fprintf(stderr, "limit: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t checksum(const Record *record) {
  uint64_t words[8];
  memcpy(words, record, RECORD_BYTES);
  uint64_t crc = CRC32(SEED, (uint32_t)(words[0] >> 32));
  for (int i = 1; i < 8; i++) crc = CRC64(crc, words[i]);
  return (uint32_t)crc;
}

static void encode(Record *slot, uint64_t lsn) {
  Record record = {
    .version_op = 0x41, .lsn = lsn, .nanos = lsn, .durable_distance = 1,
    .key_high = lsn, .key_low = ~lsn, .value_high = lsn << 1, .value_low = lsn >> 1,
  };
  record.crc = checksum(&record);
  memcpy(slot, &record, RECORD_BYTES);
}

// Written in 4 KiB pieces, so that the page cache holds it in 4 KiB folios: msync of one record writes the whole folio
// it lies in. Not dropped and read back, because readahead makes large folios again (69 KiB written for each record).
static int make_file(const char *path, size_t bytes) {
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) die("open");
  static Record block[BLOCK_BYTES / RECORD_BYTES];
  uint64_t lsn = 1;
  for (size_t at = 0; at < bytes; at += BLOCK_BYTES) {
    for (int i = 0; i < BLOCK_BYTES / RECORD_BYTES; i++) encode(&block[i], lsn++);
    if (pwrite(fd, block, BLOCK_BYTES, (off_t)at) != BLOCK_BYTES) die("pwrite");
  }
  if (fsync(fd) != 0) die("fsync");
  return fd;
}

static Record *map_file(int fd, size_t bytes) {
  void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) die("mmap");
  return address;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// The same quantiles that bench/measure.ts takes.
static void print_quantiles(double *micros, size_t count) {
  static const double at[] = {0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1};
  qsort(micros, count, sizeof *micros, ascending);
  printf("\"p50Us\":%.2f,\"p99Us\":%.2f,\"quantilesUs\":[", micros[(size_t)(0.5 * (double)(count - 1))],
         micros[(size_t)(0.99 * (double)(count - 1))]);
  for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
    printf("%s%.2f", i ? "," : "", micros[(size_t)(at[i] * (double)(count - 1))]);
  }
  printf("]");
}

static void run_sync(const char *path, size_t bytes, size_t group, double warm_seconds, double seconds) {
  int fd = make_file(path, bytes);
  Record *slots = map_file(fd, bytes);
  size_t capacity = bytes / RECORD_BYTES, slot = 0, count = 0, room = 1 << 16;
  uint64_t lsn = 1;
  uintptr_t page_mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
  double *micros = malloc(room * sizeof *micros);
  double start = now() + warm_seconds, end = start + seconds, before = now();
  int warm = 0;
  while (before < end) {
    if (!warm && before >= start) warm = 1, count = 0, start = before;
    if (slot + group > capacity) slot = 0;
    for (size_t i = 0; i < group; i++) encode(&slots[slot + i], lsn++);
    uintptr_t first = (uintptr_t)&slots[slot] & ~page_mask;
    if (msync((void *)first, (uintptr_t)&slots[slot + group] - first, MS_SYNC) != 0) die("msync");
    slot += group;
    double after = now();
    if (count == room) micros = realloc(micros, (room *= 2) * sizeof *micros);
    micros[count++] = (after - before) * 1e6;
    before = after;
  }
  printf("{\"opsPerSecond\":%.1f,", (double)(count * group) / (before - start));
  print_quantiles(micros, count);
  printf("}\n");
}

static double append_lap(Record *slots, size_t capacity, uint64_t lsn) {
  double start = now();
  for (size_t i = 0; i < capacity; i++) encode(&slots[i], lsn + i);
  return (double)capacity / (now() - start);
}

static void run_append(const char *path, size_t bytes) {
  int fd = make_file(path, bytes);
  Record *slots = map_file(fd, bytes);
  size_t capacity = bytes / RECORD_BYTES;
  double fresh = append_lap(slots, capacity, 1);
  if (msync(slots, bytes, MS_SYNC) != 0) die("msync");
  double warm = append_lap(slots, capacity, capacity + 1);
  printf("{\"freshOpsPerSecond\":%.1f,\"warmOpsPerSecond\":%.1f}\n", fresh, warm);
}

// Four records at a time: their checksums do not depend on each other, so that the processor overlaps them.
static size_t count_good(const Record *slots, size_t records, uint64_t lsn) {
  size_t good = 0;
  for (size_t i = 0; i + 4 <= records; i += 4, lsn += 4) {
    uint32_t a = checksum(&slots[i]), b = checksum(&slots[i + 1]), c = checksum(&slots[i + 2]), d = checksum(&slots[i + 3]);
    good += (a == slots[i].crc && slots[i].lsn == lsn) + (b == slots[i + 1].crc && slots[i + 1].lsn == lsn + 1);
    good += (c == slots[i + 2].crc && slots[i + 2].lsn == lsn + 2) + (d == slots[i + 3].crc && slots[i + 3].lsn == lsn + 3);
  }
  return good;
}

static void must_be_good(size_t good, size_t records) {
  if (good == records / 4 * 4) return;
  fprintf(stderr, "limit: %zu of %zu records verify\n", good, records);
  exit(1);
}

static void run_scan(const char *path, size_t records) {
  size_t bytes = records * RECORD_BYTES;
  int fd = make_file(path, (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES);
  double start = now();
  const Record *slots = map_file(fd, bytes);
  size_t good = count_good(slots, records, 1);
  double elapsed = now() - start;
  must_be_good(good, records);
  printf("{\"opsPerSecond\":%.1f}\n", (double)records / elapsed);
}

static void run_copy(const char *path, size_t bytes) {
  static Record piece[PIECE_BYTES / RECORD_BYTES];
  char copy_path[4096];
  snprintf(copy_path, sizeof copy_path, "%s.copy", path);
  int fd = make_file(path, bytes);
  size_t good = 0;
  double start = now();
  int copy = open(copy_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (copy < 0) die("open");
  for (size_t at = 0; at < bytes; at += PIECE_BYTES) {
    if (pread(fd, piece, PIECE_BYTES, (off_t)at) != PIECE_BYTES) die("pread");
    good += count_good(piece, PIECE_BYTES / RECORD_BYTES, at / RECORD_BYTES + 1);
    if (write(copy, piece, PIECE_BYTES) != PIECE_BYTES) die("write");
  }
  if (fsync(copy) != 0) die("fsync");
  double elapsed = now() - start;
  must_be_good(good, bytes / RECORD_BYTES);
  printf("{\"copyMs\":%.3f}\n", elapsed * 1e3);
}

int main(int argc, char **argv) {
  if (!hardware_crc()) return 2;
  const char *mode = argc > 2 ? argv[1] : "";
  if (!strcmp(mode, "sync") && argc == 7) {
    run_sync(argv[2], strtoull(argv[3], 0, 10), strtoull(argv[4], 0, 10), atof(argv[5]), atof(argv[6]));
  } else if (!strcmp(mode, "append") && argc == 4) {
    run_append(argv[2], strtoull(argv[3], 0, 10));
  } else if (!strcmp(mode, "scan") && argc == 4) {
    run_scan(argv[2], strtoull(argv[3], 0, 10));
  } else if (!strcmp(mode, "copy") && argc == 4) {
    run_copy(argv[2], strtoull(argv[3], 0, 10));
  } else {
    fprintf(stderr, "usage: limit sync FILE BYTES GROUP WARM_SECONDS SECONDS | append FILE BYTES | scan FILE RECORDS | copy FILE BYTES\n");
    return 64;
  }
  return 0;
}
