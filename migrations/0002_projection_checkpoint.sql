-- How far has each read model come, and is one of them stuck?
-- depends: 0001_event

-- migrate: apply

CREATE TABLE projection_checkpoint (
  name text PRIMARY KEY,
  position bigint NOT NULL DEFAULT 0,
  -- When the event at that position was recorded.
  recorded_at timestamptz,
  -- The event that this projection cannot take in, and why; it stops there until restarted.
  stuck_at bigint,
  stuck_because text
);
ALTER TABLE projection_checkpoint OWNER TO matchgraph_app;

-- migrate: rollback
