# The worker: everything. Built from the repository root.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
# torch first, pinned and alone. The default index has the build with CUDA, gigabytes of it, which the profile `gpu`
# wants; TORCH_INDEX names an index that has the CPU build for all others.
ARG TORCH_INDEX=""
RUN pip install --no-deps --index-url "${TORCH_INDEX:-https://pypi.org/simple}" torch==2.13.0
COPY constraints.txt pyproject.toml ./
RUN python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
print(*p["dependencies"], sep="\n")' > wanted.txt \
    && pip install -c constraints.txt -r wanted.txt
COPY README.md LICENSE ./
COPY forecaster/ forecaster/
COPY pipelines/ pipelines/
COPY serving/ serving/
RUN pip install --no-deps .

FROM ${PYTHON}
RUN groupadd --gid 10001 forecaster \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin forecaster \
    && install --directory --owner forecaster --group forecaster /var/lib/forecaster
COPY --from=build /opt/venv /opt/venv
COPY --chmod=0755 docker/entrypoint.sh /usr/local/bin/entrypoint.sh
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    PGPASSFILE=/tmp/pgpass \
    FORECASTER_HOME=/var/lib/forecaster
USER 10001:10001
ENTRYPOINT ["entrypoint.sh"]
CMD ["forecaster", "work"]
