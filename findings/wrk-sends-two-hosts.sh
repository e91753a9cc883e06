#!/usr/bin/env bash
# wrk 4.1.0 (Debian's 4.1.0-3+b2) knows a `Host` header in that spelling only.
#
# Names of headers have no case. With `-H 'host: tracker.example'` wrk sends that one and its own `Host: address:port`
# also, and a server that takes the standard at its word refuses every request: nginx 1.22 answers each with 400, at a rate
# that looks like a good measurement unless the line `Non-2xx or 3xx responses` is read. With `-H 'Host: …'` it sends one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq wrk=4.1.0-3+b2 libluajit-5.1-2 libluajit-5.1-common >/dev/null
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$(dirname "$(find root -name 'libluajit-5.1.so.2' | head -n 1)")

python3 - <<'PYTHON'
import socket, subprocess, threading

def hosts(spelling):
    server = socket.create_server(("127.0.0.1", 0))
    seen = []

    def serve():
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            with peer:
                head = b""
                while b"\r\n\r\n" not in head:
                    part = peer.recv(4096)
                    if not part:
                        break
                    head += part
                if b"\r\n\r\n" in head:
                    seen.append(head.decode())
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    url = "http://127.0.0.1:%d/" % server.getsockname()[1]
    subprocess.run(["root/usr/bin/wrk", "-t1", "-c1", "-d1s", "-H", spelling + ": tracker.example", url],
                   check=True, capture_output=True)
    server.close()
    return [line for line in seen[0].split("\r\n") if line.lower().startswith("host:")]

low, high = hosts("host"), hosts("Host")
print("-H 'host: tracker.example' sends", low)
print("-H 'Host: tracker.example' sends", high)
assert len(low) == 2, "wrk sends one Host"
assert high == ["Host: tracker.example"]
PYTHON
