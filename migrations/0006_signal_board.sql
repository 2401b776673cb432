-- Which numbers are known of each artifact, from which source, as of when?
-- depends: 0005_price_history

-- migrate: apply

CREATE TABLE signal_board (
  artifact_id uuid NOT NULL,
  name text NOT NULL,
  source text NOT NULL,
  value numeric NOT NULL,
  method text NOT NULL,
  observed_at timestamptz NOT NULL,
  position bigint NOT NULL,
  PRIMARY KEY (artifact_id, name, source)
);

ALTER TABLE signal_board OWNER TO matchgraph_app;
INSERT INTO projection_checkpoint (name) VALUES ('signal_board');

-- migrate: rollback
