// A server of files, as any web server would serve the example page: on an origin of its own.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname } from 'node:path';

const KINDS = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

/** Serves the files of `folder` (a URL) on a free port; `{ url, stop }`. */
export async function serveFiles(folder) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://files');
    const file = pathname === '/' ? 'index.html' : pathname.slice(1);
    try {
      const bytes = await readFile(new URL(file, folder));
      response.writeHead(200, { 'content-type': KINDS[extname(file)] }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const stop = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, stop };
}
