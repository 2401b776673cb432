-- How does each artifact rank now, by which evidence, and what moved it before?
-- depends: 0007_last_release

-- migrate: apply

-- Weights and half-life of a kind since that position; the newest one is in force.
CREATE TABLE rank_policy (
  position bigint NOT NULL,
  kind text NOT NULL,
  adoption numeric NOT NULL,
  quality numeric NOT NULL,
  ecosystem numeric NOT NULL,
  match_graph numeric NOT NULL,
  freshness numeric NOT NULL,
  half_life integer NOT NULL,
  PRIMARY KEY (kind, position)
);

-- The distributions that observed numbers are measured against since that position.
CREATE TABLE rank_calibration (
  position bigint PRIMARY KEY,
  day date NOT NULL,
  up_to bigint NOT NULL,
  calibrated_at timestamptz NOT NULL,
  scales jsonb NOT NULL,
  match_means jsonb NOT NULL
);

-- What is known of each artifact as JSON, and beside it the few numbers that the formula reads, NULL
-- for what nobody observed: the natural logarithms of the counts plus one, and sums of the checklist.
CREATE TABLE rank_evidence (
  artifact_id uuid PRIMARY KEY,
  kind text NOT NULL,
  slug text NOT NULL COLLATE "C",
  -- Whether it is on offer, so that it has a place.
  listed boolean NOT NULL,
  released date,
  last_release date,
  evidence bytea NOT NULL,
  downloads_30d float8,
  dependents float8,
  stars float8,
  choosers float8,
  extensions float8,
  integrations float8,
  hosts float8,
  protocols float8,
  checked float8 NOT NULL,
  held float8 NOT NULL,
  exposure float8 NOT NULL,
  utility float8 NOT NULL,
  position bigint NOT NULL
);

-- The ranks in force. A score is in millionths of a point, coverage and shares in millionths; place
-- and band are counted within the kind, and 0 for what is not on offer.
CREATE TABLE rank_board (
  position bigint NOT NULL,
  artifact_id uuid PRIMARY KEY,
  kind text NOT NULL,
  score integer NOT NULL,
  low integer NOT NULL,
  high integer NOT NULL,
  coverage integer NOT NULL,
  -- Score less half a standard deviation: what boards are ordered by.
  standing integer NOT NULL,
  adoption integer NOT NULL,
  quality integer NOT NULL,
  ecosystem integer NOT NULL,
  match_graph integer NOT NULL,
  freshness integer NOT NULL,
  place integer NOT NULL,
  band integer NOT NULL,
  -- Integers of 4 bytes, for each threshold of announcements: the scores last announced, the ones
  -- before, how often it went back to those, and the days (since 1970) on which it last did.
  announced bytea NOT NULL
);
CREATE INDEX rank_board_in_order ON rank_board (kind, standing DESC, artifact_id) WHERE place > 0;
CREATE INDEX rank_board_over_all ON rank_board (standing DESC, artifact_id) WHERE place > 0;
CREATE INDEX rank_board_by_low ON rank_board (kind, low) WHERE place > 0;
CREATE INDEX rank_board_by_position ON rank_board (position);

-- Every change of a rank: how it is since then, how it was before, and by which threshold it is
-- worth announcing. The event at that position is the cause.
CREATE TABLE rank_history (
  position bigint NOT NULL,
  artifact_id uuid NOT NULL,
  score integer NOT NULL,
  low integer NOT NULL,
  high integer NOT NULL,
  coverage integer NOT NULL,
  place integer NOT NULL,
  band integer NOT NULL,
  was_score integer NOT NULL,
  was_place integer NOT NULL,
  was_band integer NOT NULL,
  adoption integer NOT NULL,
  quality integer NOT NULL,
  ecosystem integer NOT NULL,
  match_graph integer NOT NULL,
  freshness integer NOT NULL,
  was_adoption integer NOT NULL,
  was_quality integer NOT NULL,
  was_ecosystem integer NOT NULL,
  was_match_graph integer NOT NULL,
  was_freshness integer NOT NULL,
  -- Bit n is set when it is worth announcing at threshold n.
  announce smallint NOT NULL,
  PRIMARY KEY (position, artifact_id)
);
CREATE INDEX rank_history_by_artifact ON rank_history (artifact_id, position);

ALTER TABLE rank_policy OWNER TO matchgraph_app;
ALTER TABLE rank_calibration OWNER TO matchgraph_app;
ALTER TABLE rank_evidence OWNER TO matchgraph_app;
ALTER TABLE rank_board OWNER TO matchgraph_app;
ALTER TABLE rank_history OWNER TO matchgraph_app;
INSERT INTO projection_checkpoint (name) VALUES ('rank_board');

-- migrate: rollback
