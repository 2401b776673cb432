// mercurius with hand-written resolvers for the same facts: one statement for each request, its
// results as JSON of PostgreSQL, and its JIT. The database is that of the PG* variables.
import Fastify from "fastify";
import mercurius from "mercurius";
import postgres from "postgres";

const schema = `
  type Query {
    compare(slugs: [String!]!): Comparison!
    artifact(slug: String!): Artifact
    rankBoard(kind: String!, standing: Int, id: ID): Board!
  }
  type Comparison { artifacts: [Artifact!]! }
  type Board { nodes: [Artifact!]! }
  type Artifact {
    slug: String! kind: String! status: String! name: String! description: String vendor: String
    family: String licence: String openWeights: Boolean selfHostable: Boolean homepage: String
    released: String knowledgeCutoff: String contextTokens: Float outputTokens: Float
    inputTypes: [String!] outputTypes: [String!]
    prices: [Price!]! signals: [Signal!]! rank: Rank capabilities(first: Int): Capabilities!
  }
  type Price {
    provider: String! pricing: String! amount: String currency: String per: String tier: String
    source: String! observedAt: String!
  }
  type Signal {
    name: String! value: String! source: String! method: String! observedAt: String!
  }
  type Rank {
    score: String! low: String! high: String! coverage: Float! position: String! place: Int band: Int
    parts: [Part!]!
  }
  type Part { name: String! points: String! }
  type Capabilities { nodes: [Capability!]! }
  type Capability {
    key: String! name: String! description: String! unique: String versusAlternatives: String
    intents: [String!]! bestFor: [String!]! limitations: [String!]! requires: [String!]!
    inputTypes: [String!]! outputTypes: [String!]! tags: [String!]! provenance: Provenance!
  }
  type Provenance { method: String! source: String! observedAt: String! }
`;

const points = (column) => `(b.${column} / 1e6)::numeric(9, 6)::text`;
const part = (name) =>
  `json_build_object('name', '${name.toUpperCase()}', 'points', ${points(name)})`;
const parts = ["adoption", "quality", "ecosystem", "match_graph", "freshness"].map(part);
const RANK = `json_build_object('score', ${points("score")}, 'low', ${points("low")},
  'high', ${points("high")}, 'coverage', b.coverage / 1e6, 'position', b.position::text,
  'place', b.place, 'band', b.band, 'parts', json_build_array(${parts.join(", ")}))`;
const FACTS = `l.slug, upper(l.kind) AS kind, upper(l.status) AS status, l.name, l.description,
  l.vendor, l.family, l.licence, l.open_weights AS "openWeights",
  l.self_hostable AS "selfHostable", l.homepage, l.released::text AS released,
  l.knowledge_cutoff::text AS "knowledgeCutoff", l.context_tokens::float8 AS "contextTokens",
  l.output_tokens::float8 AS "outputTokens", upper(l.input_types::text)::text[] AS "inputTypes",
  upper(l.output_types::text)::text[] AS "outputTypes",
  (SELECT coalesce(json_agg(json_build_object('provider', p.provider, 'pricing', upper(p.pricing),
    'amount', p.amount::text, 'currency', p.currency, 'per', upper(p.per), 'tier', p.tier,
    'source', p.source, 'observedAt', p.observed_at)
    ORDER BY p.provider, p.per NULLS FIRST, p.tier NULLS FIRST, p.source), '[]')
    FROM price_current p WHERE p.artifact_id = l.id) AS prices,
  (SELECT ${RANK} FROM rank_board b WHERE b.artifact_id = l.id) AS rank`;
const REST = `(SELECT coalesce(json_agg(json_build_object('key', c.key, 'name', c.name,
    'description', c.description, 'unique', c.unique_claim,
    'versusAlternatives', c.versus_alternatives, 'intents', c.intents, 'bestFor', c.best_for,
    'limitations', c.limitations, 'requires', c.requires,
    'inputTypes', upper(c.input_types::text)::text[],
    'outputTypes', upper(c.output_types::text)::text[], 'tags', c.tags, 'provenance',
    json_build_object('method', upper(c.method), 'source', c.source, 'observedAt', c.observed_at))
    ORDER BY c.added_position), '[]')
    FROM capability_listing c WHERE c.artifact_id = l.id AND NOT c.retired) AS capabilities,
  (SELECT coalesce(json_agg(json_build_object('name', upper(s.name), 'value', s.value::text,
    'source', s.source, 'method', upper(s.method), 'observedAt', s.observed_at)
    ORDER BY s.name, s.source), '[]')
    FROM signal_board s WHERE s.artifact_id = l.id) AS signals`;
const COMPARE = `SELECT ${FACTS}, ${REST} FROM artifact_listing l WHERE l.slug = ANY ($1)`;
const ARTIFACT = `SELECT ${FACTS} FROM artifact_listing l WHERE l.slug = $1`;
const BOARD = `SELECT l.slug, l.name, l.vendor, ${RANK} AS rank
  FROM rank_board b JOIN artifact_listing l ON l.id = b.artifact_id
  WHERE b.kind = lower($1) AND b.place > 0
    AND ($2::int IS NULL OR (-b.standing, b.artifact_id) > (-$2::int, $3::uuid))
  ORDER BY b.standing DESC, b.artifact_id LIMIT 20`;

const sql = postgres({ connection: { TimeZone: "UTC" } });
const prepared = { prepare: true };
const resolvers = {
  Query: {
    async compare(_, { slugs }) {
      const found = await sql.unsafe(COMPARE, [slugs], prepared);
      const bySlug = new Map(found.map((artifact) => [artifact.slug, artifact]));
      return { artifacts: slugs.map((slug) => bySlug.get(slug)) };
    },
    async artifact(_, { slug }) {
      return (await sql.unsafe(ARTIFACT, [slug], prepared))[0] ?? null;
    },
    async rankBoard(_, { kind, standing, id }) {
      return { nodes: await sql.unsafe(BOARD, [kind, standing ?? null, id ?? null], prepared) };
    },
  },
  Artifact: { capabilities: ({ capabilities }) => ({ nodes: capabilities }) },
};

const app = Fastify();
app.register(mercurius, { schema, resolvers, jit: 1 });
await app.listen({ host: "127.0.0.1", port: 0 });
console.log(app.server.address().port);
