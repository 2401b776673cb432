// Follows a subscription as docs/subscriptions.md shows, and prints what comes, one JSON a line.
//
// node follow.mjs ws|sse PORT '{"query": …, "variables": …}' COUNT [AUTHORIZATION]
import { createClient as overSse } from "graphql-sse";
import { createClient as overWebSocket } from "graphql-ws";
import WebSocket from "ws";

const [transport, port, said, count, authorization] = process.argv.slice(2);
const asked = JSON.parse(said);
const print = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const patience = () => new Promise((resolve) => setTimeout(resolve, 100));

const client =
  transport === "ws"
    ? overWebSocket({
        url: `ws://127.0.0.1:${port}/graphql`,
        webSocketImpl: WebSocket,
        connectionParams: { authorization },
        // A key that lets nobody in is not given again.
        shouldRetry: (reason) => reason?.code !== 4403,
        retryAttempts: 50,
        retryWait: patience,
        on: { connected: () => print({ connected: true }) },
      })
    : overSse({
        url: `http://127.0.0.1:${port}/graphql`,
        headers: authorization ? { authorization } : {},
        retryAttempts: 50,
        retry: patience,
        on: { connected: () => print({ connected: true }) },
      });

// A client that reconnects by itself sends the same operation again, so its variables say each time
// where to go on.
let left = Number(count);
const variables = (asked.variables ??= {});
const end = client.subscribe(asked, {
  next(result) {
    print(result);
    for (const change of Object.values(result.data ?? {})) {
      if (change?.cursor) {
        variables.cursor = change.cursor;
        delete variables.after;
      }
    }
    if (--left === 0) {
      end();
    }
  },
  error(reason) {
    const text = reason?.code ? `${reason.code} ${reason.reason}` : String(reason);
    print({ error: Array.isArray(reason) ? reason : text });
    process.exit(1);
  },
  complete() {
    print({ complete: true });
    process.exit(0);
  },
});
