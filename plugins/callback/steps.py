"""Prints a run as its steps tell it: transcript lines, complete failures, a recap. Documented in steps.yml."""

import sys
import textwrap

from ansible import constants as C
from ansible.plugins.callback import CallbackBase
from ansible_collections.cidx.cluster.plugins.plugin_utils.printable import printable


class CallbackModule(CallbackBase):
    """Output plugin; the lines of running steps are printed by the action plugins."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "cidx.cluster.steps"

    def __init__(self):
        super().__init__()
        self._warned = set()
        self._report = ""
        sys.stdout.reconfigure(line_buffering=True)  # through a pipe too, lines appear as they happen

    def _handle_warnings(self, res):
        # Continued lines are indented: a name with spaces in it must not begin one.
        for warning in res.pop("warnings", None) or []:
            line = "[WARNING]: " + " ".join(str(warning).split())
            if sys.stderr.isatty():
                line = textwrap.fill(line, self._display.columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            if C.ACTION_WARNINGS and line not in self._warned:
                self._warned.add(line)
                self._display.display(line, color=C.COLOR_WARN, stderr=True)
        super()._handle_warnings(res)

    def _failure(self, kind, result):
        data = reply(result)
        self._handle_warnings(data)
        where = "%s: %s" % (result._host.get_name(), result._task.get_name())
        text = [data.get("msg") or data.get("stderr") or data.get("module_stderr") or "no message", *(["Hint: " + data["hint"]] if data.get("hint") else [])]
        self._display.display("\n%s [%s]\n%s\n" % (kind, where, "\n".join(map(str, text))), color=C.COLOR_ERROR)
        if self._display.verbosity:
            self._display.display(self._dump_results(data))

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not ignore_errors:
            self._failure("FAILED", result)

    def v2_runner_on_unreachable(self, result):
        self._failure("UNREACHABLE", result)

    def v2_runner_on_ok(self, result):
        data = reply(result)
        self._handle_warnings(data)
        self._report = data.get("kept") or self._report
        if result._task.action in ("debug", "ansible.builtin.debug") and "msg" in data:
            msg = data["msg"]
            self._display.display("\n".join(map(str, msg)) if isinstance(msg, list) else str(msg))
        elif self._display.verbosity:
            self._display.display("%s: %s" % ("changed" if data.get("changed") else "ok", result._task.get_name()))
            if self._display.verbosity > 1:
                self._display.display(self._dump_results(data))

    def v2_runner_on_skipped(self, result):
        if self._display.verbosity:
            self._display.display("skipped: %s" % result._task.get_name(), color=C.COLOR_SKIP)

    def v2_on_file_diff(self, result):
        if reply(result).get("diff"):
            self._display.display(self._get_diff(reply(result)["diff"]))

    def v2_playbook_on_no_hosts_matched(self):
        self._display.display("no host matches: name one of your inventory with -l", color=C.COLOR_ERROR)

    def v2_playbook_on_stats(self, stats):
        for host in sorted(stats.processed):
            total = stats.summarize(host)
            self._display.display("\n%s : %s" % (host, " ".join("%s=%d" % (name, total[name]) for name in (
                "ok", "changed", "unreachable", "failures", "skipped", "rescued"))))
        if self._report:
            self._display.display("Report: %s/report.html" % self._report)


def reply(result):
    """The task's result, as older (2.14) and newer cores name it, fit for a terminal."""
    return printable(result.result if hasattr(result, "result") else result._result)
