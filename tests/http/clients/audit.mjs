// The audits of GraphQL over HTTP: their ids, or what came of each, one JSON a line.
//
// node audit.mjs [URL AUTHORIZATION]
import { serverAudits } from "graphql-http";

const [url, authorization] = process.argv.slice(2);
const fetchFn = (address, said = {}) =>
  fetch(address, { ...said, headers: { ...said.headers, authorization } });

for (const { id, name, fn } of serverAudits({ url: url ?? "http://nowhere", fetchFn })) {
  const result = url ? await fn() : { status: "not run" };
  // The whole response is in `result`, which is more than a line.
  console.log(JSON.stringify({ id, name, status: result.status, reason: result.reason }));
}
