"""Questmill's rooms below HTTP and Celery."""

__version__ = "0.1.0"
