// PostGraphile 5 over the race's database, on one port of 127.0.0.1, without its user interface.
// Arguments: the database's address, the port, the size of the pool.
import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { makeV4Preset } from "postgraphile/presets/v4";

const [url, port, pool] = process.argv.slice(2);

const server = postgraphile({
  extends: [PostGraphileAmberPreset, makeV4Preset({ simpleCollections: "both", graphiql: false })],
  pgServices: [
    makePgService({ connectionString: url, schemas: ["public"], poolConfig: { max: Number(pool) } }),
  ],
  grafserv: { graphqlPath: "/graphql", websockets: false, watch: false },
  gather: { pgStrictFunctions: true },
}).createServ(grafserv);

const web = createServer();
await server.addTo(web);
web.listen(Number(port), "127.0.0.1", () => console.log("ready"));
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => process.exit(0));
}
