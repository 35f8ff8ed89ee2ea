import base64
import json
import os

from ansible.errors import AnsibleError
from ansible.release import __version__
from ansible_collections.cidx.cluster.plugins.plugin_utils.helper import RUN, HelperAction


class ActionModule(HelperAction):
    """Writes the report and keeps a copy in the controller's folder __report_folder. Nothing on the node is fetched by its path."""

    LEASE = "release"

    def run(self, tmp=None, task_vars=None):
        # Every step registers what its module answers as __<step>_reply, or __<step>_<word>_reply.
        replies = {name[2:-6]: reply for name, reply in (task_vars or {}).items() if name.startswith("__") and name.endswith("_reply")}
        failed = (task_vars or {}).get("ansible_failed_result") or {}
        if failed.get("problems") and not any(reply.get("failed") for reply in replies.values()):
            replies["first_node"] = failed  # asked for all, so it is in no variable of this host
        self._task.args["replies"] = {name: reply for name, reply in replies.items() if "check_mode" in reply or reply.get("failed")}
        self._task.args["run"] = {"user": RUN["user"], "controller": RUN["controller"], "folder": os.getcwd(), "ansible_core": __version__,
                                  "check": bool((task_vars or {}).get("ansible_check_mode"))}
        self._task.args["cause"] = str(failed.get("msg") or "")  # never through a template: it may quote names of files
        result = super().run(tmp, task_vars)
        folder = self._templar.template((task_vars or {}).get("__report_folder") or "")
        if folder and not result.get("failed"):
            try:
                result["kept"] = self._keep(os.path.expanduser(folder), result)
            except (AnsibleError, OSError, KeyError, ValueError) as e:
                result["not_kept"] = str(e)
        return result

    def _keep(self, folder, result):
        """Every run has a folder of its own; the link "latest" leads to the last one that is complete."""
        report = result["report"]
        run = "%s-%s" % (report["time"].replace(":", "").split(".")[0], report["outcome"])
        os.makedirs(os.path.join(folder, run), mode=0o755, exist_ok=True)
        if not result["files"]:
            write(os.path.join(folder, run, "report.json"), [json.dumps(report, indent=4, sort_keys=True).encode() + b"\n"])
            write(os.path.join(folder, run, "report.html"), [(result["html"] or "").encode()])
        for name in [os.path.basename(path) for path in result["files"] + [item["path"] for item in report["artifacts"]]]:
            write(os.path.join(folder, run, name), self._parts(name))
        link = os.path.join(folder, "latest")
        if os.path.lexists(link + ".new"):
            os.unlink(link + ".new")
        os.symlink(run, link + ".new")
        os.replace(link + ".new", link)
        return os.path.join(folder, run)

    def _parts(self, name):
        args = dict(self._given, outcome=self._task.args["outcome"], read=name, offset=0, **self._internal("check"))
        while True:
            reply = self._reply(args)
            if reply.get("failed"):
                raise AnsibleError(reply["msg"])
            yield base64.b64decode(reply["part"])
            if reply["last"]:
                return
            args["offset"] = reply["next"]


def write(path, parts):
    with open(path, "wb") as f:
        for part in parts:
            f.write(part)
