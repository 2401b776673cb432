// What a frontend on Relay says of its data; the compiler reads nothing else of it.
import { graphql } from "relay-runtime";

graphql`
  query appPageQuery($slug: String!) {
    artifact(slug: $slug) {
      id
      ...appHeader_artifact
      ...appCapabilities_artifact
    }
    ...appList_query
  }
`;

graphql`
  fragment appHeader_artifact on Artifact @refetchable(queryName: "appHeaderQuery") {
    slug
    name
    status
    rank {
      score
      parts {
        name
        points
      }
    }
  }
`;

graphql`
  fragment appCapabilities_artifact on Artifact
  @argumentDefinitions(first: { type: "Int", defaultValue: 1 }, after: { type: "String" })
  @refetchable(queryName: "appCapabilitiesQuery") {
    capabilities(first: $first, after: $after) @connection(key: "app_capabilities") {
      edges {
        node {
          id
          key
          ...appCapability_capability
        }
      }
    }
  }
`;

graphql`
  fragment appCapability_capability on Capability @refetchable(queryName: "appCapabilityQuery") {
    name
    description
  }
`;

graphql`
  fragment appList_query on Query
  @argumentDefinitions(first: { type: "Int", defaultValue: 1 }, after: { type: "String" })
  @refetchable(queryName: "appListQuery") {
    artifacts(first: $first, after: $after, orderBy: NEWEST_REGISTRATION) @connection(key: "app_artifacts") {
      edges {
        node {
          id
          slug
        }
      }
    }
  }
`;

graphql`
  mutation appRetireMutation($slug: String!, $reason: String!) {
    retireArtifact(slug: $slug, reason: $reason) {
      __typename
      ... on ArtifactRetired {
        position
        artifact {
          id
          status
        }
      }
      ... on Refusal {
        message
      }
    }
  }
`;

graphql`
  subscription appRanksSubscription($after: Position) {
    rankChanged(after: $after) {
      slug
      artifact {
        id
        ...appHeader_artifact
      }
    }
  }
`;
