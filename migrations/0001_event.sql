-- What happened, in which order, and can anybody have changed it since?
-- depends:

-- migrate: apply

-- Who may do what. The ledger owns the log and lets nobody write it but through its functions;
-- the application reads it, calls them, and owns everything that is computed from the log.
DO $roles$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['matchgraph_ledger', 'matchgraph_app'] LOOP
    -- Roles belong to the whole server: databases side by side share them.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
      END;
    END IF;
    IF NOT pg_has_role(current_user, wanted, 'SET') THEN
      EXECUTE format('GRANT %I TO current_user WITH SET TRUE', wanted);
    END IF;
  END LOOP;
END
$roles$;

CREATE TABLE event (
  position bigint PRIMARY KEY,
  originator_id uuid NOT NULL,
  originator_version bigint NOT NULL,
  topic text NOT NULL,
  state bytea NOT NULL,
  recorded_at timestamptz NOT NULL,
  actor text NOT NULL,
  request_id text NOT NULL,
  idempotency_key text,
  digest bytea NOT NULL,
  UNIQUE (originator_id, originator_version)
);

-- Nothing is ever updated, and a page of history is read in one sweep.
ALTER TABLE event ALTER COLUMN state SET STORAGE EXTERNAL;
-- The answer to "what came of the command with this key?", so that a retry changes nothing.
CREATE TABLE command (
  actor text NOT NULL,
  idempotency_key text NOT NULL,
  payload bytea NOT NULL,
  position bigint NOT NULL,
  PRIMARY KEY (actor, idempotency_key)
);

-- The columns and names that the eventsourcing library's PostgreSQL recorder reads.
CREATE VIEW stored_events AS
  SELECT originator_id, originator_version, topic, state, position AS notification_id FROM event;

-- What one event adds to the chain: an RFC 6962 leaf hash over its whole row, lengths first, so
-- that no two different rows have the same bytes. docs/ledger.md spells it out.
CREATE FUNCTION event_leaf(
  "position" bigint, microseconds bigint, originator_id uuid, originator_version bigint,
  topic text, actor text, request_id text, idempotency_key text, state bytea
) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE RETURN
  sha256(
    '\x00'::bytea || int8send("position") || int8send(microseconds)
    || uuid_send(originator_id) || int8send(originator_version)
    || int4send(octet_length(topic)) || convert_to(topic, 'UTF8')
    || int4send(octet_length(actor)) || convert_to(actor, 'UTF8')
    || int4send(octet_length(request_id)) || convert_to(request_id, 'UTF8')
    || int4send(coalesce(octet_length(idempotency_key), -1))
    || convert_to(coalesce(idempotency_key, ''), 'UTF8')
    || state
  );

-- Which of these commands come too late: another event has one of their versions, or another
-- command has their key. Never a sequential scan: a plan made while the log was empty would
-- otherwise read all of it for ever after.
CREATE FUNCTION event_conflicts(
  ids uuid[], versions bigint[], commands int[],
  keyed_commands int[], keyed_actors text[], keyed_keys text[]
) RETURNS int[] LANGUAGE sql STABLE SET enable_seqscan = off
BEGIN ATOMIC
  SELECT coalesce(array_agg(DISTINCT late), '{}') FROM (
    SELECT u.command AS late FROM unnest(ids, versions, commands) AS u (id, version, command)
    WHERE EXISTS (
      SELECT FROM event e WHERE e.originator_id = u.id AND e.originator_version = u.version
    )
    UNION ALL
    SELECT k.command
    FROM unnest(keyed_commands, keyed_actors, keyed_keys) AS k (command, actor, key)
    WHERE EXISTS (
      SELECT FROM command c WHERE c.actor = k.actor AND c.idempotency_key = k.key
    )
  ) AS conflicts;
END;

