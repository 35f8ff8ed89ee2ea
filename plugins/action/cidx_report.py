import base64
import json
import os
import subprocess

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.release import __version__
from ansible_collections.cidx.cluster.plugins.plugin_utils.helper import RUN, HelperAction, printable


class ActionModule(HelperAction):
    """Tells how a run has ended: on the node, in the controller's folder __report_folder, to pipelines, and to the operator's command.

    Nothing on the node is fetched by its path. After a failure, which was printed already, no fault in here hides it.
    """

    def run(self, tmp=None, task_vars=None):
        outcome = self._task.args.get("outcome")
        self._server = None
        try:
            result = super().run(tmp, task_vars)
        except AnsibleError as e:
            result = {"failed": True, "msg": printable(str(e))}
            if outcome not in ("failed", "refused"):
                raise
        if result.get("failed") and outcome in ("failed", "refused"):
            self._say("  [WARNING] there is no report of this run: %s" % result["msg"])
            result = {"changed": False}
        result["server"] = self._server
        if "report" in result:
            self._keep(os.path.expanduser(self._templar.template(task_vars["__report_folder"])), result)
        if not result.get("failed"):
            self._hand_on(result, outcome, task_vars)
        return result

    def _own(self, task_vars):
        if self._task.args.get("outcome") in ("failed", "refused"):
            self._server = self._status()
            if self._server.get("unreachable"):
                raise AnsibleActionFail(self._server["msg"])
        cause = str((task_vars.get("ansible_failed_result") or {}).get("msg") or "")  # never through a template: it may quote names of files
        run = {"user": RUN["user"], "controller": RUN["controller"], "folder": os.getcwd(), "ansible_core": __version__,
               "check": bool(task_vars.get("ansible_check_mode"))}
        return {"replies": self._remembered(), "cause": cause, "run": run, "server": self._server}

    def _keep(self, folder, result):
        """Every run has a folder of its own; the link "latest" leads to the last one that is complete."""
        report = result["report"]
        try:
            run = "%s-%s" % (report["time"].replace(":", "").split(".")[0], report["outcome"])
            os.makedirs(os.path.join(folder, run), mode=0o755, exist_ok=True)
            contents = {os.path.basename(path): None for path in result["files"] + [item["path"] for item in report["artifacts"]]}
            if not result["files"]:
                contents["report.json"] = [json.dumps(report, indent=4, sort_keys=True).encode() + b"\n"]
                contents["report.html"] = [(result["html"] or "").encode()]
            for name, parts in contents.items():
                with open(os.path.join(folder, run, name), "wb") as f:
                    f.writelines(parts or self._parts(name))
            link = os.path.join(folder, "latest")
            if os.path.lexists(link + ".new"):
                os.unlink(link + ".new")
            os.symlink(run, link + ".new")
            os.replace(link + ".new", link)
            result["kept"] = os.path.join(folder, run)
        except (AnsibleError, OSError, KeyError, ValueError) as e:  # no reason to call the run failed
            where = "It is on %s: %s" % (self._node, ", ".join(result["files"])) if result["files"] else "Name another folder in cidx_report_dir."
            self._say("  [WARNING] the report cannot be kept on the controller: %s\n  %s" % (e, where))

    def _parts(self, name):
        reply = {"next": 0, "last": False}
        while not reply["last"]:
            reply = self._reply(dict(self._given, outcome=self._task.args["outcome"], read=name, offset=reply["next"], **self._internal("check")))
            if reply.get("failed"):
                raise AnsibleError(reply["msg"])
            yield base64.b64decode(reply["part"])

    def _hand_on(self, result, outcome, task_vars):
        """For AWX and pipelines as set_stats does, names and numbers only; and to a shell, as it reads the commands of the server."""
        report, check = result.get("report") or {}, bool(task_vars.get("ansible_check_mode"))
        result["ansible_stats"] = {"per_host": False, "aggregate": True, "data": {"cidx_cluster": {
            "host": task_vars["inventory_hostname"], "outcome": outcome, "check": check, "warnings": len(report.get("warnings") or []),
            "rows": (report.get("database") or {}).get("rows", 0), "downtime_seconds": (report.get("downtime") or {}).get("seconds", 0)}}}
        command = self._templar.template(task_vars.get("cidx_hook_command"))
        if command and not check:
            kept = result["kept"] + "/report.json" if "kept" in result else ""
            status = subprocess.run(["/bin/sh", "-c", command], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                    env=dict(os.environ, CIDX_OUTCOME=outcome, CIDX_HOST=task_vars["inventory_hostname"], CIDX_REPORT=kept)).returncode
            if status:
                self._say("  [WARNING] cidx_hook_command ended with status %d" % status)
