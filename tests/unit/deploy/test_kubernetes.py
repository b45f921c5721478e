"""The manifests of deploy/kubernetes/ agree with each other, with the settings and with docker-compose.yml."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices

from shared.settings import Settings
from tests.unit.deploy.manifests import BASE, FOLDERS, REHEARSAL, ROOT, compose, containers, kustomization, pods, read

# Read by a library, not by our settings.
OTHERS = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "PGDATA", "REDISCLI_AUTH", "REDIS_PASSWORD"}
KEYS = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"}
OURS = ("migrate", "api", "worker", "reconciler", "flower")
BOTH = [*read(BASE), *read(REHEARSAL)]


def known_variables() -> set[str]:
    """Every environment variable that a process of ours reads."""
    known = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        known |= {str(each).upper() for each in alias.choices} if isinstance(alias, AliasChoices) else set()
        known.add(f"QUESTMILL_{name.upper()}")
    return known


def variables(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in container.get("env", [])}


def settings_map() -> dict[str, str]:
    [found] = [each for each in read(BASE) if each["kind"] == "ConfigMap"]
    data = found["data"]
    assert isinstance(data, dict)
    return data


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_kustomization_lists_every_file_and_no_other(folder: Path) -> None:
    listed = [each for each in kustomization(folder)["resources"] if each.endswith(".yaml")]
    assert sorted(listed) == sorted(path.name for path in folder.glob("*.yaml") if path.name != "kustomization.yaml")


def test_both_run_one_image_of_one_release() -> None:
    base, rehearsal = (kustomization(folder)["images"] for folder in FOLDERS)
    assert base == rehearsal
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert base == [{"name": "questmill", "newName": "questmill", "newTag": version}]


def test_no_two_documents_have_one_name() -> None:
    named = [(each["kind"], each["metadata"]["name"]) for each in BOTH]
    assert len(named) == len(set(named))


def test_every_process_is_the_one_of_compose() -> None:
    services = compose()
    found = containers(BOTH)
    for name in (*OURS, "rehearsal"):
        assert found[name]["command"] == services[name]["command"], name
        assert found[name]["image"] == services[name]["image"] == "questmill"
    for name in ("postgres", "redis"):
        assert found[name]["image"] == services[name]["image"]


def test_every_variable_is_one_that_is_read() -> None:
    given = {name for container in containers(BOTH).values() for name in variables(container)}
    literals = {each.partition("=")[0] for kind in ("secretGenerator", "configMapGenerator")
                for each in [line for made in kustomization(REHEARSAL)[kind] for line in made["literals"]]}  # fmt: skip
    assert (given | literals | set(settings_map())) - known_variables() <= OTHERS
    in_compose = {name for service in compose().values() for name in service.get("environment") or {}}
    assert in_compose - known_variables() <= OTHERS


def test_keys_are_the_workers_alone_and_from_a_secret() -> None:
    for name, container in containers(BOTH).items():
        given = variables(container)
        assert name == "worker" or KEYS.isdisjoint(given), name
        for each in given.values():
            assert "value" in each or "secretKeyRef" in each["valueFrom"]
            if re.search("KEY|PASSWORD|SECRET|AUTH|DATABASE_URL|REDIS_URL", each["name"]):
                assert "value" not in each, f"{name}: {each['name']} is written down"
    assert KEYS.isdisjoint(settings_map())


def test_the_rehearsal_makes_every_secret_that_is_needed() -> None:
    made = {
        each["name"]: {line.partition("=")[0] for line in each["literals"]}
        for each in kustomization(REHEARSAL)["secretGenerator"]
    }
    for container in containers(BOTH).values():
        for each in variables(container).values():
            secret = each.get("valueFrom", {}).get("secretKeyRef", {"optional": True})
            assert secret.get("optional") or secret["key"] in made[secret["name"]], each["name"]


def test_ports_agree_with_the_settings_of_the_process_and_with_its_service() -> None:
    services = {each["metadata"]["name"]: each["spec"] for each in BOTH if each["kind"] == "Service"}
    for name, variable in (("api", "QUESTMILL_API_PORT"), ("flower", "QUESTMILL_FLOWER_PORT")):
        container = containers(BOTH)[name]
        port = int(variables(container)[variable]["value"])
        assert container["ports"] == [{"name": "http", "containerPort": port}]
        assert services[f"questmill-{name}"]["ports"] == [{"name": "http", "port": port, "targetPort": "http"}]
        assert [str(each).rsplit(":", 1)[-1] for each in compose()[name]["ports"]] == [str(port)]
    for name, spec in services.items():
        assert spec["selector"]["app.kubernetes.io/name"] in containers(BOTH), name


def test_every_container_is_bound_as_tightly_as_the_namespace_asks() -> None:
    [namespace] = [each for each in BOTH if each["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, pod in pods(BOTH):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"], name
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            mounts = {each["name"] for each in container["volumeMounts"]}
            assert mounts == {each["name"] for each in pod["volumes"]}, name


def test_whoever_lives_on_is_probed_and_drains_at_least_as_long_as_in_compose() -> None:
    long_lived = [name for name in OURS if name != "migrate"]
    found = dict(pods(BOTH))
    for name in long_lived:
        [container] = found[name]["containers"]
        assert {"startupProbe", "livenessProbe"} <= container.keys(), name
        assert "healthcheck" in compose()[name], name
        grace = str(compose()[name].get("stop_grace_period", "10s"))
        assert found[name]["terminationGracePeriodSeconds"] >= int(grace.removesuffix("s")), name
    call_timeout = Settings.model_fields["call_timeout_seconds"].default
    assert found["worker"]["terminationGracePeriodSeconds"] > call_timeout


def test_no_process_starts_on_a_schema_that_is_too_old() -> None:
    found = dict(pods(BOTH))
    for name in ("api", "worker", "reconciler"):
        [first] = found[name]["initContainers"]
        [own] = found[name]["containers"]
        assert first["command"] == ["python", "-m", "cli", "db", "check"]
        asked = {name: variables(own)[name] for name in ("DATABASE_URL", "DATABASE_DIRECT_URL")}
        assert variables(first) == asked


def test_a_heartbeat_is_probed_where_it_is_written() -> None:
    for name in ("worker", "reconciler"):
        container = containers(BOTH)[name]
        path = variables(container)["QUESTMILL_HEARTBEAT_FILE"]["value"]
        for probe in ("startupProbe", "livenessProbe"):
            assert path in container[probe]["exec"]["command"][-1]
        service = compose()[name]
        assert service["environment"]["QUESTMILL_HEARTBEAT_FILE"] in service["healthcheck"]["test"][-1]


def test_budgets_policies_and_scaling_name_pods_that_there_are() -> None:
    names = {name for name, _ in pods(BOTH)}
    for document in BOTH:
        spec = document.get("spec") or {}
        for selector in (spec.get("podSelector"), spec.get("selector")):
            if document["kind"] in {"NetworkPolicy", "PodDisruptionBudget"} and selector:
                wanted = selector.get("matchLabels", {}).get("app.kubernetes.io/name")
                several = [value for each in selector.get("matchExpressions", []) for value in each["values"]]
                assert {*([wanted] if wanted else []), *several} <= names
    [scaled] = [each for each in BOTH if each["kind"] == "ScaledObject"]
    assert scaled["spec"]["scaleTargetRef"]["name"] == "questmill-worker"


def test_scaling_asks_for_the_metric_that_there_is_and_for_as_many_batches_as_a_worker_holds() -> None:
    [scaled] = [each for each in BOTH if each["kind"] == "ScaledObject"]
    [trigger] = scaled["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    [metric] = re.findall(r"questmill_\w+", query)
    assert f'"{metric}",' in (ROOT / "api/system_metrics.py").read_text()
    assert set(re.findall(r"\w+", query.partition('state=~"')[2].partition('"')[0])) == {"pending", "leased", "expired"}
    assert int(trigger["metadata"]["threshold"]) == Settings.model_fields["batches_at_once"].default


def test_one_job_can_have_the_most_workers_that_there_may_be() -> None:
    [scaled] = [each for each in BOTH if each["kind"] == "ScaledObject"]
    held = scaled["spec"]["maxReplicaCount"] * Settings.model_fields["batches_at_once"].default
    assert int(settings_map()["QUESTMILL_WINDOW_BATCHES"]) == held


def test_no_worker_is_sent_home_while_nobody_can_tell_what_there_is_to_do() -> None:
    [scaled] = [each for each in BOTH if each["kind"] == "ScaledObject"]
    assert "fallback" not in scaled["spec"]
    assert [each["metadata"]["ignoreNullValues"] for each in scaled["spec"]["triggers"]] == ["false"]


def test_pods_that_are_not_ready_do_not_keep_a_node_from_being_emptied() -> None:
    budgets = [each["spec"] for each in BOTH if each["kind"] == "PodDisruptionBudget"]
    assert len(budgets) == 3
    assert {each["unhealthyPodEvictionPolicy"] for each in budgets} == {"AlwaysAllow"}