-- Takes the lock, which is held to commit, and says where the log ends: its last position, the
-- link to go on from, and the moment for what comes next.
CREATE FUNCTION event_end(OUT base bigint, OUT link bytea, OUT stamp timestamptz)
LANGUAGE plpgsql AS $body$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'append in a read committed transaction: an older snapshot has an older end'
      USING ERRCODE = 'invalid_transaction_state';
  END IF;
  PERFORM pg_advisory_xact_lock(7233147820517);
  SELECT position, digest, recorded_at INTO base, link, stamp
    FROM event ORDER BY position DESC LIMIT 1;
  base := coalesce(base, 0);
  link := coalesce(link, sha256('matchgraph'));
  -- A clock that jumps back must not make "as of then" ambiguous: time follows the order.
  stamp := greatest(clock_timestamp(), stamp);
END
$body$;

-- The only door into the log. Appends whole commands, each all or nothing, at the end of the one
-- order: the lock is held to commit, so positions become visible in order and without gaps, and a
-- command refused for a conflict burns none and leaves its neighbours alone.
-- The first eight arrays go by event, in order; `commands` numbers, upwards, the command that each
-- belongs to. The keyed ones go by command that has an idempotency key, also one without any event.
-- `keys` may be empty when no command has one, and `commands` when each event is one by itself:
-- most are, and shorter arguments are a tenth of an append's work.
-- Returns the position before the first event appended and the commands refused.
CREATE FUNCTION event_append(
  ids uuid[], versions bigint[], topics text[], states bytea[],
  actors text[], request_ids text[], keys text[], commands int[],
  keyed_commands int[], keyed_actors text[], keyed_keys text[], keyed_payloads bytea[],
  OUT base bigint, OUT refused int[]
) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $body$
DECLARE
  stamp timestamptz;
  first_link bytea;
  link bytea;
  links bytea[];
  leaf bytea;
BEGIN
  SELECT e.base, e.link, e.stamp INTO base, first_link, stamp FROM event_end() AS e;
  refused := '{}';
  LOOP
    link := first_link;
    links := '{}';
    FOR leaf IN
      SELECT event_leaf(base + o, (extract(epoch FROM stamp) * 1000000)::bigint, i, v, t, a, r, k, s)
      FROM unnest(ids, versions, topics, states, actors, request_ids, keys) WITH ORDINALITY
        AS u (i, v, t, s, a, r, k, o)
    LOOP
      link := sha256(link || leaf);
      links := links || link;
    END LOOP;
    BEGIN
      INSERT INTO event
        SELECT base + o, i, v, t, s, stamp, a, r, k, d
        FROM unnest(ids, versions, topics, states, actors, request_ids, keys, links) WITH ORDINALITY
          AS u (i, v, t, s, a, r, k, d, o);
      IF keyed_commands <> '{}' THEN
        INSERT INTO command
          -- Where the command ended: without any event of its own, where the one before it did.
          SELECT a, k, p, base + coalesce(
            (SELECT max(o) FROM unnest(commands) WITH ORDINALITY AS u (c, o) WHERE u.c <= keyed.c),
            0)
          FROM unnest(keyed_commands, keyed_actors, keyed_keys, keyed_payloads) AS keyed (c, a, k, p)
          WHERE c <> ALL (refused);
      END IF;
      EXIT;
    EXCEPTION WHEN unique_violation THEN
      IF refused <> '{}' THEN
        RAISE;
      END IF;
      IF commands = '{}' THEN
        commands := ARRAY (SELECT generate_series(1, cardinality(ids)));
      END IF;
      refused := event_conflicts(
        ids, versions, commands, keyed_commands, keyed_actors, keyed_keys);
      IF refused = '{}' THEN
        -- They conflict among themselves; trying again would never end.
        RAISE;
      END IF;
      SELECT coalesce(array_agg(i ORDER BY o), '{}'), coalesce(array_agg(v ORDER BY o), '{}'),
          coalesce(array_agg(t ORDER BY o), '{}'), coalesce(array_agg(s ORDER BY o), '{}'),
          coalesce(array_agg(a ORDER BY o), '{}'), coalesce(array_agg(r ORDER BY o), '{}'),
          coalesce(array_agg(k ORDER BY o), '{}'), coalesce(array_agg(c ORDER BY o), '{}')
        INTO ids, versions, topics, states, actors, request_ids, keys, commands
        FROM unnest(ids, versions, topics, states, actors, request_ids, keys, commands)
          WITH ORDINALITY AS u (i, v, t, s, a, r, k, c, o)
        WHERE c <> ALL (refused);
    END;
  END LOOP;
  IF ids <> '{}' THEN
    PERFORM pg_notify('event', '');
  END IF;
