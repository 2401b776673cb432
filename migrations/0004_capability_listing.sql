-- What can each artifact do, who says so, and what can it do no longer?
-- depends: 0003_artifact_listing

-- migrate: apply

CREATE TABLE capability_listing (
  artifact_id uuid NOT NULL,
  key text NOT NULL COLLATE "C",
  name text NOT NULL,
  description text NOT NULL,
  unique_claim text,
  versus_alternatives text,
  intents text[] NOT NULL,
  best_for text[] NOT NULL,
  limitations text[] NOT NULL,
  requires text[] NOT NULL,
  input_types text[] NOT NULL,
  output_types text[] NOT NULL,
  tags text[] NOT NULL,
  method text NOT NULL,
  source text NOT NULL,
  observed_at timestamptz NOT NULL,
  retired boolean NOT NULL,
  -- The order in which an artifact's capabilities are listed: that of their coming.
  added_position bigint NOT NULL,
  position bigint NOT NULL,
  PRIMARY KEY (artifact_id, key)
);
CREATE INDEX capability_listing_in_order
  ON capability_listing (artifact_id, added_position) WHERE NOT retired;
CREATE INDEX capability_listing_by_key ON capability_listing (key, artifact_id) WHERE NOT retired;

ALTER TABLE capability_listing OWNER TO matchgraph_app;
INSERT INTO projection_checkpoint (name) VALUES ('capability_listing');

-- migrate: rollback
