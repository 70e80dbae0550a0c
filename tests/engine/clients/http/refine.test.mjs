// @refinedev/hasura: every method of its data provider.

import assert from "node:assert/strict";
import { before, describe, it } from "node:test";

import dataProvider, { GraphQLClient, gql } from "@refinedev/hasura";

import { ADMIN, ANN, URL, run } from "../engine.mjs";

const provide = (headers) =>
  dataProvider(new GraphQLClient(URL, { headers }), {
    idType: (resource) => (resource === "owner" ? "String" : "Int"),
  });
const admin = provide(ADMIN);
const ann = provide(ANN);
const ids = (records) => records.map((record) => record.id);
const owners = (filters, more = {}) =>
  admin.getList({ resource: "owner", filters, meta: { fields: ["id"] }, ...more });
const byId = { sorters: [{ field: "id", order: "asc" }] };
const wallet = (id, currency) => ({ id, owner_id: "cid", currency, balance_minor: id });
const clear = () => run("mutation { delete_wallet(where: {id: {_gte: 100}}) { affected_rows } }");

describe("reading through refine", () => {
  it("lists rows with their total", async () => {
    const { data, total } = await owners(undefined, byId);
    assert.deepEqual(data, [{ id: "ann" }, { id: "bob" }, { id: "cid" }]);
    assert.equal(total, 3);
  });

  it("lists one page, and counts all of them", async () => {
    const pagination = { currentPage: 2, pageSize: 2 };
    const { data, total } = await owners(undefined, { ...byId, pagination });
    assert.deepEqual([ids(data), total], [["cid"], 3]);
  });

  it("sorts by a column of a related row", async () => {
    const sorters = [{ field: "boss.name", order: "desc" }];
    const { data } = await owners([{ field: "boss_id", operator: "nnull" }], { sorters });
    assert.deepEqual(new Set(ids(data)), new Set(["bob", "cid"]));
  });

  const filters = {
    eq: ["name", "Ann", ["ann"]],
    ne: ["name", "Ann", ["bob", "cid"]],
    lt: ["age", 41, ["bob"]],
    lte: ["age", 41, ["ann", "bob"]],
    gt: ["age", 29, ["ann"]],
    gte: ["age", 29, ["ann", "bob"]],
    in: ["id", ["ann", "cid"], ["ann", "cid"]],
    nin: ["id", ["ann", "cid"], ["bob"]],
    null: ["email", true, ["bob"]],
    nnull: ["email", true, ["ann", "cid"]],
    contains: ["name", "N", ["ann"]],
    ncontains: ["name", "N", ["bob", "cid"]],
    containss: ["name", "nn", ["ann"]],
    ncontainss: ["name", "nn", ["bob", "cid"]],
    startswith: ["name", "a", ["ann"]],
    nstartswith: ["name", "a", ["bob", "cid"]],
    endswith: ["name", "B", ["bob"]],
    nendswith: ["name", "B", ["ann", "cid"]],
    startswiths: ["name", "A", ["ann"]],
    nstartswiths: ["name", "A", ["bob", "cid"]],
    endswiths: ["name", "b", ["bob"]],
    nendswiths: ["name", "b", ["ann", "cid"]],
  };
  for (const [operator, [field, value, expected]] of Object.entries(filters)) {
    it(`filters by ${operator}`, async () => {
      const { data, total } = await owners([{ field, operator, value }], byId);
      assert.deepEqual(ids(data), expected);
      assert.equal(total, expected.length);
    });
  }

  it("filters by either of two conditions, one of them on related rows", async () => {
    const value = [
      { field: "name", operator: "eq", value: "Bob" },
      { field: "wallets.currency", operator: "eq", value: "INR" },
    ];
    const { data } = await owners([{ operator: "or", value }], byId);
    assert.deepEqual(ids(data), ["ann", "bob"]);
  });

  it("is refused a list where `not` takes an object", async () => {
    const value = [{ field: "name", operator: "eq", value: "Bob" }];
    await assert.rejects(owners([{ operator: "not", value }]), (error) => {
      const [{ message, extensions }] = error.response.errors;
      assert.equal(extensions.code, "validation-failed");
      return message === "expected an object for type 'owner_bool_exp', but found a list";
    });
  });

  it("reads one row and many rows", async () => {
    const fields = ["id", { owner: ["name"] }];
    const one = await admin.getOne({ resource: "wallet", id: 1, meta: { fields } });
    assert.deepEqual(one.data, { id: 1, owner: { name: "Ann" } });
    const meta = { fields: ["id"] };
    const many = await admin.getMany({ resource: "wallet", ids: [1, 3, 77], meta });
    assert.deepEqual(ids(many.data).sort(), [1, 3]);
  });

  it("reads a missing row as null", async () => {
    const found = await admin.getOne({ resource: "wallet", id: 77, meta: { fields: ["id"] } });
    assert.equal(found.data, null);
  });

  it("reads by a query of its own", async () => {
    const gqlQuery = gql`
      query ($where: wallet_bool_exp, $limit: Int, $offset: Int) {
        wallet(where: $where, limit: $limit, offset: $offset) { id }
        wallet_aggregate(where: $where) { aggregate { count } }
      }
    `;
    const filters = [{ field: "owner_id", operator: "eq", value: "bob" }];
    const found = await admin.getList({ resource: "wallet", filters, meta: { gqlQuery } });
    assert.deepEqual(found, { data: [{ id: 3 }], total: 1 });
  });

  it("shows a role its own rows, and counts no others", async () => {
    const found = await ann.getList({ resource: "wallet", meta: { fields: ["id"] }, ...byId });
    assert.deepEqual(found, { data: [{ id: 1 }, { id: 2 }], total: 2 });
  });
});

