// A page of a frontend on Relay: what relay-compiler made of relay/app.js, run by relay-runtime. The
// server knows the documents by the manifest that the compiler wrote.
//
// node relay.mjs FOLDER URL SLUG
import { createRequire } from "node:module";
import { createClient } from "graphql-ws";
import relay from "relay-runtime";
import WebSocket from "ws";

const [folder, url, slug] = process.argv.slice(2);
const { Environment, Network, Observable, RecordSource, Store } = relay;
const load = createRequire(`${folder}/`);
const artifact = (name) => load(`./__generated__/${name}.graphql`);

const socket = createClient({ url: url.replace("http", "ws"), webSocketImpl: WebSocket });
const asks = async ({ id, name }, variables) => {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/graphql-response+json",
    },
    body: JSON.stringify({ documentId: `sha256:${id}`, operationName: name, variables }),
  });
  return response.json();
};
// graphql-ws insists on a query; an empty one is none.
const follows = ({ id }, variables) =>
  Observable.create((sink) =>
    socket.subscribe({ query: "", documentId: `sha256:${id}`, variables }, sink),
  );
const environment = new Environment({
  network: Network.create(asks, follows),
  store: new Store(new RecordSource()),
});

const ask = (query, variables) =>
  relay.fetchQuery(environment, artifact(query), variables).toPromise();
const read = (fragment, reference) =>
  environment.lookup(relay.getSelector(artifact(fragment), reference)).data;
const nodes = (connection) => connection.edges.map((edge) => edge.node);
const print = (what, said) => console.log(JSON.stringify({ what, said }));

// What is not held is forgotten.
const page = relay.createOperationDescriptor(
  relay.getRequest(artifact("appPageQuery")),
  { slug },
);
environment.retain(page);
const data = await ask("appPageQuery", { slug });
const { id } = data.artifact;
print("page", data.artifact);
print("header", read("appHeader_artifact", data.artifact));

// More of a list below a node, and of one of all.
const before = read("appCapabilities_artifact", data.artifact).capabilities;
await ask("appCapabilitiesQuery", { id, first: 5, after: before.pageInfo.endCursor });
const capabilities = read("appCapabilities_artifact", data.artifact).capabilities;
print("capabilities", [nodes(before), nodes(capabilities)].map((all) => all.map((one) => one.key)));
const { endCursor } = read("appList_query", data).artifacts.pageInfo;
await ask("appListQuery", { first: 5, after: endCursor });
print("list", nodes(read("appList_query", data).artifacts).map((one) => one.slug));

// Nodes by themselves, of each type.
print("artifact", read("appHeader_artifact", (await ask("appHeaderQuery", { id })).node));
const [capability] = nodes(capabilities);
const found = await ask("appCapabilityQuery", { id: capability.id });
print("capability", read("appCapability_capability", found.node));

// A change, whose answer the store takes in by the id.
await new Promise((onCompleted, onError) =>
  relay.commitMutation(environment, {
    mutation: artifact("appRetireMutation"),
    variables: { slug, reason: "It is over." },
    onCompleted,
    onError,
  }),
);
print("retired", read("appHeader_artifact", data.artifact).status);

// And what others are told of it.
await new Promise((done, onError) => {
  const following = relay.requestSubscription(environment, {
    subscription: artifact("appRanksSubscription"),
    variables: { after: "0" },
    onNext: ({ rankChanged }) => {
      print("told", rankChanged.slug);
      following.dispose();
      done();
    },
    onError,
  });
});
process.exit(0);
