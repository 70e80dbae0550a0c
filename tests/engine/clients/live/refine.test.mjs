// @refinedev/hasura: its live provider, for lists, single rows and several.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { graphqlWS, liveProvider } from "@refinedev/hasura";
import { parse } from "graphql";
import WebSocket from "ws";

import { ADMIN, Mailbox, SOCKET, run } from "../engine.mjs";

const flip = (to) =>
  run(`mutation { update_wallet_by_pk(pk_columns: {id: 2}, _set: {active: ${to}}) { id } }`);
const active = (found) => [found].flat().find((row) => row.id === 2)?.active;

describe("refine's live provider", () => {
  const fields = { meta: { fields: ["id", "active"] }, resource: "wallet" };
  const filters = [{ field: "owner_id", operator: "eq", value: "ann" }];
  const sorters = [{ field: "id", order: "desc" }];
  const asked = {
    useList: { filters, sorters, pagination: { currentPage: 1, pageSize: 5 } },
    // From fields alone, this provider takes every id for a uuid.
    useOne: { id: 2, meta: { gqlQuery: parse("{ wallet_by_pk(id: 2) { id active } }") } },
    useMany: { ids: [1, 2] },
  };
  for (const [subscriptionType, more] of Object.entries(asked)) {
    it(`follows ${subscriptionType}`, async () => {
      const client = graphqlWS.createClient({
        url: SOCKET,
        webSocketImpl: WebSocket,
        connectionParams: { headers: ADMIN },
      });
      const provider = liveProvider(client, { idType: "Int" });
      const mailbox = new Mailbox();
      const params = { subscriptionType, ...fields, ...more };
      const callback = (found) => mailbox.put(found);
      const stop = provider.subscribe({ channel: "wallet", types: ["*"], callback, params });
      assert.equal(active(await mailbox.take("the rows")), true);
      for (const to of [false, true]) {
        await flip(to);
        assert.equal(active(await mailbox.take("the changed rows")), to);
      }
      provider.unsubscribe(stop);
      await client.dispose();
    });
  }
});
