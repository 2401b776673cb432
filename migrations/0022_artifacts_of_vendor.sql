-- Which artifacts are of this vendor, by alphabet?
-- depends: 0021_release_floor
-- transaction: false

-- migrate: apply

CREATE INDEX CONCURRENTLY IF NOT EXISTS artifact_listing_of_vendor
  ON artifact_listing (vendor, slug) WHERE status = 'active';

-- migrate: rollback