END
$body$;

-- Where COPY puts a bulk append before it takes the lock; not WAL-logged, as nothing is said to be
-- appended before it has moved on.
CREATE UNLOGGED TABLE event_inbox (
  batch uuid NOT NULL,
  ordinal bigint NOT NULL CHECK (ordinal > 0),
  originator_id uuid NOT NULL,
  originator_version bigint NOT NULL,
  topic text NOT NULL,
  state bytea NOT NULL,
  actor text NOT NULL,
  request_id text NOT NULL,
  idempotency_key text,
  PRIMARY KEY (batch, ordinal)
);

-- The same door for bulk: moves one batch, ordinals 1 to n, into the log, all of it or nothing.
-- A conflict anywhere raises unique_violation. Returns the position before the first event.
CREATE FUNCTION event_append_batch(batch_id uuid, OUT base bigint) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $body$
DECLARE
  stamp timestamptz;
  link bytea;
  links bytea[] := '{}';
  leaf bytea;
BEGIN
  SELECT e.base, e.link, e.stamp INTO base, link, stamp FROM event_end() AS e;
  FOR leaf IN
    SELECT event_leaf(
      base + ordinal, (extract(epoch FROM stamp) * 1000000)::bigint, originator_id,
      originator_version, topic, actor, request_id, idempotency_key, state)
    FROM event_inbox WHERE batch = batch_id ORDER BY ordinal
  LOOP
    link := sha256(link || leaf);
    links := links || link;
  END LOOP;
  IF cardinality(links) IS DISTINCT FROM
      (SELECT max(ordinal) FROM event_inbox WHERE batch = batch_id) THEN
    RAISE EXCEPTION 'the ordinals of a batch run from 1 without gaps'
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  INSERT INTO event
    SELECT base + ordinal, originator_id, originator_version, topic, state, stamp, actor,
      request_id, idempotency_key, digest
    FROM event_inbox JOIN unnest(links) WITH ORDINALITY AS l (digest, ordinal) USING (ordinal)
    WHERE batch = batch_id ORDER BY ordinal;
  DELETE FROM event_inbox WHERE batch = batch_id;
  PERFORM pg_notify('event', '');
END
$body$;

-- Whoever goes round the door is stopped even with every privilege, unless he says so first.
CREATE FUNCTION event_guard() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    RAISE EXCEPTION 'history is never changed: % on % is refused', TG_OP, TG_TABLE_NAME
      USING ERRCODE = 'insufficient_privilege';
  ELSIF current_user <> 'matchgraph_ledger' THEN
    RAISE EXCEPTION 'history is written by event_append() alone'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NULL;
END
$body$;
CREATE TRIGGER event_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON event
  FOR EACH STATEMENT EXECUTE FUNCTION event_guard();
CREATE TRIGGER command_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON command
  FOR EACH STATEMENT EXECUTE FUNCTION event_guard();

ALTER TABLE event OWNER TO matchgraph_ledger;
ALTER TABLE command OWNER TO matchgraph_ledger;
ALTER TABLE event_inbox OWNER TO matchgraph_ledger;
ALTER VIEW stored_events OWNER TO matchgraph_ledger;
ALTER FUNCTION event_end OWNER TO matchgraph_ledger;
ALTER FUNCTION event_conflicts OWNER TO matchgraph_ledger;
ALTER FUNCTION event_append OWNER TO matchgraph_ledger;
ALTER FUNCTION event_append_batch OWNER TO matchgraph_ledger;
REVOKE ALL ON event, command, event_inbox, stored_events FROM PUBLIC;
REVOKE ALL ON FUNCTION event_append, event_append_batch, event_conflicts, event_end FROM PUBLIC;
GRANT SELECT ON event, command, stored_events TO matchgraph_app;
GRANT INSERT ON event_inbox TO matchgraph_app;
GRANT EXECUTE ON FUNCTION event_append, event_append_batch TO matchgraph_app;

-- migrate: rollback
