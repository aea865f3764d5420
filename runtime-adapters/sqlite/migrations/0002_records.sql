-- What is kept for a time beside the aggregates. Times are whole microseconds since 1970, UTC, rounded down.

-- For lists of what is due first.
CREATE INDEX aggregates_due_by_tenant ON aggregates (tenant, kind, wake_at, created) WHERE wake_at IS NOT NULL;

CREATE TABLE health_results (
    -- The order of recording: the oldest lie together, so that pruning frees whole pages.
    number       INTEGER PRIMARY KEY,
    tenant       BLOB    NOT NULL CHECK (length(tenant) = 16),
    environment  BLOB    NOT NULL CHECK (length(environment) = 16),
    service      BLOB    NOT NULL CHECK (length(service) = 16),
    id           BLOB    NOT NULL CHECK (length(id) = 16),
    evaluated_at INTEGER NOT NULL,
    revision     TEXT,
    schema       INTEGER NOT NULL,
    body         TEXT    NOT NULL,
    UNIQUE (tenant, evaluated_at, id)
) STRICT;

CREATE INDEX health_results_by_environment ON health_results (tenant, environment, evaluated_at, id);
CREATE INDEX health_results_by_service ON health_results (tenant, environment, service, evaluated_at, id);
CREATE INDEX health_results_by_time ON health_results (evaluated_at);

CREATE TRIGGER health_results_are_never_changed BEFORE UPDATE ON health_results
BEGIN
    SELECT RAISE(ABORT, 'health results are append-only');
END;

CREATE TABLE snapshots (
    number       INTEGER PRIMARY KEY,
    tenant       BLOB    NOT NULL CHECK (length(tenant) = 16),
    environment  BLOB    NOT NULL CHECK (length(environment) = 16),
    subject      TEXT    NOT NULL,
    captured_at  INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL CHECK (last_seen_at >= captured_at),
    digest       BLOB    NOT NULL CHECK (length(digest) = 32),
    body         TEXT    NOT NULL,
    UNIQUE (tenant, environment, subject, captured_at)
) STRICT;

CREATE INDEX snapshots_by_time ON snapshots (tenant, environment, captured_at, subject);
CREATE INDEX snapshots_by_age ON snapshots (last_seen_at);

CREATE TABLE artifacts (
    number      INTEGER PRIMARY KEY,
    tenant      BLOB    NOT NULL CHECK (length(tenant) = 16),
    environment BLOB    NOT NULL CHECK (length(environment) = 16),
    subject     TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    size        INTEGER NOT NULL CHECK (size >= 0),
    digest      BLOB    NOT NULL CHECK (length(digest) = 32),
    stored_at   INTEGER NOT NULL,
    -- Last, so that lists do not read it.
    content     BLOB    NOT NULL,
    UNIQUE (tenant, environment, subject, name)
) STRICT;

CREATE INDEX artifacts_by_age ON artifacts (stored_at);

CREATE TRIGGER artifacts_are_never_changed BEFORE UPDATE ON artifacts
BEGIN
    SELECT RAISE(ABORT, 'artifacts never change');
END;
