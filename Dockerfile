# The page of `depixel serve`, with the model `laptop`; and, by another command, the server of a challenge:
#
#     make wheel
#     docker build -t depixel .
#     docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:8000:8000 depixel
#     docker run --rm -v $PWD/course:/challenge -p 127.0.0.1:8000:8000 depixel depixel challenge serve /challenge --host 0.0.0.0
FROM python:3.12-slim

COPY requirements.lock /packages/
COPY requirements-dev.lock /packages/
COPY dist/depixel-*.whl /packages/
# Without the extra `pipeline`: the page restores by ONNX Runtime, without PyTorch. All versions are those of the locks.
RUN pip install --no-cache-dir --disable-pip-version-check --constraint /packages/requirements.lock \
    --constraint /packages/requirements-dev.lock "$(echo /packages/depixel-*.whl)[challenge]" \
    && rm -r /packages

RUN useradd --create-home --uid 10001 depixel
USER 10001
WORKDIR /home/depixel

EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["depixel", "serve", "--host", "0.0.0.0", "--port", "8000", "--no-browser"]
