-- What a store does, one statement each: a call is one round trip, and a transaction by itself.
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

-- A share of several tenants' due work, the longest due of each first. A tenant whose work is of many kinds has them share what is its own. What
-- another call is taking at the moment is passed over.
CREATE FUNCTION take_shares(
    asked_topic text, kinds text[], tenants uuid[], many bigint[], asked_host uuid, latest bigint, present bigint, ends bigint, share bigint,
    most bigint
) RETURNS TABLE (tenant uuid, kind text, id uuid, token bigint, previous bigint, revision bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH picked AS MATERIALIZED (
        SELECT due.lies_at FROM unnest(kinds, tenants, many) AS t (kind, tenant, many), LATERAL (
            SELECT w.ctid AS lies_at FROM work AS w
            WHERE w.topic = asked_topic AND w.topic <> '' AND w.kind = t.kind AND w.tenant = t.tenant AND w.due_at <= latest
                AND (w.until IS NULL OR w.until <= present)
            ORDER BY w.due_at LIMIT greatest(1, share / t.many) FOR UPDATE SKIP LOCKED
        ) AS due
        LIMIT most
    )
    UPDATE work AS w SET host = asked_host, until = ends, previous = w.token, token = nextval('lease_tokens')
    WHERE w.ctid = ANY (ARRAY(SELECT lies_at FROM picked))
    RETURNING w.tenant, w.kind, w.id, w.token, w.previous,
        CASE asked_topic WHEN 'work' THEN (
            SELECT a.revision FROM aggregates AS a WHERE a.tenant = w.tenant AND a.kind = w.kind AND a.id = w.id
        ) END;
END $$;

-- The longest due of all tenants.
CREATE FUNCTION take_oldest(
    asked_topic text, asked_kind text, asked_host uuid, latest bigint, present bigint, ends bigint, most bigint
) RETURNS TABLE (tenant uuid, id uuid, token bigint, previous bigint, revision bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH picked AS MATERIALIZED (
        SELECT w.ctid AS lies_at FROM work AS w
        WHERE w.topic = asked_topic AND w.kind = asked_kind AND w.kind <> '' AND w.due_at <= latest AND (w.until IS NULL OR w.until <= present)
        ORDER BY w.due_at LIMIT most FOR UPDATE SKIP LOCKED
    )
    UPDATE work AS w SET host = asked_host, until = ends, previous = w.token, token = nextval('lease_tokens')
    WHERE w.ctid = ANY (ARRAY(SELECT lies_at FROM picked))
    RETURNING w.tenant, w.id, w.token, w.previous,
        CASE asked_topic WHEN 'work' THEN (
            SELECT a.revision FROM aggregates AS a WHERE a.tenant = w.tenant AND a.kind = w.kind AND a.id = w.id
        ) END;
END $$;

-- What other hosts left behind: held until it ended, and due still. Each tenant's first before anybody's second.
CREATE FUNCTION take_left_behind(
    asked_topic text, asked_kind text, asked_host uuid, latest bigint, present bigint, ends bigint, most bigint
) RETURNS TABLE (tenant uuid, id uuid, token bigint, previous bigint, revision bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH ended AS MATERIALIZED (
        SELECT w.tenant, w.id, w.until FROM work AS w
        WHERE w.topic = asked_topic AND w.kind = asked_kind AND w.kind <> '' AND w.due_at <= latest AND w.until <= present AND w.host <> asked_host
    ), left_behind AS MATERIALIZED (
        SELECT e.tenant, e.id, e.until, row_number() OVER (PARTITION BY e.tenant ORDER BY e.until) AS place FROM ended AS e
        ORDER BY place, until LIMIT most
    ), picked AS MATERIALIZED (
        SELECT w.ctid AS lies_at FROM left_behind AS l
        JOIN work AS w ON w.tenant = l.tenant AND w.kind = asked_kind AND w.id = l.id AND w.topic = asked_topic
        WHERE w.due_at <= latest AND w.until <= present AND w.host <> asked_host FOR UPDATE OF w SKIP LOCKED
    )
    UPDATE work AS w SET host = asked_host, until = ends, previous = w.token, token = nextval('lease_tokens')
    WHERE w.ctid = ANY (ARRAY(SELECT lies_at FROM picked))
    RETURNING w.tenant, w.id, w.token, w.previous,
        CASE asked_topic WHEN 'work' THEN (
            SELECT a.revision FROM aggregates AS a WHERE a.tenant = w.tenant AND a.kind = w.kind AND a.id = w.id
        ) END;
END $$;

-- Whose turn it is: of at most so many tenants the kinds of which they have something to take, and how many those are. Every tenant's first kind comes
-- before anybody's second, and else what is longest due.
--
-- They have their turns one after another in the order of the tenants (X-9). A session goes on from the one whose turn came last, by the index, for so
-- many steps of a kind: neither much due work of one nor many who have none due makes it slow. Where there are more who have none due than that,
-- what became due last is looked through beside, so that nobody's next work waits until it is reached; and all that is due twice a second.
CREATE FUNCTION turns(asked_topic text, kinds text[], latest bigint, present bigint, most bigint)
RETURNS TABLE (kind text, tenant uuid, many bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    -- How many tenants of a kind a call looks at.
    most_steps CONSTANT integer := 200;
    nobody     CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    of_these   text := asked_topic || '_' || to_hex(hashtextextended(kinds::text, 0));
    begun_at   uuid := coalesce(nullif(current_setting('factory_runtime.turn_' || of_these, true), '')::uuid, nobody);
    -- Until where all are known who have their turn next. Who comes not after `begun_at` comes when those after it have had theirs.
    reach      uuid := begun_at;
    one        text;
    from_here  uuid;
    last       uuid;
    steps      integer;
    found_here bigint;
    here       uuid[];
    since_here bigint[];
    names      text[] := '{}';
    tenants    uuid[] := '{}';
    since      bigint[] := '{}';
    looked     bigint;
    is_whole   boolean;
    cut        uuid;
BEGIN
    FOREACH one IN ARRAY kinds LOOP
        -- One look tells where nothing is due.
        PERFORM FROM work AS w WHERE w.topic = asked_topic AND w.kind = one AND w.kind <> '' AND w.due_at <= latest ORDER BY w.due_at LIMIT 1;
        CONTINUE WHEN NOT FOUND;
        steps := 0;
        found_here := 0;
        FOREACH from_here IN ARRAY CASE begun_at WHEN nobody THEN ARRAY[nobody] ELSE ARRAY[begun_at, nobody] END LOOP
            WITH RECURSIVE walk AS (
                SELECT from_here AS tenant, NULL::bigint AS due_at, steps AS step, found_here AS due
                UNION ALL
                SELECT further.tenant, further.due_at, walk.step + 1, walk.due + (further.due_at <= latest)::integer
                FROM walk, LATERAL (
                    SELECT w.tenant, w.due_at FROM work AS w
                    WHERE w.topic = asked_topic AND w.topic <> '' AND w.kind = one AND w.tenant > walk.tenant AND w.due_at IS NOT NULL
                        -- Who has nothing but what is leased takes nobody's turn.
                        AND (w.until IS NULL OR w.until <= present)
                    ORDER BY w.topic, w.kind, w.tenant, w.due_at LIMIT 1
                ) AS further
                WHERE walk.step < most_steps AND walk.due < most AND (from_here = begun_at OR further.tenant <= begun_at)
            )
            SELECT array_agg(walk.tenant) FILTER (WHERE walk.due_at <= latest), array_agg(walk.due_at) FILTER (WHERE walk.due_at <= latest),
                max(walk.step), max(walk.due), (array_agg(walk.tenant))[count(*)]
            INTO here, since_here, steps, found_here, last FROM walk;
            tenants := tenants || here;
            since := since || since_here;
            names := names || array_fill(one, ARRAY[coalesce(cardinality(here), 0)]);
            IF steps >= most_steps OR found_here >= most THEN
                IF (last <= begun_at, last) < (reach <= begun_at, reach) THEN
                    reach := last;
                END IF;
                EXIT;
            END IF;
        END LOOP;
    END LOOP;
    IF reach <> begun_at AND most > (
        SELECT count(DISTINCT p.tenant) FROM unnest(tenants) AS p (tenant) WHERE (p.tenant <= begun_at, p.tenant) <= (reach <= begun_at, reach)
    ) THEN
        looked := nullif(current_setting('factory_runtime.looked_' || of_these, true), '')::bigint;
        is_whole := coalesce(abs(present - looked) >= 500000, true);
        IF is_whole THEN
            PERFORM set_config('factory_runtime.looked_' || of_these, present::text, false);
            reach := begun_at;
        END IF;
        SELECT names || array_agg(l.kind), tenants || array_agg(l.tenant), since || array_agg(l.due_at) INTO names, tenants, since FROM (
            SELECT k.kind, w.tenant, min(w.due_at) AS due_at FROM unnest(kinds) AS k (kind), LATERAL (
                SELECT w.tenant, w.due_at FROM work AS w
                WHERE w.topic = asked_topic AND w.kind = k.kind AND w.kind <> '' AND w.due_at <= latest AND (w.until IS NULL OR w.until <= present)
                ORDER BY w.due_at DESC LIMIT CASE WHEN is_whole THEN NULL ELSE most_steps END
            ) AS w GROUP BY k.kind, w.tenant
        ) AS l;
    END IF;
    IF cardinality(tenants) > 1 THEN
        SELECT array_agg(r.kind ORDER BY r.place, r.due_at, r.turn), array_agg(r.tenant ORDER BY r.place, r.due_at, r.turn),
            (array_agg(r.tenant) FILTER (WHERE r.turn = most))[1]
        INTO names, tenants, cut FROM (
            SELECT p.kind, p.tenant, min(p.due_at) AS due_at, dense_rank() OVER (ORDER BY p.tenant <= begun_at, p.tenant) AS turn,
                row_number() OVER (PARTITION BY p.tenant ORDER BY min(p.due_at)) AS place
            FROM unnest(names, tenants, since) AS p (kind, tenant, due_at) GROUP BY p.kind, p.tenant
        ) AS r WHERE r.turn <= most;
        IF (cut <= begun_at, cut) < (reach <= begun_at, reach) THEN
            reach := cut;
        END IF;
    END IF;
    PERFORM set_config('factory_runtime.turn_' || of_these, reach::text, false);
    RETURN QUERY SELECT p.kind, p.tenant, count(*) OVER (PARTITION BY p.tenant)
        FROM unnest(names, tenants) WITH ORDINALITY AS p (kind, tenant, place) ORDER BY p.place;
END $$;

-- Leases what is due, a share for every tenant whose turn it is before anybody's second share (X-9). What is left of the limit then goes to whoever
-- waits longest.
--
-- What a host left behind that died comes first, up to a half, so that it does not wait behind a backlog. To find it, all that is due is looked
-- through, which a session does twice a second at the most.
CREATE FUNCTION take_leases(
    asked_topic text, kinds text[], asked_host uuid, present bigint, ends bigint, most bigint
) RETURNS TABLE (tenant uuid, kind text, id uuid, token bigint, previous bigint, revision bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    -- Events are due when they are written, by whatever clock.
    latest   bigint := CASE asked_topic WHEN 'work' THEN present ELSE 9223372036854775807 END;
    one      text;
    names    text[];
    tenants  uuid[];
    many     bigint[];
    sharing  bigint;
    taken    bigint := 0;
    before   bigint;
    number   bigint;
    looked   bigint;
    left_to  bigint;
BEGIN
    FOREACH one IN ARRAY kinds LOOP
        left_to := (most + 1) / 2 - taken;
        EXIT WHEN left_to <= 0;
        looked := nullif(current_setting(format('factory_runtime.left_%s_%s', asked_topic, one), true), '')::bigint;
        CONTINUE WHEN abs(present - looked) < 500000;
        RETURN QUERY SELECT l.tenant, one, l.id, l.token, l.previous, l.revision
            FROM take_left_behind(asked_topic, one, asked_host, latest, present, ends, left_to) AS l;
        GET DIAGNOSTICS number = ROW_COUNT;
        taken := taken + number;
        -- There may be more; whoever asks for one at a time gets something else in between.
        CONTINUE WHEN number = left_to AND most > 1;
        PERFORM set_config(format('factory_runtime.left_%s_%s', asked_topic, one), present::text, false);
    END LOOP;
    IF taken < most THEN
        SELECT array_agg(t.kind ORDER BY t.place), array_agg(t.tenant ORDER BY t.place), array_agg(t.many ORDER BY t.place), count(DISTINCT t.tenant)
        INTO names, tenants, many, sharing
        FROM turns(asked_topic, kinds, latest, present, most - taken) WITH ORDINALITY AS t (kind, tenant, many, place);
    END IF;
    WHILE sharing > 0 AND taken < most LOOP
        before := taken;
        RETURN QUERY SELECT s.tenant, s.kind, s.id, s.token, s.previous, s.revision
            FROM take_shares(asked_topic, names, tenants, many, asked_host, latest, present, ends, (most - taken) / sharing, most - taken) AS s;
        GET DIAGNOSTICS number = ROW_COUNT;
        taken := taken + number;
        -- What some did not need is for those who have more.
        EXIT WHEN taken = before;
    END LOOP;
    FOREACH one IN ARRAY kinds LOOP
        EXIT WHEN taken >= most;
        RETURN QUERY SELECT o.tenant, one, o.id, o.token, o.previous, o.revision
            FROM take_oldest(asked_topic, one, asked_host, latest, present, ends, most - taken) AS o;
        GET DIAGNOSTICS number = ROW_COUNT;
        taken := taken + number;
    END LOOP;
END $$;

-- What is told of a lease that was taken may be lost with the server's last moment: it then ends by itself. So nobody waits for the disk
-- (`synchronous_commit`).

CREATE FUNCTION renew_lease(
    asked_tenant uuid, asked_topic text, asked_kind text, asked_id uuid, asked_host uuid, asked_token bigint, ends bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    setting text := set_config('synchronous_commit', 'off', true);
BEGIN
    UPDATE work SET until = ends
    WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id AND topic = asked_topic AND host = asked_host AND token = asked_token;
    RETURN FOUND;
END $$;

-- A token says which lease is meant, and that it is still held.
CREATE FUNCTION release_leases(tenants uuid[], topics text[], kinds text[], ids uuid[], tokens bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    setting text := set_config('synchronous_commit', 'off', true);
    many    bigint := 0;
BEGIN
    IF cardinality(ids) > 1 THEN
        UPDATE work AS w SET host = NULL, until = NULL WHERE w.ctid = ANY (ARRAY(
            SELECT (
                SELECT k.ctid FROM work AS k
                WHERE k.tenant = r.tenant AND k.kind = r.kind AND k.id = r.id AND k.topic = r.topic AND k.token = r.token
                FOR UPDATE
            ) FROM (
                SELECT unnest(tenants) AS tenant, unnest(topics) AS topic, unnest(kinds) AS kind, unnest(ids) AS id, unnest(tokens) AS token
            ) AS r
        ));
        GET DIAGNOSTICS many = ROW_COUNT;
        IF many = cardinality(ids) THEN
            RETURN;
        END IF;
    END IF;
    -- One by one and by the whole key: a row that a commit has moved meanwhile is followed, as by its place alone it is not.
    FOR place IN 1..cardinality(ids) LOOP
        UPDATE work AS w SET host = NULL, until = NULL
        WHERE w.tenant = tenants[place] AND w.kind = kinds[place] AND w.id = ids[place] AND w.topic = topics[place]
            AND w.token = tokens[place] AND w.host IS NOT NULL;
    END LOOP;
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
DECLARE
    setting text := set_config('synchronous_commit', 'off', true);
BEGIN
    -- Whoever is writing the aggregate has done so when this is held, and then says itself when it is due.
    PERFORM pg_advisory_xact_lock(aggregate_lock(asked_id));
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

-- Defers leases, and returns the places of those whose aggregate is being written: they are left as they are, since who defers several must
-- not wait for one while others wait for it.
CREATE FUNCTION defer_leases(
    tenants uuid[], kinds text[], ids uuid[], hosts uuid[], tokens bigint[], seen bigint[], wake_ats bigint[]
) RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
    setting text := set_config('synchronous_commit', 'off', true);
    -- Before the statement that reads what the last writer has left.
    is_free boolean[] := ARRAY(SELECT pg_try_advisory_xact_lock(aggregate_lock(i.id)) FROM unnest(ids) AS i (id));
    passed_over integer[] := array_positions(is_free, false);
    many    bigint;
BEGIN
    UPDATE work AS w SET host = NULL, until = NULL, due_at = CASE (
        SELECT a.revision FROM aggregates AS a WHERE a.tenant = l.tenant AND a.kind = l.kind AND a.id = l.id
    ) WHEN l.seen THEN l.wake_at ELSE w.due_at END
    FROM (
        SELECT unnest(tenants) AS tenant, unnest(kinds) AS kind, unnest(ids) AS id, unnest(hosts) AS host, unnest(tokens) AS token,
            unnest(seen) AS seen, unnest(wake_ats) AS wake_at, unnest(is_free) AS is_free
    ) AS l, LATERAL (
        SELECT k.ctid AS lies_at FROM work AS k
        WHERE k.tenant = l.tenant AND k.kind = l.kind AND k.id = l.id AND k.topic = 'work' AND k.host = l.host AND k.token = l.token
        LIMIT 1
    ) AS held
    WHERE l.is_free AND w.ctid = held.lies_at;
    GET DIAGNOSTICS many = ROW_COUNT;
    IF many + cardinality(passed_over) = cardinality(ids) THEN
        RETURN passed_over;
    END IF;
    -- One by one and by the whole key: a row that a renewal has moved meanwhile is followed, as by its place alone it is not.
    FOR place IN 1..cardinality(ids) LOOP
        CONTINUE WHEN NOT is_free[place];
        UPDATE work AS w SET host = NULL, until = NULL, due_at = CASE
            WHEN EXISTS (
                SELECT FROM aggregates AS a
                WHERE a.tenant = tenants[place] AND a.kind = kinds[place] AND a.id = ids[place] AND a.revision = seen[place]
            ) THEN wake_ats[place] ELSE w.due_at END
        WHERE w.tenant = tenants[place] AND w.kind = kinds[place] AND w.id = ids[place] AND w.topic = 'work'
            AND w.host = hosts[place] AND w.token = tokens[place];
    END LOOP;
    RETURN passed_over;
END $$;

CREATE FUNCTION next_due(kinds text[]) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT min(earliest.due_at) FROM unnest(kinds) AS k (kind), LATERAL (
        SELECT w.due_at FROM work AS w WHERE w.topic = 'work' AND w.kind = k.kind AND w.kind <> '' AND w.due_at IS NOT NULL
        ORDER BY w.due_at LIMIT 1
    ) AS earliest
$$;

-- The events that nobody has got yet.
CREATE FUNCTION read_outbox(asked_tenant uuid, asked_kind text, asked_id uuid, most bigint)
    RETURNS TABLE (event_id uuid, sequence bigint, event_type text, envelope text) LANGUAGE sql STABLE AS $$
    SELECT o.event_id, o.sequence, o.event_type, o.envelope FROM outbox AS o
    WHERE o.tenant = asked_tenant AND o.kind = asked_kind AND o.id = asked_id AND o.sequence > coalesce(
        (SELECT max(h.others) FROM held AS h WHERE h.tenant = asked_tenant AND h.kind = asked_kind AND h.id = asked_id), 0)
    ORDER BY o.sequence LIMIT most
$$;

CREATE FUNCTION read_held(asked_tenant uuid, asked_kind text, asked_id uuid)
    RETURNS TABLE (destination text, is_resumed boolean) LANGUAGE sql STABLE AS $$
    SELECT h.destination, h.parked_until IS NULL FROM held AS h
    WHERE h.tenant = asked_tenant AND h.kind = asked_kind AND h.id = asked_id
$$;

-- The events that others have got and a resumed destination (NULL: any of them) has not.
CREATE FUNCTION read_missed(asked_tenant uuid, asked_kind text, asked_id uuid, asked_destination text, most bigint)
    RETURNS TABLE (event_id uuid, sequence bigint, event_type text, envelope text) LANGUAGE sql STABLE AS $$
    SELECT o.event_id, o.sequence, o.event_type, o.envelope FROM held AS h, outbox AS o
    WHERE h.tenant = asked_tenant AND h.kind = asked_kind AND h.id = asked_id
        AND (asked_destination IS NULL OR h.destination = asked_destination) AND h.parked_until IS NULL
        AND o.tenant = asked_tenant AND o.kind = asked_kind AND o.id = asked_id
        AND o.sequence BETWEEN h.from_sequence AND h.others
    ORDER BY o.sequence LIMIT most
$$;

-- Drops the events that nobody has yet to get, and says whether the stream is still due. Whoever calls it holds the aggregate's lock.
CREATE FUNCTION let_go(asked_tenant uuid, asked_kind text, asked_id uuid, sent bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM outbox AS o
    WHERE o.tenant = asked_tenant AND o.kind = asked_kind AND o.id = asked_id AND o.sequence <= sent AND o.sequence < coalesce(
        (SELECT min(h.from_sequence) FROM held AS h WHERE h.tenant = asked_tenant AND h.kind = asked_kind AND h.id = asked_id),
        9223372036854775807);
    PERFORM FROM read_outbox(asked_tenant, asked_kind, asked_id, 1);
    IF NOT FOUND THEN
        PERFORM FROM read_missed(asked_tenant, asked_kind, asked_id, NULL, 1);
    END IF;
    IF NOT FOUND THEN
        UPDATE work SET due_at = NULL WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id AND topic = 'outbox';
    END IF;
END $$;

-- Not flushed: where a crash of the server loses the mark, the events are sent again.
-- The newest event that waits: nothing is said of those that come later.
CREATE FUNCTION newest_event(asked_tenant uuid, asked_kind text, asked_id uuid) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(max(o.sequence), 0) FROM outbox AS o WHERE o.tenant = asked_tenant AND o.kind = asked_kind AND o.id = asked_id
$$;

CREATE FUNCTION outbox_published(
    asked_tenant uuid, asked_kind text, asked_id uuid, asked_host uuid, asked_token bigint, up_to bigint, without text[],
    OUT is_present boolean, OUT not_held text
) LANGUAGE plpgsql AS $$
DECLARE
    setting text := set_config('synchronous_commit', 'off', true);
    sent bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(aggregate_lock(asked_id));
    is_present := holds_lease(asked_tenant, 'outbox', asked_kind, asked_id, asked_host, asked_token);
    IF NOT is_present THEN
        RETURN;
    END IF;
    SELECT w.destination INTO not_held FROM unnest(without) AS w (destination)
    WHERE NOT EXISTS (
        SELECT FROM held AS h
        WHERE h.tenant = asked_tenant AND h.kind = asked_kind AND h.id = asked_id AND h.destination = w.destination
    );
    IF FOUND THEN
        RETURN;
    END IF;
    up_to := least(up_to, newest_event(asked_tenant, asked_kind, asked_id));
    UPDATE held SET others = greatest(others, up_to) WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id;
    SELECT max(others) INTO sent FROM held WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id;
    PERFORM let_go(asked_tenant, asked_kind, asked_id, coalesce(sent, up_to));
END $$;

CREATE FUNCTION outbox_park(
    asked_tenant uuid, asked_kind text, asked_id uuid, asked_host uuid, asked_token bigint,
    asked_destination text, starts bigint, why text, awaits text, at bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    sent bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(aggregate_lock(asked_id));
    IF NOT holds_lease(asked_tenant, 'outbox', asked_kind, asked_id, asked_host, asked_token) THEN
        RETURN false;
    END IF;
    starts := least(starts, newest_event(asked_tenant, asked_kind, asked_id) + 1);
    PERFORM FROM held
    WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id AND destination = asked_destination;
    IF NOT FOUND THEN
        UPDATE held SET others = greatest(others, starts - 1) WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id;
    END IF;
    SELECT coalesce(max(others), starts - 1) INTO sent FROM held
    WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id;
    INSERT INTO held (tenant, kind, id, destination, from_sequence, others, parked_until, reason, since)
    VALUES (asked_tenant, asked_kind, asked_id, asked_destination, starts, sent, awaits, why, at)
    ON CONFLICT (tenant, kind, id, destination) DO UPDATE SET from_sequence = excluded.from_sequence,
        parked_until = excluded.parked_until, reason = excluded.reason, since = excluded.since;
    PERFORM let_go(asked_tenant, asked_kind, asked_id, sent);
    RETURN true;
END $$;

CREATE FUNCTION outbox_caught_up(
    asked_tenant uuid, asked_kind text, asked_id uuid, asked_host uuid, asked_token bigint, asked_destination text, next bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    setting text := set_config('synchronous_commit', 'off', true);
    sent bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(aggregate_lock(asked_id));
    IF NOT holds_lease(asked_tenant, 'outbox', asked_kind, asked_id, asked_host, asked_token) THEN
        RETURN false;
    END IF;
    UPDATE held SET from_sequence = greatest(from_sequence, next)
    WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id AND destination = asked_destination AND parked_until IS NULL
    RETURNING others INTO sent;
    IF NOT FOUND THEN
        RETURN true;
    END IF;
    PERFORM FROM read_missed(asked_tenant, asked_kind, asked_id, asked_destination, 1);
    IF NOT FOUND THEN
        DELETE FROM held
        WHERE tenant = asked_tenant AND kind = asked_kind AND id = asked_id AND destination = asked_destination AND parked_until IS NULL;
    END IF;
    PERFORM let_go(asked_tenant, asked_kind, asked_id, sent);
    RETURN true;
END $$;

CREATE FUNCTION list_parked(
    after_tenant uuid, after_kind text, after_id uuid, after_destination text,
    asked_tenant uuid, asked_destination text, asked_until text, most bigint
) RETURNS TABLE (
    tenant uuid, kind text, id uuid, destination text, from_sequence bigint, reason text, parked_until text, since bigint
) LANGUAGE sql STABLE AS $$
    SELECT h.tenant, h.kind, h.id, h.destination, h.from_sequence, h.reason, h.parked_until, h.since FROM held AS h
    WHERE h.parked_until IS NOT NULL
        AND (after_tenant IS NULL OR (h.tenant, h.kind, h.id, h.destination) > (after_tenant, after_kind, after_id, after_destination))
        AND (asked_tenant IS NULL OR h.tenant = asked_tenant)
        AND (asked_destination IS NULL OR h.destination = asked_destination)
        AND (asked_until IS NULL OR h.parked_until = asked_until)
    ORDER BY h.tenant, h.kind, h.id, h.destination LIMIT most
$$;

-- Lets parked streams go on: of one aggregate, or of all where none is named; of one destination, or of all.
CREATE FUNCTION outbox_unpark(asked_tenant uuid, asked_kind text, asked_id uuid, asked_destination text)
    RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    stream record;
    many   bigint := 0;
BEGIN
    FOR stream IN
        SELECT h.tenant, h.kind, h.id, h.destination FROM held AS h
        WHERE h.parked_until IS NOT NULL AND (asked_destination IS NULL OR h.destination = asked_destination)
            AND (asked_tenant IS NULL OR (h.tenant = asked_tenant AND h.kind = asked_kind AND h.id = asked_id))
        ORDER BY aggregate_lock(h.id), 1, 2, 3, 4
    LOOP
        PERFORM pg_advisory_xact_lock(aggregate_lock(stream.id));
        UPDATE held AS h SET parked_until = NULL, reason = NULL, since = NULL
        WHERE h.tenant = stream.tenant AND h.kind = stream.kind AND h.id = stream.id AND h.destination = stream.destination
            AND h.parked_until IS NOT NULL;
        CONTINUE WHEN NOT FOUND;
        many := many + 1;
        PERFORM FROM read_missed(stream.tenant, stream.kind, stream.id, stream.destination, 1);
        IF FOUND THEN
            UPDATE work AS w SET due_at = coalesce(w.due_at, present_micros())
            WHERE w.tenant = stream.tenant AND w.kind = stream.kind AND w.id = stream.id AND w.topic = 'outbox';
        END IF;
    END LOOP;
    RETURN many;
END $$;

CREATE FUNCTION is_handled(asked_tenant uuid, asked_consumer text, asked_event uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('factory_runtime.tenant', asked_tenant::text, true);
    PERFORM FROM inbox AS i WHERE i.tenant = asked_tenant AND i.consumer = asked_consumer AND i.event_id = asked_event;
    RETURN FOUND;
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA factory_runtime FROM PUBLIC;
GRANT EXECUTE ON FUNCTION present_tenant, present_micros, aggregate_lock, number_creations, refuse_writes, claim_is_held, make_due, refuse_as_ordinary, commit, list, read_history, is_handled TO factory_runtime_tenant;
GRANT EXECUTE ON FUNCTION present_tenant, present_micros, aggregate_lock, take_shares, take_oldest, take_left_behind, turns, take_leases, renew_lease, release_leases, holds_lease, defer_lease, defer_leases, next_due, read_outbox,
    read_held, read_missed, let_go, newest_event, outbox_published, outbox_park, outbox_caught_up, list_parked, outbox_unpark TO factory_runtime_operator;
