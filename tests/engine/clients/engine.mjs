// Where the engine is, and the headers of those who ask it.

export const URL = process.env.ENGINE_URL;
export const SOCKET = URL.replace(/^http/, "ws");

/** Of an engine that soon gives up who does not greet. */
export const HASTY_SOCKET = process.env.HASTY_ENGINE_URL.replace(/^http/, "ws");

export const ADMIN = { "x-hasura-admin-secret": process.env.ENGINE_SECRET };
export const ANN = { ...ADMIN, "x-hasura-role": "user", "x-hasura-user-id": "ann" };
export const NOBODY = { ...ADMIN, "x-hasura-role": "nobody" };

/** Resolve with what `start` hands to its argument; fail when nothing comes in time. */
export function within(seconds, what, start) {
  return new Promise((resolve, reject) => {
    const late = () => reject(new Error(`${what}: nothing came in ${seconds} s`));
    const timer = setTimeout(late, seconds * 1000);
    const settle = (done) => (value) => {
      clearTimeout(timer);
      done(value);
    };
    start(settle(resolve), settle(reject));
  });
}

/** A list that others push to, and that can be waited for. */
export class Mailbox {
  letters = [];
  waiting = [];

  put(letter) {
    const taker = this.waiting.shift();
    if (taker) taker(letter);
    else this.letters.push(letter);
  }

  take(what) {
    return within(60, what, (resolve) => {
      if (this.letters.length > 0) resolve(this.letters.shift());
      else this.waiting.push(resolve);
    });
  }
}

/** Run an operation over HTTP as the admin, and return its data. */
export async function run(query, variables) {
  const body = JSON.stringify({ query, variables });
  const answer = await fetch(URL, { method: "POST", headers: ADMIN, body });
  const { data, errors } = await answer.json();
  if (errors) throw new Error(JSON.stringify(errors));
  return data;
}
