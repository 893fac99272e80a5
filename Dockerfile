# syntax=docker/dockerfile:1
# Symbolon in a container. It stores its data on the volume /data, or in PostgreSQL if DATABASE_URL is set.
#
#   docker build -t symbolon .
#   docker run --detach --name symbolon -p 127.0.0.1:8000:8000 -v symbolon:/data symbolon
#
# This command adds the first admin, after the first start. `docker exec` in the running container works too:
#
#   docker run --rm -it -v symbolon:/data symbolon user add ada --admin
#
# deploy/compose.yml contains Symbolon with PostgreSQL.

# The version in Cargo.toml.
ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-trixie AS build
# The build fetches the explorer's files with npm.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends npm \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /symbolon
COPY . .
# The caches of BuildKit keep the downloaded and compiled dependencies, so that a change of the source compiles only the
# workspace. They need no further tool and no list of manifests, and do not become a part of a layer. The program is copied out
# of the cache, because the cache is not available after this step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/usr/local/cargo/git \
    --mount=type=cache,target=/root/.npm \
    --mount=type=cache,target=/symbolon/target,sharing=locked \
    cargo build --profile dist --locked --bin symbolon \
 && install -D --mode=0755 target/dist/symbolon /out/symbolon

FROM debian:trixie-slim
LABEL org.opencontainers.image.title="Symbolon" \
      org.opencontainers.image.description="Token authentication for GraphQL" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin symbolon \
 && install --directory --owner=symbolon --group=symbolon --mode=0700 /data
COPY --from=build /out/symbolon /usr/local/bin/symbolon
USER 10001
WORKDIR /data
VOLUME /data
# The address inside the container. `docker run -p` and `ports` determine who can reach the port.
ENV HOST=0.0.0.0
EXPOSE 8000
STOPSIGNAL SIGTERM
# The command requests /readyz, which also checks the database.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["symbolon", "healthcheck"]
ENTRYPOINT ["symbolon"]
