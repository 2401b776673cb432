// How the schema is linted: by every rule that graphql-eslint recommends for schemas, and by every
// one that it has for Relay, but for what is said here.
import graphql from "@graphql-eslint/eslint-plugin";

const rules = {
  ...graphql.configs["flat/schema-recommended"].rules,
  ...graphql.configs["flat/schema-relay"].rules,

  // More than is recommended: everything says what it is. The directive is one of GraphQL's own,
  // printed for tools that do not know it yet; its description is in the specification.
  "@graphql-eslint/require-description": [
    "error",
    {
      types: true,
      rootField: true,
      DirectiveDefinition: true,
      FieldDefinition: true,
      InputValueDefinition: true,
      ignoredSelectors: ["DirectiveDefinition[name.value=oneOf]"],
    },
  ],

  // Off: an id is what `node` finds again. Values, refusals and pages of a list are not kept under
  // any, and one that leads nowhere would break a refetch. Whatever has one implements Node.
  "@graphql-eslint/strict-id-in-types": "off",

  // Lists are read forwards alone: every list has an order of its own, so its other end is a list
  // in another order, and not half of a protocol that each of them would have to keep.
  "@graphql-eslint/relay-arguments": ["error", { includeBoth: false }],

  // Edges lead to values as well (an event, a price that was seen, a result of a search), which no
  // id finds again; and what is never more than a few of something is a list without pages.
  "@graphql-eslint/relay-edge-types": [
    "error",
    { withEdgeSuffix: true, shouldImplementNode: false, listTypeCanWrapOnlyEdgeType: false },
  ],
};

export default [
  {
    files: ["**/*.graphql"],
    languageOptions: {
      parser: graphql.parser,
      parserOptions: { graphQLConfig: { schema: "schema.graphql" } },
    },
    plugins: { "@graphql-eslint": graphql },
    rules,
  },
];
