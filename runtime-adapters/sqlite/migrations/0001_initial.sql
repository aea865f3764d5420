-- Every unique key leads with the tenant, so that no constraint tells one tenant of another's things. Identifiers are 16 bytes; times that
-- are compared are whole microseconds since 1970, UTC.

CREATE TABLE aggregates (
    tenant      BLOB    NOT NULL CHECK (length(tenant) = 16),
    kind        TEXT    NOT NULL,
    id          BLOB    NOT NULL CHECK (length(id) = 16),
    -- The order of creation among the tenant's aggregates of the kind, from 1; lists are paged by it.
    created     INTEGER NOT NULL CHECK (created >= 1),
    revision    INTEGER NOT NULL CHECK (revision >= 1),
    sequence    INTEGER NOT NULL CHECK (sequence >= 1),
    schema      INTEGER NOT NULL,
    environment BLOB    NOT NULL CHECK (length(environment) = 16),
    status      TEXT    NOT NULL,
    wake_at     INTEGER,
    body        TEXT    NOT NULL,
    PRIMARY KEY (tenant, kind, id),
    UNIQUE (tenant, kind, created)
) STRICT;

CREATE INDEX aggregates_due ON aggregates (kind, wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX aggregates_by_environment ON aggregates (tenant, kind, environment, created);
CREATE INDEX aggregates_by_status ON aggregates (tenant, kind, status, created);

CREATE TABLE aggregate_modules (
    tenant BLOB NOT NULL,
    kind   TEXT NOT NULL,
    id     BLOB NOT NULL,
    module TEXT NOT NULL,
    PRIMARY KEY (tenant, kind, id, module),
    FOREIGN KEY (tenant, kind, id) REFERENCES aggregates (tenant, kind, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX aggregate_modules_by_module ON aggregate_modules (tenant, kind, module, id);

CREATE TABLE claims (
    -- The tenant among whose aggregates the key is unique; empty where it is unique among all tenants'.
    space  BLOB    NOT NULL CHECK (length(space) IN (0, 16)),
    key    TEXT    NOT NULL,
    shared INTEGER NOT NULL CHECK (shared IN (0, 1)),
    tenant BLOB    NOT NULL,
    kind   TEXT    NOT NULL,
    id     BLOB    NOT NULL,
    PRIMARY KEY (space, key, tenant, kind, id),
    FOREIGN KEY (tenant, kind, id) REFERENCES aggregates (tenant, kind, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX claims_exclusive ON claims (space, key) WHERE shared = 0;
CREATE INDEX claims_by_holder ON claims (tenant, kind, id);

CREATE TABLE history (
    tenant      BLOB    NOT NULL,
    kind        TEXT    NOT NULL,
    id          BLOB    NOT NULL,
    sequence    INTEGER NOT NULL CHECK (sequence >= 1),
    event_id    BLOB    NOT NULL CHECK (length(event_id) = 16),
    event       TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    -- As RFC 3339 text, exact: replaying the history must give the state to the last digit.
    at          TEXT    NOT NULL,
    actor       TEXT    NOT NULL,
    correlation BLOB    NOT NULL CHECK (length(correlation) = 16),
    causation   BLOB    CHECK (length(causation) = 16),
    explanation TEXT    NOT NULL,
    PRIMARY KEY (tenant, kind, id, sequence),
    FOREIGN KEY (tenant, kind, id) REFERENCES aggregates (tenant, kind, id)
) STRICT;

CREATE TRIGGER history_is_never_changed BEFORE UPDATE ON history
BEGIN
    SELECT RAISE(ABORT, 'history is append-only');
END;

CREATE TRIGGER history_is_never_deleted BEFORE DELETE ON history
BEGIN
    SELECT RAISE(ABORT, 'history is append-only');
END;

-- Events that wait to be published; the history keeps them for ever.
CREATE TABLE outbox (
    -- Commit order: there is one writer, and AUTOINCREMENT never gives a number twice.
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant     BLOB    NOT NULL,
    kind       TEXT    NOT NULL,
    id         BLOB    NOT NULL,
    sequence   INTEGER NOT NULL,
    event_id   BLOB    NOT NULL CHECK (length(event_id) = 16),
    event_type TEXT    NOT NULL,
    envelope   TEXT    NOT NULL,
    UNIQUE (tenant, kind, id, sequence),
    FOREIGN KEY (tenant, kind, id, sequence) REFERENCES history (tenant, kind, id, sequence)
) STRICT;

-- The destinations that are behind in an aggregate's stream: its events up to `others` have gone to all that are not here.
CREATE TABLE held (
    tenant        BLOB    NOT NULL,
    kind          TEXT    NOT NULL,
    id            BLOB    NOT NULL,
    destination   TEXT    NOT NULL,
    -- The first event that it has not got.
    from_sequence INTEGER NOT NULL,
    others        INTEGER NOT NULL,
    -- Set while the stream is parked for it; without them it may catch up.
    parked_until  TEXT    CHECK (parked_until IN ('unparked', 'reachable')),
    reason        TEXT,
    since         INTEGER,
    PRIMARY KEY (tenant, kind, id, destination),
    FOREIGN KEY (tenant, kind, id) REFERENCES aggregates (tenant, kind, id),
    CHECK ((parked_until IS NULL) = (reason IS NULL) AND (parked_until IS NULL) = (since IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
    tenant   BLOB NOT NULL CHECK (length(tenant) = 16),
    consumer TEXT NOT NULL,
    event_id BLOB NOT NULL CHECK (length(event_id) = 16),
    PRIMARY KEY (tenant, consumer, event_id)
) STRICT, WITHOUT ROWID;

-- The token of the newest lease: every lease gets a greater one than all before it, on whatever aggregate.
CREATE TABLE lease_tokens (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    newest INTEGER NOT NULL
) STRICT;
INSERT INTO lease_tokens (id, newest) VALUES (1, 0);

CREATE TABLE leases (
    tenant   BLOB    NOT NULL,
    topic    TEXT    NOT NULL CHECK (topic IN ('work', 'outbox')),
    kind     TEXT    NOT NULL,
    id       BLOB    NOT NULL,
    host     BLOB    CHECK (length(host) = 16),
    token    INTEGER NOT NULL CHECK (token >= 1),
    until    INTEGER,
    PRIMARY KEY (tenant, topic, kind, id),
    FOREIGN KEY (tenant, kind, id) REFERENCES aggregates (tenant, kind, id),
    CHECK ((host IS NULL) = (until IS NULL))
) STRICT, WITHOUT ROWID;
