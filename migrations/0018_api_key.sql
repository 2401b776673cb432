-- Which keys were issued, to whom and as what, and which of them were revoked?
-- depends: 0017_trail

-- migrate: apply

CREATE TABLE api_key (
  id text PRIMARY KEY,
  name text NOT NULL,
  role text NOT NULL,
  expires timestamptz,
  -- The positions of the events that say so: they also tell who did it, and when.
  issued bigint NOT NULL,
  revoked bigint,
  aggregate_id uuid NOT NULL UNIQUE
);
CREATE INDEX api_key_issued ON api_key (issued);
CREATE INDEX api_key_revoked ON api_key (revoked) WHERE revoked IS NOT NULL;

ALTER TABLE api_key OWNER TO matchgraph_app;
INSERT INTO projection_checkpoint (name) VALUES ('api_key');

-- migrate: rollback
