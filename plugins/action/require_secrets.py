"""Requires that the operator's secrets can be read, before anything else uses them.

Ansible takes {{, {% and {# in a value for its own language, and where that cannot be
read its message shows the whole value. A password may hold those characters; here the
variable is named, and its value is not.
"""

import re

from ansible.errors import AnsibleUndefinedVariable
from ansible.plugins.action import ActionBase

# Secrets, and commands, which may hold some (or docker's own "{{").
SECRETS = ("cidx_postgres_dsn", "cidx_api_password", "cidx_api_key", "cidx_api_totp_secret", "cidx_schema_command",
           "cidx_service_start_command", "cidx_service_stop_command", "cidx_service_status_command")

# A value that only names another variable holds no secret itself.
REFERENCE = re.compile(r"\{\{\s*[A-Za-z_][\w.]*\s*\}\}")


class ActionModule(ActionBase):
    """Has no arguments; looks at the variables themselves."""

    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        faults = [fault for fault in (self._fault(name, task_vars or {}) for name in SECRETS) if fault]
        result["changed"] = False
        if faults:
            result.update(failed=True, msg="\n".join(faults))
        return result

    def _fault(self, name, task_vars):
        if name not in task_vars:
            return None
        try:
            self._templar.template(task_vars[name])
        except AnsibleUndefinedVariable:
            value = str(task_vars[name])
            what = "%s is not defined" % value if REFERENCE.fullmatch(value) else "a variable that it names is not defined"
        except Exception:  # pylint: disable=broad-except  # a template can raise anything, and every text may quote it
            what = "Ansible cannot read it"
        else:
            return None
        return ("%s: %s. If {{, {%% or {# is a part of the value (or of one that it names), write it with !unsafe, which Ansible leaves as it is: "
                "%s: !unsafe '...'" % (name, what, name))
