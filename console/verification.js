// Verifications, and what is known of a connection's health.

import { el, words } from './draw.js';
import { daysUntil, day, fromNow, moment } from './numbers.js';

export const OUTCOMES = { ok: 'It works', failed: 'It does not work', inconclusive: 'It could not be determined' };
const STAGES = { ok: 'passed', failed: 'failed', skipped: 'skipped' };
const OWNERS = {
  you: 'You can fix this.',
  tracker_admin: 'The tracker’s administrator can fix this.',
  platform: 'The platform has to fix this; try again later.',
  service: 'The operator of this service has to fix this.',
};
const FOUND_BY = { verification: 'a verification', pull: 'a pull of statistics', background: 'a check in the background' };

export const ownerOf = (owner) => OWNERS[owner];
export const finderOf = (source) => FOUND_BY[source];

const stageName = (name) => (name === 'tls' ? 'TLS' : words(name));

/** The stages in their order, the failure, and what was found out. */
export function verification({ status, duration_ms: time, stages, failure, detected }) {
  const known = Object.entries(detected ?? {}).filter(([, value]) => value !== null);
  return el('div', { class: `verification ${status}` },
    el('h3', {}, OUTCOMES[status], el('span', { class: 'quiet' }, ` ${time} ms`)),
    el('ol', { class: 'stages' }, stages.map((stage) => el('li', { class: stage.status },
      el('b', {}, stageName(stage.name)), el('span', {}, STAGES[stage.status]),
      el('span', { class: 'time' }, stage.duration_ms === null ? '' : `${stage.duration_ms} ms`),
      stage.detail !== failure?.detail && stage.detail && el('p', {}, stage.detail)))),
    failure && el('div', { class: 'failure' },
      el('p', {}, failure.detail), failure.hint && el('p', { class: 'advice' }, failure.hint),
      el('p', { class: 'quiet' }, OWNERS[failure.owner])),
    status === 'ok' && known.length > 0 && el('dl', {},
      known.map(([key, value]) => [el('dt', {}, words(key)), el('dd', {}, el('bdi', {}, value))])));
}

/** The type that a key belongs to, where it is of another one than was chosen. */
export function rightType(type, { failure, detected }, types) {
  if (failure?.pointer !== '/connection_type') return undefined;
  const others = types.filter(({ connection_type: key }) => key !== type);
  return others.find(({ connection_type: key }) => key === detected?.connection_type) ?? (others.length === 1 ? others[0] : undefined);
}

const facts = (entries) => el('dl', {}, entries.filter(([, value]) => value).map(([term, value]) => [el('dt', {}, term), el('dd', {}, value)]));

const time = (text) => text && el('time', { datetime: text, title: moment(text) }, fromNow(text));

/** What is known of a connection's health beyond its status: why it is failing, what keeps it from being checked. */
export function healthOf({ health, credentials_expire_at: expiry, last_used_at: used, status }) {
  const { reason, warning, since } = health;
  return el('div', { class: 'health' },
    reason && el('div', { class: 'reason' },
      el('p', { class: 'error' }, reason.detail), el('p', { class: 'advice' }, reason.hint),
      el('p', { class: 'quiet' }, OWNERS[reason.owner], ` Found by ${FOUND_BY[reason.source]}.`)),
    warning && el('div', { class: 'reason' },
      el('p', { class: 'doubt' }, warning.detail), el('p', { class: 'quiet' }, 'Since ', time(warning.since), '.')),
    facts([
      [`${words(status)} since`, time(since)],
      ['Last worked', time(health.last_success_at)],
      ['Last checked', time(health.last_checked_at)],
      ['Next check', time(health.next_check_at)],
      ['Statistics last pulled', time(used)],
      ['Key expires', expiry && `${day(expiry)} (${daysUntil(expiry)})`],
    ]));
}
