-- Which words are used of which artifact and capability, and which texts say what they mean?
-- depends: 0008_rank_board

-- migrate: apply

CREATE EXTENSION IF NOT EXISTS vector;
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- Artifacts by a short number, in the order of their coming.
CREATE TABLE search_artifact (
  artifact integer PRIMARY KEY,
  artifact_id uuid NOT NULL UNIQUE,
  -- Whether it is on offer, so that it is found.
  listed boolean NOT NULL,
  -- What its own document is made of.
  slug text NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  description text,
  vendor text,
  family text,
  licence text,
  open_weights boolean,
  self_hostable boolean
);

-- What is searched: each artifact as a whole (document 0, with key '') and its capabilities, in the
-- order of their coming. Terms are kept to take them away again when another description comes; a
-- retired capability has none.
CREATE TABLE search_document (
  artifact integer NOT NULL,
  document integer NOT NULL,
  key text NOT NULL COLLATE "C",
  terms integer[] NOT NULL,
  PRIMARY KEY (artifact, document),
  UNIQUE (artifact, key)
);

-- Terms are stems; in how many documents each is. Term 0 counts the documents themselves.
CREATE TABLE search_term (
  term integer PRIMARY KEY,
  stem text NOT NULL COLLATE "C" UNIQUE,
  documents integer NOT NULL
);

-- The weight of a term in a document, without the term's rarity: BM25's tf part.
CREATE TABLE search_posting (
  term integer NOT NULL,
  artifact integer NOT NULL,
  document integer NOT NULL,
  weight real NOT NULL
);
CREATE UNIQUE INDEX search_posting_by_term
  ON search_posting (term, artifact, document) INCLUDE (weight);
-- Of a term that is everywhere, a search reads the documents in which it weighs most.
CREATE INDEX search_posting_by_weight
  ON search_posting (term, weight DESC) INCLUDE (artifact, document);

-- Words as they are written, for spelling, and how often each came.
CREATE TABLE search_word (
  word text PRIMARY KEY COLLATE "C",
  uses integer NOT NULL
);
CREATE INDEX search_word_by_trigram ON search_word USING gin (word gin_trgm_ops);

-- The texts that say what a document means: part 0 describes it, each further one is an intent that
-- it serves. A text is known by the first half of its SHA-256.
CREATE TABLE search_text (
  artifact integer NOT NULL,
  document integer NOT NULL,
  part integer NOT NULL,
  hash uuid NOT NULL,
  text text NOT NULL,
  PRIMARY KEY (artifact, document, part)
);
CREATE INDEX search_text_by_hash ON search_text (hash, artifact, document);

-- What each text means, as a unit vector by one embedding model. No read model: a worker fills it in
-- for whatever texts there are, and a text that was embedded once is not again.
CREATE TABLE text_vector (
  model text NOT NULL,
  hash uuid NOT NULL,
  vector halfvec(384) NOT NULL,
  PRIMARY KEY (hash, model)
);
CREATE INDEX text_vector_by_meaning ON text_vector USING hnsw (vector halfvec_ip_ops);

-- What the needs of a cluster of the match graph mean, likewise.
CREATE TABLE intent_vector (
  model text NOT NULL,
  cluster uuid NOT NULL,
  vector halfvec(384) NOT NULL,
  PRIMARY KEY (cluster, model)
);
CREATE INDEX intent_vector_by_meaning ON intent_vector USING hnsw (vector halfvec_ip_ops);

-- What a search is narrowed to. Their statistics also tell the planner how many are left.
CREATE INDEX artifact_listing_by_kind_alone ON artifact_listing (lower(kind));
CREATE INDEX artifact_listing_by_vendor ON artifact_listing (lower(vendor));
CREATE INDEX artifact_listing_by_family ON artifact_listing (lower(family));
CREATE INDEX artifact_listing_by_licence ON artifact_listing (lower(licence));
CREATE INDEX price_current_by_provider ON price_current (provider, artifact_id);

-- Whether anything in the catalog changed since.
CREATE INDEX artifact_listing_by_position ON artifact_listing (position);
CREATE INDEX capability_listing_by_position ON capability_listing (position);

ALTER TABLE search_artifact OWNER TO matchgraph_app;
ALTER TABLE search_document OWNER TO matchgraph_app;
ALTER TABLE search_term OWNER TO matchgraph_app;
ALTER TABLE search_posting OWNER TO matchgraph_app;
ALTER TABLE search_word OWNER TO matchgraph_app;
ALTER TABLE search_text OWNER TO matchgraph_app;
ALTER TABLE text_vector OWNER TO matchgraph_app;
ALTER TABLE intent_vector OWNER TO matchgraph_app;
INSERT INTO projection_checkpoint (name) VALUES ('search_index');

-- migrate: rollback
