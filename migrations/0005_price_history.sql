-- What does each provider ask now, and what did it ask before?
-- depends: 0004_capability_listing

-- migrate: apply

-- Every observation, for ever; a withdrawal is one of them, with pricing NULL.
CREATE TABLE price_history (
  position bigint PRIMARY KEY,
  artifact_id uuid NOT NULL,
  provider text NOT NULL,
  per text,
  tier text,
  source text NOT NULL,
  observed_at timestamptz NOT NULL,
  pricing text,
  amount numeric,
  currency text
);
CREATE INDEX price_history_by_artifact ON price_history (artifact_id, observed_at, position);

-- The newest observation of each price that is still asked.
CREATE TABLE price_current (
  position bigint NOT NULL,
  artifact_id uuid NOT NULL,
  provider text NOT NULL,
  per text,
  tier text,
  source text NOT NULL,
  observed_at timestamptz NOT NULL,
  pricing text NOT NULL,
  amount numeric,
  currency text,
  UNIQUE NULLS NOT DISTINCT (artifact_id, provider, per, tier, source)
);
CREATE INDEX price_current_by_pricing ON price_current (pricing, artifact_id);

ALTER TABLE price_history OWNER TO matchgraph_app;
ALTER TABLE price_current OWNER TO matchgraph_app;
INSERT INTO projection_checkpoint (name) VALUES ('price_history');

-- migrate: rollback
