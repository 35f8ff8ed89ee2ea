"""Runs one module of cidx-helper on a node, as a job that outlives the connection.

The helper is installed once per build into a folder on the node, through standard input, and checked by its sha256.
Arguments go through standard input too: no secret is on a command line or on the node's disk."""

import getpass
import json
import mmap
import multiprocessing
import os
import posixpath
import shlex
import signal
import socket
import tempfile
import time
import uuid

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.yaml import yaml_load
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.cidx.cluster.plugins.plugin_utils.printable import printable

display = Display()


def read(path):
    """The text of a file; empty where there is none, as where there is no /proc."""
    try:
        with open(path, encoding="utf-8") as f:
            return f.read().strip()
    except OSError:
        return ""


def begun(pid):
    """When a process was started, empty where it is not seen; with machine, kernel and namespace that tells it from any other."""
    # The name in parentheses may hold anything; the state is the 3rd field, the start the 22nd (proc(5)).
    words = read("/proc/%d/stat" % pid).rpartition(")")[2].split()
    return "ended" if words[:1] in (["Z"], ["X"]) else "".join(words[19:20])  # an ended one may wait for somebody who fetches its exit code


ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
FILES = os.path.join(ROOT, "files")
ON_NODE = read(os.path.join(os.path.dirname(__file__), "node.sh")) + "\n"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# The operator's variables: arguments of the modules, but for those that the playbooks and this plugin read.
with open(os.path.join(ROOT, "roles", "common", "meta", "argument_specs.yml"), encoding="utf-8") as specs:
    VARIABLES = frozenset(yaml_load(specs)["argument_specs"]["main"]["options"])
ARGUMENTS = VARIABLES - {"cidx_accept", "cidx_first_node", "cidx_helper_dir", "cidx_hook_command", "cidx_ignore_variables", "cidx_node_state",
                         "cidx_pause_before_stop", "cidx_reconnect_timeout", "cidx_report_dir"}

# Ansible imports action plugins before it forks a worker for each task, so these are the same for a whole ansible-playbook run.
RUN = {"id": uuid.uuid4().hex, "controller": socket.gethostname(), "user": getpass.getuser(), "pid": os.getpid(), "started": begun(os.getpid()),
       "machine": read("/etc/machine-id"), "boot": read("/proc/sys/kernel/random/boot_id"), "space": os.path.basename(os.path.realpath("/proc/self/ns/pid"))}

BEFORE = signal.getsignal(signal.SIGINT)
CTRL_C = mmap.mmap(-1, 1)  # shared with the workers: the step under way looks at it


def interrupted(signum, frame):
    """A first Ctrl-C is left to the step that is under way or comes next; a second one, or one while a person or a file is waited for, ends the run at once."""
    waiting = [w for w in multiprocessing.active_children() if str(getattr(getattr(w, "_task", None), "action", "")).endswith(("pause", "wait_for"))]
    again = CTRL_C[0]
    CTRL_C[0] = 1
    if again or waiting:
        BEFORE(signum, frame)


if callable(BEFORE) and multiprocessing.parent_process() is None:
    signal.signal(signal.SIGINT, lambda signum, frame: interrupted(signum, frame) if os.getpid() == RUN["pid"] else None)

# What the modules have answered in this run, for its report: in a file without a name, which the workers share.
REPLIES = tempfile.TemporaryFile()  # pylint: disable=consider-using-with

# Closes what one node hands to another, for tasks with the argument seal; in this run's memory only.
SEAL = os.urandom(32).hex()


