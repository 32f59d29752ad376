# The page of `depixel serve`, with the model `laptop`:
#
#     make wheel
#     docker build -t depixel .
#     docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:8000:8000 depixel
FROM python:3.12-slim

COPY requirements.lock /packages/
COPY dist/depixel-*.whl /packages/
# Without the extra `pipeline`: the page restores by ONNX Runtime, without PyTorch. All versions are those of the lock.
RUN pip install --no-cache-dir --disable-pip-version-check --constraint /packages/requirements.lock /packages/depixel-*.whl \
    && rm -r /packages

RUN useradd --create-home --uid 10001 depixel
USER depixel
WORKDIR /home/depixel

EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/', timeout=4)"]
CMD ["depixel", "serve", "--host", "0.0.0.0", "--port", "8000", "--no-browser"]
