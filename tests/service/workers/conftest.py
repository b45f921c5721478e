from tests.service.jobs.conftest import broker, dataset, job_id, settings

__all__ = ["broker", "dataset", "job_id", "settings"]
