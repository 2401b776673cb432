-- Which text is nearest in meaning?
-- depends: 0018_api_key

-- migrate: apply

-- More care when a vector comes in, which happens once: of a hundred thousand texts, 60 steps of a
-- search then find more of the nearest than 200 did.
DROP INDEX text_vector_by_meaning;
CREATE INDEX text_vector_by_meaning ON text_vector
  USING hnsw (vector halfvec_ip_ops) WITH (ef_construction = 200);
DROP INDEX intent_vector_by_meaning;
CREATE INDEX intent_vector_by_meaning ON intent_vector
  USING hnsw (vector halfvec_ip_ops) WITH (ef_construction = 200);

-- migrate: rollback
