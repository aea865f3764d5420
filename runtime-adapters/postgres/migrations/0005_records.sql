-- What is kept for a time beside the aggregates. Times are whole microseconds since 1970, UTC, rounded down.

-- Health results lie in partitions of a day, which are made ahead and dropped whole. Nobody who is not their owner reaches a partition but
-- through this table.
CREATE TABLE health_results (
    tenant       uuid    NOT NULL,
    environment  uuid    NOT NULL,
    service      uuid    NOT NULL,
    id           uuid    NOT NULL,
    evaluated_at bigint  NOT NULL,
    revision     text    COLLATE "C",
    schema       integer NOT NULL,
    body         text    NOT NULL,
    -- As those of a service are listed.
    PRIMARY KEY (tenant, environment, service, evaluated_at, id)
) PARTITION BY RANGE (evaluated_at);

-- For those alone who ask for no service, and repeat that the schema is a number above 0: a day's partition that a server knows nothing of yet would
-- be searched for a service by it too.
CREATE INDEX health_results_by_environment ON health_results (tenant, environment, evaluated_at, id) WHERE schema > 0;
-- For pruning a part of a day: results come in the order of their time, or nearly.
CREATE INDEX health_results_by_time ON health_results USING brin (evaluated_at) WITH (autosummarize = on);

CREATE FUNCTION refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;

CREATE TRIGGER health_results_are_never_changed BEFORE UPDATE ON health_results FOR EACH ROW EXECUTE FUNCTION refuse_update();

CREATE TABLE snapshots (
    tenant       uuid   NOT NULL,
    environment  uuid   NOT NULL,
    subject      text   COLLATE "C" NOT NULL,
    captured_at  bigint NOT NULL,
    last_seen_at bigint NOT NULL,
    digest       bytea  NOT NULL CHECK (length(digest) = 32),
    body         text   NOT NULL,
    PRIMARY KEY (tenant, environment, subject, captured_at),
    CHECK (last_seen_at >= captured_at)
) WITH (fillfactor = 80);

CREATE INDEX snapshots_by_time ON snapshots (tenant, environment, captured_at, subject);
CREATE INDEX snapshots_by_age ON snapshots (last_seen_at);

CREATE TABLE artifacts (
    tenant      uuid   NOT NULL,
    environment uuid   NOT NULL,
    subject     text   COLLATE "C" NOT NULL,
    name        text   COLLATE "C" NOT NULL,
    size        bigint NOT NULL CHECK (size >= 0),
    digest      bytea  NOT NULL CHECK (length(digest) = 32),
    stored_at   bigint NOT NULL,
    content     bytea  NOT NULL,
    PRIMARY KEY (tenant, environment, subject, name)
);

CREATE INDEX artifacts_by_age ON artifacts (stored_at);

CREATE TRIGGER artifacts_are_never_changed BEFORE UPDATE ON artifacts FOR EACH STATEMENT EXECUTE FUNCTION refuse_update();

