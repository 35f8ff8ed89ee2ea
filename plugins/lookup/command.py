"""Spells the command that goes on or rolls back as this run was called. Documented in command.yml."""

import os
import shlex

from ansible import constants as C
from ansible import context
from ansible.parsing.splitter import parse_kv
from ansible.plugins.lookup import LookupBase

# What a further run needs too: the key in the parsed command line, how it is written, and what it is where it was not given.
OPTIONS = (
    ("inventory", "-i", C.DEFAULT_HOST_LIST), ("vault_ids", "--vault-id", None), ("vault_password_files", "--vault-password-file", None),
    ("ask_vault_pass", "-J", C.DEFAULT_ASK_VAULT_PASS), ("remote_user", "-u", C.DEFAULT_REMOTE_USER), ("ssh_extra_args", "--ssh-extra-args", None),
    ("private_key_file", "--private-key", C.DEFAULT_PRIVATE_KEY_FILE), ("ssh_common_args", "--ssh-common-args", None),
    ("ask_pass", "-k", C.DEFAULT_ASK_PASS), ("connection_password_file", "--connection-password-file", C.CONNECTION_PASSWORD_FILE),
    ("become", "-b", C.DEFAULT_BECOME), ("become_method", "--become-method", C.DEFAULT_BECOME_METHOD), ("become_user", "--become-user", None),
    ("become_ask_pass", "-K", C.DEFAULT_BECOME_ASK_PASS), ("become_password_file", "--become-password-file", C.BECOME_PASSWORD_FILE))


class LookupModule(LookupBase):
    """Reads the parsed command line, never a value that stands in it with -e."""

    def run(self, terms, variables=None, **kwargs):
        extra = [str(e) for e in context.CLIARGS.get("extra_vars") or ()]
        files = [w for e in extra if e.startswith("@") for w in ("-e", e)]
        commands = {name: self._command(name, variables or {}, files) for name in ("again", "migrate", "node", "rollback", "accept")}
        return [dict(commands, accept=commands["accept"] + " -e cidx_accept=yes", inline=self._inline(extra))]

    def _inline(self, extra):
        given = [self._loader.load(e) if e[:1] in "{[" else parse_kv(e) for e in extra if not e.startswith("@")]
        return ", ".join(sorted({n for names in given for n in names if not n.startswith("_")}))

    def _command(self, name, variables, files):
        words, tail = ["ansible-playbook"], []
        for key, option, default in OPTIONS:
            value = context.CLIARGS.get(key)
            values = list(value) if isinstance(value, (list, tuple)) else [value]
            if value and default not in (value, values):
                words += [w for v in values for w in ([option] if v is True else [option, str(v)])]
        if name == "again":
            words += context.CLIARGS["args"]
            tags = list(context.CLIARGS.get("tags") or ["all"])
            tail = ["--check"] * bool(context.CLIARGS.get("check")) + (["--tags", ",".join(tags)] if tags != ["all"] else [])
        elif "/ansible_collections/cidx/cluster/" in variables["playbook_dir"]:
            words += ["cidx.cluster.cluster_" + name]
        else:
            folder = os.path.dirname(variables["playbook_dir"])
            words += [os.path.join("" if folder == os.environ.get("PWD") else folder, "cluster-%s.yml" % name)]
        return " ".join(map(shlex.quote, words + ["-l", variables["inventory_hostname"]] + files + tail))
