# The images of Taskgrove; docs/image.md explains them.
#
#   docker build .                         taskgrove: the one static binary, and nothing else that runs
#   docker build --target worker-tools .   the same with a shell, git, Python, uv and an SSH client, for pools that run commands
#   docker build --build-arg TAGS=etl --build-arg TITLE=taskgrove-worker-etl .   with what steps need that extract data: SQL Server, Oracle, Parquet
#
# There is no "# syntax" line and nothing that only BuildKit knows, so every builder takes it, also one that reaches no registry.
# To pin what it stands on, give GO_IMAGE and TOOLS_IMAGE with their digests.
ARG GO_IMAGE=golang:1.27.3-bookworm
ARG TOOLS_IMAGE=debian:bookworm-slim

# Compiles on the platform of the builder for the platform of the image. A builder that names no platform compiles for its own.
FROM --platform=${BUILDPLATFORM:-linux} ${GO_IMAGE} AS build
WORKDIR /src
# Where modules come from, for networks without the public proxy.
ARG GOPROXY=https://proxy.golang.org,direct
ARG GOSUMDB=sum.golang.org
# A directory below bin/image that tools/rootfs.sh has made: its files are taken, and nothing is compiled here.
ARG PREBUILT=
# build-ca.crt, if there is one, holds the authorities of a proxy that opens TLS. It counts while building and is in no image.
COPY go.mod go.sum build-ca.cr[t] ./
RUN if [ -z "$PREBUILT" ]; then \
      export GOTOOLCHAIN="$(sed -n 's/^toolchain //p' go.mod)"; \
      if [ -s build-ca.crt ]; then export SSL_CERT_FILE=/src/build-ca.crt; fi; \
      go mod download; \
    fi
COPY . .
# What the binary calls itself: VERSION, or else the file VERSION, and COMMIT.
ARG VERSION=
ARG COMMIT=
# Build tags that leave parts out, such as nodocker,nosql, or put some in: etl.
ARG TAGS=
# The time of all files in seconds. Give that of the commit, and the same source makes the same layers.
ARG SOURCE_DATE_EPOCH=0
ARG TARGETOS
ARG TARGETARCH
RUN if [ -n "$PREBUILT" ]; then cp -a "bin/image/$PREBUILT" /rootfs; else tools/rootfs.sh /rootfs; fi \
    && find /rootfs -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} + # again: what carries a context may set the times of directories

# uv for worker-tools, alone. UV_VERSION=none: without it.
FROM ${TOOLS_IMAGE} AS uv
ARG UV_VERSION=0.13.9
ARG PIP_INDEX_URL=
COPY VERSION build-ca.cr[t] /build/
RUN mkdir -p /uv/usr/local/bin \
    && if [ "$UV_VERSION" != none ]; then \
      apt-get update && apt-get install -y --no-install-recommends ca-certificates python3-pip \
      && if [ -s /build/build-ca.crt ]; then export PIP_CERT=/build/build-ca.crt; fi \
      && if [ -z "$PIP_INDEX_URL" ]; then unset PIP_INDEX_URL; fi \
      && pip3 install -q --no-cache-dir --root-user-action=ignore --target /tmp/uv "uv==$UV_VERSION" \
      && cp /tmp/uv/bin/uv /tmp/uv/bin/uvx /uv/usr/local/bin/; \
    fi

# For pools that run commands. Nothing in it needs root or a root that can be written.
FROM ${TOOLS_IMAGE} AS worker-tools
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates git openssh-client python3 python3-venv tzdata \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/cache/ldconfig/aux-cache /var/log/apt /var/log/*.log
COPY --from=uv /uv/ /
COPY --from=build /rootfs/usr/local/bin/taskgrove /usr/local/bin/taskgrove
COPY --from=build /rootfs/usr/share/doc/taskgrove /usr/share/doc/taskgrove
RUN groupadd --gid 65532 taskgrove && useradd --uid 65532 --gid 65532 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin taskgrove
ARG VERSION=
ARG COMMIT=
LABEL org.opencontainers.image.title="taskgrove-worker-tools" \
      org.opencontainers.image.description="Taskgrove with a shell, git, Python, uv and an SSH client, for workers that run commands" \
      org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${COMMIT}"
ENV TASKGROVE_HTTP_ADDR=0.0.0.0:8000 TASKGROVE_GRPC_ADDR=0.0.0.0:7700 TASKGROVE_WORKER_HTTP_ADDR=0.0.0.0:8080 HOME=/tmp
USER 65532:65532
WORKDIR /tmp
EXPOSE 8000 7700 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/taskgrove", "health"]
ENTRYPOINT ["/usr/local/bin/taskgrove"]

FROM scratch AS taskgrove
COPY --from=build /rootfs/ /
ARG VERSION=
ARG COMMIT=
ARG TITLE=taskgrove
LABEL org.opencontainers.image.title="${TITLE}" \
      org.opencontainers.image.description="Coordinators and workers of Taskgrove, in one static binary" \
      org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${COMMIT}"
# Listeners of a container must be reached from outside it. A coordinator that asks nobody who it is refuses to serve there
# unless TASKGROVE_INSECURE_LISTEN says so.
ENV PATH=/usr/local/bin TASKGROVE_HTTP_ADDR=0.0.0.0:8000 TASKGROVE_GRPC_ADDR=0.0.0.0:7700 TASKGROVE_WORKER_HTTP_ADDR=0.0.0.0:8080 \
    ZONEINFO=/usr/share/zoneinfo.zip
USER 65532:65532
WORKDIR /tmp
EXPOSE 8000 7700 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/taskgrove", "health"]
ENTRYPOINT ["/usr/local/bin/taskgrove"]
