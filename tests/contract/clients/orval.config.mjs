export default {
  affzero: {
    input: "../openapi.json",
    output: { target: "src/orval/api.ts", client: "fetch", baseUrl: { runtime: "process.env['AFFZERO_URL']" } },
  },
};
