-- Which artifact served which intent by which capability, and what did searchers make of it?
-- depends: 0009_search_index

-- migrate: apply

-- Needs that mean the same share a cluster.
CREATE TABLE match_cluster (
  cluster uuid PRIMARY KEY,
  -- The need in whose words it began.
  label text NOT NULL,
  searches bigint NOT NULL,
  -- The search that began it.
  position bigint NOT NULL
);

-- What one searcher saw and made of an artifact when looking for an intent, as of a day: it halves in
-- 30 days. All of it counts for the capability that matched last.
CREATE TABLE match_cell (
  cluster uuid NOT NULL,
  artifact_id uuid NOT NULL,
  searcher text NOT NULL COLLATE "C",
  capability text NOT NULL COLLATE "C",
  exposure float8 NOT NULL,
  utility float8 NOT NULL,
  day date NOT NULL,
  -- Whether there was an outcome.
  acted boolean NOT NULL,
  PRIMARY KEY (cluster, artifact_id, searcher)
);
CREATE INDEX match_cell_acted ON match_cell (artifact_id, cluster, searcher) WHERE acted;

-- The sum over searchers, of whom each has the say of one examined view at most. Capability '' stands
-- for a match with the artifact as a whole.
CREATE TABLE match_edge (
  cluster uuid NOT NULL,
  artifact_id uuid NOT NULL,
  capability text NOT NULL COLLATE "C",
  exposure float8 NOT NULL,
  utility float8 NOT NULL,
  day date NOT NULL,
  -- Of those whose say is in the sums, how many reported an outcome.
  searchers bigint NOT NULL,
  -- How often it was served, and how many of these ended how; nothing halves here.
  shown bigint NOT NULL,
  clicked bigint NOT NULL,
  chosen bigint NOT NULL,
  succeeded bigint NOT NULL,
  failed bigint NOT NULL,
  dismissed bigint NOT NULL,
  position bigint NOT NULL,
  PRIMARY KEY (cluster, artifact_id, capability)
);
CREATE INDEX match_edge_by_artifact ON match_edge (artifact_id, shown DESC, cluster, capability);

-- How often each artifact was served by which capability, and how many of these were chosen.
CREATE TABLE match_count (
  artifact_id uuid NOT NULL,
  capability text NOT NULL COLLATE "C",
  served bigint NOT NULL,
  chosen bigint NOT NULL,
  PRIMARY KEY (artifact_id, capability)
);

-- Searches in which two artifacts were both examined, and which of the two fared better.
CREATE TABLE match_pair (
  left_id uuid NOT NULL,
  right_id uuid NOT NULL,
  together bigint NOT NULL,
  left_better bigint NOT NULL,
  right_better bigint NOT NULL,
  PRIMARY KEY (left_id, right_id)
);

-- The first results of recent searches and what became of them, in the order of their positions.
CREATE TABLE match_search (
  search_id uuid PRIMARY KEY,
  day date NOT NULL,
  position bigint NOT NULL,
  artifacts uuid[] NOT NULL,
  positions integer[] NOT NULL,
  outcomes text[] NOT NULL,
  reported_on date[] NOT NULL
);
CREATE INDEX match_search_by_day ON match_search (day, position);

-- How many reports of each searcher counted on which recent day.
CREATE TABLE match_searcher (
  day date NOT NULL,
  searcher text NOT NULL COLLATE "C",
  reports bigint NOT NULL,
  PRIMARY KEY (day, searcher)
);

ALTER TABLE match_cluster OWNER TO matchgraph_app;
ALTER TABLE match_cell OWNER TO matchgraph_app;
ALTER TABLE match_edge OWNER TO matchgraph_app;
ALTER TABLE match_count OWNER TO matchgraph_app;
ALTER TABLE match_pair OWNER TO matchgraph_app;
ALTER TABLE match_search OWNER TO matchgraph_app;
ALTER TABLE match_searcher OWNER TO matchgraph_app;
INSERT INTO projection_checkpoint (name) VALUES ('match_graph');

-- migrate: rollback
