-- Which read models are computed for the first time, and how far have the others come?
-- depends: 0024_artifacts_of_licence

-- migrate: apply

-- True until it has come as far as the others for once. Whatever a later migration adds begins so.
ALTER TABLE projection_checkpoint ADD COLUMN first_time boolean NOT NULL DEFAULT true;
-- On the way from a release of long ago, earlier migrations may have added some just now.
UPDATE projection_checkpoint SET first_time =
  position = 0 AND (SELECT max(position) > 0 FROM projection_checkpoint);

-- What every answer includes: a read model that nobody could read before holds nobody up.
CREATE VIEW common_position AS
  SELECT coalesce(min(position), 0) AS position, coalesce(max(position), 0) AS furthest,
    coalesce(max(kept_since), 0) AS kept_since
  FROM projection_checkpoint WHERE NOT first_time;
CREATE VIEW as_of.common_position AS SELECT as_of.moment() AS position;

ALTER VIEW common_position OWNER TO matchgraph_app;
ALTER VIEW as_of.common_position OWNER TO matchgraph_app;

-- migrate: rollback