describe("writing through refine", () => {
  before(clear);

  it("creates, updates and deletes one row", async () => {
    const meta = { fields: ["id", "balance_minor"] };
    const made = await admin.create({ resource: "wallet", variables: wallet(100, "EUR") });
    assert.deepEqual(made.data, wallet(100, "EUR"));
    const change = { resource: "wallet", id: 100, meta };
    const after = await admin.update({ ...change, variables: { balance_minor: 7 } });
    assert.deepEqual(after.data, { id: 100, balance_minor: 7 });
    const gone = await admin.deleteOne({ resource: "wallet", id: 100, meta });
    assert.deepEqual(gone.data, { id: 100, balance_minor: 7 });
    const again = await admin.deleteOne({ resource: "wallet", id: 100, meta });
    assert.equal(again.data, null);
  });

  it("creates, updates and deletes many rows", async () => {
    const meta = { fields: ["currency"] };
    const variables = [wallet(101, "EUR"), wallet(102, "GBP")];
    const made = await admin.createMany({ resource: "wallet", variables, meta });
    assert.deepEqual(made.data, [
      { id: 101, currency: "EUR" },
      { id: 102, currency: "GBP" },
    ]);
    const chosen = { resource: "wallet", ids: [101, 102] };
    const after = await admin.updateMany({ ...chosen, variables: { active: false } });
    assert.deepEqual(ids(after.data).sort(), [101, 102]);
    const gone = await admin.deleteMany(chosen);
    assert.deepEqual(ids(gone.data).sort(), [101, 102]);
  });

  it("is told why a row is refused", async () => {
    const variables = { id: 103, currency: "CHF", balance_minor: 501 };
    const refused = ann.create({ resource: "wallet", variables });
    await assert.rejects(refused, (error) => {
      const [{ extensions }] = error.response.errors;
      assert.equal(extensions.path, "$.selectionSet.insert_wallet_one.args.object");
      return extensions.code === "permission-error";
    });
  });

  it("runs custom operations, as documents and as fields", async () => {
    const gqlQuery = gql`query ($id: Int!) { wallet_by_pk(id: $id) { currency } }`;
    const asked = { url: "", method: "get" };
    const one = await admin.custom({ ...asked, meta: { gqlQuery, gqlVariables: { id: 1 } } });
    assert.deepEqual(one.data, { wallet_by_pk: { currency: "USD" } });
    const args = { value: { lowest: 1000, wanted: "USD" }, type: "find_wallets_args" };
    const meta = { operation: "find_wallets", fields: ["id"] };
    const variables = { args: { ...args, required: true } };
    const two = await admin.custom({ ...asked, meta: { ...meta, variables } });
    assert.deepEqual(two.data, [{ id: 1 }]);
  });
});
