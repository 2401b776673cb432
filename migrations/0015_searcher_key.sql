-- What opens the words of a searcher, until the searcher is forgotten?
-- depends: 0014_ledger

-- migrate: apply

-- One row for each searcher who is not forgotten. No part of the log and of no read model: nothing
-- else opens what somebody wrote, so nobody can read it once the row is gone. docs/forgetting.md
-- says what that means for backups.
CREATE TABLE searcher_key (
  -- What sealed words name; a searcher who comes back after being forgotten has another one.
  id uuid PRIMARY KEY,
  searcher text NOT NULL UNIQUE COLLATE "C",
  -- Which master key it is wrapped with, and the key, wrapped.
  master text NOT NULL,
  wrapped bytea NOT NULL
);
CREATE INDEX searcher_key_by_master ON searcher_key (master);

-- The key of a searcher: the one there is, else this one. Durable whenever words that it sealed
-- are, without waiting for the disk: they come later in the same write-ahead log.
CREATE FUNCTION searcher_key_for(new_id uuid, who text, new_master text, new_wrapped bytea)
RETURNS SETOF searcher_key LANGUAGE plpgsql AS $body$
BEGIN
  LOOP
    RETURN QUERY SELECT * FROM searcher_key k WHERE k.searcher = who;
    IF FOUND THEN
      RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO searcher_key VALUES (new_id, who, new_master, new_wrapped)
      ON CONFLICT (searcher) DO NOTHING;
  END LOOP;
END
$body$;

-- Up to there, searches were recorded with their words in plain.
CREATE TABLE search_in_plain (position bigint NOT NULL);
INSERT INTO search_in_plain SELECT coalesce(max(position), 0) FROM event;

-- In whose words an intent can be told: those of the first few searchers who are not forgotten, as
-- only their keys open them.
CREATE TABLE match_words (
  cluster uuid NOT NULL,
  position bigint NOT NULL,
  key uuid NOT NULL,
  search_id uuid NOT NULL,
  label bytea NOT NULL,
  PRIMARY KEY (cluster, position)
);
CREATE INDEX match_words_by_key ON match_words (key);

-- The same without the words in plain. A new table, as those of the old one leave the disk with it.
CREATE TABLE match_cluster_sealed (
  cluster uuid PRIMARY KEY,
  searches bigint NOT NULL,
  -- The search that began it.
  position bigint NOT NULL
);
INSERT INTO match_cluster_sealed SELECT cluster, searches, position FROM match_cluster;
DROP VIEW as_of.match_cluster;
DROP TABLE match_cluster;
ALTER TABLE match_cluster_sealed RENAME TO match_cluster;
ALTER INDEX match_cluster_sealed_pkey RENAME TO match_cluster_pkey;

-- Whose words a vector was made of, as it may tell them; unknown for those of before.
ALTER TABLE intent_vector ADD COLUMN key uuid;
CREATE INDEX intent_vector_by_key ON intent_vector (key);

-- Which keys were destroyed, and where does the log say so?
CREATE TABLE forgotten_key (
  key uuid PRIMARY KEY,
  searcher text NOT NULL COLLATE "C",
  position bigint NOT NULL
);

ALTER TABLE searcher_key OWNER TO matchgraph_app;
ALTER FUNCTION searcher_key_for OWNER TO matchgraph_app;
ALTER TABLE search_in_plain OWNER TO matchgraph_app;
ALTER TABLE match_words OWNER TO matchgraph_app;
ALTER TABLE match_cluster OWNER TO matchgraph_app;
ALTER TABLE forgotten_key OWNER TO matchgraph_app;
SET LOCAL ROLE matchgraph_app;
SELECT as_of.create_views();
RESET ROLE;
-- Nobody was forgotten before this.
INSERT INTO projection_checkpoint (name, position, recorded_at)
  SELECT 'forgotten_key', coalesce(max(position), 0), max(recorded_at) FROM event;

-- migrate: rollback
