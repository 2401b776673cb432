// Does on a WebSocket what the protocol forbids, with graphql-ws as far as that goes, and prints by
// which close code it was told so.
//
// node closed.mjs WHAT URL
import { CloseCode, createClient } from "graphql-ws";
import WebSocket from "ws";

const [what, url] = process.argv.slice(2);
const query = "subscription { rankChanged { slug } }";

// A socket that sends something else than what the client hands it.
const sending = (change) =>
  class extends WebSocket {
    send(said, ...rest) {
      for (const message of change(JSON.parse(said))) {
        super.send(JSON.stringify(message), ...rest);
      }
    }
  };
const wrongs = {
  BadRequest: { webSocketImpl: sending((one) => [{ ...one, type: "nonsense" }]) },
  Unauthorized: {
    webSocketImpl: sending(() => [{ id: "1", type: "subscribe", payload: { query } }]),
  },
  Forbidden: { connectionParams: { authorization: "Bearer mg_nobody" } },
  ConnectionInitialisationTimeout: { connectionParams: () => new Promise(() => {}) },
  SubscriberAlreadyExists: { generateID: () => "1" },
  TooManyInitialisationRequests: {
    webSocketImpl: sending((one) => (one.type === "connection_init" ? [one, one] : [one])),
  },
};

const client = createClient({
  url: url.replace("http", "ws"),
  webSocketImpl: WebSocket,
  // It must be told so that it does not try the same again.
  retryAttempts: 3,
  shouldRetry: () => false,
  on: {
    closed({ code, reason }) {
      console.log(JSON.stringify({ code, reason, expected: CloseCode[what] }));
      process.exit(0);
    },
  },
  ...wrongs[what],
});
for (let times = 0; times < 2; times += 1) {
  client.subscribe({ query }, { next() {}, error() {}, complete() {} });
}
setTimeout(() => process.exit(1), 30_000);
