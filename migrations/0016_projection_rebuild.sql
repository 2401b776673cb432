-- Which read models are being computed anew, how far has each come, and which release knows which event?
-- depends: 0015_searcher_key

-- migrate: apply

-- The tables of a read model while they are computed anew, and the ones that they took the place of,
-- until those are dropped.
CREATE SCHEMA rebuilding AUTHORIZATION matchgraph_app;
CREATE SCHEMA replaced AUTHORIZATION matchgraph_app;

-- A rebuild that is not finished: what its tables in `rebuilding` are up to.
CREATE TABLE projection_rebuild (
  name text PRIMARY KEY,
  position bigint NOT NULL,
  recorded_at timestamptz,
  -- What makes its rows: the code and the tables' definitions. Others begin anew.
  made_by text NOT NULL,
  -- Who is at it, or was, for whoever comes second.
  worker text NOT NULL,
  since timestamptz NOT NULL
);
ALTER TABLE projection_rebuild OWNER TO matchgraph_app;

-- How often other tables were put in the place of this read model's. Whoever keeps something that
-- belongs to the tables of before, such as a prepared statement that names their types, forgets it.
ALTER TABLE projection_checkpoint ADD COLUMN rebuilds integer NOT NULL DEFAULT 0;

-- Holds no rows. Who reads several read models at one moment locks it before (ACCESS SHARE), and
-- tables are replaced by who has it alone: so nobody reads new tables by an old snapshot, in which
-- they are not complete.
CREATE TABLE reading ();
ALTER TABLE reading OWNER TO matchgraph_app;

-- Puts tables in `rebuilding` in the place of those in `public` that have their names. The
-- application owns these tables and may create nothing in `public`: the ledger's functions look
-- there for what they call.
CREATE FUNCTION projection_switch(wanted text[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
  one text;
BEGIN
  FOREACH one IN ARRAY wanted LOOP
    IF (
      SELECT count(*) FROM pg_class
      WHERE relname = one AND relkind = 'r' AND relowner = 'matchgraph_app'::regrole
        AND relnamespace IN ('public'::regnamespace, 'rebuilding'::regnamespace)
    ) <> 2 THEN
      RAISE EXCEPTION 'there is no table % to be replaced by one of the same name', one
        USING ERRCODE = 'undefined_table';
    END IF;
    EXECUTE format('ALTER TABLE public.%I SET SCHEMA replaced', one);
    EXECUTE format('ALTER TABLE rebuilding.%I SET SCHEMA public', one);
  END LOOP;
END
$body$;
REVOKE ALL ON FUNCTION projection_switch FROM PUBLIC;
GRANT EXECUTE ON FUNCTION projection_switch TO matchgraph_app;

-- By which version of the formula that policy ranks.
ALTER TABLE rank_policy ADD COLUMN formula integer NOT NULL DEFAULT 1;
SET LOCAL ROLE matchgraph_app;
SELECT as_of.create_views();
RESET ROLE;

-- Which release was the first here to know which event, by the tag that it carries: an older one
-- that meets such an event can say which release to upgrade to.
CREATE TABLE event_release (
  tag text PRIMARY KEY,
  release text NOT NULL
);
ALTER TABLE event_release OWNER TO matchgraph_app;

-- migrate: rollback
