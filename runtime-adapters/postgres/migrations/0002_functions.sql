-- What a store does, one statement each: a call is one round trip, and a transaction by itself.
--
-- Refusals are raised with states of their own: FR001 handled before, FR002 lease lost, FR003 evidence stale, FR004 conflict,
-- FR005 gap in a history, FR006 claim held. The detail is the place in the array that was refused, from 0; after FR005 the length of the
-- history as well.

CREATE TYPE inbox_row AS (consumer text, event_id uuid);
CREATE TYPE lease_row AS (topic text, kind text, id uuid, host uuid, token bigint);
CREATE TYPE evidence_row AS (kind text, id uuid, revision bigint, is_exact boolean);
CREATE TYPE write_row AS (
    place integer, kind text, id uuid, expected bigint, revision bigint, first_sequence bigint, sequence bigint, schema integer,
    environment uuid, status text, wake_at bigint, facets uuid, body text
);
-- `write` is the place of the write that they are of.
CREATE TYPE module_row AS (write integer, kind text, id uuid, module text);
CREATE TYPE claim_row AS (place integer, write integer, kind text, id uuid, space uuid, key text, shared boolean);
CREATE TYPE history_row AS (
    kind text, id uuid, sequence bigint, event_id uuid, event text, body text, at text, actor text, correlation uuid, causation uuid,
    explanation text
);
CREATE TYPE outbox_row AS (kind text, id uuid, sequence bigint, event_id uuid, event_type text, envelope text);

CREATE FUNCTION present_micros() RETURNS bigint LANGUAGE sql VOLATILE
    AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

-- Whether anybody, of whatever tenant, holds a key so that it cannot be taken.
CREATE FUNCTION claim_is_held(asked_space uuid, asked_key text, asked_shared boolean) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = factory_runtime, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM claims WHERE NOT shared AND space IS NOT DISTINCT FROM asked_space AND key = asked_key)
        OR (NOT asked_shared
            AND EXISTS (SELECT FROM claims WHERE shared AND space IS NOT DISTINCT FROM asked_space AND key = asked_key))
$$;

