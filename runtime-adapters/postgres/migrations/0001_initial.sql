-- Every unique key leads with the tenant, so that no constraint tells one tenant of another's things; the one exception is
-- `claims_exclusive`, whose keys are unique among all tenants on purpose. After it comes what tells most rows apart, of fixed length, and the
-- kind last: each row that is written is compared with a dozen of its index. Times that are compared are whole microseconds since 1970, UTC.
--
-- What one tenant's work may touch, `factory_runtime_tenant` may: row-level security shows it the rows of the tenant that
-- `factory_runtime.tenant` names for the transaction, and none without it. `factory_runtime_operator` works across tenants and may touch
-- leases and the outbox, and no state. Logins are members of both and take one on.

CREATE TABLE aggregates (
    tenant      uuid    NOT NULL,
    kind        text    COLLATE "C" NOT NULL,
    id          uuid    NOT NULL,
    -- The order of creation among the tenant's aggregates, with gaps; lists are paged by it.
    created     bigint  NOT NULL,
    revision    bigint  NOT NULL,
    sequence    bigint  NOT NULL,
    -- That of the newest entry of its history.
    digest      bytea   NOT NULL,
    schema      integer NOT NULL,
    environment uuid    NOT NULL,
    status      text    COLLATE "C" NOT NULL,
    -- A digest of modules and claims: where it stays, their tables do too, and need not be looked at.
    facets      uuid    NOT NULL,
    -- What the last write replaced: 0, 0 and NULL where it made the aggregate.
    replaced_revision bigint NOT NULL,
    replaced_sequence bigint NOT NULL,
    replaced_facets   uuid,
    -- What a write names to be replaced. It is compared and not kept: NULL in every row.
    replaced_digest   bytea,
    body        text    NOT NULL,
    PRIMARY KEY (tenant, id, kind)
) WITH (fillfactor = 80);

-- These are for lists only, which repeat what is true of every row. Otherwise a plan that is made while the table is empty, when every index
-- looks alike, could look one row up by a part of its key, and be kept.
CREATE INDEX aggregates_by_creation ON aggregates (tenant, kind, created) WHERE created > 0;
CREATE INDEX aggregates_by_environment ON aggregates (tenant, kind, environment, created) WHERE created > 0;
CREATE INDEX aggregates_by_status ON aggregates (tenant, kind, status, created) WHERE created > 0;

