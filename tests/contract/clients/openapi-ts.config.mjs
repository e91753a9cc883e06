export default {
  input: "../openapi.json",
  output: { path: "src/hey", module: { extension: ".js" } },
  plugins: ["@hey-api/client-fetch", "@hey-api/sdk", "@hey-api/typescript"],
  logs: { level: "error" },
};
