# syntax=docker/dockerfile:1
# The Farnear service. Build it from the root of the repository:
#   docker build -f deploy/service.Dockerfile -t farnear-service .
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
# `service,cpu,explain-torch` brings Torch, for the heat maps of bundles whose graph does not give them itself.
ARG EXTRAS=service,cpu
# A second package index, for a Torch without CUDA: https://download.pytorch.org/whl/cpu
ARG PIP_EXTRA_INDEX_URL=
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY proto proto
COPY service service
COPY training training
RUN python -m venv /opt/farnear \
    && /opt/farnear/bin/python -m pip install --no-cache-dir --disable-pip-version-check ".[${EXTRAS}]"

FROM python:${PYTHON}-slim
# A number, so that an orchestrator can see that this is not root.
RUN groupadd --gid 10001 farnear \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin farnear \
    && install --directory --owner farnear --group farnear /data
COPY --from=build /opt/farnear /opt/farnear
COPY deploy/healthcheck.py /opt/farnear/healthcheck.py
# ONNX Runtime's wheels report sessions to their maker unless told not to, since 1.29.
ENV PATH=/opt/farnear/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1
USER 10001:10001
VOLUME /data
EXPOSE 50051 9464
# The first start reads the whole store before it answers: failures within the start period are not counted.
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "/opt/farnear/healthcheck.py"]
ENTRYPOINT ["farnear", "serve"]
CMD ["--data", "/data", "--address", "0.0.0.0:50051", "--metrics-address", "0.0.0.0:9464"]
