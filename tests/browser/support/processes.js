// The real programs, each started in a folder of its own and stopped when its test is over.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const BUILT = resolve(ROOT, process.env.CARGO_TARGET_DIR ?? 'target', 'debug');

/** The longest that a program may take to say that it is ready. */
const TIMEOUT_MS = 30_000;

/** Starts the service on a free port, with a database of its own; `{ url, token, mint, stop }`: what its log prints, and a maker of other tokens. */
export async function startService(variables = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'affzero-browser-'));
  const program = start(join(BUILT, 'affzero-connections'), [], {
    cwd: folder,
    env: { BIND_ADDR: '127.0.0.1:0', ...variables },
  });
  const stop = async () => {
    await program.stop();
    await rm(folder, { recursive: true });
  };
  try {
    const [, url] = await program.says(/serving on (http:\S+)/);
    const [, address, token] = await program.says(/console: (\S+)#token=(\S+)\s/);
    if (address !== `${url}/console/`) throw new Error(`the console is said to be at ${address}`);
    const mint = async (options) => {
      const maker = start(join(BUILT, 'affzero-connections'), ['token', ...options], { cwd: folder, env: variables });
      const [minted] = await maker.says(/^eyJ\S+$/m);
      return minted;
    };
    return { url, token, mint, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Starts a simulator of every tracker; `{ environment, connections, stop }`. */
export async function startTrackers() {
  const program = start(join(BUILT, 'examples', 'trackers'), ['--json'], {});
  try {
    const [line] = await program.says(/^\{.*\}$/m);
    return { ...JSON.parse(line), stop: program.stop };
  } catch (error) {
    await program.stop();
    throw error;
  }
}

function start(path, args, options) {
  const child = spawn(path, args, { env: {}, ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise((resolve) => {
    child.once('error', resolve);
    child.once('exit', resolve);
  });
  let written = '';
  for (const pipe of [child.stdout, child.stderr]) {
    pipe.setEncoding('utf8');
    pipe.on('data', (text) => { written += text; });
  }

  const says = async (pattern) => {
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    for (;;) {
      const found = written.match(pattern);
      if (found) return found;
      await Promise.race([
        once(child.stdout, 'data', { signal: timeout }).catch(() => {}),
        once(child.stderr, 'data', { signal: timeout }).catch(() => {}),
        ended,
      ]);
      if (timeout.aborted || child.exitCode !== null || child.pid === undefined) {
        throw new Error(`${path} never said ${pattern}:\n${written}`);
      }
    }
  };
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  return { says, stop };
}
