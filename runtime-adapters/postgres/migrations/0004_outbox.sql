-- What is relayed, what is parked, and who has missed what. A call is one round trip, and a transaction by itself.

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

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA factory_runtime FROM PUBLIC;
GRANT EXECUTE ON FUNCTION read_outbox, read_held, read_missed, let_go, newest_event, outbox_published, outbox_park, outbox_caught_up, list_parked,
    outbox_unpark TO factory_runtime_operator;
