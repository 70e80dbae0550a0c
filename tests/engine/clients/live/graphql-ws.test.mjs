// graphql-ws, in the version of today and the one @refinedev/hasura needs: subscriptions.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { createClient as createOld } from "graphql-ws";
import { createClient } from "graphql-ws-6";
import WebSocket from "ws";

import { ADMIN, ANN, HASTY_SOCKET, Mailbox, SOCKET, run, within } from "../engine.mjs";

const LIVE = "subscription ($id: Int!) { wallet_by_pk(id: $id) { id active } }";
const set = (to) =>
  run(`mutation ($to: Boolean!) {
    update_wallet_by_pk(pk_columns: {id: 3}, _set: {active: $to}) { id }
  }`, { to });

/** Subscribe into a mailbox, whose letters are results and the errors that end them. */
function listen(client, payload) {
  const mailbox = new Mailbox();
  const stop = client.subscribe(payload, {
    next: (result) => mailbox.put(result),
    error: (error) => mailbox.put({ failed: error }),
    complete: () => mailbox.put({ completed: true }),
  });
  return [mailbox, stop];
}

for (const [version, create] of Object.entries({ 6: createClient, 5: createOld })) {
  const connect = (headers, more = {}) =>
    create({
      url: SOCKET,
      webSocketImpl: WebSocket,
      connectionParams: { headers },
      retryAttempts: 0,
      ...more,
    });

  describe(`graphql-ws ${version}`, () => {
    it("is sent the rows at once and again when they change", async () => {
      const client = connect(ADMIN);
      const [mailbox, stop] = listen(client, { query: LIVE, variables: { id: 3 } });
      const first = await mailbox.take("the first result");
      assert.deepEqual(first.data, { wallet_by_pk: { id: 3, active: false } });
      await set(true);
      const second = await mailbox.take("the result after a change");
      assert.deepEqual(second.data, { wallet_by_pk: { id: 3, active: true } });
      await set(false);
      await mailbox.take("the result after another change");
      stop();
      assert.deepEqual(await mailbox.take("the end"), { completed: true });
      await client.dispose();
    });

    it("sees what the role may see", async () => {
      const client = connect(ANN);
      const query = "subscription { wallet(order_by: {id: asc}) { id } }";
      const [mailbox] = listen(client, { query });
      const { data } = await mailbox.take("the rows");
      assert.deepEqual(data, { wallet: [{ id: 1 }, { id: 2 }] });
      await client.dispose();
    });

    it("runs queries and mutations over the socket", async () => {
      const client = connect(ADMIN);
      const query = "query { owner_by_pk(id: \"ann\") { name } }";
      const [mailbox] = listen(client, { query });
      const { data } = await mailbox.take("the answer");
      assert.deepEqual(data, { owner_by_pk: { name: "Ann" } });
      assert.deepEqual(await mailbox.take("the end"), { completed: true });
      await client.dispose();
    });

    it("is told of an error in the document, and the socket stays open", async () => {
      const client = connect(ADMIN);
      const [mailbox] = listen(client, { query: "subscription { nope { id } }" });
      const { failed } = await mailbox.take("the error");
      assert.equal(failed[0].extensions.code, "validation-failed");
      assert.equal(failed[0].message, "field 'nope' not found in type: 'subscription_root'");
      const [other] = listen(client, { query: LIVE, variables: { id: 1 } });
      assert.equal((await other.take("rows of another")).data.wallet_by_pk.id, 1);
      await client.dispose();
    });

    it("is closed with 4400 for a wrong secret", async () => {
      const wrong = { "x-hasura-admin-secret": "wrong" };
      const closed = within(60, "the close", (resolve) => {
        const client = connect(wrong, { on: { closed: resolve } });
        listen(client, { query: LIVE, variables: { id: 1 } });
      });
      assert.ok([4400, 4401, 4403].includes((await closed).code), `code ${(await closed).code}`);
    });
  });
}

describe("a socket of the current protocol", () => {
  const closeAfter = (messages, address = SOCKET) =>
    within(60, "the close", (resolve) => {
      const socket = new WebSocket(address, "graphql-transport-ws");
      socket.on("close", (code) => resolve(code));
      socket.on("open", () => messages.forEach((item) => socket.send(JSON.stringify(item))));
    });
  const init = { type: "connection_init", payload: { headers: ADMIN } };
  const payload = { query: LIVE, variables: { id: 1 } };
  const subscribe = { type: "subscribe", id: "1", payload };

  it("closes with 4401 for a subscription before the greeting", async () => {
    assert.equal(await closeAfter([subscribe]), 4401);
  });

  it("closes with 4429 for a second greeting", async () => {
    assert.equal(await closeAfter([init, init]), 4429);
  });

  it("closes with 4409 for an id that is in use", async () => {
    assert.equal(await closeAfter([init, subscribe, subscribe]), 4409);
  });

  it("closes with 4400 for a message it does not know", async () => {
    assert.equal(await closeAfter([init, { type: "nope" }]), 4400);
  });

  it("closes with 4408 when no greeting comes", async () => {
    assert.equal(await closeAfter([], HASTY_SOCKET), 4408);
  });
});
