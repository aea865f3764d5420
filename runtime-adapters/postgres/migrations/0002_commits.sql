-- What a tenant's handle does, one statement each: a call is one round trip, and a transaction by itself.
--
-- Refusals are raised with states of their own: FR001 handled before, FR002 lease lost, FR003 evidence stale, FR004 conflict,
-- FR005 gap in a history, FR006 claim held. The detail is the place in the array that was refused, from 0; after FR005 the length of the
-- history as well. FR007 says that a batch is not an ordinary one, and nothing of what is wrong.

CREATE TYPE inbox_row AS (consumer text COLLATE "C", event_id uuid);
CREATE TYPE lease_row AS (topic text COLLATE "C", kind text COLLATE "C", id uuid, host uuid, token bigint);
CREATE TYPE evidence_row AS (kind text COLLATE "C", id uuid, revision bigint, is_exact boolean);
CREATE TYPE write_row AS (
    place integer, kind text COLLATE "C", id uuid, replaced_revision bigint, replaced_sequence bigint, replaced_digest bytea, revision bigint,
    sequence bigint, digest bytea, schema integer, environment uuid, status text, wake_at bigint, publishes boolean, facets uuid, body text
);
-- `write` is the place of the write that they are of.
CREATE TYPE module_row AS (write integer, kind text COLLATE "C", id uuid, module text COLLATE "C");
CREATE TYPE claim_row AS (place integer, write integer, kind text COLLATE "C", id uuid, space uuid, key text COLLATE "C", shared boolean);
CREATE TYPE history_row AS (
    kind text COLLATE "C", id uuid, sequence bigint, event_id uuid, event text, body text, at text, actor text, correlation uuid, causation uuid,
    explanation text, digest bytea, trace_parent text
);
CREATE TYPE outbox_row AS (kind text COLLATE "C", id uuid, sequence bigint, event_id uuid, event_type text, envelope text);

CREATE FUNCTION present_micros() RETURNS bigint LANGUAGE sql VOLATILE
    AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

-- Whether anybody, of whatever tenant, holds a key so that it cannot be taken.
CREATE FUNCTION claim_is_held(asked_space uuid, asked_key text, asked_shared boolean) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = factory_runtime, pg_temp
AS $$
    -- In two cases, since no index finds what `IS NOT DISTINCT FROM` asks for.
    SELECT CASE WHEN asked_space IS NULL THEN
        EXISTS (SELECT FROM claims WHERE NOT shared AND space IS NULL AND key = asked_key)
        OR (NOT asked_shared AND EXISTS (SELECT FROM claims WHERE shared AND space IS NULL AND key = asked_key))
    ELSE
        EXISTS (SELECT FROM claims WHERE NOT shared AND space = asked_space AND key = asked_key)
        OR (NOT asked_shared AND EXISTS (SELECT FROM claims WHERE shared AND space = asked_space AND key = asked_key))
    END
$$;

-- The advisory lock under which an aggregate is made due or no longer due: held to the transaction's end, and nothing is written for it.
CREATE FUNCTION aggregate_lock(id uuid) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT uuid_hash_extended(id, 1) $$;

-- The number of a tenant's aggregate, if `many` are made now: theirs are this one and the following.
CREATE FUNCTION number_creations(asked_tenant uuid, many bigint) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO counters AS c VALUES (asked_tenant, many) ON CONFLICT (tenant) DO UPDATE SET newest = c.newest + many
    RETURNING newest - many + 1
$$;