-- Held to the transaction's end. Nothing is written for it, unlike for a row's lock.
CREATE FUNCTION lock_outbox(id uuid, alone boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF alone THEN
        PERFORM pg_advisory_xact_lock(uuid_hash_extended(id, 1));
    ELSE
        PERFORM pg_advisory_xact_lock_shared(uuid_hash_extended(id, 1));
    END IF;
END $$;

-- Performs commits of one tenant, all of them or none: each aggregate has at most one row in `writes`, into which its commits are folded.
CREATE FUNCTION commit(
    asked_tenant uuid, inboxes inbox_row[], leases lease_row[], evidences evidence_row[], writes write_row[], modules module_row[],
    claimed claim_row[], histories history_row[], events outbox_row[]
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    many            bigint;
    kept_places     integer[];
    changed_places  integer[];
    created_places  integer[];
    told_places     integer[];
    refused_place   integer;
    newest_sequence bigint;
    is_gap          boolean;
    gained          claim_row[];
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);

    IF cardinality(inboxes) > 0 THEN
        INSERT INTO inbox SELECT asked_tenant, i.consumer, i.event_id FROM unnest(inboxes) AS i ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS many = ROW_COUNT;
        IF many <> cardinality(inboxes) THEN
            RAISE EXCEPTION 'the event was handled before' USING ERRCODE = 'FR001';
        END IF;
    END IF;

    IF cardinality(leases) > 0 THEN
        PERFORM FROM work AS w JOIN unnest(leases) AS l
            ON w.kind = l.kind AND w.id = l.id AND w.topic = l.topic AND w.host = l.host AND w.token = l.token
        WHERE w.tenant = asked_tenant FOR SHARE OF w;
        GET DIAGNOSTICS many = ROW_COUNT;
        IF many <> cardinality(leases) THEN
            RAISE EXCEPTION 'the lease is lost' USING ERRCODE = 'FR002';
        END IF;
    END IF;

    IF cardinality(evidences) > 0 THEN
        PERFORM FROM aggregates AS a JOIN unnest(evidences) AS e
            ON a.kind = e.kind AND a.id = e.id AND (a.revision = e.revision OR (a.revision > e.revision AND NOT e.is_exact))
        WHERE a.tenant = asked_tenant FOR SHARE OF a;
        GET DIAGNOSTICS many = ROW_COUNT;
        IF many <> cardinality(evidences) THEN
            SELECT e.place - 1 INTO refused_place
            FROM unnest(evidences) WITH ORDINALITY AS e (kind, id, revision, is_exact, place)
            LEFT JOIN aggregates AS a ON a.tenant = asked_tenant AND a.kind = e.kind AND a.id = e.id
            WHERE (a.revision = e.revision OR (a.revision > e.revision AND NOT e.is_exact)) IS NOT TRUE
            ORDER BY e.place LIMIT 1;
            RAISE EXCEPTION 'the evidence is stale' USING ERRCODE = 'FR003', DETAIL = coalesce(refused_place, 0)::text;
        END IF;
    END IF;

    IF cardinality(writes) = 0 THEN
        RETURN;
    END IF;

    -- The most usual first: modules and claims stay as they are.
    WITH updated AS (
        UPDATE aggregates AS a
        SET revision = w.revision, sequence = w.sequence, schema = w.schema, environment = w.environment, status = w.status, body = w.body
        FROM unnest(writes) AS w
        WHERE a.tenant = asked_tenant AND a.kind = w.kind AND a.id = w.id AND w.expected > 0
            AND a.revision = w.expected AND a.sequence = w.first_sequence - 1 AND a.facets = w.facets
        RETURNING w.place
    )
    SELECT coalesce(array_agg(place), '{}') INTO kept_places FROM updated;

    changed_places := '{}';
    created_places := '{}';
    IF cardinality(kept_places) < cardinality(writes) THEN
        WITH updated AS (
            UPDATE aggregates AS a
            SET revision = w.revision, sequence = w.sequence, schema = w.schema, environment = w.environment, status = w.status,
                facets = w.facets, body = w.body
            FROM unnest(writes) AS w
            WHERE a.tenant = asked_tenant AND a.kind = w.kind AND a.id = w.id AND w.expected > 0
                AND a.revision = w.expected AND a.sequence = w.first_sequence - 1 AND w.place <> ALL (kept_places)
            RETURNING w.place
        )
        SELECT coalesce(array_agg(place), '{}') INTO changed_places FROM updated;

        WITH new AS (
            SELECT w.*, row_number() OVER (PARTITION BY w.kind ORDER BY w.place) AS rank,
                count(*) OVER (PARTITION BY w.kind) AS many
            FROM unnest(writes) AS w WHERE w.expected = 0 AND w.first_sequence = 1
        ), counted AS (
            INSERT INTO counters AS c
            SELECT asked_tenant, kind, count(*) FROM new GROUP BY kind ORDER BY kind
            ON CONFLICT (tenant, kind) DO UPDATE SET newest = c.newest + excluded.newest
            RETURNING kind, newest
        ), inserted AS (
            INSERT INTO aggregates
                (tenant, kind, id, created, revision, sequence, schema, environment, status, facets, body)
            SELECT asked_tenant, n.kind, n.id, c.newest - n.many + n.rank, n.revision, n.sequence, n.schema, n.environment, n.status,
                n.facets, n.body
            FROM new AS n JOIN counted AS c ON c.kind = n.kind
            ON CONFLICT (tenant, kind, id) DO NOTHING
            RETURNING kind, id
        ), due AS (
            INSERT INTO work (tenant, kind, id, topic, due_at)
            SELECT asked_tenant, n.kind, n.id, 'work', n.wake_at FROM new AS n JOIN inserted AS i ON i.kind = n.kind AND i.id = n.id
        )
        SELECT coalesce(array_agg(n.place), '{}') INTO created_places FROM new AS n JOIN inserted AS i ON i.kind = n.kind AND i.id = n.id;

        IF cardinality(kept_places) + cardinality(changed_places) + cardinality(created_places) < cardinality(writes) THEN
            -- Revisions are judged before histories.
            SELECT w.place, a.sequence, a.revision IS NOT DISTINCT FROM nullif(w.expected, 0) INTO refused_place, newest_sequence, is_gap
            FROM unnest(writes) AS w
            LEFT JOIN aggregates AS a ON a.tenant = asked_tenant AND a.kind = w.kind AND a.id = w.id
            WHERE w.place <> ALL (kept_places || changed_places || created_places)
            ORDER BY 3, w.place LIMIT 1;
            IF is_gap THEN
                RAISE EXCEPTION 'the history has a gap'
                    USING ERRCODE = 'FR005', DETAIL = refused_place || ' ' || coalesce(newest_sequence, 0);
            END IF;
            RAISE EXCEPTION 'another writer was here' USING ERRCODE = 'FR004', DETAIL = refused_place::text;
        END IF;
    END IF;

    INSERT INTO history
    SELECT asked_tenant, h.kind, h.id, h.sequence, h.event_id, h.event, h.body, h.at, h.actor, h.correlation, h.causation, h.explanation
    FROM unnest(histories) AS h;

    UPDATE work AS k SET due_at = w.wake_at FROM unnest(writes) AS w
    WHERE k.tenant = asked_tenant AND k.kind = w.kind AND k.id = w.id AND k.topic = 'work' AND w.expected > 0
        AND k.due_at IS DISTINCT FROM w.wake_at;

    IF cardinality(events) > 0 THEN
        PERFORM lock_outbox(e.id, false) FROM (SELECT DISTINCT id FROM unnest(events)) AS e;
        INSERT INTO outbox
        SELECT asked_tenant, e.kind, e.id, e.sequence, e.event_id, e.event_type, e.envelope FROM unnest(events) AS e;

        INSERT INTO work AS k (tenant, kind, id, topic, due_at)
        SELECT asked_tenant, e.kind, e.id, 'outbox', present_micros() FROM (SELECT DISTINCT kind, id FROM unnest(events)) AS e
        WHERE NOT EXISTS (
            SELECT FROM work AS known
            WHERE known.tenant = asked_tenant AND known.kind = e.kind AND known.id = e.id AND known.topic = 'outbox' AND known.due_at IS NOT NULL
        )
        ON CONFLICT (tenant, kind, id, topic) DO UPDATE SET due_at = coalesce(k.due_at, CASE
            WHEN NOT EXISTS (
                SELECT FROM parked AS p WHERE p.tenant = excluded.tenant AND p.kind = excluded.kind AND p.id = excluded.id
            ) THEN excluded.due_at END);
    END IF;

    told_places := changed_places || created_places;
    IF cardinality(told_places) = 0 THEN
        RETURN;
    END IF;

    DELETE FROM aggregate_modules AS m USING unnest(writes) AS w
    WHERE m.tenant = asked_tenant AND m.kind = w.kind AND m.id = w.id AND w.place = ANY (changed_places)
        AND NOT EXISTS (SELECT FROM unnest(modules) AS n WHERE n.module = m.module AND n.write = w.place);
    INSERT INTO aggregate_modules
    SELECT asked_tenant, n.kind, n.id, n.module FROM unnest(modules) AS n WHERE n.write = ANY (told_places) ON CONFLICT DO NOTHING;

    -- What is no longer claimed is given up first, so that another of the writes may take it.
    DELETE FROM claims AS c USING unnest(writes) AS w
    WHERE c.tenant = asked_tenant AND c.kind = w.kind AND c.id = w.id AND w.place = ANY (changed_places)
        AND NOT EXISTS (
            SELECT FROM unnest(claimed) AS n
            WHERE n.key = c.key AND n.write = w.place AND n.shared = c.shared AND n.space IS NOT DISTINCT FROM c.space
        );
    SELECT array_agg(n ORDER BY n.place) INTO gained FROM unnest(claimed) AS n
    WHERE n.write = ANY (told_places) AND NOT EXISTS (
        SELECT FROM claims AS c
        WHERE c.tenant = asked_tenant AND c.kind = n.kind AND c.id = n.id AND c.key = n.key AND c.space IS NOT DISTINCT FROM n.space
    );
    IF cardinality(gained) > 0 THEN
        -- Whoever takes a key waits for whoever is taking it, shared or not; in one order, so that two do not wait for each other.
        PERFORM pg_advisory_xact_lock(lock) FROM (
            SELECT DISTINCT hashtextextended(coalesce(n.space::text, '') || n.key, 0) AS lock FROM unnest(gained) AS n ORDER BY 1
        ) AS locks;
        SELECT n.place INTO refused_place FROM unnest(gained) AS n
        WHERE claim_is_held(n.space, n.key, n.shared)
            OR EXISTS (
                SELECT FROM unnest(gained) AS other
                WHERE other.place < n.place AND other.key = n.key AND other.space IS NOT DISTINCT FROM n.space
                    AND NOT (other.shared AND n.shared)
            )
        ORDER BY n.place LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the claim is held by another' USING ERRCODE = 'FR006', DETAIL = refused_place::text;
        END IF;
        INSERT INTO claims SELECT asked_tenant, n.kind, n.id, n.space, n.key, n.shared FROM unnest(gained) AS n;
    END IF;
END $$;

CREATE FUNCTION load(asked_tenant uuid, asked_kind text, asked_id uuid)
    RETURNS TABLE (revision bigint, sequence bigint, schema integer, body text, wake_at bigint)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    RETURN QUERY SELECT a.revision, a.sequence, a.schema, a.body, w.due_at
        FROM aggregates AS a
        LEFT JOIN work AS w ON w.tenant = a.tenant AND w.kind = a.kind AND w.id = a.id AND w.topic = 'work'
        WHERE a.tenant = asked_tenant AND a.kind = asked_kind AND a.id = asked_id;
END $$;

-- A page of one kind: filters that are NULL do not filter.
CREATE FUNCTION list(
    asked_tenant uuid, asked_kind text, asked_environment uuid, asked_statuses text[], asked_module text, after bigint, newest_first boolean,
    most bigint
) RETURNS TABLE (id uuid, revision bigint, sequence bigint, schema integer, body text, wake_at bigint, created bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    RETURN QUERY EXECUTE concat(
        'SELECT a.id, a.revision, a.sequence, a.schema, a.body, w.due_at, a.created FROM aggregates AS a
         LEFT JOIN work AS w ON w.tenant = a.tenant AND w.kind = a.kind AND w.id = a.id AND w.topic = ''work''
         WHERE a.tenant = $1 AND a.kind = $2',
        CASE WHEN asked_environment IS NOT NULL THEN ' AND a.environment = $3' END,
        CASE WHEN asked_statuses IS NOT NULL THEN ' AND a.status = ANY ($4)' END,
        CASE WHEN asked_module IS NOT NULL THEN
            ' AND a.id IN (SELECT m.id FROM aggregate_modules AS m WHERE m.tenant = $1 AND m.kind = $2 AND m.module = $5)' END,
        CASE WHEN after IS NOT NULL THEN CASE WHEN newest_first THEN ' AND a.created < $6' ELSE ' AND a.created > $6' END END,
        ' ORDER BY a.created ', CASE WHEN newest_first THEN 'DESC' ELSE 'ASC' END, ' LIMIT $7'
    ) USING asked_tenant, asked_kind, asked_environment, asked_statuses, asked_module, after, most;
END $$;

CREATE FUNCTION read_history(asked_tenant uuid, asked_kind text, asked_id uuid, after bigint, most bigint)
    RETURNS TABLE (
        sequence bigint, event_id uuid, event text, body text, at text, actor text, correlation uuid, causation uuid, explanation text
    ) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    RETURN QUERY
        SELECT h.sequence, h.event_id, h.event, h.body, h.at, h.actor, h.correlation, h.causation, h.explanation
        FROM history AS h
        WHERE h.tenant = asked_tenant AND h.kind = asked_kind AND h.id = asked_id AND h.sequence > after
        ORDER BY h.sequence LIMIT most;
END $$;

-- Leases what is due, each tenant's ranked among themselves: every tenant's first come before any tenant's second (X-9). It goes from
-- tenant to tenant by the index, so that much due work of one costs the others nothing.
CREATE FUNCTION take_leases(
    asked_topic text, kinds text[], asked_host uuid, present bigint, ends bigint, most bigint
) RETURNS TABLE (tenant uuid, kind text, id uuid, token bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    -- Events are due when they are written, by whatever clock.
    latest bigint := CASE asked_topic WHEN 'work' THEN present ELSE 9223372036854775807 END;
BEGIN
    IF NOT EXISTS (
        SELECT FROM unnest(kinds) AS k (kind), LATERAL (
            SELECT FROM work AS w WHERE w.topic = asked_topic AND w.kind = k.kind AND w.due_at <= latest ORDER BY w.due_at LIMIT 1
        ) AS earliest
    ) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH RECURSIVE tenants AS (
        SELECT k.kind, t.tenant FROM unnest(kinds) AS k (kind), LATERAL (
            SELECT w.tenant FROM work AS w
            WHERE w.topic = asked_topic AND w.kind = k.kind AND w.due_at IS NOT NULL ORDER BY w.tenant LIMIT 1
        ) AS t
        UNION ALL
        SELECT s.kind, t.tenant FROM tenants AS s, LATERAL (
            SELECT w.tenant FROM work AS w
            WHERE w.topic = asked_topic AND w.kind = s.kind AND w.tenant > s.tenant AND w.due_at IS NOT NULL ORDER BY w.tenant LIMIT 1
        ) AS t
    ), due AS (
        SELECT s.tenant, s.kind, d.id, d.due_at FROM tenants AS s, LATERAL (
            SELECT w.id, w.due_at FROM work AS w
            WHERE w.topic = asked_topic AND w.kind = s.kind AND w.tenant = s.tenant AND w.due_at <= latest
                AND (w.until IS NULL OR w.until <= present)
            ORDER BY w.due_at LIMIT most
        ) AS d
    ), ranked AS (
        SELECT d.*, row_number() OVER (PARTITION BY d.tenant ORDER BY d.due_at, d.id) AS place FROM due AS d
    ), chosen AS (
        SELECT r.* FROM ranked AS r ORDER BY r.place, r.due_at LIMIT most
    ), locked AS (
        SELECT w.tenant, w.kind, w.id, c.place, c.due_at FROM chosen AS c
        JOIN work AS w ON w.tenant = c.tenant AND w.kind = c.kind AND w.id = c.id
        WHERE w.topic = asked_topic AND w.due_at <= latest AND (w.until IS NULL OR w.until <= present)
        FOR UPDATE OF w SKIP LOCKED
    ), taken AS (
        UPDATE work AS w SET host = asked_host, until = ends, token = nextval('lease_tokens')
        FROM locked AS l WHERE w.tenant = l.tenant AND w.kind = l.kind AND w.id = l.id AND w.topic = asked_topic
        RETURNING w.tenant, w.kind, w.id, w.token, l.place, l.due_at
    )
    SELECT t.tenant, t.kind, t.id, t.token FROM taken AS t ORDER BY t.place, t.due_at;
END $$;

CREATE FUNCTION renew_lease(
    asked_tenant uuid, asked_topic text, asked_kind text, asked_id uuid, asked_host uuid, asked_token bigint, ends bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE work SET until = ends
    WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id AND topic = asked_topic AND host = asked_host AND token = asked_token;
    RETURN FOUND;
END $$;

CREATE FUNCTION release_lease(
    asked_tenant uuid, asked_topic text, asked_kind text, asked_id uuid, asked_host uuid, asked_token bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE work SET host = NULL, until = NULL
    WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id AND topic = asked_topic AND host = asked_host AND token = asked_token;
    RETURN FOUND;
END $$;

-- Takes the row's lock if the lease is still held: what is read afterwards is what the last writer has left.
CREATE FUNCTION holds_lease(
    asked_tenant uuid, asked_topic text, asked_kind text, asked_id uuid, asked_host uuid, asked_token bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM work
    WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id AND topic = asked_topic AND host = asked_host AND token = asked_token
    FOR UPDATE;
    RETURN FOUND;
END $$;

CREATE FUNCTION defer_lease(
    asked_tenant uuid, asked_topic text, asked_kind text, asked_id uuid, asked_host uuid, asked_token bigint, seen bigint, wake_at bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT holds_lease(asked_tenant, asked_topic, asked_kind, asked_id, asked_host, asked_token) THEN
        RETURN false;
    END IF;
    UPDATE work AS w SET host = NULL, until = NULL, due_at = CASE
        WHEN EXISTS (
            SELECT FROM aggregates AS a WHERE a.tenant = asked_tenant AND a.kind = asked_kind AND a.id = asked_id AND a.revision = seen
        ) THEN wake_at ELSE w.due_at END
    WHERE w.tenant = asked_tenant AND w.kind = asked_kind AND w.id = asked_id AND w.topic = asked_topic;
    RETURN true;
END $$;

CREATE FUNCTION next_due(kinds text[]) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT min(earliest.due_at) FROM unnest(kinds) AS k (kind), LATERAL (
        SELECT w.due_at FROM work AS w WHERE w.topic = 'work' AND w.kind = k.kind AND w.due_at IS NOT NULL ORDER BY w.due_at LIMIT 1
    ) AS earliest
$$;

CREATE FUNCTION read_outbox(asked_tenant uuid, asked_kind text, asked_id uuid, most bigint)
    RETURNS TABLE (event_id uuid, sequence bigint, event_type text, envelope text) LANGUAGE sql STABLE AS $$
    SELECT o.event_id, o.sequence, o.event_type, o.envelope FROM outbox AS o
    WHERE o.tenant = asked_tenant AND o.kind = asked_kind AND o.id = asked_id AND o.sequence < coalesce(
        (SELECT p.from_sequence FROM parked AS p WHERE p.tenant = asked_tenant AND p.kind = asked_kind AND p.id = asked_id),
        9223372036854775807)
    ORDER BY o.sequence LIMIT most
$$;

-- Whether a stream has events before where it is parked.
CREATE FUNCTION has_events(asked_tenant uuid, asked_kind text, asked_id uuid) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT EXISTS (SELECT FROM read_outbox(asked_tenant, asked_kind, asked_id, 1))
$$;

CREATE FUNCTION outbox_published(
    asked_tenant uuid, asked_kind text, asked_id uuid, asked_host uuid, asked_token bigint, up_to bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_outbox(asked_id, true);
    IF NOT holds_lease(asked_tenant, 'outbox', asked_kind, asked_id, asked_host, asked_token) THEN
        RETURN false;
    END IF;
    DELETE FROM outbox WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id AND sequence <= up_to;
    IF NOT has_events(asked_tenant, asked_kind, asked_id) THEN
        UPDATE work SET due_at = NULL WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id AND topic = 'outbox';
    END IF;
    RETURN true;
END $$;

CREATE FUNCTION outbox_park(
    asked_tenant uuid, asked_kind text, asked_id uuid, asked_host uuid, asked_token bigint, since bigint, why text
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_outbox(asked_id, true);
    IF NOT holds_lease(asked_tenant, 'outbox', asked_kind, asked_id, asked_host, asked_token) THEN
        RETURN false;
    END IF;
    INSERT INTO parked VALUES (asked_tenant, asked_kind, asked_id, since, why)
    ON CONFLICT (tenant, kind, id) DO UPDATE SET from_sequence = excluded.from_sequence, reason = excluded.reason;
    IF NOT has_events(asked_tenant, asked_kind, asked_id) THEN
        UPDATE work SET due_at = NULL WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id AND topic = 'outbox';
    END IF;
    RETURN true;
END $$;

CREATE FUNCTION outbox_unpark(kinds text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    stream record;
    many   bigint := 0;
BEGIN
    FOR stream IN SELECT p.tenant, p.kind, p.id FROM parked AS p WHERE p.kind = ANY (kinds) ORDER BY 1, 2, 3 LOOP
        PERFORM lock_outbox(stream.id, true);
        DELETE FROM parked AS p WHERE p.tenant = stream.tenant AND p.kind = stream.kind AND p.id = stream.id;
        IF FOUND THEN
            many := many + 1;
            UPDATE work AS w SET due_at = coalesce(w.due_at, present_micros())
            WHERE w.tenant = stream.tenant AND w.kind = stream.kind AND w.id = stream.id AND w.topic = 'outbox'
                AND has_events(stream.tenant, stream.kind, stream.id);
        END IF;
    END LOOP;
    RETURN many;
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA factory_runtime FROM PUBLIC;
GRANT EXECUTE ON FUNCTION present_tenant, present_micros, lock_outbox, claim_is_held, commit, load, list, read_history TO factory_runtime_tenant;
GRANT EXECUTE ON FUNCTION present_tenant, present_micros, lock_outbox, take_leases, renew_lease, release_lease, holds_lease, defer_lease, next_due, read_outbox,
    has_events, outbox_published, outbox_park, outbox_unpark TO factory_runtime_operator;
