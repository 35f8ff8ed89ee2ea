from ansible_collections.cidx.cluster.plugins.plugin_utils.helper import HelperAction


class ActionModule(HelperAction):
    LEASE = "check"
