// openapi-fetch as it is by default: lists are repeated parameters.

import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const client = createClient<paths>({
  baseUrl: process.env["AFFZERO_URL"] ?? "",
  headers: { Authorization: `Bearer ${process.env["AFFZERO_TOKEN"]}`, "X-Org-Id": "client-fetch", "X-Org-Plan": "pro" },
});

const created = await client.POST("/api/v1/connections", { body: { name: "Made by openapi-fetch", platform: "demo" } });
if (!created.data) throw new Error(created.error.detail);
const path = { id: created.data.id };

const answer = await client.GET("/api/v1/connections/{id}/stats", {
  params: {
    path,
    query: { group_by: ["country", "date"], metrics: ["clicks", "revenue"], preset: "last_7_days", "filter[country]": "DE" },
  },
});
if (!answer.data || typeof answer.data === "string") throw new Error(answer.error?.detail);
const days = new Set(answer.data.rows.map((row) => row.date?.id));
if (days.size !== 7 || answer.data.rows.some((row) => row.country?.id !== "DE")) throw new Error("another table");

await client.DELETE("/api/v1/connections/{id}", { params: { path } });
