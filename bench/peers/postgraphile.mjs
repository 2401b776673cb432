// PostGraphile over the read models, told by smart tags which belong together, as they have no
// foreign keys. The database is that of the PG* variables.
import { createServer } from "node:http";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { postgraphile } from "postgraphile";
import { makeJSONPgSmartTagsPlugin } from "postgraphile/utils";

const ofAnArtifact = (name) => ({
  tags: {
    foreignKey: `(artifact_id) references public.artifact_listing (id)|@foreignFieldName ${name}`,
  },
});
const tags = makeJSONPgSmartTagsPlugin({
  version: 1,
  config: {
    class: {
      "public.capability_listing": ofAnArtifact("capabilities"),
      "public.price_current": ofAnArtifact("prices"),
      "public.signal_board": ofAnArtifact("signals"),
      "public.rank_board": {
        ...ofAnArtifact("rank"),
        // A board is of one kind, and ordered by standing, for which there is an index of both.
        attribute: {
          kind: { tags: { behavior: "+attribute:filterBy" } },
          standing: { tags: { behavior: "+attribute:orderBy" } },
        },
      },
    },
  },
});

const server = createServer();
const preset = {
  extends: [PostGraphileAmberPreset],
  plugins: [tags],
  pgServices: [makePgService({ schemas: ["public"] })],
  grafserv: { graphqlPath: "/graphql", watch: false, graphiql: false },
  grafast: { explain: false },
};
const instance = postgraphile(preset);
await instance.getSchema();
await instance.createServ(grafserv).addTo(server);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
