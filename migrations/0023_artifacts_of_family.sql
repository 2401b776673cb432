-- Which artifacts are of this family, by alphabet?
-- depends: 0022_artifacts_of_vendor
-- transaction: false

-- migrate: apply

CREATE INDEX CONCURRENTLY IF NOT EXISTS artifact_listing_of_family
  ON artifact_listing (family, slug) WHERE status = 'active';

-- migrate: rollback
