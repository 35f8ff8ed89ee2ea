from ansible_collections.cidx.cluster.plugins.plugin_utils.helper import HelperAction as ActionModule  # pylint: disable=unused-import
