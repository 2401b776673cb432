-- What did each read model say as of a position?
-- depends: 0012_told_apart

-- migrate: apply

-- What a row said before the event at `until` replaced it: it held for position <= P < until. The
-- columns are those of the table beside it, and then that one.
CREATE TABLE artifact_listing_past (
  LIKE artifact_listing, until bigint NOT NULL, PRIMARY KEY (id, until)
);
CREATE TABLE artifact_alias_past (
  LIKE artifact_alias, until bigint NOT NULL, PRIMARY KEY (slug, until)
);
CREATE INDEX artifact_alias_past_by_artifact ON artifact_alias_past (artifact_id);
CREATE TABLE capability_listing_past (
  LIKE capability_listing, until bigint NOT NULL, PRIMARY KEY (artifact_id, key, until)
);
CREATE TABLE match_edge_past (
  LIKE match_edge, until bigint NOT NULL, PRIMARY KEY (artifact_id, cluster, capability, until)
);

-- Every number since the event at its position, for ever.
CREATE TABLE signal_history (
  artifact_id uuid NOT NULL,
  name text NOT NULL,
  source text NOT NULL,
  value numeric NOT NULL,
  method text NOT NULL,
  observed_at timestamptz NOT NULL,
  position bigint NOT NULL,
  PRIMARY KEY (artifact_id, name, source, position)
);
CREATE TABLE match_cluster_history (
  cluster uuid NOT NULL,
  position bigint NOT NULL,
  searches bigint NOT NULL,
  PRIMARY KEY (cluster, position)
);
CREATE TABLE match_count_history (
  artifact_id uuid NOT NULL,
  capability text NOT NULL COLLATE "C",
  position bigint NOT NULL,
  served bigint NOT NULL,
  chosen bigint NOT NULL,
  PRIMARY KEY (artifact_id, capability, position)
);
CREATE TABLE match_pair_history (
  left_id uuid NOT NULL,
  right_id uuid NOT NULL,
  position bigint NOT NULL,
  together bigint NOT NULL,
  left_better bigint NOT NULL,
  right_better bigint NOT NULL,
  PRIMARY KEY (left_id, right_id, position)
);
-- The texts of a capability by their hashes, part 0 first; a retired one has none.
CREATE TABLE search_text_history (
  artifact integer NOT NULL,
  document integer NOT NULL,
  position bigint NOT NULL,
  hashes uuid[] NOT NULL,
  PRIMARY KEY (artifact, document, position)
);

