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
    -- That of the newest entry of its history.
    digest      BLOB    NOT NULL CHECK (length(digest) = 32),
    schema      INTEGER NOT NULL,
    environment BLOB    NOT NULL CHECK (length(environment) = 16),
    status      TEXT    NOT NULL,
    wake_at     INTEGER,
    -- A digest of its modules and claims: where a write has the same, their rows stay as they are.
    held        BLOB    NOT NULL CHECK (length(held) = 16),
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
    -- As in `aggregates`, so that what is about a component is found in the order of creation, however much there is.
    environment BLOB    NOT NULL,
    created     INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, id, module),
    FOREIGN KEY (tenant, kind, id) REFERENCES aggregates (tenant, kind, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX aggregate_modules_by_component ON aggregate_modules (tenant, kind, module, environment, created);

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
    -- Where in `envelopes` it waits, or has waited, to be published; NULL where others are not told of it.
    position    INTEGER,
    event       TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    -- As RFC 3339 text, exact: replaying the history must give the state to the last digit.
    at          TEXT    NOT NULL,
    actor       TEXT    NOT NULL,
    correlation BLOB    NOT NULL CHECK (length(correlation) = 16),
    causation   BLOB    CHECK (length(causation) = 16),
    explanation TEXT    NOT NULL,
    digest      BLOB    NOT NULL CHECK (length(digest) = 32),
    -- As W3C's trace context writes it; NULL where it was not traced.
    trace_parent TEXT,
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

-- What others are told, for as long as it waits to be published; the history keeps the events for ever. Whatever is added goes to the end,
-- so that those who commit together write few pages; the history finds an aggregate's.
CREATE TABLE envelopes (
    position   INTEGER PRIMARY KEY,
    event_id   BLOB    NOT NULL CHECK (length(event_id) = 16),
    event_type TEXT    NOT NULL,
    envelope   TEXT    NOT NULL
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

-- Up to which tokens may have been given to leases: every lease gets a greater one than all before it, on whatever aggregate.
CREATE TABLE lease_tokens (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    newest INTEGER NOT NULL
) STRICT;
INSERT INTO lease_tokens (id, newest) VALUES (1, 0);

-- When an aggregate is due for a topic, and who has it.
CREATE TABLE work (
    topic   TEXT    NOT NULL CHECK (topic IN ('work', 'outbox')),
    kind    TEXT    NOT NULL,
    tenant  BLOB    NOT NULL,
    id      BLOB    NOT NULL,
    -- For `work` the aggregate's wake-up time. For `outbox` since when it has had events to publish, in microseconds counted up from the
    -- smallest number, so that it is below every time.
    due_at  INTEGER,
    host    BLOB    CHECK (length(host) = 16),
    token   INTEGER CHECK (token >= 1),
    until   INTEGER,
    -- For `outbox`: the sequence up to which all have got its events.
    published INTEGER,
    -- From when on it can be taken.
    free_at INTEGER GENERATED ALWAYS AS (max(due_at, coalesce(until, due_at))) VIRTUAL,
    PRIMARY KEY (topic, kind, tenant, id),
    FOREIGN KEY (tenant, kind, id) REFERENCES aggregates (tenant, kind, id),
    CHECK ((host IS NULL) = (until IS NULL)),
    CHECK ((topic = 'outbox') = (published IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- What of one tenant can be taken, the longest due first, however much is leased and however much another tenant has.
CREATE INDEX work_free ON work (topic, kind, tenant, free_at) WHERE free_at IS NOT NULL;

-- The events that wait to be published, by aggregate.
CREATE VIEW outbox AS
    SELECT h.tenant, h.kind, h.id, h.sequence, h.position, e.event_id, e.event_type, e.envelope
    FROM work AS w
    JOIN history AS h ON h.tenant = w.tenant AND h.kind = w.kind AND h.id = w.id AND h.sequence > w.published
    JOIN envelopes AS e ON e.position = h.position AND e.event_id = h.event_id
    WHERE w.topic = 'outbox';
