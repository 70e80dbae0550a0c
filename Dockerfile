# The service for docker-compose.yml. Lambda runs no image: `osls package` makes its artifact.
FROM python:3.13.7-slim-bookworm

WORKDIR /srv/munim
COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt waitress==3.0.2
COPY app app
RUN python -m compileall -q app

USER nobody
EXPOSE 5000
CMD ["python", "-m", "waitress", "--listen=0.0.0.0:5000", "--threads=32", "--connection-limit=1000", "app.wsgi:app"]
