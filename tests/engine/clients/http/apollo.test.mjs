// @apollo/client without React: queries, mutations, and its cache keyed by primary keys.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client/core";

import { ADMIN, ANN, URL } from "../engine.mjs";

const connect = (headers) =>
  new ApolloClient({
    link: new HttpLink({ uri: URL, headers }),
    cache: new InMemoryCache({
      typePolicies: { wallet: { keyFields: ["id"] }, owner: { keyFields: ["id"] } },
    }),
  });
const WALLETS = gql`
  query ($where: wallet_bool_exp!) {
    wallet(where: $where, order_by: [{ id: asc }]) { id balance_minor owner { id name } }
  }
`;
const RAISE = gql`
  mutation ($id: Int!, $by: bigint!) {
    update_wallet_by_pk(pk_columns: { id: $id }, _inc: { balance_minor: $by }) { id balance_minor }
  }
`;

describe("Apollo", () => {
  it("normalises rows by their keys, and a mutation changes what a query shows", async () => {
    const client = connect(ADMIN);
    const variables = { where: { owner_id: { _eq: "bob" } } };
    const first = await client.query({ query: WALLETS, variables });
    const before = first.data.wallet[0].balance_minor;
    assert.deepEqual(Object.keys(client.extract()).sort(), [
      'ROOT_QUERY',
      'owner:{"id":"bob"}',
      'wallet:{"id":3}',
    ]);
    await client.mutate({ mutation: RAISE, variables: { id: 3, by: 5 } });
    const cached = client.readQuery({ query: WALLETS, variables });
    assert.equal(cached.wallet[0].balance_minor, before + 5);
    await client.mutate({ mutation: RAISE, variables: { id: 3, by: "-5" } });
    const fresh = await client.query({ query: WALLETS, variables, fetchPolicy: "network-only" });
    assert.equal(fresh.data.wallet[0].balance_minor, before);
  });

  it("raises the engine's error with its extensions", async () => {
    const query = gql`{ entry_by_pk(id: 1) { nope } }`;
    await assert.rejects(connect(ANN).query({ query }), (error) => {
      assert.ok(CombinedGraphQLErrors.is(error));
      assert.equal(error.errors[0].extensions.path, "$.selectionSet.entry_by_pk.selectionSet.nope");
      return error.errors[0].extensions.code === "validation-failed";
    });
  });

  it("reads aggregates and fragments", async () => {
    const query = gql`
      fragment Money on wallet { id balance_minor }
      query { wallet_aggregate(where: { id: { _lte: 3 } }) { aggregate { count } nodes { ...Money } } }
    `;
    const { data } = await connect(ANN).query({ query });
    assert.equal(data.wallet_aggregate.aggregate.count, 2);
    assert.equal(data.wallet_aggregate.nodes[0].__typename, "wallet");
  });
});
