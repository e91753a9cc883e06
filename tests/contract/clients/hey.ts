// The client that @hey-api/openapi-ts makes: create, a name that is taken, verify, statistics, delete.

import { client } from "./hey/client.gen.js";
import { connectionStats, createConnection, deleteConnection, showConnection, verifyConnection } from "./hey/sdk.gen.js";

client.setConfig({
  baseUrl: process.env["AFFZERO_URL"] ?? "",
  headers: { Authorization: `Bearer ${process.env["AFFZERO_TOKEN"]}`, "X-Org-Id": "client-hey", "X-Org-Plan": "pro" },
});

const body = { name: "Made by hey-api", platform: "demo" as const };
const created = await createConnection({ body, throwOnError: true });
const path = { id: created.data.id };

const taken = await createConnection({ body });
if (taken.error?.code !== "name_taken" || taken.error.status !== 409) throw new Error("the name is not taken");

const verified = await verifyConnection({ path, throwOnError: true });
if (verified.data.status !== "ok") throw new Error(verified.data.failure?.hint);

const answer = await connectionStats({
  path,
  query: { group_by: ["country", "date"], preset: "last_7_days", metrics: ["clicks", "revenue"], "filter[country]": "DE" },
  throwOnError: true,
});
if (typeof answer.data === "string" || !("rows" in answer.data)) throw new Error("no page");
const clicks: number | null | undefined = answer.data.rows[0]?.clicks;
const revenue: string | null | undefined = answer.data.rows[0]?.revenue;
const days = new Set(answer.data.rows.map((row) => row.date?.id));
if (days.size !== 7 || answer.data.rows.some((row) => row.country?.id !== "DE")) throw new Error("another table");
if (typeof clicks !== "number" || typeof revenue !== "string") throw new Error("other types");

await deleteConnection({ path, throwOnError: true });
const gone = await showConnection({ path });
if (gone.error?.code !== "connection_deleted") throw new Error("the deletion was not noticed");
