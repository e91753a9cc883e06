// Debian's Chromium, and a page that is watched: whom it asks, and what it complains of.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

/** A name that stands for this machine: pages behave otherwise where they find themselves at `localhost`. */
export const NAME = 'connections.test';

/** No name is known but ours, so that nothing reaches the outside even if it is asked for. */
const RESOLVER = `MAP ${NAME} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`;

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      `--host-resolver-rules=${RESOLVER}`,
    ],
  });
}

/** Opens `url`; `origins` is where the page may ask for anything, `prepare` what is done before it opens. */
export async function open(browser, url, { origins, prepare, ...options }) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const strangers = [];
  const complaints = [];
  const refusals = [];
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol !== 'data:' && !origins.includes(origin)) strangers.push(request.url());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    // Chromium itself writes a line for each answer of 400 and above. A test names the ones it provokes.
    const status = /^Failed to load resource: the server responded with a status of (\d+)/.exec(message.text())?.[1];
    const { origin, pathname } = URL.canParse(message.location().url) ? new URL(message.location().url) : {};
    if (status && origins.includes(origin)) refusals.push(`${status} ${pathname.replace(/[0-9a-f-]{36}/, '{id}')}`);
    else complaints.push(`${message.type()}: ${message.text()}`);
  });
  await prepare?.(page);
  await page.goto(url);

  /** Nothing was asked of anybody else, nothing was complained of, and only what the test provoked was refused, in any order. */
  const isQuiet = (provoked = []) => {
    assert.deepEqual({ strangers, complaints, refusals: refusals.toSorted() }, { strangers: [], complaints: [], refusals: provoked.toSorted() });
  };
  return { page, complaints, isQuiet, close: () => context.close() };
}
