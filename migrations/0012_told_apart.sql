-- Which artifacts did a curator say are not the same, however alike they look?
-- depends: 0011_rank_match

-- migrate: apply

CREATE TABLE told_apart (
  one uuid NOT NULL,
  other uuid NOT NULL,
  position bigint NOT NULL,
  PRIMARY KEY (one, other)
);

ALTER TABLE told_apart OWNER TO matchgraph_app;
INSERT INTO projection_checkpoint (name) VALUES ('told_apart');

-- migrate: rollback
