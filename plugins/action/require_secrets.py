"""Requires that the operator's variables are known and can be read, before anything else uses them.

Ansible takes {{, {% and {# in a value for its own language, and where that cannot be read its message shows the whole value.
A password may hold those characters; here the variable is named, and its value is not."""

import difflib
import re

from ansible.errors import AnsibleUndefinedVariable
from ansible.plugins.action import ActionBase
from ansible_collections.cidx.cluster.plugins.plugin_utils.helper import VARIABLES

# A value that only names another variable holds no secret itself.
REFERENCE = re.compile(r"\{\{\s*[A-Za-z_][\w.]*\s*\}\}")


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        faults = [*self._unknown(task_vars or {}), *self._unreadable(task_vars or {})]
        return dict(super().run(tmp, task_vars), changed=False, failed=bool(faults), msg="\n".join(faults))

    def _unknown(self, task_vars):
        """Names variables that nothing reads: a mistyped one would leave the default in force."""
        others = VARIABLES.union(self._templar.template(task_vars.get("cidx_ignore_variables") or []))
        for name in sorted(n for n in task_vars if n.startswith("cidx_") and n not in others):
            near = difflib.get_close_matches(name, sorted(VARIABLES), 1)
            yield "%s: no variable of this collection%s. Correct the name, or list it in cidx_ignore_variables if something else uses it." % (
                name, "; did you mean %s?" % near[0] if near else "")

    def _unreadable(self, task_vars):
        for name in sorted(VARIABLES.intersection(task_vars)):
            try:
                self._templar.template(task_vars[name])
                continue
            except AnsibleUndefinedVariable:
                value = str(task_vars[name])
                what = "%s is not defined" % value if REFERENCE.fullmatch(value) else "a variable that it names is not defined"
            except Exception:  # pylint: disable=broad-except  # a template can raise anything, and every text may quote it
                what = "Ansible cannot read it"
            yield ("%s: %s. If {{, {%% or {# is a part of the value (or of one that it names), write it with !unsafe, which Ansible leaves as it is: "
                   "%s: !unsafe '...'" % (name, what, name))
