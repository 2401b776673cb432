-- What is in the catalog, and under which slugs?
-- depends: 0002_projection_checkpoint

-- migrate: apply

CREATE TABLE artifact_listing (
  id uuid PRIMARY KEY,
  slug text NOT NULL COLLATE "C" UNIQUE,
  kind text NOT NULL,
  name text NOT NULL,
  description text,
  vendor text,
  family text,
  licence text,
  open_weights boolean,
  self_hostable boolean,
  homepage text,
  released date,
  knowledge_cutoff date,
  context_tokens bigint,
  output_tokens bigint,
  input_types text[],
  output_types text[],
  status text NOT NULL,
  leads_to uuid,
  method text NOT NULL,
  source text NOT NULL,
  observed_at timestamptz NOT NULL,
  registered_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL,
  registered_position bigint NOT NULL,
  position bigint NOT NULL
);
CREATE INDEX artifact_listing_by_kind ON artifact_listing (kind, slug) WHERE status = 'active';
CREATE INDEX artifact_listing_by_release
  ON artifact_listing (released DESC NULLS LAST, slug) WHERE status = 'active';
CREATE INDEX artifact_listing_by_registration
  ON artifact_listing (registered_position DESC) WHERE status = 'active';

CREATE TABLE artifact_alias (
  slug text PRIMARY KEY COLLATE "C",
  id uuid NOT NULL UNIQUE,
  artifact_id uuid,
  position bigint NOT NULL
);
CREATE INDEX artifact_alias_by_artifact ON artifact_alias (artifact_id);

ALTER TABLE artifact_listing OWNER TO matchgraph_app;
ALTER TABLE artifact_alias OWNER TO matchgraph_app;
INSERT INTO projection_checkpoint (name) VALUES ('artifact_listing');

-- migrate: rollback
