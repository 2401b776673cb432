-- What did searchers make of each artifact, and how much does each of them count in its rank?
-- depends: 0010_match_graph

-- migrate: apply

-- All that one searcher did with one artifact: views in which the searcher really looked and what
-- came of them, as of the day of the last event, and how much of it counts since the calibration in
-- force.
CREATE TABLE rank_match (
  searcher text NOT NULL COLLATE "C",
  artifact_id uuid NOT NULL,
  day date NOT NULL,
  exposure float8 NOT NULL,
  utility float8 NOT NULL,
  -- Whether the searcher chose it, once at least.
  chosen boolean NOT NULL,
  cap float8 NOT NULL,
  trust float8 NOT NULL,
  PRIMARY KEY (searcher, artifact_id)
) WITH (fillfactor = 70);

-- What the cells of each artifact come to, also what has moved no rank yet because it was only served.
CREATE TABLE rank_match_total (
  artifact_id uuid PRIMARY KEY,
  exposure float8 NOT NULL,
  utility float8 NOT NULL,
  searchers integer NOT NULL,
  discounted integer NOT NULL
) WITH (fillfactor = 70);

-- What an artifact has been ranked by since that position. The event there is the cause.
CREATE TABLE rank_matched (
  position bigint NOT NULL,
  artifact_id uuid NOT NULL,
  exposure float8 NOT NULL,
  utility float8 NOT NULL,
  searchers integer NOT NULL,
  discounted integer NOT NULL,
  PRIMARY KEY (artifact_id, position)
);

-- How many searchers the exposure and the utility come from, and how many of them count in part.
ALTER TABLE rank_evidence
  ADD COLUMN searchers integer NOT NULL DEFAULT 0,
  ADD COLUMN discounted integer NOT NULL DEFAULT 0;

ALTER TABLE rank_match OWNER TO matchgraph_app;
ALTER TABLE rank_match_total OWNER TO matchgraph_app;
ALTER TABLE rank_matched OWNER TO matchgraph_app;

-- migrate: rollback