-- Which prices were ever withdrawn: with price_current, every price that there ever was.
CREATE TABLE price_withdrawn (
  artifact_id uuid NOT NULL,
  provider text NOT NULL,
  per text,
  tier text,
  source text NOT NULL,
  UNIQUE NULLS NOT DISTINCT (artifact_id, provider, per, tier, source)
);
-- Which price is meant, as a number to look it up by.
CREATE FUNCTION price_line(provider text, per text, tier text, source text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN hashtextextended(
  provider || E'\x1f' || source || E'\x1f' || coalesce(per, '') || E'\x1f' || coalesce(tier, ''), 0
);
CREATE INDEX price_history_by_line ON price_history
  (artifact_id, price_line(provider, per, tier, source), position);

-- What the board was ordered by since then. NULL is older than what is kept, see below.
ALTER TABLE rank_history ADD COLUMN standing integer;

-- As of then also those are asked for that are not on offer now.
DROP INDEX artifact_listing_by_kind;
CREATE INDEX artifact_listing_by_kind ON artifact_listing (kind, slug);
DROP INDEX artifact_listing_by_registration;
CREATE INDEX artifact_listing_by_registration ON artifact_listing (registered_position DESC);

-- What was replaced before this migration is not known any more: what is there now is known since
-- the position that each read model has reached. A rebuild makes it all of history.
ALTER TABLE projection_checkpoint ADD COLUMN kept_since bigint NOT NULL DEFAULT 0;
UPDATE projection_checkpoint SET kept_since = position WHERE name <> 'price_history';
INSERT INTO price_withdrawn SELECT DISTINCT artifact_id, provider, per, tier, source
  FROM price_history WHERE pricing IS NULL;
INSERT INTO signal_history SELECT * FROM signal_board;
INSERT INTO match_cluster_history SELECT m.cluster, c.position, m.searches
  FROM match_cluster m, projection_checkpoint c WHERE c.name = 'match_graph';
INSERT INTO match_count_history
  SELECT m.artifact_id, m.capability, c.position, m.served, m.chosen
  FROM match_count m, projection_checkpoint c WHERE c.name = 'match_graph';
INSERT INTO match_pair_history
  SELECT m.left_id, m.right_id, c.position, m.together, m.left_better, m.right_better
  FROM match_pair m, projection_checkpoint c WHERE c.name = 'match_graph';
INSERT INTO search_text_history
  SELECT d.artifact, d.document, c.position, coalesce(
    (SELECT array_agg(t.hash ORDER BY t.part) FROM search_text t
     WHERE t.artifact = d.artifact AND t.document = d.document), '{}')
  FROM search_document d, projection_checkpoint c WHERE c.name = 'search_index' AND d.key <> '';
UPDATE rank_history h SET standing = b.standing FROM rank_board b
  WHERE b.artifact_id = h.artifact_id AND b.position = h.position;

-- The read models as of a position, under the names that they have: whoever looks here first asks
-- the same questions of then as of now.
CREATE SCHEMA as_of AUTHORIZATION matchgraph_app;

-- The position, which holds for one transaction.
CREATE FUNCTION as_of.moment() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
RETURN current_setting('matchgraph.position')::bigint;

-- Makes the views of the tables that have their names now. A view stays with its tables when those
-- are renamed, so whoever puts others in their place calls this in the same transaction.
CREATE FUNCTION as_of.create_views() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public
AS $body$
BEGIN
  CREATE OR REPLACE VIEW as_of.projection_checkpoint AS
    SELECT name, as_of.moment() AS position FROM public.projection_checkpoint;

  -- One artifact has one row, which is the newest, or one that the past keeps. Whatever never
  -- changes is taken from the newest, so that its indexes serve.
  CREATE OR REPLACE VIEW as_of.artifact_listing AS
    SELECT l.id, l.slug, l.kind,
      v.name, v.description, v.vendor, v.family, v.licence, v.open_weights, v.self_hostable,
      v.homepage, v.released, v.knowledge_cutoff, v.context_tokens, v.output_tokens,
      v.input_types, v.output_types, v.status, v.leads_to, v.method, v.source, v.observed_at,
      l.registered_at, v.changed_at, l.registered_position, v.position, v.last_release
    FROM public.artifact_listing l CROSS JOIN LATERAL (
      SELECT l.name, l.description, l.vendor, l.family, l.licence, l.open_weights, l.self_hostable,
        l.homepage, l.released, l.knowledge_cutoff, l.context_tokens, l.output_tokens,
        l.input_types, l.output_types, l.status, l.leads_to, l.method, l.source, l.observed_at,
        l.changed_at, l.position, l.last_release
      WHERE l.position <= as_of.moment()
      UNION ALL (
        SELECT p.name, p.description, p.vendor, p.family, p.licence, p.open_weights,
          p.self_hostable, p.homepage, p.released, p.knowledge_cutoff, p.context_tokens,
          p.output_tokens, p.input_types, p.output_types, p.status, p.leads_to, p.method,
          p.source, p.observed_at, p.changed_at, p.position, p.last_release
        FROM public.artifact_listing_past p
        WHERE l.position > as_of.moment() AND p.id = l.id AND p.until > as_of.moment()
        ORDER BY p.until LIMIT 1
      )
    ) AS v
    WHERE l.registered_position <= as_of.moment();

  CREATE OR REPLACE VIEW as_of.artifact_alias AS
    SELECT slug, id, artifact_id, position FROM public.artifact_alias
    WHERE position <= as_of.moment()
    UNION ALL
    SELECT slug, id, artifact_id, position FROM public.artifact_alias_past
    WHERE position <= as_of.moment() AND until > as_of.moment();

  CREATE OR REPLACE VIEW as_of.capability_listing AS
    SELECT l.artifact_id, l.key,
      v.name, v.description, v.unique_claim, v.versus_alternatives, v.intents, v.best_for,
      v.limitations, v.requires, v.input_types, v.output_types, v.tags, v.method, v.source,
      v.observed_at, v.retired,
      l.added_position, v.position
    FROM public.capability_listing l CROSS JOIN LATERAL (
      SELECT l.name, l.description, l.unique_claim, l.versus_alternatives, l.intents, l.best_for,
        l.limitations, l.requires, l.input_types, l.output_types, l.tags, l.method, l.source,
        l.observed_at, l.retired, l.position
      WHERE l.position <= as_of.moment()
      UNION ALL (
        SELECT p.name, p.description, p.unique_claim, p.versus_alternatives, p.intents, p.best_for,
          p.limitations, p.requires, p.input_types, p.output_types, p.tags, p.method, p.source,
          p.observed_at, p.retired, p.position
        FROM public.capability_listing_past p
        WHERE l.position > as_of.moment() AND p.artifact_id = l.artifact_id AND p.key = l.key
          AND p.until > as_of.moment()
        ORDER BY p.until LIMIT 1
      )
    ) AS v
    WHERE l.added_position <= as_of.moment();

  CREATE OR REPLACE VIEW as_of.price_history AS
    SELECT * FROM public.price_history WHERE position <= as_of.moment();

  -- Of every price that there ever was the newest observation, unless it says that it is gone.
  CREATE OR REPLACE VIEW as_of.price_current AS
    SELECT v.position, l.artifact_id, l.provider, l.per, l.tier, l.source, v.observed_at,
      v.pricing, v.amount, v.currency
    FROM (
      SELECT artifact_id, provider, per, tier, source FROM public.price_current
      UNION ALL
      SELECT artifact_id, provider, per, tier, source FROM public.price_withdrawn w
      WHERE NOT EXISTS (
        SELECT FROM public.price_current c WHERE c.artifact_id = w.artifact_id
        AND c.provider = w.provider AND c.per IS NOT DISTINCT FROM w.per
        AND c.tier IS NOT DISTINCT FROM w.tier AND c.source = w.source
      )
    ) AS l CROSS JOIN LATERAL (
      SELECT h.position, h.observed_at, h.pricing, h.amount, h.currency
      FROM public.price_history h
      WHERE h.artifact_id = l.artifact_id
        AND price_line(h.provider, h.per, h.tier, h.source)
          = price_line(l.provider, l.per, l.tier, l.source)
        AND h.provider = l.provider AND h.per IS NOT DISTINCT FROM l.per
        AND h.tier IS NOT DISTINCT FROM l.tier AND h.source = l.source
        AND h.position <= as_of.moment()
      ORDER BY h.position DESC LIMIT 1
    ) AS v
    WHERE v.pricing IS NOT NULL;

  CREATE OR REPLACE VIEW as_of.signal_board AS
    SELECT l.artifact_id, l.name, l.source, v.value, v.method, v.observed_at, v.position
    FROM public.signal_board l CROSS JOIN LATERAL (
      SELECT l.value, l.method, l.observed_at, l.position WHERE l.position <= as_of.moment()
      UNION ALL (
        SELECT h.value, h.method, h.observed_at, h.position FROM public.signal_history h
        WHERE l.position > as_of.moment() AND h.artifact_id = l.artifact_id AND h.name = l.name
          AND h.source = l.source AND h.position <= as_of.moment()
        ORDER BY h.position DESC LIMIT 1
      )
    ) AS v;

  CREATE OR REPLACE VIEW as_of.rank_policy AS
    SELECT * FROM public.rank_policy WHERE position <= as_of.moment();
  CREATE OR REPLACE VIEW as_of.rank_calibration AS
    SELECT * FROM public.rank_calibration WHERE position <= as_of.moment();
  CREATE OR REPLACE VIEW as_of.rank_history AS
    SELECT * FROM public.rank_history WHERE position <= as_of.moment();

  CREATE OR REPLACE VIEW as_of.rank_board AS
    SELECT v.position, l.artifact_id, l.kind, v.score, v.low, v.high, v.coverage, v.standing,
      v.adoption, v.quality, v.ecosystem, v.match_graph, v.freshness, v.place, v.band
    FROM public.rank_board l CROSS JOIN LATERAL (
      SELECT l.position, l.score, l.low, l.high, l.coverage, l.standing, l.adoption, l.quality,
        l.ecosystem, l.match_graph, l.freshness, l.place, l.band
      WHERE l.position <= as_of.moment()
      UNION ALL (
        SELECT h.position, h.score, h.low, h.high, h.coverage, h.standing, h.adoption, h.quality,
          h.ecosystem, h.match_graph, h.freshness, h.place, h.band
        FROM public.rank_history h
        WHERE l.position > as_of.moment() AND h.artifact_id = l.artifact_id
          AND h.position <= as_of.moment()
        ORDER BY h.position DESC LIMIT 1
      )
    ) AS v;

  -- Only what queries ask of it. The evidence is what signal_board says, and what searchers made
  -- of an artifact is kept since it was ranked by that.
  CREATE OR REPLACE VIEW as_of.rank_evidence AS
    SELECT l.id AS artifact_id, l.kind, l.slug, l.status = 'active' AS listed, l.released,
      l.last_release,
      (SELECT convert_to(coalesce(json_agg(json_build_object(
          'signal', json_build_object('name', s.name, 'value', s.value::text, 'source', s.source,
            'observed_at', s.observed_at, 'method', s.method),
          'position', s.position)), '[]')::text, 'UTF8')
        FROM as_of.signal_board s WHERE s.artifact_id = l.id) AS evidence,
      coalesce((SELECT exposure FROM public.rank_matched m WHERE m.artifact_id = l.id
        AND m.position <= as_of.moment() ORDER BY m.position DESC LIMIT 1), 0) AS exposure,
      coalesce((SELECT utility FROM public.rank_matched m WHERE m.artifact_id = l.id
        AND m.position <= as_of.moment() ORDER BY m.position DESC LIMIT 1), 0) AS utility,
      coalesce((SELECT searchers FROM public.rank_matched m WHERE m.artifact_id = l.id
        AND m.position <= as_of.moment() ORDER BY m.position DESC LIMIT 1), 0) AS searchers,
      coalesce((SELECT discounted FROM public.rank_matched m WHERE m.artifact_id = l.id
        AND m.position <= as_of.moment() ORDER BY m.position DESC LIMIT 1), 0) AS discounted
    FROM as_of.artifact_listing l;

  CREATE OR REPLACE VIEW as_of.match_cluster AS
    SELECT l.cluster, v.searches, l.position
    FROM public.match_cluster l CROSS JOIN LATERAL (
      SELECT h.searches FROM public.match_cluster_history h
      WHERE h.cluster = l.cluster AND h.position <= as_of.moment()
      ORDER BY h.position DESC LIMIT 1
    ) AS v;

  -- A later migration has these; the words of who was forgotten are not there for then either.
  IF to_regclass('public.match_words') IS NOT NULL THEN
    CREATE OR REPLACE VIEW as_of.match_words AS
      SELECT * FROM public.match_words WHERE position <= as_of.moment();
  END IF;

  CREATE OR REPLACE VIEW as_of.match_count AS
    SELECT l.artifact_id, l.capability, v.served, v.chosen
    FROM public.match_count l CROSS JOIN LATERAL (
      SELECT h.served, h.chosen FROM public.match_count_history h
      WHERE h.artifact_id = l.artifact_id AND h.capability = l.capability
        AND h.position <= as_of.moment()
      ORDER BY h.position DESC LIMIT 1
    ) AS v;

  CREATE OR REPLACE VIEW as_of.match_pair AS
    SELECT l.left_id, l.right_id, v.together, v.left_better, v.right_better
    FROM public.match_pair l CROSS JOIN LATERAL (
      SELECT h.together, h.left_better, h.right_better FROM public.match_pair_history h
      WHERE h.left_id = l.left_id AND h.right_id = l.right_id AND h.position <= as_of.moment()
      ORDER BY h.position DESC LIMIT 1
    ) AS v;

  CREATE OR REPLACE VIEW as_of.match_edge AS
    SELECT l.cluster, l.artifact_id, l.capability, v.exposure, v.utility, v.day, v.searchers,
      v.shown, v.clicked, v.chosen, v.succeeded, v.failed, v.dismissed, v.position
    FROM public.match_edge l CROSS JOIN LATERAL (
      SELECT l.exposure, l.utility, l.day, l.searchers, l.shown, l.clicked, l.chosen, l.succeeded,
        l.failed, l.dismissed, l.position
      WHERE l.position <= as_of.moment()
      UNION ALL (
        SELECT p.exposure, p.utility, p.day, p.searchers, p.shown, p.clicked, p.chosen,
          p.succeeded, p.failed, p.dismissed, p.position
        FROM public.match_edge_past p
        WHERE l.position > as_of.moment() AND p.artifact_id = l.artifact_id
          AND p.cluster = l.cluster AND p.capability = l.capability AND p.until > as_of.moment()
        ORDER BY p.until LIMIT 1
      )
    ) AS v
    WHERE v.position <= as_of.moment();

  CREATE OR REPLACE VIEW as_of.search_text AS
    SELECT d.artifact, d.document, (t.number - 1)::integer AS part, t.hash
    FROM public.search_document d CROSS JOIN LATERAL (
      SELECT h.hashes FROM public.search_text_history h
      WHERE h.artifact = d.artifact AND h.document = d.document AND h.position <= as_of.moment()
      ORDER BY h.position DESC LIMIT 1
    ) AS v CROSS JOIN LATERAL unnest(v.hashes) WITH ORDINALITY AS t (hash, number);
END
$body$;

-- The position of the last event recorded by that moment, 0 where there is none; NULL where the
-- moment is yet to come. Positions follow time, so halving finds it.
CREATE FUNCTION event_by(moment timestamptz) RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
  low bigint := 0;
  high bigint;
  middle bigint;
  newest timestamptz;
BEGIN
  SELECT recorded_at INTO newest FROM event ORDER BY position DESC LIMIT 1;
  IF newest IS NULL OR moment >= newest THEN
    -- What is being appended right now may have been recorded by then, so it is waited for.
    PERFORM pg_advisory_xact_lock_shared(7233147820517);
    IF moment > clock_timestamp() THEN
      RETURN NULL;
    END IF;
  END IF;
  SELECT coalesce(max(position), 0) INTO high FROM event;
  WHILE low < high LOOP
    middle := (low + high + 1) / 2;
    IF (SELECT recorded_at FROM event WHERE position = middle) <= moment THEN
      low := middle;
    ELSE
      high := middle - 1;
    END IF;
  END LOOP;
  RETURN low;
END
$body$;

ALTER TABLE artifact_listing_past OWNER TO matchgraph_app;
ALTER TABLE artifact_alias_past OWNER TO matchgraph_app;
ALTER TABLE capability_listing_past OWNER TO matchgraph_app;
ALTER TABLE match_edge_past OWNER TO matchgraph_app;
ALTER TABLE signal_history OWNER TO matchgraph_app;
ALTER TABLE match_cluster_history OWNER TO matchgraph_app;
ALTER TABLE match_count_history OWNER TO matchgraph_app;
ALTER TABLE match_pair_history OWNER TO matchgraph_app;
ALTER TABLE search_text_history OWNER TO matchgraph_app;
ALTER TABLE price_withdrawn OWNER TO matchgraph_app;
ALTER FUNCTION price_line OWNER TO matchgraph_app;
ALTER FUNCTION as_of.moment OWNER TO matchgraph_app;
ALTER FUNCTION as_of.create_views OWNER TO matchgraph_app;
ALTER FUNCTION event_by OWNER TO matchgraph_app;
SET LOCAL ROLE matchgraph_app;
SELECT as_of.create_views();
RESET ROLE;

-- migrate: rollback
