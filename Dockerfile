# Two images of one build: `serve` answers requests and has no training code in it; `train` makes models.
#   docker build --target serve .
#   docker build --target train .

ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PATH=/venv/bin:$PATH
# /store belongs to the user of both images. A named volume that is empty when it is mounted there takes its
# owner and its content, the models that come with the code; from then on only `train` writes to it.
RUN groupadd --gid 10001 service \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin service \
    && install --directory --owner 10001 --group 10001 /store


# The dependencies are a layer of their own before the source: a change of the source installs nothing.
# Type stubs, C headers and the tests of the packages are left out; all modules are compiled here, since
# the file system of a container is read-only.
FROM base AS install
RUN python -m venv --without-pip /venv
COPY --chmod=755 <<'SCRIPT' /usr/local/bin/install-locked
#!/bin/sh
set -eu
pip --python /venv/bin/python install --quiet --no-cache-dir --no-compile --no-deps --require-hashes \
    --disable-pip-version-check --root-user-action=ignore -r "$1"
cd /venv/lib/python*/site-packages
find . -name '*.pyi' -delete
find . -path '*/tests/*' -delete
rm -rf numpy/f2py numpy/_core/include numpy/_core/lib
python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib
SCRIPT

FROM install AS install-serve
COPY requirements/serve.txt /tmp/
RUN install-locked /tmp/serve.txt

FROM install AS install-train
COPY requirements/train.txt /tmp/
RUN install-locked /tmp/train.txt


FROM base AS train
LABEL org.opencontainers.image.title="backprop-service train" \
      org.opencontainers.image.description="Trains the models and publishes them to a store" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=install-train /venv /venv
WORKDIR /app
COPY LICENSE NOTICE ./
COPY models models
COPY training training
RUN python -m compileall -q models training
USER 10001:10001
RUN ["python", "-c", "from pathlib import Path; from models.store import Store; Store(Path('/store')).fill_from(Path('models/artifacts'))"]
ENV SERVICE_STORE=/store \
    MPLCONFIGDIR=/tmp/matplotlib
ENTRYPOINT ["python", "-m", "training"]
CMD ["all"]


FROM base AS serve
LABEL org.opencontainers.image.title="backprop-service" \
      org.opencontainers.image.description="Answers predictions of two NumPy networks over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=install-serve /venv /venv
WORKDIR /app
COPY LICENSE NOTICE deploy/healthcheck.py ./
COPY models models
COPY service service
RUN python -m compileall -q models service
USER 10001:10001
RUN ["python", "-c", "from pathlib import Path; from models.store import Store; Store(Path('/store')).fill_from(Path('models/artifacts'))"]
ENV SERVICE_STORE=/store \
    SERVICE_HOST=0.0.0.0 \
    SERVICE_PORT=8000
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --retries=3 --start-period=30s --start-interval=1s \
    CMD ["python", "-S", "healthcheck.py"]
ENTRYPOINT ["python", "-m", "service"]
