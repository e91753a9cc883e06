/** What a client takes from its environment. */
declare const process: { env: Record<string, string | undefined> };
