// The client that orval makes for fetch: create, a name that is taken, verify, statistics, delete.

import { createConnection, deleteConnection, showConnection, stats, verifyConnection } from "./orval/api.js";
import type { StatsAnswers } from "./orval/api.js";

const headers = { Authorization: `Bearer ${process.env["AFFZERO_TOKEN"]}`, "X-Org-Id": "client-orval" };
const creating = { headers: { ...headers, "X-Org-Plan": "pro" } };

const body = { name: "Made by orval", platform: "demo" as const };
const created = await createConnection(body, undefined, creating);
if (created.status !== 201) throw new Error(created.data.detail);
const { id } = created.data;

const taken = await createConnection(body, undefined, creating);
if (taken.status !== 409 || taken.data.code !== "name_taken") throw new Error("the name is not taken");

const verified = await verifyConnection(id, { headers });
if (verified.status !== 200 || verified.data.status !== "ok") throw new Error("it is not verified");

// Where rows may come as NDJSON, orval hands out the response as it is.
const answer = await stats(
  {
    connection_id: [id],
    group_by: ["country", "date"],
    metrics: ["clicks", "revenue"],
    preset: "last_7_days",
    "filter[country]": "DE",
  },
  { headers },
);
if (answer.status !== 200 || !("stream" in answer)) throw new Error("no statistics");
const found = (await (answer.stream as Response).json()) as StatsAnswers;
if (!("results" in found)) throw new Error("it is one table");
const rows = found.results[0]?.rows ?? [];
const clicks: number | null | undefined = rows[0]?.clicks;
const days = new Set(rows.map((row) => row.date?.id));
if (typeof clicks !== "number" || days.size !== 7) throw new Error("another table");
if (rows.some((row) => row.country?.id !== "DE")) throw new Error("the filter does not filter");

await deleteConnection(id, { headers });
const gone = await showConnection(id, { headers });
if (gone.status !== 410) throw new Error("the deletion was not noticed");
