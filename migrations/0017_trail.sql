-- What did the log say of a thing before, and where in it are the events of a topic or of an actor?
-- depends: 0016_projection_rebuild

-- migrate: apply

-- Where each thing that is said of an artifact (a fact, a capability, a price, a signal, its status)
-- was said anew; the values are in the log.
CREATE TABLE trail (
  artifact_id uuid NOT NULL,
  subject uuid NOT NULL,
  position bigint NOT NULL,
  PRIMARY KEY (artifact_id, subject, position)
);

-- The same for aliases, which have a history of their own: each artifact that gained or lost one.
CREATE TABLE trail_alias (
  artifact_id uuid NOT NULL,
  position bigint NOT NULL,
  alias_id uuid NOT NULL,
  leads boolean NOT NULL,
  PRIMARY KEY (artifact_id, position)
);
CREATE INDEX trail_alias_by_alias ON trail_alias (alias_id, position);

-- In which stretches of the log, of 128 positions each, a topic occurs at all.
CREATE TABLE trail_topic (
  topic text NOT NULL COLLATE "C",
  stretch bigint NOT NULL,
  PRIMARY KEY (topic, stretch)
);

ALTER TABLE trail OWNER TO matchgraph_app;
ALTER TABLE trail_alias OWNER TO matchgraph_app;
ALTER TABLE trail_topic OWNER TO matchgraph_app;
INSERT INTO projection_checkpoint (name) VALUES ('trail');

-- What the public does, searches above all, costs no entry here.
CREATE INDEX event_by_actor ON event (actor, position) WHERE actor <> 'anonymous';

-- migrate: rollback