-- Row-level security.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['health_results', 'snapshots', 'artifacts'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_the_present_tenant ON %I TO factory_runtime_tenant USING (tenant = (SELECT present_tenant()))', name);
        EXECUTE format('CREATE POLICY of_all_tenants ON %I TO factory_runtime_operator USING (true)', name);
    END LOOP;
END $$;

GRANT SELECT, INSERT ON health_results, snapshots, artifacts TO factory_runtime_tenant;
GRANT UPDATE (last_seen_at) ON snapshots TO factory_runtime_tenant;
-- An operator removes what is old and reads no content.
GRANT DELETE ON health_results, snapshots, artifacts TO factory_runtime_operator;
GRANT SELECT (tenant, environment, service, evaluated_at, id) ON health_results TO factory_runtime_operator;
GRANT SELECT (tenant, environment, subject, captured_at, last_seen_at) ON snapshots TO factory_runtime_operator;
GRANT SELECT (tenant, environment, subject, name, stored_at) ON artifacts TO factory_runtime_operator;

-- Health results. A day is counted from 1970.

CREATE FUNCTION partition_of(day bigint) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT 'health_results_' || to_char(date '1970-01-01' + day::integer, 'YYYY_MM_DD') $$;

-- Makes the partitions of some days. Its rights are the owner's, since nobody else may make a table; it takes nothing but two numbers.
CREATE FUNCTION prepare_health_results(first_day bigint, last_day bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = factory_runtime, pg_temp SET client_min_messages = warning
AS $$
DECLARE
    length CONSTANT bigint := 86400000000;
    name text;
BEGIN
    IF first_day < 0 OR last_day > 2932896 OR last_day - first_day NOT BETWEEN 0 AND 61 THEN
        RAISE EXCEPTION 'partitions are made for up to 62 days from 1970 to 9999';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('factory_runtime.health_results', 0));
    FOR day IN first_day..last_day LOOP
        name := partition_of(day);
        CONTINUE WHEN to_regclass(format('factory_runtime.%I', name)) IS NOT NULL;
        -- Attached afterwards, so that recording and reading go on meanwhile.
        EXECUTE format('CREATE TABLE %I (LIKE health_results INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_the_present_tenant ON %I TO factory_runtime_tenant USING (tenant = (SELECT present_tenant()))', name);
        EXECUTE format(
            'ALTER TABLE health_results ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name, day * length, (day + 1) * length
        );
    END LOOP;
END $$;

-- Drops the partitions that ended before a time. It waits for nobody for long: who waits for this table in its way would wait too.
CREATE FUNCTION retire_health_results(before bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = factory_runtime, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('factory_runtime.health_results', 0));
    FOR name IN
        SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'health_results'::regclass
            -- The names are in the order of their days.
            AND c.relname < partition_of(greatest(before, 0) / 86400000000)
        ORDER BY 1
    LOOP
        EXECUTE format('DROP TABLE %I', name);
    END LOOP;
END $$;

-- Records results of which some may be there, all or none. False where a partition is missing: make it, and call again.
CREATE FUNCTION append_health_results(
    asked_tenant uuid, environments uuid[], services uuid[], ids uuid[], times bigint[], revisions text[], schemas integer[], bodies text[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    INSERT INTO health_results (tenant, environment, service, id, evaluated_at, revision, schema, body)
        SELECT asked_tenant, r.* FROM unnest(environments, services, ids, times, revisions, schemas, bodies) AS r
        ON CONFLICT (tenant, environment, service, evaluated_at, id) DO NOTHING;
    RETURN true;
EXCEPTION WHEN check_violation THEN
    RETURN false;
END $$;

CREATE FUNCTION latest_health_result(asked_tenant uuid, asked_environment uuid, asked_service uuid, since bigint)
    RETURNS TABLE (revision text, schema integer, body text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    RETURN QUERY SELECT h.revision, h.schema, h.body FROM health_results AS h
        WHERE h.tenant = asked_tenant AND h.environment = asked_environment AND h.service = asked_service AND h.evaluated_at >= since
        ORDER BY h.evaluated_at DESC, h.id DESC LIMIT 1;
END $$;

-- From service to service by the index, however many results each has.
CREATE FUNCTION latest_health_results(asked_tenant uuid, asked_environment uuid, since bigint, after uuid, most bigint)
    RETURNS TABLE (revision text, schema integer, body text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    found_service uuid := after;
    given bigint := 0;
    result record;
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    WHILE given < most LOOP
        SELECT h.service INTO found_service FROM health_results AS h
            WHERE h.tenant = asked_tenant AND h.environment = asked_environment AND h.evaluated_at >= since
                AND (found_service IS NULL OR h.service > found_service)
            ORDER BY h.service LIMIT 1;
        EXIT WHEN NOT FOUND;
        SELECT h.revision, h.schema, h.body INTO result FROM health_results AS h
            WHERE h.tenant = asked_tenant AND h.environment = asked_environment AND h.service = found_service AND h.evaluated_at >= since
            ORDER BY h.evaluated_at DESC, h.id DESC LIMIT 1;
        revision := result.revision;
        schema := result.schema;
        body := result.body;
        RETURN NEXT;
        given := given + 1;
    END LOOP;
END $$;

-- A page of results: filters that are NULL do not filter.
CREATE FUNCTION list_health_results(
    asked_tenant uuid, asked_environment uuid, asked_service uuid, asked_revision text, since bigint, until bigint, after_time bigint, after_id uuid,
    oldest_first boolean, most bigint
) RETURNS TABLE (revision text, schema integer, body text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    RETURN QUERY EXECUTE concat(
        'SELECT h.revision, h.schema, h.body FROM health_results AS h WHERE h.tenant = $1 AND h.environment = $2',
        CASE WHEN asked_service IS NOT NULL THEN ' AND h.service = $3' ELSE ' AND h.schema > 0' END,
        CASE WHEN asked_revision IS NOT NULL THEN ' AND h.revision = $4' END,
        CASE WHEN since IS NOT NULL THEN ' AND h.evaluated_at >= $5' END,
        CASE WHEN until IS NOT NULL THEN ' AND h.evaluated_at < $6' END,
        -- The first part lets whole partitions be passed over.
        CASE WHEN after_time IS NOT NULL THEN CASE WHEN oldest_first
            THEN ' AND h.evaluated_at >= $7 AND (h.evaluated_at, h.id) > ($7, $8)'
            ELSE ' AND h.evaluated_at <= $7 AND (h.evaluated_at, h.id) < ($7, $8)' END END,
        CASE WHEN oldest_first THEN ' ORDER BY h.evaluated_at, h.id' ELSE ' ORDER BY h.evaluated_at DESC, h.id DESC' END,
        ' LIMIT $9'
    ) USING asked_tenant, asked_environment, asked_service, asked_revision, since, until, after_time, after_id, most;
END $$;

CREATE FUNCTION prune_health_results(before bigint, most bigint) RETURNS TABLE (removed bigint, goes_on boolean) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM retire_health_results(before);
    DELETE FROM health_results AS h USING (
        SELECT o.tenant, o.environment, o.service, o.evaluated_at, o.id FROM health_results AS o WHERE o.evaluated_at < before LIMIT most
    ) AS old WHERE h.tenant = old.tenant AND h.environment = old.environment AND h.service = old.service
        AND h.evaluated_at = old.evaluated_at AND h.id = old.id;
    GET DIAGNOSTICS removed = ROW_COUNT;
    goes_on := EXISTS (SELECT FROM health_results AS h WHERE h.evaluated_at < before);
    RETURN NEXT;
END $$;

-- Snapshots.

-- Records what was seen: 0 where it is a new snapshot, 1 where it is what was seen before, 2 where something newer is there, 3 where what was seen
-- before is now recorded as seen until then.
CREATE FUNCTION capture_snapshot(
    asked_tenant uuid, asked_environment uuid, asked_subject text, seen_at bigint, asked_digest bytea, asked_body text, step bigint
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    newest record;
    is_alone boolean := false;
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    LOOP
        SELECT s.captured_at, s.last_seen_at, s.digest = asked_digest AS is_same INTO newest FROM snapshots AS s
            WHERE s.tenant = asked_tenant AND s.environment = asked_environment AND s.subject = asked_subject
            ORDER BY s.captured_at DESC LIMIT 1;
        IF FOUND THEN
            IF seen_at < newest.captured_at OR (NOT newest.is_same AND seen_at <= newest.last_seen_at) THEN
                RETURN 2;
            ELSIF newest.is_same AND seen_at < newest.last_seen_at + step THEN
                RETURN 1;
            END IF;
        END IF;
        EXIT WHEN is_alone;
        -- Something is to be written: look again where nobody else writes of this subject.
        PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws('/', asked_tenant, asked_environment, asked_subject), 2));
        is_alone := true;
    END LOOP;
    IF newest.is_same THEN
        UPDATE snapshots AS s SET last_seen_at = seen_at
            WHERE s.tenant = asked_tenant AND s.environment = asked_environment AND s.subject = asked_subject AND s.captured_at = newest.captured_at;
        RETURN 3;
    END IF;
    INSERT INTO snapshots VALUES (asked_tenant, asked_environment, asked_subject, seen_at, seen_at, asked_digest, asked_body);
    RETURN 0;
END $$;

CREATE FUNCTION read_snapshot(asked_tenant uuid, asked_environment uuid, asked_subject text, latest bigint)
    RETURNS TABLE (subject text, captured_at bigint, last_seen_at bigint, digest bytea, body text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    RETURN QUERY SELECT s.subject, s.captured_at, s.last_seen_at, s.digest, s.body FROM snapshots AS s
        WHERE s.tenant = asked_tenant AND s.environment = asked_environment AND s.subject = asked_subject AND s.captured_at <= latest
        ORDER BY s.captured_at DESC LIMIT 1;
END $$;

-- A page of snapshots, newest first: filters that are NULL do not filter.
CREATE FUNCTION list_snapshots(
    asked_tenant uuid, asked_environment uuid, asked_subject text, since bigint, until bigint, after_time bigint, after_subject text, most bigint
) RETURNS TABLE (subject text, captured_at bigint, last_seen_at bigint, digest bytea, body text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    RETURN QUERY EXECUTE concat(
        'SELECT s.subject, s.captured_at, s.last_seen_at, s.digest, s.body FROM snapshots AS s WHERE s.tenant = $1 AND s.environment = $2',
        CASE WHEN asked_subject IS NOT NULL THEN ' AND s.subject = $3' END,
        CASE WHEN since IS NOT NULL THEN ' AND s.captured_at >= $4' END,
        CASE WHEN until IS NOT NULL THEN ' AND s.captured_at < $5' END,
        CASE WHEN after_time IS NOT NULL THEN ' AND (s.captured_at, s.subject) < ($6, $7 COLLATE "C")' END,
        ' ORDER BY s.captured_at DESC, s.subject DESC LIMIT $8'
    ) USING asked_tenant, asked_environment, asked_subject, since, until, after_time, after_subject, most;
END $$;

CREATE FUNCTION prune_snapshots(before bigint, most bigint) RETURNS TABLE (removed bigint, goes_on boolean) LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM snapshots AS s USING (
        SELECT o.tenant, o.environment, o.subject, o.captured_at FROM snapshots AS o
        WHERE o.last_seen_at < before ORDER BY o.last_seen_at LIMIT most
    ) AS old WHERE s.tenant = old.tenant AND s.environment = old.environment AND s.subject = old.subject AND s.captured_at = old.captured_at
        -- It may have been seen again meanwhile.
        AND s.last_seen_at < before;
    GET DIAGNOSTICS removed = ROW_COUNT;
    goes_on := EXISTS (SELECT FROM snapshots AS s WHERE s.last_seen_at < before);
    RETURN NEXT;
END $$;

-- Artifacts.

-- Stores an artifact unless there is one, and tells of the one that is there then.
CREATE FUNCTION store_artifact(
    asked_tenant uuid, asked_environment uuid, asked_subject text, asked_name text, asked_size bigint, asked_digest bytea, asked_at bigint,
    asked_content bytea
) RETURNS TABLE (size bigint, digest bytea, stored_at bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    INSERT INTO artifacts VALUES (
        asked_tenant, asked_environment, asked_subject, asked_name, asked_size, asked_digest, asked_at, asked_content
    ) ON CONFLICT (tenant, environment, subject, name) DO NOTHING;
    RETURN QUERY SELECT a.size, a.digest, a.stored_at FROM artifacts AS a
        WHERE a.tenant = asked_tenant AND a.environment = asked_environment AND a.subject = asked_subject AND a.name = asked_name;
END $$;

CREATE FUNCTION read_artifact(asked_tenant uuid, asked_environment uuid, asked_subject text, asked_name text)
    RETURNS TABLE (size bigint, digest bytea, stored_at bigint, content bytea) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    RETURN QUERY SELECT a.size, a.digest, a.stored_at, a.content FROM artifacts AS a
        WHERE a.tenant = asked_tenant AND a.environment = asked_environment AND a.subject = asked_subject AND a.name = asked_name;
END $$;

CREATE FUNCTION list_artifacts(asked_tenant uuid, asked_environment uuid, asked_subject text, after text, most bigint)
    RETURNS TABLE (size bigint, digest bytea, stored_at bigint, name text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    RETURN QUERY SELECT a.size, a.digest, a.stored_at, a.name FROM artifacts AS a
        WHERE a.tenant = asked_tenant AND a.environment = asked_environment AND a.subject = asked_subject AND a.name > after COLLATE "C"
        ORDER BY a.name LIMIT most;
END $$;

CREATE FUNCTION prune_artifacts(before bigint, most bigint) RETURNS TABLE (removed bigint, goes_on boolean) LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM artifacts AS a USING (
        SELECT o.tenant, o.environment, o.subject, o.name FROM artifacts AS o WHERE o.stored_at < before ORDER BY o.stored_at LIMIT most
    ) AS old WHERE a.tenant = old.tenant AND a.environment = old.environment AND a.subject = old.subject AND a.name = old.name;
    GET DIAGNOSTICS removed = ROW_COUNT;
    goes_on := EXISTS (SELECT FROM artifacts AS a WHERE a.stored_at < before);
    RETURN NEXT;
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA factory_runtime FROM PUBLIC;
GRANT EXECUTE ON FUNCTION append_health_results, latest_health_result, latest_health_results, list_health_results, capture_snapshot,
    read_snapshot, list_snapshots, store_artifact, read_artifact, list_artifacts TO factory_runtime_tenant;
GRANT EXECUTE ON FUNCTION prepare_health_results, retire_health_results, prune_health_results, prune_snapshots, prune_artifacts
    TO factory_runtime_operator;
