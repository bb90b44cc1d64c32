"""deploy/kubernetes: what `kubectl apply -k` would send, rendered without a cluster and checked."""

import os
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.settings import describe
from tests.serving import connect, tiny_app

KUBERNETES = Path(__file__).parent.parent / "deploy" / "kubernetes"
OVERLAYS = sorted(folder.name for folder in (KUBERNETES / "overlays").iterdir())

pytestmark = pytest.mark.kubectl

Manifest = dict[str, Any]


def _rendered(overlay: str | Path) -> list[Manifest]:
    result = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


@pytest.fixture(scope="module", params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """The manifests of an overlay."""
    return _rendered(request.param)


def _pods(manifests: list[Manifest]) -> list[Manifest]:
    """The metadata and specification of every pod that the manifests would start."""
    pods = []
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            pods.append(manifest["spec"]["template"])
        elif manifest["kind"] == "CronJob":
            pods.append(manifest["spec"]["jobTemplate"]["spec"]["template"])
    return pods


def _of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def _selects(selector: Manifest, labels: Manifest) -> bool:
    return selector.items() <= labels.items()


def test_manifests_are_valid_in_the_current_release(manifests: list[Manifest]) -> None:
    """Every field is one of the release's schema: a misspelt one would be dropped in silence."""
    for manifest in manifests:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_every_overlay_has_what_keeps_the_service_available(manifests: list[Manifest]) -> None:
    """Service, disruption budget, autoscaler and network policy go with every deployment."""
    kinds = {manifest["kind"] for manifest in manifests}
    assert kinds >= {
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
    }


def test_autoscaler_goes_by_what_every_cluster_has(manifests: list[Manifest]) -> None:
    """By processor alone: while a metric cannot be had, an autoscaler takes no replica away."""
    (scaler,) = _of_kind(manifests, "HorizontalPodAutoscaler")
    assert [metric["type"] for metric in scaler["spec"]["metrics"]] == ["Resource"]


def test_training_is_scheduled_where_replicas_share_a_volume() -> None:
    """With a shared volume a CronJob trains, one run at a time; baked models are not trained there."""
    (job,) = _of_kind(_rendered("shared"), "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert not _of_kind(_rendered("baked"), "CronJob")


def test_selectors_find_their_pods(manifests: list[Manifest]) -> None:
    """What selects pods by label selects the pods of one workload, not none and not all."""
    labels = [pod["metadata"]["labels"] for pod in _pods(manifests)]
    selectors = [
        *(m["spec"]["selector"] for m in _of_kind(manifests, "Service")),
        *(m["spec"]["selector"]["matchLabels"] for m in _of_kind(manifests, "Deployment")),
        *(m["spec"]["selector"]["matchLabels"] for m in _of_kind(manifests, "PodDisruptionBudget")),
        *(m["spec"]["podSelector"]["matchLabels"] for m in _of_kind(manifests, "NetworkPolicy")),
    ]
    for selector in selectors:
        assert sum(_selects(selector, found) for found in labels) == 1, selector


def test_every_pod_is_confined(manifests: list[Manifest]) -> None:
    """No pod runs as root, gains a privilege, writes to its image or knows the cluster's API."""
    for pod in _pods(manifests):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec["automountServiceAccountToken"]
        assert any(
            _selects(m["spec"]["podSelector"]["matchLabels"], pod["metadata"]["labels"])
            for m in _of_kind(manifests, "NetworkPolicy")
        )
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def test_no_pod_gets_the_variables_of_services(manifests: list[Manifest]) -> None:
    """The service refuses variables SERVICE_... that it does not know; what it is given, it knows."""
    known = {key for key, _, _ in describe()}
    for pod in _pods(manifests):
        assert pod["spec"]["enableServiceLinks"] is False
        given = {v["name"] for c in pod["spec"]["containers"] for v in c.get("env", ())}
        assert given <= known


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_keys_are_required_of_an_overlay_that_asks_for_them(tmp_path: Path, overlay: str) -> None:
    """The service finds the file of keys that it is told of, and answers nobody without one."""
    beside = {"resources": f"overlays/{overlay}", "components": "components/keys"}
    named = {
        kind: [os.path.relpath(KUBERNETES / path, tmp_path.resolve())]
        for kind, path in beside.items()
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(named))
    manifests = _rendered(tmp_path)
    test_manifests_are_valid_in_the_current_release(manifests)
    test_no_pod_gets_the_variables_of_services(manifests)
    (deployment,) = _of_kind(manifests, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    told = {variable["name"]: variable["value"] for variable in container["env"]}
    assert told["SERVICE_REQUIRE_KEYS"] == "true"
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == "keys"]
    assert told["SERVICE_KEY_FILE"] == f"{mount['mountPath']}/keys.txt"


def test_only_a_training_writes_to_the_shared_volume() -> None:
    """The service has the store read-only, the training has it to publish."""
    access = {
        container["name"]: mount.get("readOnly", False)
        for pod in _pods(_rendered("shared"))
        for container in pod["spec"]["containers"]
        for mount in container["volumeMounts"]
        if mount["mountPath"] == "/store"
    }
    assert access == {"serve": True, "train": False}


@pytest.mark.anyio
async def test_probes_ask_what_the_service_answers(manifests: list[Manifest]) -> None:
    """Each probe is a route of the service, at the port that the image listens on."""
    (deployment,) = _of_kind(manifests, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {p["name"]: p["containerPort"] for p in container["ports"]} == {"http": 8000}
    async with connect(tiny_app()) as client:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] == "http"
            reply = await client.get(container[probe]["httpGet"]["path"])
            assert reply.status_code == 200
