# syntax=docker/dockerfile:1

FROM rust:1.95-slim-trixie AS build
# perl and make build the OpenSSL that libpq needs for TLS towards PostgreSQL. No versions are named, here and below: Debian
# keeps only the latest of a release, with its security fixes.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential perl pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# What `--version` says, for there is no repository in here: --build-arg COMMIT="$(git rev-parse HEAD)".
ARG COMMIT=""
ENV AFFZERO_COMMIT=$COMMIT
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --features postgres-tls \
    && install -D target/release/affzero-connections /out/affzero-connections

FROM debian:trixie-slim
# The certificate authorities are for `sslmode=verify-full` towards PostgreSQL; those for trackers are compiled in.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 affzero \
    && useradd --system --uid 10001 --gid 10001 --home-dir /srv --shell /usr/sbin/nologin affzero \
    && install --directory --owner=affzero --group=affzero --mode=0700 /srv/data
COPY --from=build /out/affzero-connections /usr/local/bin/affzero-connections
# In numbers, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /srv
VOLUME /srv/data
# Memory that is free again is shared by threads instead of kept by each: a tenth less at the peak of long reports.
ENV BIND_ADDR=0.0.0.0:8080 MALLOC_ARENA_MAX=2
EXPOSE 8080
# bash speaks TCP by itself, which saves an HTTP client in the image.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/${BIND_ADDR##*:} && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && cat <&3 >/dev/null && [ \"$status\" = 200 ]"]
ENTRYPOINT ["affzero-connections"]
CMD ["serve"]
