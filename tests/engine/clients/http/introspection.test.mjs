// graphql-js: the introspection of every kind of role is a valid schema, and a usable one.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { buildClientSchema, getIntrospectionQuery, parse, printSchema, validate, validateSchema } from "graphql";

import { ADMIN, ANN, NOBODY, URL } from "../engine.mjs";

const as = (role) => ({ ...ADMIN, "x-hasura-role": role });
const OPTIONS = { descriptions: true, schemaDescription: true };

async function introspect(headers, options = OPTIONS) {
  const body = JSON.stringify({ query: getIntrospectionQuery(options) });
  const answer = await fetch(URL, { method: "POST", headers, body });
  const { data, errors } = await answer.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return buildClientSchema(data);
}

const roles = { admin: ADMIN, user: ANN, anonymous: as("anonymous"), counter: as("counter") };
Object.assign(roles, { nester: as("nester"), "user_auditor (inherited)": as("user_auditor"), nobody: NOBODY });

describe("graphql-js", () => {
  for (const [role, headers] of Object.entries(roles)) {
    it(`finds the schema of ${role} valid`, async () => {
      const schema = await introspect(headers);
      assert.deepEqual(validateSchema(schema), []);
      assert.ok(printSchema(schema).includes("type query_root"));
    });
  }

  it("is answered the plainest introspection, too", async () => {
    const schema = await introspect(ADMIN, { descriptions: false });
    assert.deepEqual(validateSchema(schema), []);
  });

  it("accepts by that schema what the engine accepts, and refuses what it refuses", async () => {
    const schema = await introspect(ANN);
    const good = `query ($w: wallet_bool_exp, $o: [wallet_order_by!]) {
      wallet(where: $w, order_by: $o) { id owner { name } entries_aggregate { aggregate { count } } }
    }`;
    assert.deepEqual(validate(schema, parse(good)), []);
    assert.equal(validate(schema, parse("{ owner { secret } }")).length, 1);
  });

  it("has no mutations for a role that may change nothing", async () => {
    const schema = await introspect(as("counter"));
    assert.ok(!schema.getMutationType());
  });
});
