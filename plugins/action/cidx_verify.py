from ansible_collections.cidx.cluster.plugins.plugin_utils.helper import SEAL, HelperAction


class ActionModule(HelperAction):
    """Gives the calls that hand a session from node to node the key of this ansible-playbook run."""

    LEASE = "check"

    def _arguments(self):
        handed = self._task.args.get("mode") == "session" or "first" in self._task.args
        return dict(super()._arguments(), **({"seal": SEAL} if handed else {}))
