// The service, asked as any other caller asks it: with the token of this tab, which no other page can read.

const TOKEN = 'token';

/** A problem (RFC 9457) in the service's words, or one of this page where nothing readable answered. */
export class ProblemError extends Error {
  constructor(problem, retryAfter = null) {
    super(problem.detail);
    this.problem = { errors: [], ...problem };
    this.retryAfter = retryAfter;
  }
}

/** Who is asked when the service takes the token no longer: gets the problem. */
let onRefusedToken = () => {};

export const whenRefused = (listener) => { onRefusedToken = listener; };

export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;
export const keepToken = (token) => sessionStorage.setItem(TOKEN, token);
export const forgetToken = () => sessionStorage.removeItem(TOKEN);

/** Takes a token off the address bar, where the start-up log puts it, before anything else can see it. */
export function takeTokenFromAddress() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const token = parameters.get(TOKEN);
  if (token === null) return false;
  history.replaceState(null, '', location.pathname + location.search);
  if (token.trim() !== '') keepToken(token.trim());
  return true;
}

async function ask(method, path, { query = [], body, headers = {}, signal } = {}) {
  const parameters = new URLSearchParams(query);
  const url = new URL(`../api/v1${path}${parameters.size ? `?${parameters}` : ''}`, location.href);
  const json = body === undefined ? {} : { 'Content-Type': 'application/json' };
  const authorization = `Bearer ${sessionStorage.getItem(TOKEN) ?? ''}`;
  const response = await fetch(url, {
    method,
    signal,
    credentials: 'omit',
    headers: { Accept: 'application/json', Authorization: authorization, ...json, ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ title: `Status ${response.status}`, detail: 'The answer is not one of this service.' }));
  const error = new ProblemError(problem, response.headers.get('Retry-After'));
  if (response.status === 401) onRefusedToken(error);
  throw error;
}

async function answered(signal, work) {
  try {
    return await work();
  } catch (error) {
    if (signal?.aborted || error instanceof ProblemError) throw error;
    throw new ProblemError({
      title: 'No answer',
      detail: 'The service did not answer, or its answer broke off.',
      hint: 'Is it running, and is this machine connected to it?',
    });
  }
}

/** Calls the service. Money and ratios in the answer are text and stay text. */
export const call = (method, path, options = {}) => answered(options.signal, async () => {
  const response = await ask(method, path, options);
  const text = await response.text();
  return { body: text === '' ? null : JSON.parse(text), headers: response.headers };
});

/** A file, and the name that the service gives it. */
export const download = (path, options = {}) => answered(options.signal, async () => {
  const response = await ask('GET', path, { ...options, headers: { Accept: 'text/csv' } });
  const name = /filename="([^"]+)"/.exec(response.headers.get('Content-Disposition') ?? '')?.[1] ?? 'statistics.csv';
  return { name, blob: await response.blob() };
});
