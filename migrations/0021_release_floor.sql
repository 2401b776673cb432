-- Which is the oldest release that works with this database, and which migrations were applied?
-- depends: 0020_search_at_hand

-- migrate: apply

-- One row for each migration that took away what older releases need, said by the migration itself:
-- INSERT INTO release_floor VALUES ('0025_no_more_prices', '0.3.0'). The newest release of them counts.
CREATE TABLE release_floor (
  migration text PRIMARY KEY,
  release text NOT NULL CHECK (release ~ '^\d+\.\d+\.\d+$')
);
GRANT SELECT ON release_floor TO matchgraph_app;

-- Whoever prepared statements sees by it that tables may have changed since.
GRANT SELECT ON _pogo_migration TO matchgraph_app;

-- migrate: rollback
