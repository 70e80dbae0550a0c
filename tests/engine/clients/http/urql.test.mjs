// @urql/core: queries, mutations and errors over HTTP.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Client, cacheExchange, fetchExchange, gql } from "@urql/core";

import { ADMIN, ANN, URL } from "../engine.mjs";

const connect = (headers) =>
  new Client({
    url: URL,
    exchanges: [cacheExchange, fetchExchange],
    fetchOptions: { headers },
    preferGetMethod: false,
  });
const WALLETS = gql`query ($limit: Int) { wallet(order_by: {id: asc}, limit: $limit) { id } }`;
const SET = gql`
  mutation ($id: Int!, $to: Boolean!) {
    update_wallet_by_pk(pk_columns: {id: $id}, _set: {active: $to}) { id active }
  }
`;

describe("urql", () => {
  it("queries with variables, and adds __typename below the root", async () => {
    const { data, error } = await connect(ADMIN).query(WALLETS, { limit: 2 }).toPromise();
    assert.equal(error, undefined);
    assert.deepEqual(data, {
      wallet: [
        { id: 1, __typename: "wallet" },
        { id: 2, __typename: "wallet" },
      ],
    });
  });

  it("asks again after a mutation of the same type", async () => {
    const client = connect(ADMIN);
    const ACTIVE = gql`query { wallet_by_pk(id: 1) { id active } }`;
    const seen = async () => (await client.query(ACTIVE, {}).toPromise()).data.wallet_by_pk.active;
    assert.equal(await seen(), true);
    for (const to of [false, true]) {
      const changed = await client.mutation(SET, { id: 1, to }).toPromise();
      assert.equal(changed.error, undefined);
      assert.equal(await seen(), to);
    }
  });

  it("finds the code of an error in its extensions", async () => {
    const { error } = await connect(ANN).query(gql`{ owner { secret } }`, {}).toPromise();
    assert.equal(error.graphQLErrors[0].extensions.code, "validation-failed");
    assert.equal(error.graphQLErrors[0].message, "field 'secret' not found in type: 'owner'");
  });

  it("is told of a wrong secret", async () => {
    const client = connect({ "x-hasura-admin-secret": "wrong" });
    const { error } = await client.query(WALLETS, {}).toPromise();
    assert.equal(error.graphQLErrors[0].extensions.code, "access-denied");
  });
});
