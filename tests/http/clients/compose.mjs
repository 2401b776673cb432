// Composes the schema, as a subgraph, with another one that knows artifacts by a key alone, and asks
// the two through Apollo's own reading of each.
//
// node compose.mjs SCHEMA [OTHER]
import { readFileSync } from "node:fs";
import { composeServices } from "@apollo/composition";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { parse } from "graphql";

const other = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable"])
  type Query { reviews: ReviewConnection! }
  type ReviewConnection { nodes: [Review!]! pageInfo: PageInfo! }
  type PageInfo @shareable {
    hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String
  }
  type Review { text: String! artifact: Artifact! capability: Capability }
  type Artifact @key(fields: "slug") { slug: String! reviews: [Review!]! }
  type Capability @key(fields: "id") { id: ID! }
`;
const [schema, another = other] = process.argv.slice(2);
const services = [
  { name: "matchgraph", url: "http://matchgraph", typeDefs: parse(readFileSync(schema, "utf8")) },
  { name: "reviews", url: "http://reviews", typeDefs: parse(another) },
];
const entities = services.map(({ typeDefs }) => {
  const { _entities } = buildSubgraphSchema([{ typeDefs }]).getQueryType().getFields();
  return String(_entities?.type);
});
const { errors, supergraphSdl, hints } = composeServices(services);
if (errors) {
  console.error(errors.map((error) => error.message).join("\n"));
  process.exit(1);
}
console.log(JSON.stringify({ entities, supergraph: supergraphSdl, hints: hints.map(String) }));
