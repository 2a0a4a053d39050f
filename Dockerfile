# The bot's own image: the command line and everything that is served from it, as a user without rights.
#
#   docker build --tag sandpiper .
#   docker run --rm sandpiper --help
#
# The sandbox needs a Docker engine. Which one the bot may use is the operator's decision, and whoever may talk to an
# engine is root on its machine: give it a rootless or a remote one (DOCKER_HOST), or mount the socket of a machine that
# does nothing else and add the socket's group (--group-add).

FROM python:3.13-slim-bookworm AS build
COPY scripts/uv.txt /tmp/uv.txt
RUN python -m pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes --requirement /tmp/uv.txt
WORKDIR /opt/sandpiper
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
# What the lock says comes first: this layer stays as long as the lock does.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-dev --no-install-project --no-cache
COPY bot bot
COPY workflows workflows
RUN uv sync --frozen --no-dev --no-editable --no-cache

FROM python:3.13-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1000 sandpiper \
    && useradd --uid 1000 --gid 1000 --create-home --shell /usr/sbin/nologin sandpiper
COPY --from=build /opt/sandpiper/.venv /opt/sandpiper/.venv
ENV PATH=/opt/sandpiper/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 1000:1000
WORKDIR /home/sandpiper
ENTRYPOINT ["sandpiper"]
CMD ["--help"]