class HelperAction(ActionBase):
    """Base of all cidx_* actions; the file that subclasses it gives it its name."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        self._prepare(task_vars)
        if self._connection.has_option("pipelining"):
            self._connection.set_option("pipelining", True)  # what the helper reads would be lost on a terminal
        try:
            lease = "check" if self._task.delegate_to else ""  # such a host may be at work
            result.update(self._reply(dict(self._given, **dict(self._task.args, **self._own(task_vars)), **self._internal(lease))))
        except (KeyboardInterrupt, AnsibleError) as e:
            if CTRL_C[0]:
                self._ways_out(task_vars)
            self._remember({"failed": True, "msg": printable(str(e))})
            raise
        if task_vars.get("__common_gather") and result.get("problems"):
            result["failed"] = False  # the rest is looked at, too, before the run ends
        self._remember(result)
        if task_vars.get("__common_gather"):
            result["found"] = [problem for reply in self._remembered().values() if reply.get("check_mode") for problem in reply.get("problems") or []]
        if self._rehearsal:
            result["changed"] = False
        if self._quiet:
            result.pop("warnings", None)
            if result.get("msg") and not result.get("failed"):
                self._say("  " + result["msg"])
        return result

    def _own(self, task_vars):  # pylint: disable=unused-argument
        """Arguments that no task can give."""
        return {"seal": SEAL} if "seal" in self._task.args else {}

    def _remember(self, reply):
        own, other = self._task.args, bool(self._task.delegate_to)
        words = [self._module[5:], own.get("state"), own.get("phase"), own.get("mode"), *own.get("parts", [])[:1]] + ["rehearsal"] * self._task.check_mode
        name, node = ("first_node", None) if other else ("_".join(filter(None, words)), self._node)
        if self._module != "cidx_report" and (reply.get("failed") or not other):
            os.write(REPLIES.fileno(), json.dumps([node, name, reply], default=str).encode() + b"\n")

    def _remembered(self):
        """The replies of this run on this host by their names, e.g. database_load_rehearsal; where another node has failed, it has for all."""
        lines = os.pread(REPLIES.fileno(), os.fstat(REPLIES.fileno()).st_size, 0).splitlines()
        return {name: reply for node, name, reply in map(json.loads, lines) if node in (None, self._node)}

    def _status(self):
        """How the server is now, not how it was left: a stop may have failed, a supervisor may have started it. It waits for nobody."""
        try:
            return self._reply(dict(self._given, state="status", **dict(self._internal("check"), _ansible_check_mode=True)), "cidx_service")
        except Exception as e:  # pylint: disable=broad-except  # whatever it is, the ways out are printed
            return {"failed": True, "unreachable": isinstance(e, AnsibleConnectionFailure), "msg": printable(str(e))}

    def _ways_out(self, task_vars):
        """After Ctrl-C: says how the server is now, and the commands for what may come next; then the run ends."""
        self._templar.available_variables = dict(task_vars, __report_server=self._status())
        self._say(self._templar.template(task_vars.get("__common_interrupted", "Interrupted.")))
        time.sleep(1)  # ansible-playbook's own process prints it, in a thread
        os.kill(RUN["pid"], signal.SIGINT)

    def _reply(self, args, module=None):
        """Runs the module to its end, prints what it tells, and returns what it answers; of this task's own, only until Ctrl-C."""
        news = self._patiently(["job", "run", module or self._module], json.dumps(args, default=str).encode(), self._patient and not module)
        while True:
            for event in news["events"]:
                if "line" in event and not self._quiet:
                    self._say("\n" * (event["line"] == self._task.args.get("step")) + event["line"])
                elif "text" in event:
                    self._say("  " + event["text"])
            if news["done"]:
                break
            if CTRL_C[0] and not module:
                raise KeyboardInterrupt
            news = self._patiently(["job", "follow", news["job"], str(news["offset"])])
        holder = news["reply"].get("lease")
        if not holder or "takeover" in args["_cidx_run"] or not dead(holder):
            return news["reply"]
        args["_cidx_run"]["takeover"] = holder["id"]  # that run was killed on this very controller
        return self._reply(args, module)

    def _prepare(self, task_vars):
        scope = task_vars["hostvars"][self._task.delegate_to] if self._task.delegate_to else task_vars

        values = {name: self._templar.template(scope[name]) for name in VARIABLES if name in scope}
        self._module = self._task.action.split(".")[-1]
        self._manifest = json.loads(read(os.path.join(FILES, "cidx-helper.json")) or "{}")
        if not self._manifest:
            raise AnsibleActionFail("the helper is not built: run 'make modules' first")
        folder = posixpath.normpath(values.get("cidx_helper_dir") or "~/.cache/cidx-helper")
        self._folder = "~/" + shlex.quote(folder[2:]) if folder.startswith("~/") else shlex.quote(folder)
        self._node = self._task.delegate_to or task_vars.get("inventory_hostname", "node")
        self._prefix = self._node + ": " if len(task_vars.get("ansible_play_hosts_all", [])) > 1 else ""
        self._patience = float(values.get("cidx_reconnect_timeout") or 300)
        # The precheck and rehearsals may end with "unreachable"; after the stop every step waits for the node to come back.
        self._patient = not (self._module == "cidx_precheck" or self._task.check_mode)
        # The rehearsal before a real run tells its result only, unless it is all there is to the run.
        self._rehearsal = self._task.check_mode and not task_vars.get("ansible_check_mode")
        self._quiet = self._rehearsal and not task_vars.get("__common_aloud")
        # cidx_url is url, and cidx_files_fsck is fsck of cidx_files; a module takes of the settings those that it knows.
        self._given = {"settings": {n: values[name] for name in ARGUMENTS.intersection(values) for n in (name[5:], name.removeprefix(self._module + "_"))}}
        self._given.update({name: dict(self._given["settings"], **self._task.args).get(name) for name in ("home", "share", "state_dir", "service_user")})

    def _internal(self, lease):
        """Arguments that are not the task's own."""
        return {"_cidx_run": dict(RUN, lease=lease), "_ansible_check_mode": bool(self._task.check_mode),
                "_ansible_diff": bool(self._task.diff) and not self._quiet}

    def _patiently(self, words, data=None, patient=True):
        """Calls the helper; a lost connection is tried again until patience ends."""
        pause, start = 1, time.time()
        while True:
            try:
                return self._call(words, data)
            except AnsibleConnectionFailure as e:
                if not patient:
                    raise
                if time.time() - start > (5 if CTRL_C[0] else self._patience):
                    raise AnsibleActionFail("%s cannot be reached for %d s: %s\nWhat was started goes on there: run the same "
                                            "command again to follow it." % (self._node, self._patience, printable(str(e)))) from e
                self._say("connection to %s lost, trying again in %d s" % (self._node, pause))
            time.sleep(pause)
            pause = min(pause * 2, 15)

    def _call(self, words, data=None):
        """Runs the helper and returns its line; installs it where it is missing or broken."""
        command = 'CIDX_HELPER_DIR="$d" "$d"/h-%s %s' % (self._manifest["build"], " ".join(map(shlex.quote, words)))
        for attempt in range(3):
            out = self._shell(self._compute_environment_string() + " " + command, data)
            for line in reversed(out["stdout"].split("\n")):
                if line.startswith('{"job":'):
                    return printable(json.loads(line))
            if out["rc"] in (126, 127) or attempt == 1:
                self._install()
        raise AnsibleActionFail("the helper gives no answer on %s (status %d): %s%s" % (
            self._node, out["rc"], printable(out["stdout"]), printable(out["stderr"])))

    def _shell(self, script, data):
        """Runs a script that has the helper's folder in $d, unless others could have put something there."""
        out = self._low_level_execute_command("d=%s\n" % self._folder + ON_NODE + script, in_data=data)
        if out["rc"] == 125 and "not-roots: " in out["stdout"]:
            raise AnsibleActionFail("root would run a program from a folder that others can change: %s\nLeave cidx_helper_dir away, or name a folder of root's "
                                    "in which no part of the path is a link or can be written by others."
                                    % printable(out["stdout"].partition("not-roots: ")[2].splitlines()[0]))
        become, said = self._connection.become, (out["stdout"] + out["stderr"]).encode()
        if out["rc"] and become and (become.check_incorrect_password(said) or become.check_missing_password(said)):
            raise AnsibleActionFail("Incorrect or missing %s password on %s: give the right one with -K (ansible_become_password)" % (become.name, self._node))
        return out

    def _install(self):
        machine = self._low_level_execute_command("uname -s -m")["stdout"].split()[-2:]  # sudo may have warned before it
        arch = ARCHITECTURES.get(machine[-1] if machine else "")
        if machine[:1] != ["Linux"] or arch not in self._manifest["sha256"]:
            raise AnsibleActionFail("%s is %s: the helper is built for Linux on %s" % (
                self._node, printable(" ".join(machine)) or "unknown", ", ".join(m for m, a in ARCHITECTURES.items() if a in self._manifest["sha256"])))
        with open(os.path.join(FILES, "cidx-helper-linux-%s.gz" % arch), "rb") as f:
            out = self._shell("take %s %s\nexit" % (self._manifest["build"], self._manifest["sha256"][arch]), f.read())
        if out["rc"] != 0 or self._manifest["build"] not in out["stdout"]:
            raise AnsibleActionFail("the helper cannot be installed into %s on %s: %s%s\nSet cidx_helper_dir to a folder with 20 MB free, on a "
                                    "file system without noexec." % (self._folder, self._node, printable(out["stdout"]), printable(out["stderr"])))

    def _say(self, text):
        if not self._play_context.no_log and not self._task.no_log:
            display.display("\n".join(line and self._prefix + line for line in text.split("\n")), stderr=not str(C.DEFAULT_STDOUT_CALLBACK).endswith("steps"))


def dead(holder):
    """Whether the ansible-playbook of that lease ran under this very kernel, among the processes that are seen here, and is gone."""
    if not holder.get("pid") or not holder.get("boot") or any(holder.get(k, "") != RUN[k] for k in ("machine", "boot", "space")):
        return False
    started = begun(int(holder["pid"]))
    # Where /proc hides the processes of others (hidepid), one that is not seen may live.
    seen = started or holder.get("user") == RUN["user"] or os.access("/proc/1/stat", os.R_OK)
    return bool(seen) and started != holder.get("started")
