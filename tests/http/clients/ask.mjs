// Asks as one of the clients that people use, one question after the other, and prints for each what
// the client hands on, and what it sent over HTTP, as one JSON a line.
//
// node ask.mjs CLIENT URL '[{"query": …, "variables": …, "count": …}]' [MANIFEST]
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { generatePersistedQueryIdsFromManifest } from "@apollo/persisted-query-lists";
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { createClient as overSse } from "graphql-sse";
import { createClient as overWebSocket } from "graphql-ws";
import WebSocket from "ws";

const [name, url, questions, manifest] = process.argv.slice(2);
const socket = () =>
  overWebSocket({ url: url.replace("http", "ws"), webSocketImpl: WebSocket, retryAttempts: 0 });
const events = () => overSse({ url, retryAttempts: 0 });
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

// What goes over the network, so that a test sees what was sent.
let sent = [];
const noting = (address, options) => {
  sent.push(options?.method === "GET" || !options?.body ? String(address) : options.body);
  return fetch(address, options);
};

// graphql-ws and graphql-sse by themselves.
function plain(client) {
  return ({ query, variables }, result, done) =>
    client.subscribe({ query, variables }, {
      next: result,
      error: (reason) => result({ errors: Array.isArray(reason) ? reason : [String(reason)] }),
      complete: done,
    });
}

function apollo(link) {
  const client = new ApolloClient({ cache: new InMemoryCache(), link });
  const shown = ({ data, error }) => ({
    data,
    errors: CombinedGraphQLErrors.is(error) ? error.errors : error && [String(error)],
  });
  return ({ query: text, variables }, result, done) => {
    const query = gql(text);
    const options = { variables, errorPolicy: "all", fetchPolicy: "no-cache" };
    const operation = operationOf(query);
    if (operation === "subscription") {
      const following = client.subscribe({ query, ...options });
      const subscription = following.subscribe({
        next: (one) => result(shown(one)),
        complete: done,
      });
      return () => subscription.unsubscribe();
    }
    const asking =
      operation === "query"
        ? client.query({ query, ...options })
        : client.mutate({ mutation: query, ...options });
    asking.then(shown).then(result).then(done);
    return () => {};
  };
}

function urql({ exchanges = [], forwarded, ...options }) {
  const forwarding = subscriptionExchange({
    forwardSubscription: ({ query = "", variables }) => ({
      subscribe: (sink) => ({ unsubscribe: forwarded?.subscribe({ query, variables }, sink) }),
    }),
  });
  const client = new Client({
    url,
    fetch: noting,
    exchanges: [...exchanges, ...(forwarded ? [forwarding] : []), fetchExchange],
    requestPolicy: "network-only",
    ...options,
  });
  return ({ query, variables }, result, done) => {
    const operation = operationOf(gql(query));
    const answers = client[operation](query, variables ?? {});
    return answers.subscribe(({ data, error }) => {
      const errors = error?.graphQLErrors.length ? error.graphQLErrors : error && [String(error)];
      result({ data, errors });
      if (operation !== "subscription") done();
    }).unsubscribe;
  };
}

const operationOf = (document) => document.definitions.find((one) => one.operation).operation;

const http = () => new HttpLink({ uri: url, fetch: noting });
const clients = {
  "graphql-ws": () => plain(socket()),
  "graphql-sse": () => plain(events()),
  "apollo": () => apollo(http()),
  "apollo-ws": () => apollo(new GraphQLWsLink(socket())),
  "apollo-persisted": () => apollo(ApolloLink.from([new PersistedQueryLink({ sha256 }), http()])),
  "apollo-persisted-get": () =>
    apollo(
      ApolloLink.from([new PersistedQueryLink({ sha256, useGETForHashedQueries: true }), http()]),
    ),
  "apollo-manifest": () => {
    const loadManifest = async () => JSON.parse(readFileSync(manifest, "utf8"));
    const ids = generatePersistedQueryIdsFromManifest({ loadManifest });
    return apollo(ApolloLink.from([new PersistedQueryLink(ids), http()]));
  },
  "urql": () => urql({ preferGetMethod: false }),
  "urql-get": () => urql({ preferGetMethod: "force" }),
  "urql-fetch": () => urql({ fetchSubscriptions: true, preferGetMethod: false }),
  "urql-ws": () => urql({ forwarded: socket() }),
  "urql-sse": () => urql({ forwarded: events() }),
  "urql-persisted": () =>
    urql({
      preferGetMethod: false,
      exchanges: [
        persistedExchange({
          enableForMutation: true,
          preferGetForPersistedQueries: false,
          generateHash: async (query) => sha256(query),
        }),
      ],
    }),
};

const ask = clients[name]();
for (const question of JSON.parse(questions)) {
  const results = [];
  sent = [];
  let end;
  await new Promise((done) => {
    const take = (result) => {
      results.push(result);
      // Some hand on what comes before they have said how to end it.
      if (results.length === (question.count ?? 1)) setTimeout(done);
    };
    end = ask(question, take, done);
  });
  end();
  console.log(JSON.stringify({ results, sent }));
}
process.exit(0);
