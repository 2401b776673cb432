-- Which artifacts have this licence, by alphabet?
-- depends: 0023_artifacts_of_family
-- transaction: false

-- migrate: apply

CREATE INDEX CONCURRENTLY IF NOT EXISTS artifact_listing_of_licence
  ON artifact_listing (licence, slug) WHERE status = 'active';

-- migrate: rollback
