-- schema.sql - version 1 of the kernel database.
--
-- Built into the library as text; migrations that follow it are listed in
-- db_migrate.c. application_id and user_version are set in the transaction
-- that runs this file. A released version never changes: add the next one.
--
-- Rowid tables with UNIQUE keys, not WITHOUT ROWID: rows with blobs are read
-- several times faster by rowid. Texts that identify something stand beside
-- their SHA-256 in `key`, so a look-up can prove that a row is what it claims.
-- REAL columns hold NULL for "not a number". Blobs of samples are
-- little-endian doubles, microseconds, in the order they were taken.

CREATE TABLE meta (
    name  TEXT NOT NULL UNIQUE,
    value TEXT NOT NULL
) STRICT;

-- The silicon that a record is true for. key = SHA-256 of fingerprint.
CREATE TABLE device (
    id          INTEGER PRIMARY KEY,
    key         TEXT NOT NULL UNIQUE,
    kind        TEXT NOT NULL, -- cpu, cuda
    name        TEXT NOT NULL, -- for people
    arch        TEXT NOT NULL, -- what code must match
    fingerprint TEXT NOT NULL,
    toolchain   TEXT NOT NULL  -- of the first record
) STRICT;

-- Everything compiled into a kernel. key covers kernel and text.
CREATE TABLE spec (
    id     INTEGER PRIMARY KEY,
    key    TEXT NOT NULL UNIQUE,
    kernel TEXT NOT NULL,
    text   TEXT NOT NULL
) STRICT;

-- What only steers the choice. text spells the numbers.
CREATE TABLE shape (
    id       INTEGER PRIMARY KEY,
    text     TEXT NOT NULL UNIQUE,
    batch    INTEGER NOT NULL,
    context  INTEGER NOT NULL,
    kv_heads INTEGER NOT NULL,
    q_heads  INTEGER NOT NULL,
    q_len    INTEGER NOT NULL,
    threads  INTEGER NOT NULL
) STRICT;

CREATE TABLE schedule (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

-- Compiled code. key covers every column but id; bytes may be NULL in a
-- database that carries hashes only.
CREATE TABLE artifact (
    id             INTEGER PRIMARY KEY,
    key            TEXT NOT NULL UNIQUE,
    kind           TEXT NOT NULL, -- obj, cubin, ptx
    entries        TEXT NOT NULL, -- symbols, comma-separated
    launch         TEXT NOT NULL, -- JSON
    ir_hash        TEXT NOT NULL,
    format_version INTEGER NOT NULL,
    args_version   INTEGER NOT NULL,
    bytes          BLOB
) STRICT;

-- One trial, whatever came of it. key covers device, spec, shape, schedule,
-- ir_hash, accuracy and run_kind: what makes two trials the same one.
CREATE TABLE trial (
    id               INTEGER PRIMARY KEY,
    key              TEXT NOT NULL UNIQUE,
    device_id        INTEGER NOT NULL REFERENCES device(id),
    spec_id          INTEGER NOT NULL REFERENCES spec(id),
    shape_id         INTEGER NOT NULL REFERENCES shape(id),
    schedule_id      INTEGER NOT NULL REFERENCES schedule(id),
    ir_hash          TEXT NOT NULL,
    accuracy         TEXT NOT NULL,
    run_kind         TEXT NOT NULL,
    artifact_id      INTEGER REFERENCES artifact(id),
    outcome          TEXT NOT NULL CHECK (outcome IN ('ok', 'wrong', 'crash', 'hang', 'illegal',
                         'compile_error', 'oom', 'invalid', 'skipped')),
    message          TEXT NOT NULL,
    samples          BLOB NOT NULL,
    baseline         BLOB NOT NULL, -- the incumbent's, paired with samples
    median_us        REAL,
    error            REAL,          -- negative: not measured
    error_kind       TEXT NOT NULL,
    bytes            INTEGER NOT NULL,
    bandwidth_gbps   REAL,
    roofline         REAL,
    seed             INTEGER NOT NULL, -- the bits of an unsigned number
    tool_version     TEXT NOT NULL,
    compiler_version TEXT NOT NULL,
    driver_version   TEXT NOT NULL,
    unix_time        INTEGER NOT NULL,
    seconds          REAL,
    run_id           TEXT NOT NULL
) STRICT;
CREATE INDEX trial_by_spec ON trial (spec_id, shape_id, device_id);

-- Derived from trials: the best one of a device, spec and shape.
CREATE TABLE winner (
    id               INTEGER PRIMARY KEY,
    device_id        INTEGER NOT NULL REFERENCES device(id),
    spec_id          INTEGER NOT NULL REFERENCES spec(id),
    shape_id         INTEGER NOT NULL REFERENCES shape(id),
    trial_id         INTEGER NOT NULL REFERENCES trial(id),
    default_trial_id INTEGER REFERENCES trial(id),
    speedup          REAL, -- median paired ratio to the default schedule
    speedup_lo       REAL,
    speedup_hi       REAL,
    ties             TEXT NOT NULL,
    default_us       REAL,
    roofline         REAL,
    unix_time        INTEGER NOT NULL,
    run_id           TEXT NOT NULL,
    UNIQUE (spec_id, device_id, shape_id)
) STRICT;

-- Verified default schedules, kept so that they compile once.
CREATE TABLE default_code (
    id          INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL,
    arch        TEXT NOT NULL,
    spec_id     INTEGER NOT NULL REFERENCES spec(id),
    ir_hash     TEXT NOT NULL,
    schedule_id INTEGER NOT NULL REFERENCES schedule(id),
    artifact_id INTEGER NOT NULL REFERENCES artifact(id),
    unix_time   INTEGER NOT NULL,
    UNIQUE (spec_id, ir_hash, kind, arch)
) STRICT;
