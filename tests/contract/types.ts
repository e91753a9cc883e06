// What the types of the document allow and, below, what they refuse. Only compiled, never run: each `@ts-expect-error`
// fails the build if the line under it compiles after all.

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Schemas = components["schemas"];

const client = createClient<paths>({ baseUrl: "http://127.0.0.1:8080" });
const path = { id: "01990000-0000-7000-8000-000000000000" };

export async function allowed() {
  await client.GET("/api/v1/platforms/{platform}", { params: { path: { platform: "cake" } } });
  await client.POST("/api/v1/connections", { body: { name: "Demo network", platform: "demo" } });
  await client.POST("/api/v1/connections", {
    params: { query: { verify: "deferred" }, header: { "X-Org-Id": "acme", "X-Org-Plan": "pro_plus" } },
    body: {
      name: "Brand A",
      platform: "cake",
      connection_type: "affiliate",
      settings: { domain: "acme", affiliate_id: "12345" },
      credentials: { api_key: "0123456789abcdef" },
    },
  });
  await client.PATCH("/api/v1/connections/{id}", {
    params: { path },
    body: { name: "Renamed", settings: { currency: null } },
  });
  const { data, error } = await client.GET("/api/v1/connections/{id}/stats", {
    params: {
      path,
      query: {
        group_by: ["affiliate", "date"],
        preset: "last_7_days",
        metrics: ["clicks", "revenue"],
        "filter[country]": "DE,AT",
        sort: "-revenue",
      },
    },
  });
  if (error) {
    // The problem of a status is one of those that the document names for it.
    const problem: Schemas["Problem"] = error;
    if (error.code === "rate_limited") return error.status;
    return problem.hint ?? problem.detail;
  }
  if (typeof data === "string" || data === undefined) return data;
  const clicks: number | null | undefined = data.rows[0]?.clicks;
  const revenue: string | null | undefined = data.totals[0]?.revenue;
  const name: string | undefined = data.rows[0]?.affiliate?.name;
  const next: string | null = data.next_cursor;
  return [clicks, revenue, name, next];
}

/** Every cause of a failed verification has its words: a forgotten or an invented one does not compile. */
export const causes: Record<Schemas["FailureCode"], string> = {
  invalid_url: "The address cannot be called",
  egress_blocked: "The address may not be called",
  dns_failed: "There is no such host",
  connect_failed: "Nothing answers there",
  tls_failed: "The certificate is wrong",
  timeout: "No answer in time",
  redirected: "It sends us elsewhere",
  not_this_platform: "Something else answers",
  credentials_rejected: "The key is wrong",
  wrong_portal: "The key is of the other portal",
  insufficient_permissions: "The key may not read reports",
  ip_not_allowed: "The tracker refuses our address",
  access_blocked: "Something in front of the tracker refuses us",
  affiliate_id_required: "The affiliate id is missing",
  rate_limited: "The tracker is throttling",
  platform_error: "The tracker is failing",
  credentials_unreadable: "The key must be entered again",
};

const stats = (query: paths["/api/v1/stats"]["get"]["parameters"]["query"]) => query;

// @ts-expect-error no such platform
export const platform: Schemas["Platform"] = "afise";
// @ts-expect-error no such connection type
export const connectionType: Schemas["ConnectionType"] = "afiliate";
// @ts-expect-error no such dimension
export const dimension: Schemas["Dimension"] = "affilate";
// @ts-expect-error no such metric
export const metric: Schemas["Metric"] = "conversion";
// @ts-expect-error no such preset
export const preset: Schemas["Preset"] = "last_week_days";
// @ts-expect-error no such scope
export const scope: Schemas["Scope"] = "connection:read";
// @ts-expect-error no such plan
export const plan: Schemas["Plan"] = "pro-plus";
// @ts-expect-error no such status
export const status: Schemas["Status"] = "broken";
// @ts-expect-error no such problem
export const code: Schemas["Code"] = "notfound";
// @ts-expect-error no such cause
export const failure: Schemas["FailureCode"] = "credentials_reject";
// @ts-expect-error no such stage
export const stage: Schemas["Stage"] = "authorise";

// @ts-expect-error a misspelt dimension
stats({ group_by: ["affilate"], preset: "today" });
// @ts-expect-error a misspelt preset
stats({ group_by: ["date"], preset: "todday" });
// @ts-expect-error a misspelt metric
stats({ group_by: ["date"], preset: "today", metrics: ["clicks", "revenu"] });
// @ts-expect-error a misspelt column
stats({ group_by: ["date"], preset: "today", sort: "-revenu" });
// @ts-expect-error a misspelt dimension in a filter
stats({ group_by: ["date"], preset: "today", "filter[contry]": "DE" });
// @ts-expect-error a parameter there is none of
stats({ group_by: ["date"], preset: "today", timezon: "UTC" });
// @ts-expect-error a misspelt comparison
stats({ preset: "today", compare: "previous_weak" });

// @ts-expect-error a misspelt path
void client.GET("/api/v1/conections");
// @ts-expect-error a method that the path does not have
void client.PATCH("/api/v1/connections", { body: {} });
// @ts-expect-error a misspelt platform
void client.POST("/api/v1/connections", { body: { name: "Brand A", platform: "dmeo" } });
// @ts-expect-error a misspelt scenario
void client.POST("/api/v1/connections", { body: { name: "Brand A", platform: "demo", settings: { scenario: "on_fire" } } });
void client.POST("/api/v1/connections", {
  body: {
    name: "Brand A",
    platform: "affise",
    connection_type: "admin",
    settings: { base_url: "https://brand-a.affise.com" },
    // @ts-expect-error a misspelt secret
    credentials: { api_kye: "0123456789abcdef" },
  },
});
// @ts-expect-error a platform without its secrets
void client.POST("/api/v1/connections", { body: { name: "Brand A", platform: "binom", settings: { base_url: "b.example.com" } } });
// @ts-expect-error a misspelt setting
export const patch: Schemas["ConnectionPatch"] = { settings: { curency: "EUR" } };

export function rows(page: Schemas["StatsPage"]) {
  // @ts-expect-error a misspelt metric in a row
  return page.rows[0]?.revenu;
}

export function problems(problem: Schemas["Problem"]) {
  // @ts-expect-error a comparison with a problem that never comes
  return problem.code === "conection_deleted";
}
