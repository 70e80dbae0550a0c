// @apollo/client with its graphql-ws link.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { ApolloClient, InMemoryCache, gql } from "@apollo/client/core";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws-6";
import WebSocket from "ws";

import { ANN, Mailbox, SOCKET, run } from "../engine.mjs";

describe("Apollo", () => {
  it("follows a live query as a role, and writes it into the cache", async () => {
    const socket = createClient({
      url: SOCKET,
      webSocketImpl: WebSocket,
      connectionParams: { headers: ANN },
    });
    const client = new ApolloClient({ link: new GraphQLWsLink(socket), cache: new InMemoryCache() });
    const mailbox = new Mailbox();
    const query = gql`
      subscription ($id: Int!) { wallet_by_pk(id: $id) { id active owner { id name } } }
    `;
    const subscription = client
      .subscribe({ query, variables: { id: 1 } })
      .subscribe((got) => mailbox.put(got.data.wallet_by_pk.active));
    assert.equal(await mailbox.take("the row"), true);
    for (const to of [false, true]) {
      const change = `update_wallet_by_pk(pk_columns: {id: 1}, _set: {active: ${to}})`;
      await run(`mutation { ${change} { id } }`);
      assert.equal(await mailbox.take("the changed row"), to);
      assert.equal(client.extract()["wallet:1"].active, to);
    }
    subscription.unsubscribe();
    await socket.dispose();
  });
});
