// @urql/core with its subscription exchange over graphql-ws.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Client, fetchExchange, gql, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws-6";
import WebSocket from "ws";

import { ADMIN, Mailbox, SOCKET, URL, run } from "../engine.mjs";

describe("urql", () => {
  it("follows a live query, and is told an error", async () => {
    const socket = createClient({
      url: SOCKET,
      webSocketImpl: WebSocket,
      connectionParams: { headers: ADMIN },
    });
    const forwardSubscription = ({ query, variables }) => ({
      subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
    });
    const client = new Client({
      url: URL,
      exchanges: [fetchExchange, subscriptionExchange({ forwardSubscription })],
      fetchOptions: { headers: ADMIN },
      preferGetMethod: false,
    });
    const mailbox = new Mailbox();
    const LIVE = gql`subscription { wallet(where: {owner_id: {_eq: "bob"}}) { id active } }`;
    const { unsubscribe } = client.subscription(LIVE, {}).subscribe((got) => mailbox.put(got));
    const active = async (what) => (await mailbox.take(what)).data.wallet[0].active;
    assert.equal(await active("the rows"), false);
    for (const to of [true, false]) {
      const change = `update_wallet(where: {id: {_eq: 3}}, _set: {active: ${to}})`;
      await run(`mutation { ${change} { affected_rows } }`);
      assert.equal(await active("the changed rows"), to);
    }
    unsubscribe();
    const errors = new Mailbox();
    const wrong = gql`subscription { wallet { nope } }`;
    client.subscription(wrong, {}).subscribe((got) => errors.put(got.error));
    const { graphQLErrors } = await errors.take("the error");
    assert.equal(graphQLErrors[0].extensions.code, "validation-failed");
    await socket.dispose();
  });
});
