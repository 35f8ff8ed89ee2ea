# Documented in cidx_aliases.yml; the work is done by the action plugin and cidx-helper.
