# Documented in require_secrets.yml; the work is done by the action plugin.
