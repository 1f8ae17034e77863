# Lading as a container that runs jobs: `lading run`, the stores and the engine of EXTRAS, and
# nothing of git, tests, compilers, pip's cache or credentials.
#
#   docker build --tag lading:0.1.0 .
#   docker run --rm --init --volume "$PWD:/app" lading:0.1.0 NAME -- ARGS
#   docker build --build-arg EXTRAS=s3 ...     other extras; without `jobs` no engine, no metrics
#   docker build --target develop ...          see docker/develop.sh
#
# The tag says which Python; a digest says which bytes, and Dependabot (`docker`) moves both:
#   docker buildx imagetools inspect python:3.12.11-slim-bookworm
#   FROM python:3.12.11-slim-bookworm@sha256:...
FROM python:3.12.11-slim-bookworm AS build

ARG EXTRAS="s3,gcs,jobs"
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src/ src/
RUN python -m pip wheel --quiet --no-deps --wheel-dir dist .
RUN python -m venv --without-pip /opt/lading \
    && python -m pip --python /opt/lading/bin/python install --quiet --no-compile \
        "$(echo dist/*.whl)${EXTRAS:+[$EXTRAS]}"
# What is only for tests and compilers goes. Bytecode is made here, since nobody may write it later,
# and by content, so that no copy makes it stale: imports take a third of the time.
RUN find /opt/lading/lib -path '*/site-packages/lading' -prune \
        -o -type d \( -name tests -o -name include \) -prune -exec rm -rf {} + \
    && find /opt/lading/lib -type f \
        \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.h' -o -name '*.a' \) -delete \
    && /opt/lading/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/lading/lib


# pip, and an environment that whoever runs it may change: for docker/develop.sh, never for clusters
FROM build AS develop

RUN /opt/lading/bin/python -m ensurepip --default-pip > /dev/null && chmod -R a+rwX /opt/lading
COPY docker/develop.sh /usr/local/bin/develop
ENV PATH=/opt/lading/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /source
USER 10001:10001
ENTRYPOINT ["develop"]
CMD ["--help"]


FROM python:3.12.11-slim-bookworm

COPY --from=build /opt/lading /opt/lading

# logs come line by line; the file system may be read-only but for /tmp
ENV PATH=/opt/lading/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp

# lading.toml and the packages of jobs: mounted here, or copied by an image made from this one
WORKDIR /app

ARG REVISION=""
ARG SOURCE_URL=""
LABEL org.opencontainers.image.title="Lading" \
    org.opencontainers.image.description="Runs jobs: lading run NAME -- ARGS" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.source="$SOURCE_URL"

# by number: Kubernetes cannot tell whether a name is root (`runAsNonRoot`)
USER 10001:10001

ENTRYPOINT ["lading", "run"]
CMD ["--help"]

# The entry point itself: an image that cannot start is not pushed.
RUN ["lading", "run", "--help"]
