# All roles of scalab in one image:
#
#     docker build -t scalab:0.1.0 .
#
# For an image with your workload in it, see Dockerfile.media and docs/kubernetes.md.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
RUN python -m venv --without-pip /opt/scalab
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY scalab scalab
# Compiles, too: the containers can't write to their root.
RUN pip --python /opt/scalab/bin/python install --no-cache-dir --disable-pip-version-check ".[redis]"
# What that brought along, for whoever must know: docs/dependencies.md.
RUN python -m venv /opt/sbom \
    && /opt/sbom/bin/pip install --no-cache-dir --disable-pip-version-check "cyclonedx-bom>=7,<8" \
    && /opt/sbom/bin/cyclonedx-py environment --output-reproducible \
        --output-file=/opt/scalab/sbom.cdx.json /opt/scalab/bin/python

FROM python:${PYTHON}-slim
COPY --from=build /opt/scalab /opt/scalab
ENV PATH=/opt/scalab/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# nobody, by number: Kubernetes can't see that a name isn't root
USER 65534:65534
WORKDIR /tmp
# client's page, clients, metrics, backends
EXPOSE 9996 9997 9998 9999
# As a list: scalab itself is process 1, gets the signals, and reaps what workloads leave behind.
ENTRYPOINT ["scalab"]
