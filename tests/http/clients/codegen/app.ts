// A frontend whose answers have types; the compiler refuses a field that was not asked for.
import { graphql } from "./gql/index.js";
import type { ResultOf, VariablesOf } from "@graphql-typed-document-node/core";

const page = graphql(`
  query Page($slug: String!) {
    artifact(slug: $slug) {
      slug
      startingPrice {
        amount
        currency
      }
      rank {
        score
      }
    }
  }
`);

const retires = graphql(`
  mutation Retire($slug: String!) {
    retireArtifact(slug: $slug, reason: "It is over.") {
      __typename
      ... on ArtifactRetired {
        position
      }
      ... on Refusal {
        message
      }
    }
  }
`);

async function ask<D extends typeof page | typeof retires>(
  document: D,
  variables: VariablesOf<D>,
): Promise<ResultOf<D>> {
  const documentId = document.__meta__?.["hash"];
  const response = await fetch("http://localhost:8000/graphql", {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/graphql-response+json",
    },
    body: JSON.stringify({ documentId, variables }),
  });
  const { data, errors } = await response.json();
  if (!data) throw new Error(errors[0].message);
  return data;
}

const { artifact } = await ask(page, { slug: "parser" });
const amount: string | null | undefined = artifact?.startingPrice?.amount;
console.log(amount ?? "nobody said", artifact?.rank?.score);

const { retireArtifact } = await ask(retires, { slug: "parser" });
if (retireArtifact.__typename === "ArtifactRetired") {
  const position: string = retireArtifact.position;
  console.log(position);
} else {
  const message: string = retireArtifact.message;
  console.log(message);
}
