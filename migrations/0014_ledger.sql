-- What was signed of the log, who signed it, and how far has somebody gone over it again?
-- depends: 0013_as_of

-- migrate: apply

-- The heads that the outside may hold us to, and the keys that they are checked with: kept for
-- ever, so nobody changes a row of either.
CREATE TABLE ledger_key (
  id text PRIMARY KEY,
  public_key bytea NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE ledger_head (
  position bigint PRIMARY KEY,
  digest bytea NOT NULL,
  root bytea NOT NULL,
  signed_at timestamptz NOT NULL,
  key_id text NOT NULL REFERENCES ledger_key,
  signature bytea NOT NULL
);

-- The complete subtrees of the Merkle tree with 256, 65,536, … leaves. Smaller ones take at most
-- 256 events to compute, so that the tree costs a row for 256 events and a proof a few look-ups.
CREATE TABLE ledger_node (
  level int NOT NULL,
  index bigint NOT NULL,
  hash bytea NOT NULL,
  PRIMARY KEY (level, index)
);

-- `new` goes over what is appended and grows the tree, `again` over all of it, again and again.
-- `peaks` are the hashes of the complete subtrees at that position, largest first.
CREATE TABLE ledger_watch (
  name text PRIMARY KEY,
  position bigint NOT NULL DEFAULT 0,
  digest bytea NOT NULL DEFAULT sha256('matchgraph'),
  recorded_at timestamptz,
  peaks bytea NOT NULL DEFAULT '',
  rounds bigint NOT NULL DEFAULT 0,
  broken_at bigint,
  broken_because text
);
INSERT INTO ledger_watch (name) VALUES ('new'), ('again');

CREATE TRIGGER ledger_key_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_key
  FOR EACH STATEMENT EXECUTE FUNCTION event_guard();
CREATE TRIGGER ledger_head_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_head
  FOR EACH STATEMENT EXECUTE FUNCTION event_guard();

ALTER TABLE ledger_key OWNER TO matchgraph_ledger;
ALTER TABLE ledger_head OWNER TO matchgraph_ledger;
ALTER TABLE ledger_node OWNER TO matchgraph_app;
ALTER TABLE ledger_watch OWNER TO matchgraph_app;
REVOKE ALL ON ledger_key, ledger_head FROM PUBLIC;
GRANT SELECT, INSERT ON ledger_key, ledger_head TO matchgraph_app;

-- migrate: rollback
