// The catalogue (GET /platforms), from which every form is drawn. This console names no platform, and no metric or dimension
// but those of time: what it knows is the shape of the catalogue and of the answers.

import { call } from './service.js';
import { words } from './draw.js';

export let catalogue;

export async function loadCatalogue(signal) {
  ({ body: catalogue } = await call('GET', '/platforms', { signal }));
}

export const entryOf = (platform) => catalogue.data.find((entry) => entry.platform === platform);

export const typeOf = ({ platform, connection_type: key }) =>
  entryOf(platform).connection_types.find((type) => type.connection_type === key);

/** What a metric is called, by any connection type that has it: those that lack it give only its key. */
export const metricLabel = (key) => catalogue.data
  .flatMap(({ connection_types: types }) => types.flatMap(({ metrics }) => metrics))
  .find((metric) => metric.key === key)?.label ?? words(key);

/** Whether a connection type asks for nothing, so that it can be tried at once. */
const asksNothing = ({ settings_schema: settings, credentials_schema: credentials }) =>
  settings.required.length === 0 && Object.keys(credentials.properties).length === 0;

/** A platform to begin with: one that needs no account. */
export function freeOfCharge() {
  const entry = catalogue.data.find(({ status, connection_types: types }) => status === 'available' && types.some(asksNothing));
  return entry && { entry, type: entry.connection_types.find(asksNothing) };
}
