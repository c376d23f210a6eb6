"""Every exception with which a Ray call may end, and the caller's error for it."""

from __future__ import annotations

import inspect
from concurrent.futures import Future
from typing import Any

import pytest
from ray import exceptions as ray_errors

from venuemesh.actors.cell import ray_calls
from venuemesh.actors.cell.messages import Gone, Unreachable
from venuemesh.actors.cell.ray_calls import MethodFailed, call, call_error
from venuemesh.model.errors import Fenced, RetryLater

LOST = ("00" * 28, None, "")  # object id, owner, call site
GONE = [
    ray_errors.RayActorError(),
    ray_errors.ActorDiedError(),
    ray_errors.ActorPlacementGroupRemoved(),
    ray_errors.ActorUnschedulableError("no such node"),
    ray_errors.AsyncioActorExit(),
    ray_errors.NodeDiedError("its node"),
    ray_errors.OutOfMemoryError("killed"),
    ray_errors.RuntimeEnvSetupError("not created"),
    ray_errors.WorkerCrashedError(),
    ray_errors.ActorHandleNotFoundError("no such name"),
    ValueError("no such name"),
]
UNREACHABLE = [
    ray_errors.ActorUnavailableError("away", None),
    ray_errors.AuthenticationError("token"),
    ray_errors.GetTimeoutError(),
    ray_errors.LocalRayletDiedError(),
    ray_errors.ObjectFetchTimedOutError(*LOST),
    ray_errors.ObjectLostError(*LOST),
    ray_errors.OwnerDiedError(*LOST),
    ray_errors.PendingCallsLimitExceeded(),
    ray_errors.RaySystemError(OSError("gcs")),
    ray_errors.RpcError("gcs"),
    ray_errors.TaskCancelledError(),
    ray_errors.ObjectStoreFullError(),
    ray_errors.OutOfDiskError(),
    ray_errors.RayError("unknown"),
]
# Of tasks, placement groups, streams, other languages and compiled graphs: nothing that is called here.
NOT_MET = {
    "CrossLanguageError",
    "ObjectFreedError",
    "ObjectReconstructionFailedError",
    "ObjectRefStreamEndOfStreamError",
    "OufOfBandObjectRefSerializationException",
    "PlasmaObjectNotAvailable",
    "RayCgraphCapacityExceeded",
    "RayChannelError",
    "RayChannelTimeoutError",
    "RayDirectTransportError",
    "ReferenceCountingAssertionError",
    "StreamingGeneratorReplayInconsistentError",
    "TaskPlacementGroupRemoved",
    "TaskUnschedulableError",
    "UnserializableException",
    "UserCodeException",
    "ActorAlreadyExistsError",
}


def named(error: BaseException) -> str:
    return type(error).__name__


@pytest.mark.parametrize("error", GONE, ids=named)
def test_a_dead_actor_is_gone(error: BaseException) -> None:
    found = call_error(error)
    assert type(found) is Gone
    assert found.sent is not isinstance(error, ValueError)


@pytest.mark.parametrize("error", UNREACHABLE, ids=named)
def test_a_temporary_error_is_unreachable(error: BaseException) -> None:
    found = call_error(error)
    assert type(found) is Unreachable
    assert named(error) in str(found)


def test_the_error_of_the_method_itself_stays() -> None:
    cause = Fenced("cell-1", (1, 0), (2, 0))
    assert call_error(ray_errors.RayTaskError("hello", "", cause)) is cause


@pytest.mark.parametrize("wrap", [lambda error: error, lambda error: error.as_instanceof_cause()], ids=["bare", "dual"])
def test_an_error_that_no_caller_expects_is_no_death(wrap: Any) -> None:
    cause = KeyError("defect")
    found = call_error(wrap(ray_errors.RayTaskError("hello", "", cause)))
    assert isinstance(found, MethodFailed)
    assert isinstance(found.__cause__, KeyError)


def test_every_exception_of_ray_is_in_the_table() -> None:
    known = {named(error) for error in (*GONE, *UNREACHABLE)} | {"RayTaskError"} | NOT_MET
    there = {
        name
        for name, found in vars(ray_errors).items()
        if inspect.isclass(found) and issubclass(found, ray_errors.RayError)
    }
    assert there <= known


class Handle:
    """An actor whose only method ends as the test defines."""

    def __init__(self, result: Any = None, error: BaseException | None = None, answers: bool = True) -> None:
        self._future: Future[Any] = Future()
        if error is not None:
            self._future.set_exception(error)
        elif answers:
            self._future.set_result(result)
        self.method = self

    def remote(self, *arguments: Any) -> Handle:
        return self

    def future(self) -> Future[Any]:
        return self._future


async def test_a_call_returns_raises_and_gives_up() -> None:
    assert await call(Handle(7), "method", timeout_s=5.0) == 7
    with pytest.raises(Gone) as gone:
        await call(Handle(error=ray_errors.ActorDiedError()), "method")
    assert isinstance(gone.value.__cause__, ray_errors.ActorDiedError)
    with pytest.raises(RetryLater):
        await call(Handle(error=ray_errors.RayTaskError("m", "", RetryLater(1.0, "later"))), "method")
    with pytest.raises(TimeoutError):
        await call(Handle(answers=False), "method", timeout_s=0.01)


async def test_looking_for_an_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_actor(name: str, namespace: str) -> str:
        assert namespace == "venuemesh-m"
        if name == "none":
            raise ValueError(name)
        if name == "away":
            raise RuntimeError("GCS")
        return name

    monkeypatch.setattr(ray_calls.ray, "get_actor", get_actor)
    assert await ray_calls.find("cell-1", "m") == "cell-1"
    with pytest.raises(Gone) as gone:
        await ray_calls.find("none", "m")
    assert not gone.value.sent
    with pytest.raises(Unreachable):
        await ray_calls.find("away", "m")
