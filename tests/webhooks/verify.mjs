// Verifies deliveries with the official library for JavaScript. Reads [{ secret, body, headers }] from standard input and
// prints for each the type of its event, or null where it is refused.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const outcomes = JSON.parse(readFileSync(0, "utf8")).map(({ secret, body, headers }) => {
  try {
    return new Webhook(secret).verify(body, headers).type;
  } catch {
    return null;
  }
});
console.log(JSON.stringify(outcomes));
