"""Which policy decides a request: the champion, or the one an experiment draws; and what a shadow would have done."""

from __future__ import annotations

from msgspec.structs import replace as replace_fields

from beast_ml.errors import BeastError
from beast_ml.experiments.assignment import Assigner, Assignment, shadow_context
from beast_ml.serving.decider import Decision
from beast_ml.serving.payloads import RouteRequest
from beast_ml.serving.services import Services

__all__ = ["PolicyChoice"]


class PolicyChoice:
    """Decides by the policy that a request is for.

    Parameters
    ----------
    services
        What a worker is made of.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def decide(self, request: RouteRequest, tenant: str, thrift: float, request_id: str) -> Decision:
        """Decide for a request.

        Raises
        ------
        InputError, UnavailableError
            If nobody can be chosen.
        """
        services, runtime = self._services, self._services.runtime
        assigner = services.experiments.of(tenant, request.user_id, request.session_id, request_id)
        if assigner is None:
            decision = self._by_champion(request, tenant, thrift)
        else:
            decision = self._by_experiment(request, tenant, thrift, assigner, request_id)
            shadow = assigner.shadow(request_id)
            if shadow is not None:
                decision = replace_fields(decision, noted=self._shadow(request, tenant, thrift, shadow))
        if decision.router is runtime.router:  # a challenger's decisions prove nothing of the champion
            runtime.succeeded(decision.prompt)
        return decision

    def drawn(self, tenant: str, user_id: str | None, session_id: str | None, request_id: str) -> Assignment | None:
        """Return which policy an experiment draws for a request; None where it takes part in none."""
        assigner = self._services.experiments.of(tenant, user_id, session_id, request_id)
        if assigner is None or not self._all_loaded(assigner):
            return None
        return assigner.assign(assigner.unit(tenant, user_id, session_id, request_id))

    def _all_loaded(self, assigner: Assigner) -> bool:
        variants = assigner.experiment.variants
        return all(
            str(each.policy) == "champion" or self._services.runtime.router_for(each.policy) is not None
            for each in variants
        )

    def _by_champion(self, request: RouteRequest, tenant: str, thrift: float) -> Decision:
        services, runtime = self._services, self._services.runtime
        try:
            return services.decider.decide(runtime.router, request, tenant, thrift)
        except (BeastError, MemoryError):
            raise
        except Exception as error:
            # A bundle that breaks in service is taken back; then this request is decided by the one before it.
            if not runtime.failed(error):
                raise
            return services.decider.decide(runtime.router, request, tenant, thrift)

    def _by_experiment(
        self, request: RouteRequest, tenant: str, thrift: float, assigner: Assigner, request_id: str
    ) -> Decision:
        """Decide by the policy that is drawn; where it cannot, by the champion, and outside of the experiment.

        While a policy of the experiment is not loaded, no request takes part: a control group alone compares nothing.
        """
        runtime = self._services.runtime
        routers = {str(each.policy): runtime.router_for(each.policy) for each in assigner.experiment.variants}
        if any(router is None for policy, router in routers.items() if policy != "champion"):
            return self._by_champion(request, tenant, thrift)
        drawn = assigner.assign(assigner.unit(tenant, request.user_id, request.session_id, request_id))
        router = None if drawn.policy == "champion" else routers[drawn.policy]
        if router is None:
            return replace_fields(self._by_champion(request, tenant, thrift), assignment=drawn)
        try:
            decided = self._services.decider.decide(router, request, tenant, thrift)
            return replace_fields(decided, assignment=drawn)
        except (BeastError, MemoryError):  # such as a candidate or features that it does not know
            return self._by_champion(request, tenant, thrift)
        except Exception as error:  # noqa: BLE001  a challenger that breaks must not cost a request
            runtime.failed(error, drawn.policy)
            return self._by_champion(request, tenant, thrift)

    def _shadow(self, request: RouteRequest, tenant: str, thrift: float, policy: str) -> dict[str, str]:
        """Return what another policy would have done; whatever becomes of it, the request is served."""
        router = self._services.runtime.router_for(policy)
        if router is None:
            return {}
        try:
            decided = self._services.decider.decide(router, request, tenant, thrift)
        except BeastError:
            return {}
        except Exception as error:  # noqa: BLE001  as above
            self._services.runtime.failed(error, policy)
            return {}
        return shadow_context(decided.model, decided.choice.propensity, router.version)
