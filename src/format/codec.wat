;; The codec: checksums of records and headers, over the log's own memory.
;;
;; `scripts/codec.ts` assembles this file into `codec_module.ts`, once as it is, and once without
;; the parts between ";; SIMD {" and ";; }", for processors without such instructions. A number
;; with a name after it, as in `8 (; LSN_AT ;)`, is from `layout.ts` or `operations.ts`, or from the
;; table below. A test compares them.
;;
;; A checksum is CRC-32C: the polynomial of Castagnoli (Castagnoli, Bräuer, Herrmann: "Optimization
;; of cyclic redundancy-check codes with 24 and 32 parity bits", IEEE Transactions on Communications
;; 41, 1993), as in iSCSI (RFC 3720), reflected 0x82F63B78. A `state` is the shift register before
;; the final inversion.
;;
;; A CRC is linear: the state after some bytes is the exclusive or of what each byte contributes,
;; and of what the state before contributes. What a byte contributes depends on how many bytes
;; follow. So contributions are looked up in tables, in any order:
;;
;; - Scalar: a table of 256 words for each number of bytes that follow, so that the look-ups of
;;   sixteen bytes do not wait for each other (slicing: Kounavis, Berry: "A systematic approach to
;;   building high performance software-based CRC generators", ISCC 2005).
;; - SIMD: a vector as a table of sixteen entries. One instruction looks up a nibble of sixteen
;;   records (Plank, Greenan, Miller: "Screaming fast Galois field arithmetic using Intel SIMD
;;   instructions", FAST 2013).
;;
;; A record's first half, its front, changes little from one record to the next: usually only the
;; low bytes of LSN, sequence number and distance. So what a front contributes is kept, and three
;; look-ups bring it up to date. In a batch of several operations the opcode changes, too, which is
;; one look-up more. The second half, key and value, is its back.
;;
;; The first 64 KiB of each memory are the codec's:
;;    offset  bytes  name          what
;;         0  57344  ROWS_AT       row r, 1024 bytes a row: what each byte contributes when r follow
;;     57344   4096  NIBBLES_AT    for each byte of a back: tables of its low and its high nibble
;;     61440    512  KINDS_AT      what each change of opcode and flag contributes: opcode, then flag
;;     61952     64  SUMS_AT       how the checksums of sixteen records differ from the right ones
;;     62016    512  PIECES_AT     the backs of sixteen records, byte by byte
;;     62528     64  ZEROS_AT      zeros
;;     62592      8  RESULT_AT     what `verify` found besides: `whole` and `checkpoint`
;;     62720   2816  STAGED_AT     bytes from outside of the memory, to be checksummed
(module
  (import "log" "memory" (memory 1))

  ;; The state from which records start: the state after the log id.
  (global $seed (mut i32) (i32.const 0))
  ;; The front that is kept, without the low bytes of LSN, sequence number and distance.
  (global $keptKind (mut i32) (i32.const 0))
  (global $keptLsn (mut i64) (i64.const 0))
  (global $keptNanos (mut i64) (i64.const 0))
  (global $keptCounts (mut i64) (i64.const 0))
  ;; What the kept front contributes.
  (global $kept (mut i32) (i32.const 0))
  ;; What the seed and the kept kind contribute.
  (global $ofKind (mut i32) (i32.const 0))

  (start $makeTables)

  ;; What a word contributes when no byte follows: each bit in turn, as the shift register does.
  (func $shift (param $state i32) (result i32)
    (local $bit i32)
    (loop $next
      (local.set $state
        (i32.xor
          (i32.shr_u (local.get $state) (i32.const 1))
          (i32.and (i32.sub (i32.const 0) (i32.and (local.get $state) (i32.const 1))) (i32.const 0x82f63b78))))
      (local.set $bit (i32.add (local.get $bit) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $bit) (i32.const 8))))
    (local.get $state))

  ;; Makes the tables, unless another instance has made them in this memory.
  (func $makeTables
    (local $at i32)
    (if (i32.load offset=4 (i32.const 0)) (then (return)))
    (loop $byte
      (i32.store (local.get $at) (call $shift (i32.shr_u (local.get $at) (i32.const 2))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $byte (i32.lt_u (local.get $at) (i32.const 1024))))
    ;; One more zero byte follows in each row than in the row before.
    (loop $entry
      (i32.store (local.get $at) (call $zero (i32.load (i32.sub (local.get $at) (i32.const 1024)))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $entry (i32.lt_u (local.get $at) (i32.const 57344 (; NIBBLES_AT ;)))))
    (call $makeNibbles)
    (call $makeKinds))

  ;; Makes the table of kinds, of 64 opcodes without the flag and then with it. 59 bytes follow the
  ;; opcode, 58 the flag.
  (func $makeKinds
    (local $kind i32)
    (loop $next
      (i32.store offset=61440 (; KINDS_AT ;) (i32.shl (local.get $kind) (i32.const 2))
        (call $threeZeros
          (i32.xor
            (call $zero
              (i32.load offset=56320 (; row 55 ;)
                (i32.shl (i32.and (local.get $kind) (i32.const 63)) (i32.const 2))))
            (i32.load offset=56320 (; row 55 ;)
              (i32.shl (i32.shr_u (local.get $kind) (i32.const 6)) (i32.const 2))))))
      (local.set $kind (i32.add (local.get $kind) (i32.const 1)))
      (br_if $next (i32.ne (local.get $kind) (i32.const 128)))))

  ;; The state after three zero bytes more.
  (func $threeZeros (param $state i32) (result i32)
    (call $zero (call $zero (call $zero (local.get $state)))))

  ;; Makes the tables of nibbles. For each byte of a back there are four for its low nibble, then
  ;; four for its high nibble. Each of the four has one byte of what the nibble contributes.
  (func $makeNibbles
    (local $row i32) (local $entry i32) (local $into i32)
    ;; The first byte of a back comes first: 31 bytes follow.
    (local.set $row (i32.const 31744))
    (local.set $into (i32.const 57344 (; NIBBLES_AT ;)))
    (loop $byte
      (local.set $entry (i32.const 0))
      (loop $next
        (call $spread
          (local.get $into)
          (i32.load (i32.add (local.get $row) (i32.shl (local.get $entry) (i32.const 2)))))
        (call $spread
          (i32.add (local.get $into) (i32.const 64))
          (i32.load (i32.add (local.get $row) (i32.shl (local.get $entry) (i32.const 6)))))
        (local.set $into (i32.add (local.get $into) (i32.const 1)))
        (local.set $entry (i32.add (local.get $entry) (i32.const 1)))
        (br_if $next (i32.ne (local.get $entry) (i32.const 16))))
      (local.set $into (i32.add (local.get $into) (i32.const 112)))
      (local.set $row (i32.sub (local.get $row) (i32.const 1024)))
      (br_if $byte (i32.ge_s (local.get $row) (i32.const 0)))))

  ;; Stores each byte of a contribution into a table of its own.
  (func $spread (param $into i32) (param $contribution i32)
    (i32.store8 (local.get $into) (local.get $contribution))
    (i32.store8 offset=16 (local.get $into) (i32.shr_u (local.get $contribution) (i32.const 8)))
    (i32.store8 offset=32 (local.get $into) (i32.shr_u (local.get $contribution) (i32.const 16)))
    (i32.store8 offset=48 (local.get $into) (i32.shr_u (local.get $contribution) (i32.const 24))))

  ;; The state after one zero byte more.
  (func $zero (param $state i32) (result i32)
    (i32.xor
      (i32.shr_u (local.get $state) (i32.const 8))
      (i32.load (i32.shl (i32.and (local.get $state) (i32.const 0xff)) (i32.const 2)))))

  ;; Continues a state over sixteen bytes.
  (func $sixteen (param $state i32) (param $at i32) (result i32)
    (local $a i32) (local $b i32) (local $c i32) (local $d i32)
    (local.set $a (i32.xor (i32.load (local.get $at)) (local.get $state)))
    (local.set $b (i32.load offset=4 (local.get $at)))
    (local.set $c (i32.load offset=8 (local.get $at)))
    (local.set $d (i32.load offset=12 (local.get $at)))
    (i32.xor
      (i32.xor
        (i32.xor
          (i32.xor
            (i32.load offset=15360 (; row 15 ;) (i32.and (i32.shl (local.get $a) (i32.const 2)) (i32.const 0x3fc)))
            (i32.load offset=14336 (; row 14 ;) (i32.and (i32.shr_u (local.get $a) (i32.const 6)) (i32.const 0x3fc))))
          (i32.xor
            (i32.load offset=13312 (; row 13 ;) (i32.and (i32.shr_u (local.get $a) (i32.const 14)) (i32.const 0x3fc)))
            (i32.load offset=12288 (; row 12 ;) (i32.and (i32.shr_u (local.get $a) (i32.const 22)) (i32.const 0x3fc)))))
        (i32.xor
          (i32.xor
            (i32.load offset=11264 (; row 11 ;) (i32.and (i32.shl (local.get $b) (i32.const 2)) (i32.const 0x3fc)))
            (i32.load offset=10240 (; row 10 ;) (i32.and (i32.shr_u (local.get $b) (i32.const 6)) (i32.const 0x3fc))))
          (i32.xor
            (i32.load offset=9216 (; row 9 ;) (i32.and (i32.shr_u (local.get $b) (i32.const 14)) (i32.const 0x3fc)))
            (i32.load offset=8192 (; row 8 ;) (i32.and (i32.shr_u (local.get $b) (i32.const 22)) (i32.const 0x3fc))))))
      (i32.xor
        (i32.xor
          (i32.xor
            (i32.load offset=7168 (; row 7 ;) (i32.and (i32.shl (local.get $c) (i32.const 2)) (i32.const 0x3fc)))
            (i32.load offset=6144 (; row 6 ;) (i32.and (i32.shr_u (local.get $c) (i32.const 6)) (i32.const 0x3fc))))
          (i32.xor
            (i32.load offset=5120 (; row 5 ;) (i32.and (i32.shr_u (local.get $c) (i32.const 14)) (i32.const 0x3fc)))
            (i32.load offset=4096 (; row 4 ;) (i32.and (i32.shr_u (local.get $c) (i32.const 22)) (i32.const 0x3fc)))))
        (i32.xor
          (i32.xor
            (i32.load offset=3072 (; row 3 ;) (i32.and (i32.shl (local.get $d) (i32.const 2)) (i32.const 0x3fc)))
            (i32.load offset=2048 (; row 2 ;) (i32.and (i32.shr_u (local.get $d) (i32.const 6)) (i32.const 0x3fc))))
          (i32.xor
            (i32.load offset=1024 (; row 1 ;) (i32.and (i32.shr_u (local.get $d) (i32.const 14)) (i32.const 0x3fc)))
            (i32.load (i32.and (i32.shr_u (local.get $d) (i32.const 22)) (i32.const 0x3fc))))))))

  ;; Continues a state over the bytes from `at` to `end`.
  (func $continue (export "continue") (param $state i32) (param $at i32) (param $end i32) (result i32)
    (block $fewer
      (loop $next
        (br_if $fewer (i32.lt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 16)))
        (local.set $state (call $sixteen (local.get $state) (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next)))
    (block $fewer
      (loop $next
        (br_if $fewer (i32.lt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 4)))
        (local.set $state (call $four (i32.xor (i32.load (local.get $at)) (local.get $state)) (i32.const 0)))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))
        (br $next)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $at) (local.get $end)))
        (local.set $state (call $zero (i32.xor (local.get $state) (i32.load8_u (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $state))

  ;; What the front of the record at `at` contributes to the checksum.
  (func $front (param $at i32) (result i32)
    (local $lsn i64) (local $counts i64)
    (local.set $lsn (i64.load offset=8 (; LSN_AT ;) (local.get $at)))
    (local.set $counts (i64.load offset=24 (; TIME_SEQ_AT ;) (local.get $at)))
    (if (i64.ne
          (i64.or
            (i64.or
              (i64.extend_i32_u
                (i32.xor (i32.load offset=4 (; VERSION_OP_AT ;) (local.get $at)) (global.get $keptKind)))
              (i64.xor (i64.load offset=16 (; TIME_NANOS_AT ;) (local.get $at)) (global.get $keptNanos)))
            (i64.or
              (i64.and (i64.xor (local.get $lsn) (global.get $keptLsn)) (i64.const 0xffffffffffffff00))
              (i64.and (i64.xor (local.get $counts) (global.get $keptCounts)) (i64.const 0xffffff00ffffff00))))
          (i64.const 0))
      (then (call $keep (local.get $at))))
    (i32.xor (global.get $kept) (call $lowBytes (local.get $lsn) (local.get $counts))))

  ;; What the low bytes of LSN, sequence number and distance contribute: 55, 39 and 35 bytes follow.
  (func $lowBytes (param $lsn i64) (param $counts i64) (result i32)
    (i32.xor
      (i32.xor
        (i32.load offset=56320 (; row 55 ;)
          (i32.and (i32.shl (i32.wrap_i64 (local.get $lsn)) (i32.const 2)) (i32.const 0x3fc)))
        (i32.load offset=39936 (; row 39 ;)
          (i32.and (i32.shl (i32.wrap_i64 (local.get $counts)) (i32.const 2)) (i32.const 0x3fc))))
      (i32.load offset=35840 (; row 35 ;)
        (i32.and (i32.wrap_i64 (i64.shr_u (local.get $counts) (i64.const 30))) (i32.const 0x3fc)))))

  ;; What eight bytes contribute, `row` being the row for the last of them.
  (func $eight (param $bytes i64) (param $row i32) (result i32)
    (i32.xor
      (call $four
        (i32.wrap_i64 (local.get $bytes))
        (i32.add (local.get $row) (i32.const 4096 (; row 4 ;))))
      (call $four (i32.wrap_i64 (i64.shr_u (local.get $bytes) (i64.const 32))) (local.get $row))))

  ;; The same of four bytes.
  (func $four (param $bytes i32) (param $row i32) (result i32)
    (i32.xor
      (i32.xor
        (i32.load offset=3072 (; row 3 ;)
          (i32.add (local.get $row) (i32.and (i32.shl (local.get $bytes) (i32.const 2)) (i32.const 0x3fc))))
        (i32.load offset=2048 (; row 2 ;)
          (i32.add (local.get $row) (i32.and (i32.shr_u (local.get $bytes) (i32.const 6)) (i32.const 0x3fc)))))
      (i32.xor
        (i32.load offset=1024 (; row 1 ;)
          (i32.add (local.get $row) (i32.and (i32.shr_u (local.get $bytes) (i32.const 14)) (i32.const 0x3fc))))
        (i32.load
          (i32.add (local.get $row) (i32.and (i32.shr_u (local.get $bytes) (i32.const 22)) (i32.const 0x3fc)))))))

  ;; Keeps what the front of the record at `at` contributes, less the low bytes.
  (func $keep (param $at i32)
    (local $change i32)
    (local.set $change
      (i32.xor (i32.load offset=4 (; VERSION_OP_AT ;) (local.get $at)) (global.get $keptKind)))
    (if (i32.and (local.get $change) (i32.const 0xfffffec0))
      (then
        (call $keepKind (local.get $at))
        (call $keepRest (local.get $at))
        (return)))
    ;; At most opcode and flag have changed.
    (global.set $keptKind (i32.xor (global.get $keptKind) (local.get $change)))
    (local.set $change
      (i32.load offset=61440 (; KINDS_AT ;)
        (i32.shl
          (i32.or
            (i32.and (local.get $change) (i32.const 63))
            (i32.and (i32.shr_u (local.get $change) (i32.const 2)) (i32.const 64)))
          (i32.const 2))))
    (global.set $ofKind (i32.xor (global.get $ofKind) (local.get $change)))
    (global.set $kept (i32.xor (global.get $kept) (local.get $change)))
    (if (i64.ne
          (i64.or
            (i64.xor (i64.load offset=16 (; TIME_NANOS_AT ;) (local.get $at)) (global.get $keptNanos))
            (i64.or
              (i64.and
                (i64.xor (i64.load offset=8 (; LSN_AT ;) (local.get $at)) (global.get $keptLsn))
                (i64.const 0xffffffffffffff00))
              (i64.and
                (i64.xor (i64.load offset=24 (; TIME_SEQ_AT ;) (local.get $at)) (global.get $keptCounts))
                (i64.const 0xffffff00ffffff00))))
          (i64.const 0))
      (then (call $keepRest (local.get $at)))))

  ;; As `keep`, for a kind that is kept.
  (func $keepRest (param $at i32)
    (local $lsn i64) (local $nanos i64) (local $counts i64)
    (local.set $lsn
      (i64.and (i64.load offset=8 (; LSN_AT ;) (local.get $at)) (i64.const 0xffffffffffffff00)))
    (local.set $nanos (i64.load offset=16 (; TIME_NANOS_AT ;) (local.get $at)))
    (local.set $counts
      (i64.and (i64.load offset=24 (; TIME_SEQ_AT ;) (local.get $at)) (i64.const 0xffffff00ffffff00)))
    (global.set $keptLsn (local.get $lsn))
    (global.set $keptNanos (local.get $nanos))
    (global.set $keptCounts (local.get $counts))
    (global.set $kept
      (i32.xor
        (i32.xor (global.get $ofKind) (call $eight (local.get $lsn) (i32.const 49152 (; row 48 ;))))
        (i32.xor
          (call $eight (local.get $nanos) (i32.const 40960 (; row 40 ;)))
          (call $eight (local.get $counts) (i32.const 32768 (; row 32 ;)))))))

  ;; Keeps what the seed and the first word after the checksum contribute: 56 bytes follow.
  (func $keepKind (param $at i32)
    (global.set $keptKind (i32.load offset=4 (; VERSION_OP_AT ;) (local.get $at)))
    (global.set $ofKind
      (i32.xor
        (call $continue
          (call $four (i32.xor (global.get $seed) (global.get $keptKind)) (i32.const 0))
          (i32.const 62528 (; ZEROS_AT ;))
          (i32.const 62584 (; ZEROS_AT + 56 ;)))
        (i32.const -1))))

  ;; The checksum of the record at `at`.
  (func $checksum (export "checksum") (param $at i32) (result i32)
    (i32.xor
      (call $front (local.get $at))
      (call $sixteen
        (call $sixteen (i32.const 0) (i32.add (local.get $at) (i32.const 32 (; KEY_HIGH_AT ;))))
        (i32.add (local.get $at) (i32.const 48 (; VALUE_HIGH_AT ;))))))

  ;; Sets the state from which records start.
  (func (export "begin") (param $seed i32)
    (global.set $seed (local.get $seed))
    ;; What was kept belongs to the seed before. So some front is kept with this one: the codec's
    ;; first bytes.
    (call $keepKind (i32.const 0))
    (call $keepRest (i32.const 0)))

  ;; Writes the checksums of records whose fields are stored.
  (func $seal (export "seal") (param $at i32) (param $count i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $count) (i32.const 6))))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $at) (local.get $end)))
        ;; SIMD {
        (if (i32.ge_u (i32.sub (local.get $end) (local.get $at)) (i32.const 1024))
          (then
            (if (call $compareSixteen (local.get $at) (i64.load offset=8 (; LSN_AT ;) (local.get $at)))
              (then
                (call $correctSixteen (local.get $at))
                (local.set $at (i32.add (local.get $at) (i32.const 1024)))
                (br $next)))))
        ;; }
        (i32.store (; CRC_AT ;) (local.get $at) (call $checksum (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 64 (; RECORD_BYTES ;))))
        (br $next))))

  ;; True if a record's second word has the version, an opcode and flags that are known.
  (func $isKnown (param $kind i32) (result i32)
    ;; A shift takes the low six bits of its count: the opcode.
    (i32.and
      (i32.eq
        (i32.and (local.get $kind) (i32.const 0xfec0 (; VERSION_AND_UNKNOWN_FLAGS ;)))
        (i32.const 0x40))
      (i32.wrap_i64
        (i64.shr_u (i64.const 0xffffffff0000003e (; KNOWN_OPCODES ;)) (i64.extend_i32_u (local.get $kind))))))

  ;; How many records from `at` on are the expected ones: sixteen, one or none.
  (func $good (param $at i32) (param $end i32) (param $lsn i64) (result i32)
    ;; SIMD {
    (if (i32.ge_u (i32.sub (local.get $end) (local.get $at)) (i32.const 1024))
      (then
        (if (call $compareSixteen (local.get $at) (local.get $lsn))
          (then (if (call $areEqual) (then (return (i32.const 16))))))))
    ;; }
    (if (i64.ne (i64.load offset=8 (; LSN_AT ;) (local.get $at)) (local.get $lsn))
      (then (return (i32.const 0))))
    (if (i32.eqz (call $isKnown (i32.load offset=4 (; VERSION_OP_AT ;) (local.get $at))))
      (then (return (i32.const 0))))
    (i32.eq (i32.load (; CRC_AT ;) (local.get $at)) (call $checksum (local.get $at))))

  ;; Verifies records up to the first that is not the expected one. @returns how many are good.
  (func (export "verify") (param $at i32) (param $count i32) (param $firstLsn f64) (result i32)
    (local $start i32) (local $end i32) (local $lsn i64) (local $good i32) (local $goodEnd i32)
    ;; The end of the records up to the last that ends its batch, and a bit for each opcode.
    (local $whole i32) (local $seen i64)
    (local $kind i32)
    (local.set $lsn (i64.trunc_f64_s (local.get $firstLsn)))
    (local.set $start (local.get $at))
    (local.set $whole (local.get $at))
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $count) (i32.const 6))))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $at) (local.get $end)))
        (local.set $good (call $good (local.get $at) (local.get $end) (local.get $lsn)))
        (br_if $done (i32.eqz (local.get $good)))
        (local.set $lsn (i64.add (local.get $lsn) (i64.extend_i32_u (local.get $good))))
        (local.set $goodEnd (i32.add (local.get $at) (i32.shl (local.get $good) (i32.const 6))))
        (loop $note
          (local.set $kind (i32.load offset=4 (; VERSION_OP_AT ;) (local.get $at)))
          (local.set $seen
            (i64.or (local.get $seen) (i64.shl (i64.const 1) (i64.extend_i32_u (local.get $kind)))))
          (local.set $at (i32.add (local.get $at) (i32.const 64 (; RECORD_BYTES ;))))
          (local.set $whole
            (select
              (local.get $whole)
              (local.get $at)
              (i32.and (local.get $kind) (i32.const 0x100))))
          (br_if $note (i32.ne (local.get $at) (local.get $goodEnd))))
        (br $next)))
    (i32.store offset=62592 (; RESULT_AT ;)
      (i32.const 0)
      (i32.shr_u (i32.sub (local.get $whole) (local.get $start)) (i32.const 6)))
    (i32.store offset=62596
      (i32.const 0)
      (i32.and
        (i32.wrap_i64 (i64.shr_u (local.get $seen) (i64.const 4 (; OpType.Checkpoint ;))))
        (i32.const 1)))
    (i32.shr_u (i32.sub (local.get $at) (local.get $start)) (i32.const 6)))

  ;; Makes records of packed items, and seals them. LSN, sequence number and distance grow by one
  ;; with each record. An item of 40 bytes begins with 8 of its own opcode, for the kind. The items
  ;; end where the records will end, so each item lies at the end of its record or after it: no item
  ;; is overwritten before it is read.
  (func (export "encode") (param $at i32) (param $count i32) (param $stride i32)
    (param $kind i32) (param $lastKind i32) (param $firstLsn f64) (param $nanosLow i32) (param $nanosHigh i32)
    (param $seq i32) (param $distance i32)
    (local $end i32) (local $item i32) (local $lsn i64) (local $nanos i64) (local $counts i64) (local $slot i32)
    (local $keyAt i32) (local $opcode i32)
    (local.set $slot (local.get $at))
    (if (i32.eq (local.get $stride) (i32.const 40)) (then (local.set $keyAt (i32.const 8))))
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $count) (i32.const 6))))
    (local.set $item (i32.sub (local.get $end) (i32.mul (local.get $count) (local.get $stride))))
    (local.set $lsn (i64.trunc_f64_s (local.get $firstLsn)))
    (local.set $nanos
      (i64.or
        (i64.extend_i32_u (local.get $nanosLow))
        (i64.shl (i64.extend_i32_u (local.get $nanosHigh)) (i64.const 32))))
    (local.set $counts
      (i64.or
        (i64.extend_i32_u (local.get $seq))
        (i64.shl (i64.extend_i32_u (local.get $distance)) (i64.const 32))))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $slot) (local.get $end)))
        ;; The opcode first, then the key: the value may be stored over both.
        (if (local.get $keyAt) (then (local.set $opcode (i32.load8_u (local.get $item)))))
        (call $swap
          (i32.add (local.get $slot) (i32.const 32 (; KEY_HIGH_AT ;)))
          (i32.add (local.get $item) (local.get $keyAt)))
        (if (i32.eq (local.get $stride) (i32.const 16))
          (then
            (i64.store offset=48 (; VALUE_HIGH_AT ;) (local.get $slot) (i64.const 0))
            (i64.store offset=56 (; VALUE_LOW_AT ;) (local.get $slot) (i64.const 0)))
          (else
            (call $swap
              (i32.add (local.get $slot) (i32.const 48 (; VALUE_HIGH_AT ;)))
              (i32.add (i32.add (local.get $item) (local.get $keyAt)) (i32.const 16)))))
        (local.set $item (i32.add (local.get $item) (local.get $stride)))
        (i32.store offset=4 (local.get $slot)
          (i32.or
            (local.get $opcode)
            (select (local.get $lastKind) (local.get $kind)
              (i32.eq (i32.add (local.get $slot) (i32.const 64)) (local.get $end)))))
        (i64.store offset=8 (local.get $slot) (local.get $lsn))
        (i64.store offset=16 (local.get $slot) (local.get $nanos))
        (i64.store offset=24 (local.get $slot) (local.get $counts))
        (local.set $lsn (i64.add (local.get $lsn) (i64.const 1)))
        (local.set $counts (i64.add (local.get $counts) (i64.const 0x100000001)))
        (local.set $slot (i32.add (local.get $slot) (i32.const 64)))
        (br $next)))
    (call $seal (local.get $at) (local.get $count)))

  ;; SIMD {
  ;; Copies two big-endian numbers of 64 bits as little-endian ones.
  (func $swap (param $into i32) (param $from i32)
    (local $halves v128)
    (local.set $halves (v128.load (local.get $from)))
    (v128.store (local.get $into)
      (i8x16.shuffle 7 6 5 4 3 2 1 0 15 14 13 12 11 10 9 8 (local.get $halves) (local.get $halves))))
  ;; } else {
  ;; Copies two big-endian numbers of 64 bits as little-endian ones.
  (func $swap (param $into i32) (param $from i32)
    (local $high i64)
    (local.set $high (i64.load (local.get $from)))
    (i64.store offset=8 (local.get $into) (call $reversed (i64.load offset=8 (local.get $from))))
    (i64.store (local.get $into) (call $reversed (local.get $high))))

  ;; The bytes of a number in reverse order: bytes change places, then pairs, then halves.
  (func $reversed (param $bytes i64) (result i64)
    (local.set $bytes
      (i64.or
        (i64.and (i64.shr_u (local.get $bytes) (i64.const 8)) (i64.const 0x00ff00ff00ff00ff))
        (i64.shl (i64.and (local.get $bytes) (i64.const 0x00ff00ff00ff00ff)) (i64.const 8))))
    (local.set $bytes
      (i64.or
        (i64.and (i64.shr_u (local.get $bytes) (i64.const 16)) (i64.const 0x0000ffff0000ffff))
        (i64.shl (i64.and (local.get $bytes) (i64.const 0x0000ffff0000ffff)) (i64.const 16))))
    (i64.rotl (local.get $bytes) (i64.const 32)))
  ;; }

  ;; SIMD {
  ;; Compares the checksums of sixteen records with the right ones. @returns false if not all have
  ;; the expected LSN, and a version, an opcode and flags that are known.
  (func $compareSixteen (param $at i32) (param $lsn i64) (result i32)
    (local $record i32) (local $i i32) (local $kind i32) (local $nanos i64) (local $counts i64)
    ;; As the globals of these names, but for fronts that are known.
    (local $keptKind i32) (local $keptLsn i64) (local $keptNanos i64) (local $keptCounts i64) (local $kept i32)
    (local.set $record (local.get $at))
    (local.set $keptLsn (i64.const -1)) ;; of no record
    (loop $next
      (if (i64.ne (i64.load offset=8 (; LSN_AT ;) (local.get $record)) (local.get $lsn))
        (then (return (i32.const 0))))
      (local.set $kind (i32.load offset=4 (; VERSION_OP_AT ;) (local.get $record)))
      (local.set $nanos (i64.load offset=16 (; TIME_NANOS_AT ;) (local.get $record)))
      (local.set $counts (i64.load offset=24 (; TIME_SEQ_AT ;) (local.get $record)))
      (if (i64.ne
            (i64.or
              (i64.or
                (i64.extend_i32_u (i32.xor (local.get $kind) (local.get $keptKind)))
                (i64.xor (local.get $nanos) (local.get $keptNanos)))
              (i64.or
                (i64.and (i64.xor (local.get $lsn) (local.get $keptLsn)) (i64.const 0xffffffffffffff00))
                (i64.and (i64.xor (local.get $counts) (local.get $keptCounts)) (i64.const 0xffffff00ffffff00))))
            (i64.const 0))
        (then
          (if (i32.eqz (call $isKnown (local.get $kind))) (then (return (i32.const 0))))
          (drop (call $front (local.get $record)))
          (local.set $kept (global.get $kept))
          (local.set $keptKind (global.get $keptKind))
          (local.set $keptLsn (global.get $keptLsn))
          (local.set $keptNanos (global.get $keptNanos))
          (local.set $keptCounts (global.get $keptCounts))))
      (i32.store offset=61952 (; SUMS_AT ;) (local.get $i)
        (i32.xor
          (i32.xor (local.get $kept) (call $lowBytes (local.get $lsn) (local.get $counts)))
          (i32.load (; CRC_AT ;) (local.get $record))))
      (local.set $record (i32.add (local.get $record) (i32.const 64 (; RECORD_BYTES ;))))
      (local.set $lsn (i64.add (local.get $lsn) (i64.const 1)))
      (local.set $i (i32.add (local.get $i) (i32.const 4)))
      (br_if $next (i32.ne (local.get $i) (i32.const 64))))
    (call $addBacks (local.get $at))
    (i32.const 1))

  ;; True if `compareSixteen` found sixteen right checksums.
  (func $areEqual (result i32)
    (i32.eqz
      (v128.any_true
        (v128.or
          (v128.or
            (v128.load offset=61952 (; SUMS_AT ;) (i32.const 0))
            (v128.load offset=61968 (; SUMS_AT + 16 ;) (i32.const 0)))
          (v128.or
            (v128.load offset=61984 (; SUMS_AT + 32 ;) (i32.const 0))
            (v128.load offset=62000 (; SUMS_AT + 48 ;) (i32.const 0)))))))

  ;; Makes the checksums right that `compareSixteen` has compared.
  (func $correctSixteen (param $at i32)
    (local $i i32)
    (loop $next
      (i32.store (; CRC_AT ;) (local.get $at)
        (i32.xor
          (i32.load (; CRC_AT ;) (local.get $at))
          (i32.load offset=61952 (; SUMS_AT ;) (local.get $i))))
      (local.set $at (i32.add (local.get $at) (i32.const 64 (; RECORD_BYTES ;))))
      (local.set $i (i32.add (local.get $i) (i32.const 4)))
      (br_if $next (i32.ne (local.get $i) (i32.const 64)))))

  ;; Adds what the backs of sixteen records contribute.
  (func $addBacks (param $at i32)
    (local $i i32) (local $tables i32) (local $mask v128) (local $row v128) (local $low v128) (local $high v128)
    (local $plane0 v128) (local $plane1 v128) (local $plane2 v128) (local $plane3 v128)
    (local $even v128) (local $odd v128)
    (call $cut (i32.add (local.get $at) (i32.const 32)) (i32.const 62016 (; PIECES_AT ;)))
    (call $cut (i32.add (local.get $at) (i32.const 48)) (i32.const 62144))
    (call $cut (i32.add (local.get $at) (i32.const 544)) (i32.const 62272))
    (call $cut (i32.add (local.get $at) (i32.const 560)) (i32.const 62400))
    (local.set $mask (v128.const i64x2 0x0f0f0f0f0f0f0f0f 0x0f0f0f0f0f0f0f0f))
    (loop $nextPair
      (local.set $even (v128.load offset=62016 (; PIECES_AT ;) (local.get $i)))
      (local.set $odd (v128.load offset=62272 (; PIECES_AT + 256 ;) (local.get $i)))
      (local.set $row
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $even) (local.get $odd)))
      (local.set $low (v128.and (local.get $row) (local.get $mask)))
      (local.set $high (v128.and (i16x8.shr_u (local.get $row) (i32.const 4)) (local.get $mask)))
      (local.set $plane0
        (v128.xor
          (local.get $plane0)
          (v128.xor
            (i8x16.relaxed_swizzle
              (v128.load offset=57344 (; NIBBLES_AT ;) (local.get $tables))
              (local.get $low))
            (i8x16.relaxed_swizzle
              (v128.load offset=57408 (; NIBBLES_AT + 64 ;) (local.get $tables))
              (local.get $high)))))
      (local.set $plane1
        (v128.xor
          (local.get $plane1)
          (v128.xor
            (i8x16.relaxed_swizzle
              (v128.load offset=57360 (; NIBBLES_AT + 16 ;) (local.get $tables))
              (local.get $low))
            (i8x16.relaxed_swizzle
              (v128.load offset=57424 (; NIBBLES_AT + 80 ;) (local.get $tables))
              (local.get $high)))))
      (local.set $plane2
        (v128.xor
          (local.get $plane2)
          (v128.xor
            (i8x16.relaxed_swizzle
              (v128.load offset=57376 (; NIBBLES_AT + 32 ;) (local.get $tables))
              (local.get $low))
            (i8x16.relaxed_swizzle
              (v128.load offset=57440 (; NIBBLES_AT + 96 ;) (local.get $tables))
              (local.get $high)))))
      (local.set $plane3
        (v128.xor
          (local.get $plane3)
          (v128.xor
            (i8x16.relaxed_swizzle
              (v128.load offset=57392 (; NIBBLES_AT + 48 ;) (local.get $tables))
              (local.get $low))
            (i8x16.relaxed_swizzle
              (v128.load offset=57456 (; NIBBLES_AT + 112 ;) (local.get $tables))
              (local.get $high)))))
      (local.set $row
        (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $even) (local.get $odd)))
      (local.set $low (v128.and (local.get $row) (local.get $mask)))
      (local.set $high (v128.and (i16x8.shr_u (local.get $row) (i32.const 4)) (local.get $mask)))
      (local.set $plane0
        (v128.xor
          (local.get $plane0)
          (v128.xor
            (i8x16.relaxed_swizzle
              (v128.load offset=57472 (; NIBBLES_AT + 128 ;) (local.get $tables))
              (local.get $low))
            (i8x16.relaxed_swizzle
              (v128.load offset=57536 (; NIBBLES_AT + 192 ;) (local.get $tables))
              (local.get $high)))))
      (local.set $plane1
        (v128.xor
          (local.get $plane1)
          (v128.xor
            (i8x16.relaxed_swizzle
              (v128.load offset=57488 (; NIBBLES_AT + 144 ;) (local.get $tables))
              (local.get $low))
            (i8x16.relaxed_swizzle
              (v128.load offset=57552 (; NIBBLES_AT + 208 ;) (local.get $tables))
              (local.get $high)))))
      (local.set $plane2
        (v128.xor
          (local.get $plane2)
          (v128.xor
            (i8x16.relaxed_swizzle
              (v128.load offset=57504 (; NIBBLES_AT + 160 ;) (local.get $tables))
              (local.get $low))
            (i8x16.relaxed_swizzle
              (v128.load offset=57568 (; NIBBLES_AT + 224 ;) (local.get $tables))
              (local.get $high)))))
      (local.set $plane3
        (v128.xor
          (local.get $plane3)
          (v128.xor
            (i8x16.relaxed_swizzle
              (v128.load offset=57520 (; NIBBLES_AT + 176 ;) (local.get $tables))
              (local.get $low))
            (i8x16.relaxed_swizzle
              (v128.load offset=57584 (; NIBBLES_AT + 240 ;) (local.get $tables))
              (local.get $high)))))
      (local.set $tables (i32.add (local.get $tables) (i32.const 256)))
      (local.set $i (i32.add (local.get $i) (i32.const 16)))
      (br_if $nextPair (i32.ne (local.get $i) (i32.const 256))))
    ;; The planes, put together to words.
    (local.set $even (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $plane0) (local.get $plane1)))
    (local.set $odd (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $plane2) (local.get $plane3)))
    (call $addSums (i32.const 61952 (; SUMS_AT ;))
      (i8x16.shuffle 0 1 16 17 2 3 18 19 4 5 20 21 6 7 22 23 (local.get $even) (local.get $odd)))
    (call $addSums (i32.const 61968)
      (i8x16.shuffle 8 9 24 25 10 11 26 27 12 13 28 29 14 15 30 31 (local.get $even) (local.get $odd)))
    (local.set $even
      (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $plane0) (local.get $plane1)))
    (local.set $odd
      (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $plane2) (local.get $plane3)))
    (call $addSums (i32.const 61984)
      (i8x16.shuffle 0 1 16 17 2 3 18 19 4 5 20 21 6 7 22 23 (local.get $even) (local.get $odd)))
    (call $addSums (i32.const 62000)
      (i8x16.shuffle 8 9 24 25 10 11 26 27 12 13 28 29 14 15 30 31 (local.get $even) (local.get $odd))))

  ;; Adds to four sums.
  (func $addSums (param $at i32) (param $sums v128)
    (v128.store (local.get $at) (v128.xor (v128.load (local.get $at)) (local.get $sums))))

  ;; Cuts sixteen bytes of eight records into pieces of eight bytes: piece i has byte i of each
  ;; record. Three times, vectors are zipped in pairs, the first halves and the second halves.
  (func $cut (param $at i32) (param $into i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $e v128) (local $f v128) (local $g v128) (local $h v128)
    (local $i v128) (local $j v128) (local $k v128) (local $l v128)
    (local $m v128) (local $n v128) (local $o v128) (local $p v128)
    (local.set $a (v128.load (local.get $at)))
    (local.set $b (v128.load offset=64 (local.get $at)))
    (local.set $c (v128.load offset=128 (local.get $at)))
    (local.set $d (v128.load offset=192 (local.get $at)))
    (local.set $e (v128.load offset=256 (local.get $at)))
    (local.set $f (v128.load offset=320 (local.get $at)))
    (local.set $g (v128.load offset=384 (local.get $at)))
    (local.set $h (v128.load offset=448 (local.get $at)))
    (local.set $i (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $a) (local.get $e)))
    (local.set $j (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $a) (local.get $e)))
    (local.set $k (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $b) (local.get $f)))
    (local.set $l (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $b) (local.get $f)))
    (local.set $m (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $c) (local.get $g)))
    (local.set $n (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $c) (local.get $g)))
    (local.set $o (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $d) (local.get $h)))
    (local.set $p (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $d) (local.get $h)))
    (local.set $a (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $i) (local.get $m)))
    (local.set $b (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $i) (local.get $m)))
    (local.set $c (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $j) (local.get $n)))
    (local.set $d (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $j) (local.get $n)))
    (local.set $e (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $k) (local.get $o)))
    (local.set $f (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $k) (local.get $o)))
    (local.set $g (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $l) (local.get $p)))
    (local.set $h (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $l) (local.get $p)))
    (local.set $i (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $a) (local.get $e)))
    (local.set $j (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $a) (local.get $e)))
    (local.set $k (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $b) (local.get $f)))
    (local.set $l (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $b) (local.get $f)))
    (local.set $m (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $c) (local.get $g)))
    (local.set $n (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $c) (local.get $g)))
    (local.set $o (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $d) (local.get $h)))
    (local.set $p (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $d) (local.get $h)))
    (v128.store (local.get $into) (local.get $i))
    (v128.store offset=16 (local.get $into) (local.get $j))
    (v128.store offset=32 (local.get $into) (local.get $k))
    (v128.store offset=48 (local.get $into) (local.get $l))
    (v128.store offset=64 (local.get $into) (local.get $m))
    (v128.store offset=80 (local.get $into) (local.get $n))
    (v128.store offset=96 (local.get $into) (local.get $o))
    (v128.store offset=112 (local.get $into) (local.get $p)))
  ;; }
)
