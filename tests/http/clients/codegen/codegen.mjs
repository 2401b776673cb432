// What makes typed operations of a frontend's documents: graphql-codegen, by its preset for clients.
// It also writes persisted-documents.json, the manifest for a server that trusts no other documents.
export default {
  schema: "schema.graphql",
  documents: ["*.graphql", "*.ts"],
  emitLegacyCommonJSImports: false,
  generates: {
    "gql/": {
      preset: "client",
      presetConfig: { persistedDocuments: { hashAlgorithm: "sha256" }, fragmentMasking: false },
      config: {
        documentMode: "string",
        useTypeImports: true,
        strictScalars: true,
        scalars: {
          Date: "string",
          DateTime: "string",
          Decimal: "string",
          JSON: "unknown",
          Long: "number",
          Position: "string",
        },
      },
    },
  },
};
