// Statistics of the console, opened in the ways that there are.

import { answered, api, openConsole, openStats } from './console.js';

/** The parameters of an address. */
export const query = (url) => Object.fromEntries(new URL(url).searchParams);

/** Opens the statistics of a new Demo connection; `first` is the answer that is asked for at once. */
export async function openDemo(browser, service, name, type = 'admin', options = {}) {
  const { body: { id } } = await api(service, 'POST', '/connections', { name, platform: 'demo', connection_type: type });
  const opened = await openConsole(browser, service, options);
  const first = await openStats(opened.page, name);
  return { id, first, ...opened };
}

/** Opens the console at a question. */
export async function openQuestion(browser, service, query, options = {}) {
  const opened = await openConsole(browser, service, options);
  const answer = await answered(opened.page, () => opened.page.evaluate((hash) => { location.hash = hash; }, `#statistics?${query}`));
  return { ...opened, answer };
}

/** Options under which answers have made-up numbers in them. */
export const withNumbers = (change) => ({
  prepare: (page) => page.route('**/stats?*', async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    change(json);
    await route.fulfill({ response, json });
  }),
});

export const tick = (page, label) => page.getByRole('checkbox', { name: label, exact: true }).check();