-- Says which of the writes could not be made. Those that were are told by who wrote the row.
CREATE FUNCTION refuse_writes(asked_tenant uuid, writes write_row[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    change   write_row;
    standing record;
    gap      text;
BEGIN
    FOREACH change IN ARRAY writes LOOP
        SELECT a.revision, a.sequence, a.digest, a.replaced_facets IS NULL AS is_new, a.xmin = pg_current_xact_id()::xid AS is_ours INTO standing
        FROM aggregates AS a WHERE a.tenant = asked_tenant AND a.kind = change.kind AND a.id = change.id;
        IF standing.is_ours AND standing.is_new THEN
            -- Nothing was there.
            standing.revision := NULL;
            standing.sequence := 0;
            standing.digest := NULL;
        ELSIF standing.is_ours THEN
            CONTINUE;
        END IF;
        -- A revision, and whose it is, is judged before any history.
        IF standing.revision IS DISTINCT FROM nullif(change.replaced_revision, 0)
            OR standing.digest IS DISTINCT FROM change.replaced_digest
        THEN
            RAISE EXCEPTION 'another writer was here' USING ERRCODE = 'FR004', DETAIL = change.place::text;
        ELSIF standing.sequence <> change.replaced_sequence THEN
            gap := coalesce(gap, change.place || ' ' || standing.sequence);
        END IF;
    END LOOP;
    RAISE EXCEPTION 'the history has a gap' USING ERRCODE = 'FR005', DETAIL = gap;
END $$;

-- Says when aggregates are due, whose locks whoever calls it holds: what is read here was left by whoever held them before, and is not
-- changed before they are given up.
CREATE FUNCTION make_due(asked_tenant uuid, kinds text[], ids uuid[], wake_ats bigint[], publish boolean[])
    RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stirred integer[] := ARRAY(
        SELECT w.place FROM (
            SELECT unnest(kinds) AS kind, unnest(ids) AS id, unnest(wake_ats) AS wake_at, unnest(publish) AS publishes,
                generate_subscripts(ids, 1) AS place
        ) AS w
        WHERE 1 + w.publishes::integer > (
            SELECT count(*) FROM work AS k
            WHERE k.tenant = asked_tenant AND k.kind = w.kind AND k.id = w.id AND CASE k.topic
                WHEN 'work' THEN k.due_at IS NOT DISTINCT FROM w.wake_at
                ELSE w.publishes AND k.due_at IS NOT NULL
            END
        )
    );
BEGIN
    IF cardinality(stirred) = 0 THEN
        RETURN;
    END IF;
    INSERT INTO work AS k (tenant, kind, id, topic, due_at)
    SELECT asked_tenant, kinds[s.place], ids[s.place], 'work', wake_ats[s.place] FROM unnest(stirred) AS s (place)
    ON CONFLICT (tenant, kind, id, topic) DO UPDATE SET due_at = excluded.due_at WHERE k.due_at IS DISTINCT FROM excluded.due_at;
    INSERT INTO work AS k (tenant, kind, id, topic, due_at)
    SELECT asked_tenant, kinds[s.place], ids[s.place], 'outbox', present_micros() FROM unnest(stirred) AS s (place)
    WHERE publish[s.place]
    ON CONFLICT (tenant, kind, id, topic) DO UPDATE SET due_at = excluded.due_at WHERE k.due_at IS NULL;
END $$;

-- Ends a statement that took a batch for an ordinary one; see `ordinary.rs`.
CREATE FUNCTION refuse_as_ordinary() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'not an ordinary batch' USING ERRCODE = 'FR007';
END $$;

-- Performs commits of one tenant, all of them or none: each aggregate has at most one row in `writes`, into which its commits are folded.
-- Rows are looked up by their whole key, by the index that a conflict is judged by or in subqueries of one table: what it costs is known,
-- whatever the planner believes of the tables.
CREATE FUNCTION commit(
    asked_tenant uuid, inboxes inbox_row[], leases lease_row[], evidences evidence_row[], writes write_row[], modules module_row[],
    claimed claim_row[], histories history_row[], events outbox_row[]
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    setting         text := set_config('factory_runtime.tenant', asked_tenant::text, true);
    asked_lease     lease_row;
    fact            evidence_row;
    change          write_row;
    lost            claim_row;
    many            bigint;
    number          bigint := 1;
    told            uuid[];
    gained          claim_row[] := '{}';
BEGIN
    IF cardinality(inboxes) > 0 THEN
        INSERT INTO inbox SELECT asked_tenant, i.consumer, i.event_id FROM unnest(inboxes) AS i ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS many = ROW_COUNT;
        IF many <> cardinality(inboxes) THEN
            RAISE EXCEPTION 'the event was handled before' USING ERRCODE = 'FR001';
        END IF;
    END IF;

    FOREACH asked_lease IN ARRAY leases LOOP
        PERFORM pg_advisory_xact_lock_shared(aggregate_lock(asked_lease.id));
        PERFORM FROM work AS w
        WHERE w.tenant = asked_tenant AND w.kind = asked_lease.kind AND w.id = asked_lease.id AND w.topic = asked_lease.topic
            AND w.host = asked_lease.host AND w.token = asked_lease.token
        FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the lease is lost' USING ERRCODE = 'FR002';
        END IF;
    END LOOP;

    many := 0;
    FOREACH fact IN ARRAY evidences LOOP
        PERFORM FROM aggregates AS a
        WHERE a.tenant = asked_tenant AND a.kind = fact.kind AND a.id = fact.id
            AND (a.revision = fact.revision OR (a.revision > fact.revision AND NOT fact.is_exact))
        FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the evidence is stale' USING ERRCODE = 'FR003', DETAIL = many::text;
        END IF;
        many := many + 1;
    END LOOP;

    FOREACH change IN ARRAY writes LOOP
        IF change.replaced_revision = 0 THEN
            number := number_creations(asked_tenant, cardinality(writes));
            EXIT;
        END IF;
    END LOOP;

    WITH standing AS (
        INSERT INTO aggregates AS a (
            tenant, kind, id, created, revision, sequence, digest, schema, environment, status, facets, replaced_revision,
            replaced_sequence, replaced_digest, body
        )
        SELECT asked_tenant, w.kind, w.id, number + w.place, w.revision, w.sequence, w.digest, w.schema, w.environment, w.status, w.facets,
            w.replaced_revision, w.replaced_sequence, w.replaced_digest, w.body
        FROM unnest(writes) AS w
        WHERE pg_advisory_xact_lock_shared(aggregate_lock(w.id)) IS NOT NULL
        ON CONFLICT (tenant, kind, id) DO UPDATE
        SET revision = excluded.revision, sequence = excluded.sequence, digest = excluded.digest, schema = excluded.schema,
            environment = excluded.environment, status = excluded.status, facets = excluded.facets, replaced_revision = excluded.replaced_revision,
            replaced_sequence = excluded.replaced_sequence, replaced_facets = a.facets, body = excluded.body
        WHERE a.revision = excluded.replaced_revision AND a.sequence = excluded.replaced_sequence AND a.digest = excluded.replaced_digest
        RETURNING a.id, a.facets, a.replaced_revision, a.replaced_sequence, a.replaced_facets
    ), judged AS (
        SELECT
            count(*) FILTER (WHERE replaced_facets IS NOT NULL OR (replaced_revision = 0 AND replaced_sequence = 0)) AS legal,
            array_agg(id) FILTER (WHERE facets IS DISTINCT FROM replaced_facets) AS told
        FROM standing
    ), remembered AS (
        INSERT INTO history
        SELECT asked_tenant, h.kind, h.id, h.sequence, h.event_id, h.event, h.body, h.at, h.actor, h.correlation, h.causation, h.explanation,
            h.digest, h.trace_parent
        FROM judged, unnest(histories) AS h WHERE legal = cardinality(writes)
    ), sent AS (
        INSERT INTO outbox
        SELECT asked_tenant, e.kind, e.id, e.sequence, e.event_id, e.event_type, e.envelope
        FROM judged, unnest(events) AS e WHERE legal = cardinality(writes)
    )
    SELECT legal, judged.told INTO many, told FROM judged;
    IF many <> cardinality(writes) THEN
        PERFORM refuse_writes(asked_tenant, writes);
    END IF;

    PERFORM make_due(
        asked_tenant, ARRAY(SELECT w.kind FROM unnest(writes) AS w), ARRAY(SELECT w.id FROM unnest(writes) AS w),
        ARRAY(SELECT w.wake_at FROM unnest(writes) AS w), ARRAY(SELECT w.publishes FROM unnest(writes) AS w)
    );

    IF told IS NULL THEN
        RETURN;
    END IF;
    -- What is no longer claimed is given up first, so that another of the writes may take it.
    FOREACH change IN ARRAY writes LOOP
        CONTINUE WHEN change.replaced_revision = 0 OR change.id <> ALL (told);
        DELETE FROM aggregate_modules AS m
        WHERE m.tenant = asked_tenant AND m.kind = change.kind AND m.id = change.id
            AND (m.environment <> change.environment
                OR NOT EXISTS (SELECT FROM unnest(modules) AS n WHERE n.module = m.module AND n.write = change.place));
        DELETE FROM claims AS c
        WHERE c.tenant = asked_tenant AND c.kind = change.kind AND c.id = change.id AND NOT EXISTS (
            SELECT FROM unnest(claimed) AS n
            WHERE n.key = c.key AND n.write = change.place AND n.shared = c.shared AND n.space IS NOT DISTINCT FROM c.space
        );
    END LOOP;
    INSERT INTO aggregate_modules (tenant, kind, id, module, environment, created)
    SELECT asked_tenant, n.kind, n.id, n.module, standing.environment, standing.created
    FROM unnest(modules) AS n, LATERAL (
        SELECT a.environment, a.created FROM aggregates AS a WHERE a.tenant = asked_tenant AND a.kind = n.kind AND a.id = n.id LIMIT 1
    ) AS standing
    WHERE n.id = ANY (told) ON CONFLICT DO NOTHING;
    FOREACH change IN ARRAY writes LOOP
        CONTINUE WHEN change.id <> ALL (told);
        gained := gained || coalesce((
            SELECT array_agg(n ORDER BY n.place) FROM unnest(claimed) AS n
            WHERE n.write = change.place AND NOT EXISTS (
                SELECT FROM claims AS c
                WHERE c.tenant = asked_tenant AND c.kind = change.kind AND c.id = change.id AND c.key = n.key
                    AND c.space IS NOT DISTINCT FROM n.space
            )
        ), '{}');
    END LOOP;
    IF cardinality(gained) = 0 THEN
        RETURN;
    END IF;
    -- Whoever takes a key waits for whoever is taking it, shared or not; in one order, so that two do not wait for each other.
    PERFORM pg_advisory_xact_lock(lock) FROM (
        SELECT DISTINCT hashtextextended(coalesce(n.space::text, '') || n.key, 0) AS lock FROM unnest(gained) AS n ORDER BY 1
    ) AS locks;
    SELECT n.* INTO lost FROM unnest(gained) AS n
    WHERE claim_is_held(n.space, n.key, n.shared)
        OR EXISTS (
            SELECT FROM unnest(gained) AS other
            WHERE other.place < n.place AND other.key = n.key AND other.space IS NOT DISTINCT FROM n.space AND NOT (other.shared AND n.shared)
        )
    ORDER BY n.place LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the claim is held by another' USING ERRCODE = 'FR006', DETAIL = lost.place::text;
    END IF;
    INSERT INTO claims SELECT asked_tenant, n.kind, n.id, n.space, n.key, n.shared FROM unnest(gained) AS n;
END $$;

-- A page of one kind: filters that are NULL do not filter. `ordering` is `newest`, `oldest` or `due`; in the last, `after` is the place among
-- those due at `after_due`.
CREATE FUNCTION list(
    asked_tenant uuid, asked_kind text, asked_environment uuid, asked_statuses text[], asked_module text, due_from bigint, due_before bigint,
    ordering text, after_due bigint, after bigint, most bigint
) RETURNS TABLE (id uuid, revision bigint, sequence bigint, schema integer, body text, wake_at bigint, digest bytea, created bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    RETURN QUERY EXECUTE concat(
        'SELECT a.id, a.revision, a.sequence, a.schema, a.body, w.due_at, a.digest, a.created FROM aggregates AS a
         LEFT JOIN work AS w ON w.tenant = a.tenant AND w.kind = a.kind AND w.id = a.id AND w.topic = ''work''
         WHERE a.tenant = $1 AND a.kind = $2',
        -- What is repeated tells which indexes fit.
        CASE WHEN ordering <> 'due' THEN ' AND a.created > 0' END,
        CASE WHEN ordering = 'due' THEN ' AND w.topic = ''work'' AND w.topic <> '''' AND w.tenant = $1 AND w.kind = $2 AND w.due_at IS NOT NULL' END,
        CASE WHEN asked_environment IS NOT NULL THEN ' AND a.environment = $3' END,
        CASE WHEN asked_statuses IS NOT NULL THEN ' AND a.status = ANY ($4)' END,
        CASE WHEN asked_module IS NOT NULL THEN
            ' AND a.id IN (SELECT m.id FROM aggregate_modules AS m WHERE m.tenant = $1 AND m.kind = $2 AND m.module = $5 AND m.module <> '''')' END,
        CASE WHEN due_from IS NOT NULL THEN ' AND w.due_at >= $6' END,
        CASE WHEN due_before IS NOT NULL THEN ' AND w.due_at < $7' END,
        CASE WHEN after IS NOT NULL THEN CASE ordering
            WHEN 'newest' THEN ' AND a.created < $9'
            WHEN 'oldest' THEN ' AND a.created > $9'
            ELSE ' AND w.due_at >= $8 AND (w.due_at, a.created) > ($8, $9)' END END,
        ' ORDER BY ', CASE ordering WHEN 'newest' THEN 'a.created DESC' WHEN 'oldest' THEN 'a.created' ELSE 'w.due_at, a.created' END,
        ' LIMIT $10'
    ) USING asked_tenant, asked_kind, asked_environment, asked_statuses, asked_module, due_from, due_before, after_due, after, most;
END $$;

CREATE FUNCTION read_history(asked_tenant uuid, asked_kind text, asked_id uuid, after bigint, most bigint)
    RETURNS TABLE (
        sequence bigint, event_id uuid, event text, body text, at text, actor text, correlation uuid, causation uuid, explanation text,
        digest bytea, trace_parent text
    ) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    RETURN QUERY
        SELECT h.sequence, h.event_id, h.event, h.body, h.at, h.actor, h.correlation, h.causation, h.explanation, h.digest, h.trace_parent
        FROM history AS h
        WHERE h.tenant = asked_tenant AND h.kind = asked_kind AND h.id = asked_id AND h.sequence > after
        ORDER BY h.sequence LIMIT most;
END $$;

CREATE FUNCTION is_handled(asked_tenant uuid, asked_consumer text, asked_event uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    PERFORM FROM inbox AS i WHERE i.tenant = asked_tenant AND i.consumer = asked_consumer AND i.event_id = asked_event;
    RETURN FOUND;
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA factory_runtime FROM PUBLIC;
GRANT EXECUTE ON FUNCTION present_tenant, present_micros, aggregate_lock, number_creations, refuse_writes, claim_is_held, make_due,
    refuse_as_ordinary, commit, list, read_history, is_handled TO factory_runtime_tenant;