-- The number of the tenant's newest aggregate.
CREATE TABLE counters (
    tenant uuid   PRIMARY KEY,
    newest bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE aggregate_modules (
    tenant uuid NOT NULL,
    kind   text COLLATE "C" NOT NULL,
    id     uuid NOT NULL,
    module text COLLATE "C" NOT NULL,
    -- As in `aggregates`, so that what is about a component is found in the order of creation, however much there is.
    environment uuid   NOT NULL,
    created     bigint NOT NULL,
    PRIMARY KEY (tenant, kind, id, module)
);

CREATE INDEX aggregate_modules_by_component ON aggregate_modules (tenant, kind, module, environment, created) WHERE module <> '';

CREATE TABLE claims (
    tenant uuid    NOT NULL,
    kind   text    COLLATE "C" NOT NULL,
    id     uuid    NOT NULL,
    -- The tenant among whose aggregates the key is unique; NULL where it is unique among all tenants'.
    space  uuid,
    key    text    COLLATE "C" NOT NULL,
    shared boolean NOT NULL,
    CHECK (space = tenant)
);

CREATE UNIQUE INDEX claims_by_holder ON claims (tenant, kind, id, key, space) NULLS NOT DISTINCT;
CREATE UNIQUE INDEX claims_exclusive ON claims (space, key) NULLS NOT DISTINCT WHERE NOT shared;
CREATE INDEX claims_shared ON claims (key, space) WHERE shared;

CREATE TABLE history (
    tenant      uuid   NOT NULL,
    kind        text   COLLATE "C" NOT NULL,
    id          uuid   NOT NULL,
    sequence    bigint NOT NULL,
    event_id    uuid   NOT NULL,
    event       text   NOT NULL,
    body        text   NOT NULL,
    -- As RFC 3339 text, exact: replaying the history must give the state to the last digit.
    at          text   NOT NULL,
    actor       text   NOT NULL,
    correlation uuid   NOT NULL,
    causation   uuid,
    explanation text   NOT NULL,
    digest      bytea  NOT NULL,
    -- As W3C's trace context writes it; NULL where it was not traced.
    trace_parent text,
    PRIMARY KEY (tenant, id, sequence, kind)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'history is append-only';
END $$;

CREATE TRIGGER history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Events that wait to be published; the history keeps them for ever.
CREATE TABLE outbox (
    tenant     uuid   NOT NULL,
    kind       text   COLLATE "C" NOT NULL,
    id         uuid   NOT NULL,
    sequence   bigint NOT NULL,
    event_id   uuid   NOT NULL,
    event_type text   NOT NULL,
    envelope   text   NOT NULL,
    PRIMARY KEY (tenant, id, sequence, kind)
);

-- The destinations that are behind in an aggregate's stream: its events up to `others` have gone to all that are not here.
CREATE TABLE held (
    tenant        uuid   NOT NULL,
    kind          text   COLLATE "C" NOT NULL,
    id            uuid   NOT NULL,
    destination   text   COLLATE "C" NOT NULL,
    -- The first event that it has not got.
    from_sequence bigint NOT NULL,
    others        bigint NOT NULL,
    -- Set while the stream is parked for it; without them it may catch up.
    parked_until  text   COLLATE "C" CHECK (parked_until IN ('unparked', 'reachable')),
    reason        text,
    since         bigint,
    PRIMARY KEY (tenant, kind, id, destination),
    CHECK ((parked_until IS NULL) = (reason IS NULL) AND (parked_until IS NULL) = (since IS NULL))
);

CREATE TABLE inbox (
    tenant   uuid NOT NULL,
    consumer text COLLATE "C" NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (tenant, consumer, event_id)
);

-- When an aggregate is due for a topic, and who has it. It is due for `outbox` from when its oldest waiting event was written.
-- An aggregate is made due, or no longer due, under its lock (`aggregate_lock`), shared by those who write it and held alone by those who
-- judge by what was written, so that nobody misses what another is just adding.
CREATE TABLE work (
    tenant uuid   NOT NULL,
    kind   text   COLLATE "C" NOT NULL,
    id     uuid   NOT NULL,
    topic  text   COLLATE "C" NOT NULL,
    due_at bigint,
    host   uuid,
    token  bigint,
    -- The token of the lease before.
    previous bigint,
    until  bigint,
    PRIMARY KEY (tenant, id, topic, kind)
) WITH (fillfactor = 70);

-- The first finds one tenant's due work, however much another has; the second whether anything is due at all. Each is for those alone who repeat
-- its last condition: a server that knows nothing of the table yet takes one for the other, and either for a row's key.
CREATE INDEX work_by_tenant ON work (topic, kind, tenant, due_at) WHERE due_at IS NOT NULL AND topic <> '';
CREATE INDEX work_by_time ON work (topic, kind, due_at) WHERE due_at IS NOT NULL AND kind <> '';

-- Every lease gets a greater token than all before it, on whatever aggregate.
CREATE SEQUENCE lease_tokens CACHE 1;

-- Row-level security.

CREATE FUNCTION present_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('factory_runtime.tenant', true), '')::uuid $$;

DO $$
DECLARE
    of_tenants text[] := ARRAY['aggregates', 'counters', 'aggregate_modules', 'claims', 'history', 'outbox', 'held', 'inbox', 'work'];
    of_operators text[] := ARRAY['aggregates', 'outbox', 'held', 'work'];
    name text;
BEGIN
    FOREACH name IN ARRAY of_tenants LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_the_present_tenant ON %I TO factory_runtime_tenant USING (tenant = (SELECT present_tenant()))', name);
    END LOOP;
    FOREACH name IN ARRAY of_operators LOOP
        EXECUTE format('CREATE POLICY of_all_tenants ON %I TO factory_runtime_operator USING (true)', name);
    END LOOP;
    -- For `claim_is_held` alone, which tells nothing but that a key is taken.
    EXECUTE format('CREATE POLICY of_the_owner ON claims FOR SELECT TO %I USING (true)', current_user);
END $$;

GRANT USAGE ON SCHEMA factory_runtime TO factory_runtime_tenant, factory_runtime_operator;
GRANT SELECT, INSERT, UPDATE ON aggregates, counters, work TO factory_runtime_tenant;
GRANT SELECT, INSERT, DELETE ON aggregate_modules, claims TO factory_runtime_tenant;
GRANT SELECT, INSERT ON history, outbox, inbox TO factory_runtime_tenant;
GRANT SELECT ON held TO factory_runtime_tenant;
GRANT SELECT, UPDATE ON work TO factory_runtime_operator;
GRANT SELECT, DELETE ON outbox TO factory_runtime_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON held TO factory_runtime_operator;
GRANT SELECT (tenant, kind, id, revision) ON aggregates TO factory_runtime_operator;
GRANT USAGE ON SEQUENCE lease_tokens TO factory_runtime_operator;
