import base64
import json
import os

from ansible.errors import AnsibleError
from ansible_collections.cidx.cluster.plugins.plugin_utils.helper import HelperAction


class ActionModule(HelperAction):
    """Writes the report and keeps a copy in the controller's folder __report_folder. Nothing on the node is fetched by its path."""

    LEASE = "release"

    def run(self, tmp=None, task_vars=None):
        # Every step registers what its module answers as __<step>_reply, or __<step>_<word>_reply.
        replies = {name[2:-6]: reply for name, reply in (task_vars or {}).items() if name.startswith("__") and name.endswith("_reply")}
        self._task.args["replies"] = {name: reply for name, reply in replies.items() if "check_mode" in reply or reply.get("failed")}
        result = super().run(tmp, task_vars)
        folder = self._templar.template((task_vars or {}).get("__report_folder") or "")
        if folder and not result.get("failed"):
            try:
                self._keep(os.path.expanduser(folder), result)
            except (AnsibleError, OSError, KeyError, ValueError) as e:
                result["not_kept"] = str(e)
        return result

    def _keep(self, folder, result):
        os.makedirs(folder, mode=0o755, exist_ok=True)
        for path in result["files"]:
            write(os.path.join(folder, os.path.basename(path)), self._parts(os.path.basename(path)))
        if not result["files"]:
            write(os.path.join(folder, "report.json"), [json.dumps(result["report"], indent=4, sort_keys=True).encode() + b"\n"])
            if result["html"]:
                write(os.path.join(folder, "report.html"), [result["html"].encode()])

    def _parts(self, name):
        args = {k: v for k, v in self._task.args.items() if k in ("home", "state_dir", "service_user", "outcome")}
        args.update(self._internal("check"), read=name, offset=0)
        while True:
            reply = self._reply(args)
            if reply.get("failed"):
                raise AnsibleError(reply["msg"])
            yield base64.b64decode(reply["part"])
            if reply["last"]:
                return
            args["offset"] = reply["next"]


def write(path, parts):
    """Replaces a file as a whole."""
    with open(path + ".new", "wb") as f:
        for part in parts:
            f.write(part)
    os.replace(path + ".new", path)
