"""What Flower is started with: our Celery app, and the password for the page of its numbers, which asks for none."""

from flower.views.monitor import Metrics
from tornado.web import authenticated

from workers.app import app as app  # noqa: PLC0414 - by this name Celery finds it

Metrics.get = authenticated(Metrics.get)
