-- What of an artifact is read in every search, without going to its rows?
-- depends: 0019_meaning_index

-- migrate: apply

-- Each of these holds all that a search reads of its table. The new keys take the place of the old
-- ones at the end, so that nobody waits while they are made.
CREATE INDEX search_artifact_on_offer
  ON search_artifact (artifact) INCLUDE (artifact_id, kind) WHERE listed;
CREATE INDEX search_document_in_use
  ON search_document (artifact, document) INCLUDE (key) WHERE cardinality(terms) > 0;
CREATE UNIQUE INDEX search_text_at_hand
  ON search_text (artifact, document, part) INCLUDE (hash);
CREATE UNIQUE INDEX text_vector_at_hand ON text_vector (hash, model) INCLUDE (vector);

ALTER TABLE search_text DROP CONSTRAINT search_text_pkey,
  ADD CONSTRAINT search_text_pkey PRIMARY KEY USING INDEX search_text_at_hand;
ALTER TABLE text_vector DROP CONSTRAINT text_vector_pkey,
  ADD CONSTRAINT text_vector_pkey PRIMARY KEY USING INDEX text_vector_at_hand;

-- migrate: rollback
