-- Who may work on what, and for how long. A call is one round trip, and a transaction by itself.

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

-- Host and token say which lease is meant, and that it is still held.
CREATE FUNCTION release_leases(
    tenants uuid[], topics text[], kinds text[], ids uuid[], hosts uuid[], tokens bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    setting text := set_config('synchronous_commit', 'off', true);
    many    bigint := 0;
BEGIN
    IF cardinality(ids) > 1 THEN
        UPDATE work AS w SET host = NULL, until = NULL WHERE w.ctid = ANY (ARRAY(
            SELECT (
                SELECT k.ctid FROM work AS k
                WHERE k.tenant = r.tenant AND k.kind = r.kind AND k.id = r.id AND k.topic = r.topic AND k.host = r.host AND k.token = r.token
                FOR UPDATE
            ) FROM (
                SELECT unnest(tenants) AS tenant, unnest(topics) AS topic, unnest(kinds) AS kind, unnest(ids) AS id,
                    unnest(hosts) AS host, unnest(tokens) AS token
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
            AND w.host = hosts[place] AND w.token = tokens[place];
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

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA factory_runtime FROM PUBLIC;
GRANT EXECUTE ON FUNCTION present_tenant, present_micros, aggregate_lock, take_shares, take_oldest, take_left_behind, turns, take_leases,
    renew_lease, release_leases, holds_lease, defer_lease, defer_leases, next_due TO factory_runtime_operator;
