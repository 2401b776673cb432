-- Which breaks of history are known, who said so and why, and which heads were signed since?
-- depends: 0025_first_time

-- migrate: apply

-- How history stood when somebody said that they know of a break: signing goes on from there. Kept
-- for ever, like the heads.
CREATE TABLE ledger_acknowledgement (
  number int PRIMARY KEY,
  -- Where history is not what was recorded, and what was found there.
  position bigint NOT NULL,
  what text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  acknowledged_at timestamptz NOT NULL,
  -- The newest event then, the root over all up to it as they stood, its digest, and a hash over
  -- the heads that were there.
  upto bigint NOT NULL,
  root bytea NOT NULL,
  link bytea NOT NULL,
  heads bytea NOT NULL,
  -- The hash of what is signed here, and of what was signed in the row before.
  digest bytea NOT NULL,
  before bytea NOT NULL,
  key_id text NOT NULL REFERENCES ledger_key,
  signature bytea NOT NULL
);
CREATE TRIGGER ledger_acknowledgement_guard
  BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_acknowledgement
  FOR EACH STATEMENT EXECUTE FUNCTION event_guard();

-- The heads that were signed since, each with the digest of the newest acknowledgement that there
-- was: others of the same positions may have been signed before.
CREATE TABLE ledger_head_since (
  acknowledged bytea NOT NULL,
  position bigint NOT NULL,
  digest bytea NOT NULL,
  root bytea NOT NULL,
  signed_at timestamptz NOT NULL,
  key_id text NOT NULL REFERENCES ledger_key,
  signature bytea NOT NULL,
  PRIMARY KEY (acknowledged, position)
);
CREATE TRIGGER ledger_head_since_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_head_since
  FOR EACH STATEMENT EXECUTE FUNCTION event_guard();

-- The heads that history is held to: those since the newest acknowledgement, if there is one.
CREATE VIEW ledger_head_in_force AS
  SELECT position, digest, root, signed_at, key_id, signature, NULL::bytea AS acknowledged
  FROM ledger_head WHERE NOT EXISTS (SELECT FROM ledger_acknowledgement)
  UNION ALL
  SELECT position, digest, root, signed_at, key_id, signature, acknowledged
  FROM ledger_head_since
  WHERE acknowledged = (SELECT digest FROM ledger_acknowledgement ORDER BY number DESC LIMIT 1);

ALTER TABLE ledger_acknowledgement OWNER TO matchgraph_ledger;
ALTER TABLE ledger_head_since OWNER TO matchgraph_ledger;
ALTER VIEW ledger_head_in_force OWNER TO matchgraph_app;
REVOKE ALL ON ledger_acknowledgement, ledger_head_since FROM PUBLIC;
GRANT SELECT, INSERT ON ledger_acknowledgement, ledger_head_since TO matchgraph_app;

-- migrate: rollback
