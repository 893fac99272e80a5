# The image of the server. It stores its data on the volume /data, or in PostgreSQL if DATABASE_URL is set.
#
#   docker build -t symbolon .
#   docker run -p 8000:8000 -v symbolon:/data symbolon
#
# This command adds the first admin after the first start. `docker exec` in the running container works, too.
#
#   docker run --rm -it -v symbolon:/data symbolon user add ada --admin

FROM rust:1.95-bookworm AS build
# The build downloads the files of the explorer with npm.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends npm \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /symbolon
COPY . .
RUN cargo build --profile dist --locked --bin symbolon

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /data symbolon \
 && install --directory --owner=symbolon --group=symbolon --mode=0700 /data
COPY --from=build /symbolon/target/dist/symbolon /usr/local/bin/symbolon
USER 10001
WORKDIR /data
VOLUME /data
ENV HOST=0.0.0.0
EXPOSE 8000
# Requests /readyz, which checks the database.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["symbolon", "healthcheck"]
ENTRYPOINT ["symbolon"]
